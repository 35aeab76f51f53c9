/* int8_mixed.c - the numerics of MUL_MAT_INT8_MIXED: activations and the product. */
#include <math.h>

#include "float_bits.h"
#include "ggml-int8/gi8_quantize.h"
#include "quantize_impl.h"

/* ---- Activations ---- */

/* Magnitudes from here on do not go through int8: the bits of the threshold, or those of Inf, which
 * no finite entry reaches, where the decomposition is off. */
static uint32_t outlier_bits(float threshold) {
    return threshold > 0.0f ? gi8i_bits(threshold) : GI8I_INF_BITS;
}

static int is_outlier_entry(float x, float threshold) {
    uint32_t bits = gi8i_abs_bits(x);
    return threshold > 0.0f && bits >= gi8i_bits(threshold) && bits <= GI8I_INF_BITS;
}

static const float *row_of(const float *x, size_t row_stride_bytes, int64_t row) {
    return (const float *)(const void *)((const char *)x + (size_t)row * row_stride_bytes);
}

static gi8_status check_activations(const float *x, int64_t k, int64_t m, size_t row_stride_bytes,
                                    float threshold) {
    gi8_status status = gi8i_check_weight_shape(k, m);
    if (status != GI8_OK) {
        return status;
    }
    if (m > 1 &&
        (row_stride_bytes % sizeof(float) != 0 || row_stride_bytes < (size_t)k * sizeof(float) ||
         row_stride_bytes > (size_t)PTRDIFF_MAX / (size_t)m)) {
        return GI8_ERR_SHAPE;
    }
    return isnan(threshold) || (m > 0 && x == NULL) ? GI8_ERR_ARGUMENT : GI8_OK;
}

gi8_status gi8_int8_outlier_columns(const float *x, int64_t k, int64_t m, size_t row_stride_bytes,
                                    float threshold, uint8_t *is_outlier, int64_t *count) {
    gi8_status status = check_activations(x, k, m, row_stride_bytes, threshold);
    if (status != GI8_OK) {
        return status;
    }
    if (is_outlier == NULL) {
        return GI8_ERR_ARGUMENT;
    }
    memset(is_outlier, 0, (size_t)k);
    for (int64_t row = 0; row < m; row++) {
        const float *x_row = row_of(x, row_stride_bytes, row);
        for (int64_t i = 0; i < k; i++) {
            is_outlier[i] |= (uint8_t)is_outlier_entry(x_row[i], threshold);
        }
    }
    int64_t n_outliers = 0;
    for (int64_t i = 0; i < k; i++) {
        n_outliers += is_outlier[i];
    }
    if (count != NULL) {
        *count = n_outliers;
    }
    return GI8_OK;
}

/* One row; `is_outlier` may be NULL. Returns absmax, NaN where the row has no codes. */
static float quantize_activation_row(const float *x, int64_t k, float threshold,
                                     const uint8_t *is_outlier, int8_t *q) {
    const uint32_t limit = outlier_bits(threshold);
    const uint32_t allowed = threshold > 0.0f ? GI8I_INF_BITS : GI8I_INF_BITS - 1;
    uint32_t max = 0;
    uint32_t max_small = 0;
    for (int64_t i = 0; i < k; i++) {
        uint32_t bits = gi8i_abs_bits(x[i]);
        uint32_t small = bits < limit ? bits : 0;
        max = bits > max ? bits : max;
        max_small = small > max_small ? small : max_small;
    }
    const float absmax = max <= allowed ? gi8i_from_bits(max_small) : NAN;
    gi8i_codes(x, k, gi8_int8_factor(absmax), q);
    for (int64_t i = 0; i < k; i++) {
        if (gi8i_abs_bits(x[i]) >= limit || (is_outlier != NULL && is_outlier[i])) {
            q[i] = 0;
        }
    }
    return absmax;
}

gi8_status gi8_int8_quantize_rows(const float *x, int64_t k, int64_t m, size_t row_stride_bytes,
                                  float threshold, gi8_outliers mode, const uint8_t *is_outlier,
                                  int8_t *q, float *absmax) {
    gi8_status status = check_activations(x, k, m, row_stride_bytes, threshold);
    if (status != GI8_OK) {
        return status;
    }
    if ((mode != GI8_OUTLIERS_COLUMN && mode != GI8_OUTLIERS_PER_TOKEN) ||
        (m > 0 && (q == NULL || absmax == NULL))) {
        return GI8_ERR_ARGUMENT;
    }
    const uint8_t *columns = mode == GI8_OUTLIERS_COLUMN ? is_outlier : NULL;
    for (int64_t row = 0; row < m; row++) {
        absmax[row] = quantize_activation_row(row_of(x, row_stride_bytes, row), k, threshold,
                                              columns, q + row * k);
    }
    return GI8_OK;
}

/* ---- The op ---- */

/* One output: the inner product of one row of x with one row of the weight. */
static float mixed_product(const int8_t *q, float a, const float *x, const uint8_t *is_outlier,
                           const int8_t *codes, float s, float bias, int64_t k) {
    int64_t acc = 0;
    double outliers = 0.0;
    const double scale = (double)s / 127.0;
    for (int64_t i = 0; i < k; i++) {
        acc += (int64_t)q[i] * codes[i];
        if (is_outlier[i]) {
            outliers += (double)x[i] * (double)codes[i] * scale;
        }
    }
    return (float)((double)acc * ((double)a / 127.0) * scale + outliers + (double)bias);
}

gi8_status gi8_int8_mul_mat_mixed_reference(const int8_t *codes, const float *absmax,
                                            const float *bias, const float *x, int64_t k, int64_t n,
                                            int64_t m, float threshold, gi8_outliers mode, float *y,
                                            void *scratch) {
    const size_t row_stride = (size_t)(k > 0 ? k : 0) * sizeof(float);
    gi8_status status = check_activations(x, k, m, row_stride, threshold);
    if (status == GI8_OK) {
        status = gi8i_check_weight_shape(k, n);
    }
    if (status == GI8_OK) {
        status = gi8i_check_matrix(n, m);
    }
    if (status != GI8_OK) {
        return status;
    }
    if ((mode != GI8_OUTLIERS_COLUMN && mode != GI8_OUTLIERS_PER_TOKEN) || scratch == NULL ||
        (n > 0 && (codes == NULL || absmax == NULL)) || (n > 0 && m > 0 && y == NULL)) {
        return GI8_ERR_ARGUMENT;
    }
    int8_t *q = scratch;
    uint8_t *is_outlier = (uint8_t *)scratch + k;
    if (mode == GI8_OUTLIERS_COLUMN) {
        gi8_int8_outlier_columns(x, k, m, row_stride, threshold, is_outlier, NULL);
    }
    for (int64_t row = 0; row < m; row++) {
        const float *x_row = row_of(x, row_stride, row);
        if (mode == GI8_OUTLIERS_PER_TOKEN) {
            gi8_int8_outlier_columns(x_row, k, 1, row_stride, threshold, is_outlier, NULL);
        }
        float a = quantize_activation_row(x_row, k, threshold, is_outlier, q);
        for (int64_t j = 0; j < n; j++) {
            y[row * n + j] = mixed_product(q, a, x_row, is_outlier, codes + j * k, absmax[j],
                                           bias != NULL ? bias[j] : 0.0f, k);
        }
    }
    return GI8_OK;
}
