/* body.h - int8_finish: from the exact sums to the result, in double, rounded to fp32 once. */
#include "../kernels.h"

void GI8I_VARIANT(int8_finish)(const int32_t *acc, const double *out, double scale_x,
                               const double *scale, const float *bias, int64_t n, float *y) {
    f64x16 a = d_set1(scale_x);
    for (int64_t i = 0; i < n; i += 16) {
        f64x16 s = d_load(scale + i);
        f64x16 sum = d_mul(d_mul(d_from_i32(acc + i), a), s);
        /* Without outliers or bias a zero is added, so that the sign of a zero is the same. */
        sum = d_add(sum, out != NULL ? d_mul(d_load(out + i), s) : d_set1(0.0));
        sum = d_add(sum, bias != NULL ? d_from_f32(f_load(bias + i)) : d_set1(0.0));
        if (n - i >= 16) {
            f_store(y + i, d_to_f32(sum));
        } else {
            f_store_n(y + i, d_to_f32(sum), n - i);
        }
    }
}
