#!/bin/sh
# headers.sh ROOT CC CXX - every public header compiles by itself, as C11 and as C++11, without
# warnings.
set -u
root=$1
command -v "$3" >/dev/null || exit 77 # no C++ compiler
failures=0
headers=$(cd "$root" && ls ggml-int8/include/ggml-int8/*.h backends/cpu/include/*.h \
    backends/cuda/include/*.h models/gptneox/gptneox.h models/gptneox/gptneox_tokenizer.h)

# compile COMPILER LANGUAGE STANDARD HEADER
compile() {
    echo "#include \"$root/$4\"" |
        "$1" -x "$2" -std="$3" -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
            -I"$root/ggml-int8/include" -I"$root/models/gptneox" - || {
        echo "FAILED: $4 as $3"
        failures=$((failures + 1))
    }
}

for header in $headers; do
    compile "$2" c c11 "$header"
    case $header in
    *_impl.h) ;; # for backends, which are C: it includes <stdatomic.h>
    *) compile "$3" c++ c++11 "$header" ;;
    esac
done
exit "$failures"
