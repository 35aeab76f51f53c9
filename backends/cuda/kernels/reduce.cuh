/* reduce.cuh - sums and maxima over the threads that share a row. The order of the additions is
 * fixed, so that results are the same in every run. */
#ifndef GI8I_CUDA_REDUCE_CUH
#define GI8I_CUDA_REDUCE_CUH

#include <cuda_runtime.h>

typedef struct gi8i_add {
    static __device__ float identity() { return 0.0f; }
    static __device__ float combine(float a, float b) { return a + b; }
} gi8i_add;

/* NaN only where all are. */
typedef struct gi8i_largest {
    static __device__ float identity() { return __uint_as_float(0xff800000u); } /* -Inf */
    static __device__ float combine(float a, float b) { return a > b ? a : b; }
} gi8i_largest;

/* Over the 32 lanes of a warp, all of which take part and get the result. */
template <typename Op> static __device__ inline float gi8i_warp_reduce(float v) {
#pragma unroll
    for (int distance = 16; distance >= 1; distance /= 2) {
        v = Op::combine(v, __shfl_xor_sync(0xffffffffu, v, distance));
    }
    return v;
}

/* Over THREADS threads: 32, a warp; or more, a whole block of so many. All of them take part and
 * get the result. `slot` is THREADS / 32 floats of shared memory, which a warp does not use; not
 * those of the block's reduction before this one, since somebody may still be reading them. */
template <typename Op, int THREADS>
static __device__ inline float gi8i_reduce(float v, float *slot) {
    v = gi8i_warp_reduce<Op>(v);
    if (THREADS > 32) {
        if (threadIdx.x % 32 == 0) {
            slot[threadIdx.x / 32] = v;
        }
        __syncthreads();
        v = slot[0];
#pragma unroll
        for (int i = 1; i < THREADS / 32; i++) {
            v = Op::combine(v, slot[i]);
        }
    }
    return v;
}

#endif
