/* convert.cuh - x to the 16-bit type of the weights for cuBLASLt, and its result to the step's.
 *
 * Most rows are just rounded. Where that would lose more, a row is divided by a power of two, which
 * is multiplied back in fp32:
 *   F16   rows whose largest finite entry is not in [2^-4, 65504]: then it lies in [2^13, 2^14), so
 *         that any row is taken, and entries keep 11 bits down to 2^-28 of the largest
 *   BF16  rows that reach 2^127, where rounding might give Inf, are halved
 * With u = 2^-11, v = 2^-21 for F16 and u = 2^-8, v = 0 for BF16:
 *   |error of y| <= u sum_k |w_k x_k| + v max |x| sum_k |w_k|   and what fp32 accumulation adds.
 * NaN and Inf stay what they are.
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
    if (largest == 0.0f || (largest >= 0x1p-4f && largest <= 65504.0f)) {
        return 0;
    }
    int exponent = 0;
    frexpf(largest, &exponent);
    return exponent < -86 ? -100 : exponent - 14;
}

static __device__ inline int gi8i_row_exponent(float largest, __nv_bfloat16) {
    return largest >= 0x1p127f ? 1 : 0;
}

/* x [k, m] F32 -> to [ld, m], zeros from k on; ld is a multiple of 4, `to` aligned to 16 bytes, as
 * are the rows of x where `aligned` says so. scale [m]: what row m of the product is multiplied
 * with. */
template <typename T>
static __global__ void __launch_bounds__(GI8I_CONVERT_THREADS)
    gi8i_convert_rows(gi8i_rows x, bool aligned, int64_t k, int64_t m, T *to, int64_t ld,
                      float *scale) {
    GI8I_SHARED(float, warp_largest, GI8I_CONVERT_THREADS / 32);
    const int64_t first = 4 * static_cast<int64_t>(threadIdx.x);
    const int64_t stride = 4 * GI8I_CONVERT_THREADS;
    for (int64_t row = blockIdx.x; row < m; row += gridDim.x) {
        const float *from = static_cast<const float *>(gi8i_row(x, row));
        float largest = 0.0f;
        for (int64_t i = first; i < k; i += stride) {
            const gi8i_four<float> four = gi8i_load_four(from, i, k, aligned);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float size = fabsf(four.v[j]);
                largest = size <= FLT_MAX ? fmaxf(largest, size) : largest;
            }
        }
        largest = gi8i_reduce<gi8i_largest, GI8I_CONVERT_THREADS>(largest, warp_largest);
        const int exponent = gi8i_row_exponent(largest, T());
        const float factor = ldexpf(1.0f, -exponent);
        for (int64_t i = first; i < ld; i += stride) {
            gi8i_four<float> four = gi8i_load_four(from, i, k, aligned);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                four.v[j] *= factor;
            }
            gi8i_store_four(to + row * ld, i, ld, true, four);
        }
        if (threadIdx.x == 0) {
            scale[row] = ldexpf(1.0f, exponent);
        }
        __syncthreads(); /* before warp_largest is used again */
    }
}

/* What a product by cuBLASLt, y [n, m] F32, still needs: the scales of the rows of x, which are
 * nearly always 1, and the fused nodes of `out`. */
typedef struct gi8i_finish {
    const float *y;
    const float *scale; /* [m]; NULL: 1 */
    const float *bias;  /* [n], in y already, or NULL */
    int64_t n, m;
    bool wide;          /* units of four elements can be read and written at once */
    gi8i_output out;    /* may be y itself, and is where no node is left */
} gi8i_finish;

/* y = b + p becomes b + p * scale. The rounding of b + p adds an error of 2^-23 |b| max(scale, 1),
 * for F16 at most 2^-36 |b| max |x| where the scale is above 1. */
static __device__ inline float gi8i_rescale(float y, float bias, float scale) {
    return fabsf(y) <= FLT_MAX ? __fadd_rn(__fmul_rn(__fsub_rn(y, bias), scale), bias) : y;
}

/* Rows of blocks along x, parts of a row along y. */
static __global__ void __launch_bounds__(GI8I_CONVERT_THREADS) gi8i_finish_rows(gi8i_finish f) {
    const int64_t first =
        4 * (static_cast<int64_t>(blockIdx.y) * GI8I_CONVERT_THREADS + threadIdx.x);
    const int64_t stride = 4 * static_cast<int64_t>(gridDim.y) * GI8I_CONVERT_THREADS;
    for (int64_t row = blockIdx.x; row < f.m; row += gridDim.x) {
        const float scale = f.scale != nullptr ? f.scale[row] : 1.0f;
        if (scale == 1.0f && f.out.n_fused == 0) {
            continue;
        }
        for (int64_t i = first; i < f.n; i += stride) {
            gi8i_four<float> four = gi8i_load_four(f.y + row * f.n, i, f.n, f.wide);
            if (scale != 1.0f) {
                gi8i_four<float> bias = {};
                if (f.bias != nullptr) {
                    bias = gi8i_load_four(f.bias, i, f.n, true);
                }
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    four.v[j] = gi8i_rescale(four.v[j], bias.v[j], scale);
                }
            }
            gi8i_store_row_four(f.out, row, i, f.n, f.wide, four);
        }
    }
}

#endif
