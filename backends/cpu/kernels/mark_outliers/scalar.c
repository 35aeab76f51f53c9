/* scalar.c - mark_outliers in plain C. */
#include <math.h>

#include "../kernels.h"

void gi8i_mark_outliers_scalar(const float *x, int64_t k, float threshold, uint8_t *is_outlier) {
    for (int64_t i = 0; i < k; i++) {
        is_outlier[i] = (uint8_t)(is_outlier[i] | (fabsf(x[i]) >= threshold));
    }
}
