/* body.h - layer_norm: mean, variance around the mean, scaling. */
#include <math.h>

#include "../kernels.h"

/* Lanes beyond the row: 0, so that they add nothing to a sum. */
GI8I_INLINE f32x16 load_part(const float *x, int64_t i, int64_t n) {
    return n - i >= 16 ? f_load(x + i) : f_load_n(x + i, n - i);
}

void GI8I_VARIANT(layer_norm)(const float *x, const float *gain, const float *bias, float eps,
                              float *y, int64_t n) {
    f32x16 sum = f_set1(0.0f);
    for (int64_t i = 0; i < n; i += 16) {
        sum = f_add(sum, load_part(x, i, n));
    }
    float mean = f_sum(sum) / (float)n;
    f32x16 m = f_set1(mean);
    f32x16 squares = f_set1(0.0f);
    for (int64_t i = 0; i < n; i += 16) {
        f32x16 d = f_sub(load_part(x, i, n), m);
        if (n - i < 16) {
            d = f_fill_from(d, n - i, 0.0f);
        }
        squares = f_fma(d, d, squares);
    }
    float variance = f_sum(squares) / (float)n;
    f32x16 factor = f_set1(1.0f / sqrtf(variance + eps));
    for (int64_t i = 0; i < n; i += 16) {
        f32x16 v = f_mul(f_sub(load_part(x, i, n), m), factor);
        if (gain != NULL) {
            v = f_mul(v, load_part(gain, i, n));
        }
        if (bias != NULL) {
            v = f_add(v, load_part(bias, i, n));
        }
        if (n - i >= 16) {
            f_store(y + i, v);
        } else {
            f_store_n(y + i, v, n - i);
        }
    }
}
