/* activation.cuh - relu, silu, gelu and its tanh approximation of one element: the CPU backend's
 * operations, and so its bits. */
#ifndef GI8I_CUDA_ACTIVATION_CUH
#define GI8I_CUDA_ACTIVATION_CUH

#include "cuda_impl.h"
#include "kernels/functions.cuh"

/* x / (1 + exp(-u)) */
static __device__ inline float gi8i_times_sigmoid(float x, float u) {
    return __fdiv_rn(x, 1.0f + gi8i_exp(-u));
}

static __device__ inline float gi8i_activate(gi8_activation_kind kind, float x) {
    switch (kind) {
    case GI8_ACTIVATION_RELU: return x < 0.0f ? 0.0f : x;
    case GI8_ACTIVATION_SILU: return gi8i_times_sigmoid(x, x);
    case GI8_ACTIVATION_GELU: return __fmul_rn(x, gi8i_normal_cdf(x));
    case GI8_ACTIVATION_GELU_TANH: {
        /* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3) */
        float inner = fmaf(__fmul_rn(x, x), 0.044715f, 1.0f);
        return gi8i_times_sigmoid(x, __fmul_rn(__fmul_rn(x, 1.59576912160573f), inner));
    }
    }
    return x;
}

#endif
