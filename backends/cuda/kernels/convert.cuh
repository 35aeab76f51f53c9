/* convert.cuh - x to the 16-bit type of the weights for cuBLASLt, and its result to the step's.
 *
 * F16: a row is divided by a power of two so that its largest finite entry lies in [2^13, 2^14):
 * any row is taken, no product of finite weights overflows, and entries keep 11 bits down to 2^-28
 * of the largest. BF16 has the range of fp32; rows that reach 2^127, where rounding might give Inf,
 * are halved. The factor is exact and is multiplied back in fp32:
 *   |error of y| <= u sum_k |w_k x_k| + v max |x| sum_k |w_k|   and what fp32 accumulation adds,
 * with u = 2^-11, v = 2^-38 for F16 and u = 2^-8, v = 0 for BF16. NaN and Inf stay what they are.
 */
#ifndef GI8I_CUDA_CONVERT_CUH
#define GI8I_CUDA_CONVERT_CUH

#include <float.h>

#include "epilogue.cuh"
#include "reduce.cuh"

#include <ptx.cuh>

enum { GI8I_CONVERT_THREADS = 256 };

/* The exponent of the power of two that a row with this largest entry is divided by. */
static __device__ inline int gi8i_row_exponent(float largest, __half) {
    int exponent = 0;
    frexpf(largest, &exponent);
    return exponent < -86 ? -100 : exponent - 14;
}

static __device__ inline int gi8i_row_exponent(float largest, __nv_bfloat16) {
    return largest >= 0x1p127f ? 1 : 0;
}

static __device__ inline void gi8i_round_to(__half *to, float v) {
    *to = __float2half_rn(v);
}

static __device__ inline void gi8i_round_to(__nv_bfloat16 *to, float v) {
    *to = __float2bfloat16_rn(v);
}

/* x [k, m] F32 -> to [ld, m], zeros from k on; scale [m]: what row m of the product is multiplied
 * with. */
template <typename T>
static __global__ void __launch_bounds__(GI8I_CONVERT_THREADS)
    gi8i_convert_rows(gi8i_rows x, int64_t k, int64_t m, T *to, int64_t ld, float *scale) {
    GI8I_SHARED(float, warp_largest, GI8I_CONVERT_THREADS / 32);
    const int thread = static_cast<int>(threadIdx.x);
    for (int64_t row = blockIdx.x; row < m; row += gridDim.x) {
        const float *from = static_cast<const float *>(gi8i_row(x, row));
        float largest = 0.0f;
        for (int64_t i = thread; i < k; i += GI8I_CONVERT_THREADS) {
            const float size = fabsf(from[i]);
            largest = size <= FLT_MAX ? fmaxf(largest, size) : largest;
        }
        largest = gi8i_reduce<gi8i_largest, GI8I_CONVERT_THREADS>(largest, warp_largest);
        const int exponent = gi8i_row_exponent(largest, T());
        const float factor = ldexpf(1.0f, -exponent);
        for (int64_t i = thread; i < ld; i += GI8I_CONVERT_THREADS) {
            gi8i_round_to(to + row * ld + i, i < k ? from[i] * factor : 0.0f);
        }
        if (thread == 0) {
            scale[row] = ldexpf(1.0f, exponent);
        }
        __syncthreads(); /* before warp_largest is used again */
    }
}

/* y [n, m] F32, contiguous, times scale [m] (NULL: 1), through the fused nodes of `out`, which may
 * be y itself. */
static __global__ void __launch_bounds__(GI8I_CONVERT_THREADS)
    gi8i_finish_rows(const float *y, const float *scale, int64_t n, int64_t m, gi8i_output out) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * GI8I_CONVERT_THREADS;
    int64_t i = static_cast<int64_t>(blockIdx.x) * GI8I_CONVERT_THREADS + threadIdx.x;
    for (; i < n * m; i += stride) {
        const int64_t row = i / n;
        gi8i_store(out, row, i - row * n, scale != nullptr ? __fmul_rn(y[i], scale[row]) : y[i]);
    }
}

#endif
