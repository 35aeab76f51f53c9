/* scalar.c - quantize in plain C: the reference of the core, and the marks. */
#include <math.h>
#include <string.h>

#include "../kernels.h"
#include "ggml-int8/gi8_quantize.h"

void gi8i_quantize_scalar(const float *x, int64_t k, float threshold, uint8_t *marks, int8_t *q,
                          float *absmax, int32_t *sum) {
    gi8_int8_quantize_rows(x, k, 1, (size_t)k * sizeof *x, threshold, GI8_OUTLIERS_PER_TOKEN, NULL,
                           q, absmax);
    int64_t padded = (k + GI8I_CODES_ALIGN - 1) / GI8I_CODES_ALIGN * GI8I_CODES_ALIGN;
    memset(q + k, 0, (size_t)(padded - k));
    int32_t total = 0;
    for (int64_t i = 0; i < k; i++) {
        total += q[i];
        if (marks != NULL && threshold > 0.0f && fabsf(x[i]) >= threshold) {
            marks[i] = 1;
        }
    }
    *sum = total;
}
