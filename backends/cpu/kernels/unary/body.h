/* body.h - unary: activations and scaling. */
#include "../kernels.h"

#include "../simd/unary.h"

GI8I_INLINE void row(gi8i_unary kind, float factor, const float *x, float *y, int64_t n) {
    f32x16 f = f_set1(factor);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        f_store(y + i, f_unary(kind, f, f_load(x + i)));
    }
    if (i < n) {
        f_store_n(y + i, f_unary(kind, f, f_load_n(x + i, n - i)), n - i);
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
