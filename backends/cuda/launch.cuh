/* launch.cuh - typed kernel launches, and memory that a block shares. */
#ifndef GI8I_CUDA_LAUNCH_CUH
#define GI8I_CUDA_LAUNCH_CUH

#include <pthread.h>

#include <cuda_runtime.h>

#include "cuda_impl.h"

/* Held from what is said of a kernel's shared memory to its launch: it is said for all threads. */
inline pthread_mutex_t gi8i_launch_lock = PTHREAD_MUTEX_INITIALIZER;

/* Lets a kernel have `shared` bytes of dynamic shared memory; unasked, it gets 48 KiB less what it
 * declares itself. Never takes away what it was allowed: launches in graphs may need it. */
inline cudaError_t gi8i_allow_shared(const void *kernel, size_t shared) {
    cudaFuncAttributes attributes = {};
    const cudaError_t result = cudaFuncGetAttributes(&attributes, kernel);
    const int bytes = static_cast<int>(shared);
    if (result != cudaSuccess || attributes.maxDynamicSharedSizeBytes >= bytes) {
        return result;
    }
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

/* Launches kernel<<<grid, block, shared, stream>>>(args...); `name` is for the sentence. */
template <typename... P, typename... A>
gi8_status gi8i_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                       cudaStream_t stream, gi8_error *error, A... args) {
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    cudaError_t result = cudaSuccess;
    pthread_mutex_lock(&gi8i_launch_lock);
    if (shared > 0) {
        result = gi8i_allow_shared(reinterpret_cast<const void *>(kernel), shared);
    }
    if (result == cudaSuccess) {
        result = cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
    }
    pthread_mutex_unlock(&gi8i_launch_lock);
    return gi8i_cuda_check(result, name, error);
}

/* ceil(a / b) for a >= 0, b > 0 */
template <typename T> static inline __host__ __device__ T gi8i_div_up(T a, T b) {
    return (a + b - 1) / b;
}

#endif
