#!/usr/bin/env bash
# gpu-check.sh [FOLDER] - everything there is to check on a machine with an NVIDIA GPU, in one go:
# builds with CUDA, runs the tests on the device, some of them under compute-sanitizer, a model from
# end to end, and the benchmarks. All output goes to FOLDER (gpu-check); summary.md there says how
# each step ended. Without a GPU it builds, checks the machine code, and says that it did no more.
#   QUICK=1     small benchmarks, no large models
#   BUILD=DIR   takes a tree that is already built, with CUDA and tests
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:-gpu-check}" && out=$(cd "${1:-gpu-check}" && pwd) || exit 2
. "$here/tools/setup.sh"
build=${BUILD:-$out/build}
summary=$out/summary.md
failures=0

{
    echo '# GPU check'
    echo
    date -u '+%Y-%m-%d %H:%M UTC'
    git describe --always --dirty 2>/dev/null
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>&1
    echo
    echo '| step | result |'
    echo '|---|---|'
} >"$summary"

# check NAME COMMAND...: runs a step with its output in NAME.txt; 77 means skipped.
check() {
    local name=$1 status=0
    shift
    echo "$name ..." >&2
    "$@" >"$out/$name.txt" 2>&1 </dev/null || status=$?
    case $status in
    0) echo "| $name | fine |" ;;
    77) echo "| $name | skipped: $(tail -n 1 "$out/$name.txt") |" ;;
    *)
        failures=$((failures + 1))
        echo "| $name | FAILED, see $name.txt |"
        ;;
    esac >>"$summary"
    return "$status"
}

finish() {
    cat "$summary"
    echo "All output is in $out." >&2
    exit "$((failures > 0))"
}

if [ -z "${BUILD:-}" ]; then
    need_packages build test
    check configure cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release -DGGML_INT8_CUDA=ON \
        -DGGML_INT8_TESTS=ON -DGGML_INT8_WERROR=ON || finish
    check build cmake --build "$build" -j "$(build_jobs)" || finish
fi
check machine-code ctest --test-dir "$build" -R '^cuda_sass' --no-tests=error \
    --output-on-failure

has_gpu() {
    nvidia-smi -L 2>/dev/null | grep -q GPU || {
        echo "there is no GPU here"
        return 77
    }
}
check gpu has_gpu || finish

check tests ctest --test-dir "$build" -L '^cuda$' --no-tests=error --output-on-failure

# sanitize TOOL TEST: a test under compute-sanitizer.
sanitize() {
    command -v compute-sanitizer >/dev/null || {
        echo "there is no compute-sanitizer"
        return 77
    }
    # cuBLASLt tries calls that fail; those of ours are checked by the tests
    compute-sanitizer --tool "$1" --report-api-errors no --error-exitcode 1 "$build/tests/cuda/$2"
}
for test in test_cuda_rows test_cuda_ops test_cuda_gemm_s8 test_cuda_int8_mixed \
    test_cuda_outliers test_cuda_rope_store; do
    check "memcheck-$test" sanitize memcheck "$test"
    check "racecheck-$test" sanitize racecheck "$test"
    check "synccheck-$test" sanitize synccheck "$test"
done

# The bundled model's greedy text on the GPU and on the CPU. Two tokens that are nearly as likely
# may change places, so only the first 16 must be the same; both are there to be read.
model_text() {
    local text='And it came to pass' device n
    for device in cpu cuda; do
        for n in 16 64; do
            "$build/tools/gptneox" --device "$device" --temp 0 -n "$n" -p "$text" \
                >"$out/text-$device-$n" || return 1
        done
    done
    diff "$out/text-cpu-64" "$out/text-cuda-64"
    cmp "$out/text-cpu-16" "$out/text-cuda-16"
}
graphs_work() {
    if grep -rh 'step by step' "$out"/*.txt; then
        echo "plans are not replayed as CUDA graphs"
        return 1
    fi
}
check model-text model_text

# Benchmarks: all linear layers of Pythia 160M, 1.4B and 6.9B and of GPT-NeoX-20B.
shapes=2304x768,768x768,3072x768,768x3072
rows=1,2,4,8,16,32,64,128,256,512,2048
outliers=0,1,7,32,256,133144 # the last one is the most there can be: all K
models='160m 1.4b 6.9b'
repetitions=7
if [ -n "${QUICK:-}" ]; then
    rows=1,32,512
    outliers=0,7
    models=160m
    repetitions=3
else
    shapes=$shapes,6144x2048,2048x2048,8192x2048,2048x8192
    shapes=$shapes,12288x4096,4096x4096,16384x4096,4096x16384
    shapes=$shapes,18432x6144,6144x6144,24576x6144,6144x24576
fi
# Shape by shape, so that the two are measured within seconds of each other: a GPU's clock changes.
kernels() {
    local shape
    rm -f "$out/int8.csv" "$out/fp16.csv"
    for shape in ${shapes//,/ }; do
        "$build/tests/cuda/fp16_baseline" "$shape" "$rows" "$repetitions" >>"$out/fp16.csv" &&
            "$build/tools/gptneox-bench" --kernel --device cuda -M "$rows" --shape "$shape" \
                --no-limits --outlier-columns "$outliers" -r "$repetitions" -o csv \
                >>"$out/int8.csv" || return 1
    done
}
check bench-kernels kernels
check bench-table python3 "$here/tools/gpu-check-table.py" "$out/int8.csv" "$out/fp16.csv"

models() {
    local size
    for size in $models; do
        [ -e "$out/$size/config.json" ] ||
            "$build/tools/gptneox-synth" --shape "$size" -o "$out/$size" || return 1
        "$build/tools/gptneox-bench" --device cuda -m "$out/$size" --weights int8,f16 \
            -p 128,512 -n 64 -r 5 --quantize-head || return 1
    done
}
check bench-models models
check graphs graphs_work
for table in bench-table bench-models; do
    echo && cat "$out/$table.txt"
done >>"$summary"
finish
