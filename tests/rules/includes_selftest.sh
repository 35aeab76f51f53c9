#!/bin/sh
# includes_selftest.sh - plants each kind of forbidden #include and asks includes.sh to find it.
set -u
checker=$(dirname "$0")/includes.sh
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failures=0

# A tree that obeys.
core=$tree/ggml-int8
mkdir -p "$core/src/ops" "$core/include/ggml-int8" "$tree/backends/cpu/include" \
    "$tree/backends/gpu" "$tree/backends/cuda/ops" "$tree/models/gptneox" "$tree/models/other" \
    "$tree/tools"
touch "$core/include/ggml-int8/gi8.h" "$core/include/ggml-int8/gi8_backend_impl.h" \
    "$core/src/arena.h" "$tree/backends/cpu/include/gi8_cpu.h" "$tree/backends/cpu/threads.h" \
    "$tree/backends/gpu/gpu.h" "$tree/backends/cuda/cuda_impl.h" \
    "$tree/models/gptneox/gptneox.h" "$tree/models/other/other.h" "$tree/tools/tool.h"

# includes FILE NAME...: a file that includes these.
includes() {
    file=$1
    shift
    printf '#include %s\n' "$@" >"$file"
}
includes "$core/src/ops/add.c" '"ggml-int8/gi8.h"' '"arena.h"' '"../arena.h"' '<math.h>'
includes "$tree/backends/cpu/cpu.c" '"gi8_cpu.h"' '"ggml-int8/gi8_backend_impl.h"' '<pthread.h>'
for file in memory.c launch.cuh ops/add.cu; do
    includes "$tree/backends/cuda/$file" '"cuda_impl.h"' '"ggml-int8/gi8_backend_impl.h"' \
        '<pthread.h>' '<ptx.cuh>' '<cuda_runtime_api.h>' '<cuda_runtime.h>' '<cuda_fp16.h>' \
        '<cuda_bf16.h>' '<cublasLt.h>'
done
includes "$tree/models/gptneox/load.c" '"gptneox.h"' '"ggml-int8/gi8.h"' '<jansson.h>' \
    '<sys/mman.h>'
includes "$tree/tools/program.c" '"tool.h"' '"gptneox.h"' '"gi8_cpu.h"' '"gi8_cuda.h"' \
    '<unistd.h>'
sh "$checker" "$tree" || {
    echo "FAILED: an obedient tree is refused"
    failures=1
}

# planted FILE INCLUDE: the checker names the file and the header.
planted() {
    printf '  #  include %s /* planted */\n' "$2" >"$tree/$1"
    if found=$(sh "$checker" "$tree"); then
        echo "FAILED: $1 may include $2"
        failures=$((failures + 1))
    elif [ "${found#"$1 "*"$2"}" = "$found" ]; then
        echo "FAILED: $1 including $2 is reported as: $found"
        failures=$((failures + 1))
    fi
    rm "$tree/$1"
}

planted ggml-int8/src/bad.c '<pthread.h>'
planted ggml-int8/src/bad.c '<unistd.h>'
planted ggml-int8/src/bad.c '<jansson.h>'
planted ggml-int8/src/bad.c '<cuda_fp16.h>'
planted ggml-int8/src/bad.h '"gi8_cpu.h"'
planted ggml-int8/src/bad.h '"gptneox.h"'
planted ggml-int8/src/bad.c '"../../backends/cpu/threads.h"'
planted backends/cpu/bad.c '"gptneox.h"'
planted backends/cpu/bad.c '"../../ggml-int8/src/arena.h"'
planted backends/cpu/bad.c '"arena.h"'
planted backends/cpu/bad.c '"../gpu/gpu.h"'
planted backends/cpu/bad.c '<jansson.h>'
planted backends/cpu/bad.c '<cuda_runtime_api.h>'
planted backends/cpu/bad.cu '<cuda_runtime.h>'
planted backends/cpu/bad.c '<ptx.cuh>'
planted backends/cuda/bad.c '<cuda.h>'
planted backends/cuda/bad.c '<curand.h>'
planted backends/cuda/bad.c '<cublas_v2.h>'
planted backends/cuda/bad.c '"gptneox.h"'
planted backends/cuda/bad.c '"../cpu/threads.h"'
planted backends/cuda/bad.cu '"../gpu/gpu.h"'
planted backends/cuda/ops/bad.cu '<cub/cub.cuh>'
planted backends/cuda/ops/bad.cu '"gpu.h"'
planted backends/cuda/bad.cuh '<mma.h>'
planted backends/cuda/bad.cuh '"../../ggml-int8/src/arena.h"'
planted models/gptneox/bad.c '"gi8_cpu.h"'
planted models/gptneox/bad.c '"gi8_cuda.h"'
planted models/gptneox/bad.c '<cuda_runtime.h>'
planted models/gptneox/bad.h '"../../backends/cpu/threads.h"'
planted models/gptneox/bad.c '"ggml-int8/gi8_backend_impl.h"'
planted models/gptneox/bad.c '"../other/other.h"'
planted models/gptneox/bad.c '"tool.h"'
planted tools/bad.c '"ggml-int8/gi8_backend_impl.h"'
planted tools/bad.c '"threads.h"'
planted tools/bad.c '"cuda_impl.h"'
planted tools/bad.c '<cuda_runtime_api.h>'
planted tools/bad.c '"arena.h"'
planted tools/bad.c '<jansson.h>'
exit "$failures"
