/* body.h - unary: activations and scaling. */
#include "../kernels.h"

#include "../simd/functions.h"

/* x / (1 + exp(-u)) */
GI8I_INLINE f32x16 times_sigmoid(f32x16 x, f32x16 u) {
    f32x16 e = f_exp(f_sub(f_set1(0.0f), u));
    return f_div(x, f_add(f_set1(1.0f), e));
}

GI8I_INLINE f32x16 compute(gi8i_unary kind, f32x16 factor, f32x16 x) {
    switch (kind) {
    case GI8I_UNARY_SCALE: return f_mul(x, factor);
    case GI8I_UNARY_RELU: return f_max(f_set1(0.0f), x);
    case GI8I_UNARY_SILU: return times_sigmoid(x, x);
    case GI8I_UNARY_GELU: return f_mul(x, f_normal_cdf(x));
    case GI8I_UNARY_GELU_TANH: {
        /* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3) */
        f32x16 inner = f_fma(f_mul(x, x), f_set1(0.044715f), f_set1(1.0f));
        return times_sigmoid(x, f_mul(f_mul(x, f_set1(1.59576912160573f)), inner));
    }
    }
    return x;
}

GI8I_INLINE void row(gi8i_unary kind, float factor, const float *x, float *y, int64_t n) {
    f32x16 f = f_set1(factor);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        f_store(y + i, compute(kind, f, f_load(x + i)));
    }
    if (i < n) {
        f_store_n(y + i, compute(kind, f, f_load_n(x + i, n - i)), n - i);
    }
}

void GI8I_VARIANT(unary)(gi8i_unary kind, float factor, const float *x, float *y, int64_t n) {
    switch (kind) {
    case GI8I_UNARY_SCALE: row(GI8I_UNARY_SCALE, factor, x, y, n); break;
    case GI8I_UNARY_RELU: row(GI8I_UNARY_RELU, factor, x, y, n); break;
    case GI8I_UNARY_SILU: row(GI8I_UNARY_SILU, factor, x, y, n); break;
    case GI8I_UNARY_GELU: row(GI8I_UNARY_GELU, factor, x, y, n); break;
    case GI8I_UNARY_GELU_TANH: row(GI8I_UNARY_GELU_TANH, factor, x, y, n); break;
    }
}
