#!/usr/bin/env bash
# test.sh [PRESET] - builds everything with warnings as errors and runs all tests.
# PRESET is release (the default), debug, asan, tsan, clang or aarch64: see CMakePresets.json.
# Installs missing packages as quickstart.sh does.
set -euo pipefail
. "$(dirname "$0")/setup.sh"

preset=${1:-release}
case $preset in
release | debug | asan | tsan) need_packages build test ;;
clang) need_packages build test ci ;;
aarch64)
    need_packages build test aarch64
    need_sysroot arm64 build-aarch64-sysroot aarch64-sysroot
    ;;
*)
    echo "usage: tools/test.sh [release|debug|asan|tsan|clang|aarch64]" >&2
    exit 2
    ;;
esac

run=()
if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then
    run=(setarch -R) # gcc 12's thread sanitizer fails under kernels that randomize addresses widely
fi
step "Configuring ($preset)" cmake --preset "$preset"
step "Building ($preset)" cmake --build --preset "$preset" -j "$(build_jobs)"
exec "${run[@]}" ctest --preset "$preset" -j 2
