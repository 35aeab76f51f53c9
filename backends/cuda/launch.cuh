/* launch.cuh - typed kernel launches, and memory that a block shares. */
#ifndef GI8I_CUDA_LAUNCH_CUH
#define GI8I_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

#include "cuda_impl.h"

/* Launches kernel<<<grid, block, shared, stream>>>(args...); `name` is for the sentence. */
template <typename... P, typename... A>
gi8_status gi8i_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                       cudaStream_t stream, gi8_error *error, A... args) {
    if (shared > 48 * 1024) { /* more than every kernel may use must be asked for */
        cudaError_t allowed = cudaFuncSetAttribute(
            reinterpret_cast<const void *>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
            static_cast<int>(shared));
        if (allowed != cudaSuccess) {
            return gi8i_cuda_check(allowed, name, error);
        }
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return gi8i_cuda_check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...), name,
                           error);
}

/* ceil(a / b) for a >= 0, b > 0 */
template <typename T> static inline __host__ __device__ T gi8i_div_up(T a, T b) {
    return (a + b - 1) / b;
}

#endif
