#!/bin/sh
# install.sh CMAKE BUILD_DIR CC TESTS_DIR - installs into a folder of its own, then builds programs
# against it, through the CMake package and through pkg-config, and runs the installed gptneox with
# the model that was installed with it.
set -eu
cmake=$1
build=$2
cc=$3
tests=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

# quietly COMMAND...: shows the command's output only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED: $*"; exit 1; }
}

# greedy TEXT PROGRAM: TEXT is the pinned text.
greedy() {
    [ "$1" = "$(cat "$tests/cli/greedy.txt")" ] || { echo "FAILED: $2 generates: $1"; exit 1; }
}

quietly "$cmake" --install "$build" --prefix "$prefix"
text=$("$prefix/bin/gptneox" -v -p 'And it came to pass' -n 24 --temp 0 2>"$work/stderr")
greedy "$text" gptneox
quietly grep "^model: .*/share/ggml-int8/gptneox-demo" "$work/stderr"

mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(user LANGUAGES C)
find_package(ggml-int8 0.1 REQUIRED)
add_executable(generate generate.c)
target_link_libraries(generate ggml-int8::gptneox ggml-int8::ggml-int8-cpu)
add_executable(int8_layer int8_layer.c)
target_link_libraries(int8_layer ggml-int8::ggml-int8-cpu)
END
cp "$tests/readme/generate.c" "$tests/readme/int8_layer.c" "$work/project/"
quietly "$cmake" -S "$work/project" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc"
quietly "$cmake" --build "$work/build"

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name gptneox.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # several flags
quietly "$cc" -o "$work/generate" "$tests/readme/generate.c" \
    $(pkg-config --cflags --libs gptneox ggml-int8)

for program in "$work/build/generate" "$work/generate"; do
    text=$("$program" "$prefix/share/ggml-int8/gptneox-demo" 'And it came to pass')
    greedy "And it came to pass$text" "$program"
done
quietly "$work/build/int8_layer"
