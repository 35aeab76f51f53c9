/* int8_weights.c - the weights of MUL_MAT_INT8_MIXED: floats to codes, in rows or in panels. */
#include <math.h>

#include "float_bits.h"
#include "ggml-int8/gi8_panels.h"
#include "ggml-int8/gi8_quantize.h"
#include "panels.h"
#include "quantize_impl.h"

gi8_status gi8i_check_weight_shape(int64_t k, int64_t n) {
    return k < 1 || k > GI8_INT8_MAX_K ? GI8_ERR_SHAPE : gi8i_check_matrix(k, n);
}

/* The bits of max |w[i]| in the row's own type; infinity(type) or more where w holds Inf or NaN. */
static uint32_t max_magnitude(gi8_type type, const void *w, int64_t k) {
    if (type == GI8_TYPE_F32) {
        int32_t max = 0;
        for (int64_t i = 0; i < k; i++) {
            int32_t magnitude = (int32_t)(gi8i_load_u32(w, i) & GI8I_ABS_MASK);
            max = magnitude > max ? magnitude : max;
        }
        return (uint32_t)max;
    }
    int16_t max = 0;
    for (int64_t i = 0; i < k; i++) {
        int16_t magnitude = (int16_t)(gi8i_load_u16(w, i) & 0x7fff);
        max = magnitude > max ? magnitude : max;
    }
    return (uint32_t)max;
}

/* The magnitude of infinity in a float type. */
static uint32_t infinity(gi8_type type) {
    switch (type) {
    case GI8_TYPE_F16: return 0x7c00;
    case GI8_TYPE_BF16: return 0x7f80;
    default: return GI8I_INF_BITS;
    }
}

static int64_t count_not_finite(gi8_type type, const void *w, int64_t k) {
    int64_t count = 0;
    for (int64_t i = 0; i < k; i++) {
        uint32_t magnitude = type == GI8_TYPE_F32 ? gi8i_load_u32(w, i) & GI8I_ABS_MASK
                                                  : gi8i_load_u16(w, i) & 0x7fffu;
        count += magnitude >= infinity(type);
    }
    return count;
}

/* A magnitude of a float type as fp32. */
static float magnitude_to_fp32(gi8_type type, uint32_t magnitude) {
    switch (type) {
    case GI8_TYPE_F16: return gi8_fp16_to_fp32((uint16_t)magnitude);
    case GI8_TYPE_BF16: return gi8_bf16_to_fp32((uint16_t)magnitude);
    default: return gi8i_from_bits(magnitude);
    }
}

float gi8_int8_weight_factor(float absmax) {
    if (gi8_int8_factor(absmax) == 0.0f) {
        return 0.0f;
    }
    float factor = 127.0f * (1.0f / absmax);
    return gi8i_bits(factor) < GI8I_INF_BITS ? factor : 0.0f;
}

static void quantize_weight_row(gi8_type type, const void *w, int64_t k, float factor,
                                int8_t *codes) {
    float values[1024];
    const int64_t chunk = (int64_t)(sizeof values / sizeof *values);
    const int64_t size = (int64_t)gi8_type_size(type);
    for (int64_t i = 0; i < k; i += chunk) {
        int64_t length = k - i < chunk ? k - i : chunk;
        gi8_convert_to_fp32(type, (const char *)w + i * size, length, values);
        gi8i_codes(values, length, factor, codes + i);
    }
}

/* absmax of a row, NaN where it has no codes; adds its NaN and Inf to *n_not_finite. */
static float weight_absmax(gi8_type type, const void *w, int64_t k, int64_t *n_not_finite) {
    uint32_t magnitude = max_magnitude(type, w, k);
    if (magnitude >= infinity(type)) {
        *n_not_finite += count_not_finite(type, w, k);
        return NAN;
    }
    return magnitude_to_fp32(type, magnitude);
}

static gi8_status check_weight(gi8_type type, const void *w, int64_t k, int64_t n,
                               const int8_t *codes, const float *absmax) {
    if (!gi8_type_is_float(type)) {
        return GI8_ERR_TYPE;
    }
    gi8_status status = gi8i_check_weight_shape(k, n);
    if (status != GI8_OK) {
        return status;
    }
    return n > 0 && (w == NULL || codes == NULL || absmax == NULL) ? GI8_ERR_ARGUMENT : GI8_OK;
}

static gi8_status weight_status(int64_t not_finite, int64_t *n_not_finite) {
    if (n_not_finite != NULL) {
        *n_not_finite = not_finite;
    }
    return not_finite == 0 ? GI8_OK : GI8_ERR_NOT_FINITE;
}

gi8_status gi8_int8_quantize_weight_rows(gi8_type type, const void *w, int64_t k, int64_t n,
                                         int8_t *codes, float *absmax, int64_t *n_not_finite) {
    gi8_status status = check_weight(type, w, k, n, codes, absmax);
    if (status != GI8_OK) {
        return status;
    }
    const int64_t row_size = k * (int64_t)gi8_type_size(type);
    int64_t not_finite = 0;
    for (int64_t row = 0; row < n; row++) {
        const char *w_row = (const char *)w + row * row_size;
        absmax[row] = weight_absmax(type, w_row, k, &not_finite);
        quantize_weight_row(type, w_row, k, gi8_int8_weight_factor(absmax[row]), codes + row * k);
    }
    return weight_status(not_finite, n_not_finite);
}

/* Rows of one panel, n <= GI8_PANEL_ROWS from its row `slot` on: the codes of a few columns at a
 * time, which do not leave the first-level cache before they are in their places. */
static void quantize_into_panel(gi8_type type, const char *w, int64_t k, int64_t slot, int64_t n,
                                int8_t *panel, float *absmax, int64_t *not_finite) {
    enum { COLUMNS = 256 };
    int8_t codes[GI8_PANEL_ROWS * COLUMNS];
    float factors[GI8_PANEL_ROWS];
    const int64_t size = (int64_t)gi8_type_size(type);
    for (int64_t row = 0; row < n; row++) {
        absmax[row] = weight_absmax(type, w + row * k * size, k, not_finite);
        factors[row] = gi8_int8_weight_factor(absmax[row]);
    }
    for (int64_t i = 0; i < k; i += COLUMNS) {
        const int64_t length = k - i < COLUMNS ? k - i : COLUMNS;
        for (int64_t row = 0; row < n; row++) {
            quantize_weight_row(type, w + (row * k + i) * size, length, factors[row],
                                codes + row * COLUMNS);
        }
        gi8i_pack_panel(codes, COLUMNS, length, slot, n, panel + i * GI8_PANEL_ROWS);
    }
}

gi8_status gi8_int8_quantize_weight_panels(gi8_type type, const void *w, int64_t k, int64_t first,
                                           int64_t n, int8_t *panels, float *absmax,
                                           int64_t *n_not_finite) {
    gi8_status status = check_weight(type, w, k, n, panels, absmax);
    if (status != GI8_OK || first < 0) {
        return status != GI8_OK ? status : GI8_ERR_SHAPE;
    }
    const int64_t row_size = k * (int64_t)gi8_type_size(type);
    int64_t not_finite = 0;
    for (int64_t row = 0; row < n;) {
        const int64_t slot = (first + row) % GI8_PANEL_ROWS;
        const int64_t room = GI8_PANEL_ROWS - slot;
        const int64_t m = n - row < room ? n - row : room;
        int8_t *panel = panels + (first + row - slot) * gi8_panels_k(k);
        quantize_into_panel(type, (const char *)w + row * row_size, k, slot, m, panel, absmax + row,
                            &not_finite);
        row += m;
    }
    return weight_status(not_finite, n_not_finite);
}

gi8_status gi8_int8_dequantize_weight_rows(const int8_t *codes, const float *absmax, int64_t k,
                                           int64_t n, float *w) {
    gi8_status status = gi8i_check_weight_shape(k, n);
    return status != GI8_OK ? status : gi8_dequantize_rowwise(codes, absmax, k, n, w);
}
