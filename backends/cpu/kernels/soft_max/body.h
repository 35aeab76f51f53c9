/* body.h - soft_max of one row: the maximum, the exponentials and their sum, the quotients. */
#include <math.h>

#include "../kernels.h"

#include "../simd/functions.h"

/* 16 logits; -Inf beyond the row. */
GI8I_INLINE f32x16 logits(const float *x, const float *mask, bool repeat, float factor, int64_t i,
                          int64_t n) {
    int64_t rest = n - i;
    f32x16 v = f_mul(rest >= 16 ? f_load(x + i) : f_load_n(x + i, rest), f_set1(factor));
    if (mask != NULL) {
        f32x16 add = repeat       ? f_set1(mask[0])
                     : rest >= 16 ? f_load(mask + i)
                                  : f_load_n(mask + i, rest);
        v = f_add(v, add);
    }
    return rest >= 16 ? v : f_fill_from(v, rest, -INFINITY);
}

void GI8I_VARIANT(soft_max)(const float *x, const float *mask, bool repeat, float factor, float *y,
                            int64_t n) {
    /* A NaN is not seen here, but makes the sum NaN; a row of -Inf gives -Inf - -Inf = NaN. */
    f32x16 largest = f_set1(-INFINITY);
    for (int64_t i = 0; i < n; i += 16) {
        largest = f_max(logits(x, mask, repeat, factor, i, n), largest);
    }
    f32x16 top = f_set1(f_largest(largest));
    f32x16 sum = f_set1(0.0f);
    for (int64_t i = 0; i < n; i += 16) {
        f32x16 e = f_exp(f_sub(logits(x, mask, repeat, factor, i, n), top));
        sum = f_add(sum, e);
        if (n - i >= 16) {
            f_store(y + i, e);
        } else {
            f_store_n(y + i, e, n - i);
        }
    }
    f32x16 total = f_set1(f_sum(sum));
    for (int64_t i = 0; i < n; i += 16) {
        if (n - i >= 16) {
            f_store(y + i, f_div(f_load(y + i), total));
        } else {
            f_store_n(y + i, f_div(f_load_n(y + i, n - i), total), n - i);
        }
    }
}
