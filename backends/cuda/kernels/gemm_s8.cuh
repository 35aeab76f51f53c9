/* gemm_s8.cuh - the int8 product with tensor cores, its epilogue fused. */
#ifndef GI8I_CUDA_GEMM_S8_CUH
#define GI8I_CUDA_GEMM_S8_CUH

#include "epilogue.cuh"

/* y [N, M] = epilogue(sum over k of q[m][k] * w[n][k]). */
typedef struct gi8i_gemm_s8_args {
    const int8_t *w;        /* [K, N] contiguous, aligned to 16 bytes */
    int64_t k, n, m;        /* k a multiple of 16; n, m >= 1 */
    gi8i_epilogue epilogue; /* q aligned to 16 bytes, ldq a multiple of 16 and at least k */
} gi8i_gemm_s8_args;

/* Enqueues the product on run->stream, for any m. Uses neither run->scratch nor run->state; may be
 * captured. The outlier columns are counted on the device. */
gi8_status gi8i_gemm_s8(const gi8i_cuda_run *run, const gi8i_gemm_s8_args *args, gi8_error *error);

#endif
