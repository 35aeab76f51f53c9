/* unary.h - activations and scaling of 16 lanes. Include it after the header of the instruction
 * set. */
#ifndef GI8I_SIMD_UNARY_H
#define GI8I_SIMD_UNARY_H

#include "../kernels.h"
#include "functions.h"

/* x / (1 + exp(-u)) */
GI8I_INLINE f32x16 f_times_sigmoid(f32x16 x, f32x16 u) {
    f32x16 e = f_exp(f_sub(f_set1(0.0f), u));
    return f_div(x, f_add(f_set1(1.0f), e));
}

GI8I_INLINE f32x16 f_unary(gi8i_unary kind, f32x16 factor, f32x16 x) {
    switch (kind) {
    case GI8I_UNARY_SCALE: return f_mul(x, factor);
    case GI8I_UNARY_RELU: return f_max(f_set1(0.0f), x);
    case GI8I_UNARY_SILU: return f_times_sigmoid(x, x);
    case GI8I_UNARY_GELU: return f_mul(x, f_normal_cdf(x));
    case GI8I_UNARY_GELU_TANH: {
        /* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3) */
        f32x16 inner = f_fma(f_mul(x, x), f_set1(0.044715f), f_set1(1.0f));
        return f_times_sigmoid(x, f_mul(f_mul(x, f_set1(1.59576912160573f)), inner));
    }
    }
    return x;
}

#endif
