#!/usr/bin/env bash
# quickstart.sh [PROMPT] - builds everything and continues PROMPT with the bundled model.
# Installs the packages that the build needs if they are missing (Debian, as root or with sudo).
set -euo pipefail
. "$(dirname "$0")/setup.sh"

# nvcc takes minutes: only for GPUs that are here, and that the backend can use.
capabilities=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
    tr -d '. ' | sort -un | awk '$1 >= 75' | paste -sd ';') || capabilities=
cuda=(-DGGML_INT8_CUDA=OFF)
if [[ $capabilities =~ ^[0-9]+(;[0-9]+)*$ ]]; then
    cuda=(-DGGML_INT8_CUDA=AUTO "-DCMAKE_CUDA_ARCHITECTURES=$capabilities")
fi

need_packages build
step "Configuring" cmake --preset default "${cuda[@]}"
step "Building" cmake --build --preset default -j "$(build_jobs)"
exec build/tools/gptneox -p "${1:-And it came to pass}"
