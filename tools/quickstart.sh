#!/usr/bin/env bash
# quickstart.sh [PROMPT] - builds everything and continues PROMPT with the bundled model.
# Installs the packages that the build needs if they are missing (Debian, as root or with sudo).
set -euo pipefail
. "$(dirname "$0")/setup.sh"

need_packages build
step "Configuring" cmake --preset default
step "Building" cmake --build --preset default -j "$(build_jobs)"
exec build/tools/gptneox -p "${1:-And it came to pass}"
