/* body.h - binary: sums and products of two rows. */
#include "../kernels.h"

GI8I_INLINE void row(bool multiply, const float *a, const float *b, bool repeat, float *y,
                     int64_t n) {
    f32x16 all = f_set1(n > 0 ? b[0] : 0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        f32x16 other = repeat ? all : f_load(b + i);
        f32x16 one = f_load(a + i);
        f_store(y + i, multiply ? f_mul(one, other) : f_add(one, other));
    }
    if (i < n) {
        f32x16 other = repeat ? all : f_load_n(b + i, n - i);
        f32x16 one = f_load_n(a + i, n - i);
        f_store_n(y + i, multiply ? f_mul(one, other) : f_add(one, other), n - i);
    }
}

void GI8I_VARIANT(binary)(bool multiply, const float *a, const float *b, bool repeat, float *y,
                          int64_t n) {
    if (multiply) {
        row(true, a, b, repeat, y, n);
    } else {
        row(false, a, b, repeat, y, n);
    }
}
