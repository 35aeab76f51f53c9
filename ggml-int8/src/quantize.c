/* quantize.c - the quantizers of the LLM.int8() paper: absmax, zero-point, row- and vector-wise. */
#include "ggml-int8/gi8_quantize.h"

#include <math.h>

#include "float_bits.h"
#include "quantize_impl.h"

/* ---- Shared with int8_weights.c and int8_mixed.c ---- */

gi8_status gi8i_check_matrix(int64_t k, int64_t n) {
    if (k < 0 || n < 0) {
        return GI8_ERR_SHAPE;
    }
    return k == 0 || n <= PTRDIFF_MAX / (int64_t)sizeof(float) / k ? GI8_OK : GI8_ERR_SHAPE;
}

void gi8i_codes(const float *x, int64_t n, float factor, int8_t *codes) {
    if (factor == 0.0f) {
        memset(codes, 0, (size_t)n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        codes[i] = gi8i_round_to_code(x[i] * factor);
    }
}

void gi8i_values(const int8_t *codes, int64_t n, float absmax, float *x) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)((double)codes[i] * (double)absmax / 127.0);
    }
}

float gi8_int8_factor(float absmax) {
    uint32_t bits = gi8i_bits(absmax);
    if (bits <= GI8I_FACTOR_OVERFLOW_BITS || bits >= GI8I_INF_BITS) {
        return 0.0f;
    }
    return 127.0f / absmax;
}

/* ---- One constant a vector ---- */

/* The bits of max |x[i]|; GI8I_INF_BITS or more where x holds Inf or NaN. */
static uint32_t max_abs_bits(const float *x, int64_t n) {
    int32_t max = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits = (int32_t)gi8i_abs_bits(x[i]);
        max = bits > max ? bits : max;
    }
    return (uint32_t)max;
}

/* The bits of a maximum as absmax: NaN says that the vector has no codes. */
static float absmax_from_bits(uint32_t bits) {
    return bits < GI8I_INF_BITS ? gi8i_from_bits(bits) : NAN;
}

static gi8_status quantize_rows(const float *x, int64_t k, int64_t rows, int8_t *codes,
                                float *absmax) {
    gi8_status status = GI8_OK;
    for (int64_t row = 0; row < rows; row++) {
        const float *x_row = x + row * k;
        absmax[row] = absmax_from_bits(max_abs_bits(x_row, k));
        if (isnan(absmax[row])) {
            status = GI8_ERR_NOT_FINITE;
        }
        gi8i_codes(x_row, k, gi8_int8_factor(absmax[row]), codes + row * k);
    }
    return status;
}

/* One constant a column, reading the matrix row by row: a column of codes is never walked alone. */
static gi8_status quantize_columns(const float *x, int64_t k, int64_t rows, int8_t *codes,
                                   float *absmax) {
    gi8_status status = GI8_OK;
    for (int64_t i = 0; i < k; i++) {
        absmax[i] = 0.0f;
    }
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < k; i++) {
            uint32_t bits = gi8i_abs_bits(x[row * k + i]);
            uint32_t max = gi8i_bits(absmax[i]);
            absmax[i] = gi8i_from_bits(bits > max ? bits : max);
        }
    }
    for (int64_t i = 0; i < k; i++) {
        absmax[i] = absmax_from_bits(gi8i_bits(absmax[i]));
        if (isnan(absmax[i])) {
            status = GI8_ERR_NOT_FINITE;
        }
    }
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < k; i++) {
            gi8i_codes(x + row * k + i, 1, gi8_int8_factor(absmax[i]), codes + row * k + i);
        }
    }
    return status;
}

static void dequantize_rows(const int8_t *codes, const float *absmax, int64_t k, int64_t rows,
                            float *x) {
    for (int64_t row = 0; row < rows; row++) {
        gi8i_values(codes + row * k, k, absmax[row], x + row * k);
    }
}

static void dequantize_columns(const int8_t *codes, const float *absmax, int64_t k, int64_t rows,
                               float *x) {
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < k; i++) {
            gi8i_values(codes + row * k + i, 1, absmax[i], x + row * k + i);
        }
    }
}

/* Shape and pointers of a call on a matrix [k, rows] with `vectors` constants. */
static gi8_status check_call(const float *x, const int8_t *codes, const float *absmax, int64_t k,
                             int64_t rows, int64_t vectors) {
    gi8_status status = gi8i_check_matrix(k, rows);
    if (status != GI8_OK) {
        return status;
    }
    if ((k > 0 && rows > 0 && (x == NULL || codes == NULL)) || (vectors > 0 && absmax == NULL)) {
        return GI8_ERR_ARGUMENT;
    }
    return GI8_OK;
}

gi8_status gi8_quantize_absmax(const float *x, int64_t n, int8_t *codes, float *absmax) {
    return gi8_quantize_rowwise(x, n, 1, codes, absmax);
}

gi8_status gi8_dequantize_absmax(const int8_t *codes, int64_t n, float absmax, float *x) {
    return gi8_dequantize_rowwise(codes, &absmax, n, 1, x);
}

gi8_status gi8_quantize_rowwise(const float *x, int64_t k, int64_t rows, int8_t *codes,
                                float *absmax) {
    return gi8_quantize_vectorwise(x, k, rows, 0, codes, absmax);
}

gi8_status gi8_dequantize_rowwise(const int8_t *codes, const float *absmax, int64_t k, int64_t rows,
                                  float *x) {
    return gi8_dequantize_vectorwise(codes, absmax, k, rows, 0, x);
}

gi8_status gi8_quantize_vectorwise(const float *x, int64_t ne0, int64_t ne1, int axis,
                                   int8_t *codes, float *absmax) {
    if (axis != 0 && axis != 1) {
        return GI8_ERR_ARGUMENT;
    }
    const int64_t vectors = axis == 0 ? ne1 : ne0;
    gi8_status status = check_call(x, codes, absmax, ne0, ne1, vectors);
    if (status != GI8_OK) {
        return status;
    }
    if (ne0 == 0 || ne1 == 0) {
        for (int64_t i = 0; i < vectors; i++) {
            absmax[i] = 0.0f;
        }
        return GI8_OK;
    }
    return axis == 0 ? quantize_rows(x, ne0, ne1, codes, absmax)
                     : quantize_columns(x, ne0, ne1, codes, absmax);
}

gi8_status gi8_dequantize_vectorwise(const int8_t *codes, const float *absmax, int64_t ne0,
                                     int64_t ne1, int axis, float *x) {
    if (axis != 0 && axis != 1) {
        return GI8_ERR_ARGUMENT;
    }
    gi8_status status = check_call(x, codes, absmax, ne0, ne1, axis == 0 ? ne1 : ne0);
    if (status != GI8_OK || ne0 == 0 || ne1 == 0) {
        return status;
    }
    if (axis == 0) {
        dequantize_rows(codes, absmax, ne0, ne1, x);
    } else {
        dequantize_columns(codes, absmax, ne0, ne1, x);
    }
    return GI8_OK;
}

/* ---- Zero-point ---- */

gi8_status gi8_quantize_zeropoint(const float *x, int64_t n, int8_t *codes, float *scale,
                                  int32_t *zero_point) {
    gi8_status status = check_call(x, codes, scale, 1, n, 1);
    if (status != GI8_OK) {
        return status;
    }
    if (zero_point == NULL) {
        return GI8_ERR_ARGUMENT;
    }
    int finite = max_abs_bits(x, n) < GI8I_INF_BITS;
    double lo = 0.0;
    double hi = 0.0;
    for (int64_t i = 0; finite && i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    double step = (hi - lo) / 254.0;
    if (!finite || step < (double)FLT_MIN) {
        *scale = finite ? 0.0f : NAN;
        *zero_point = 0;
        if (n > 0) {
            memset(codes, 0, (size_t)n);
        }
        return finite ? GI8_OK : GI8_ERR_NOT_FINITE;
    }
    *scale = (float)step;
    double zero = rint(-127.0 - lo / (double)*scale);
    *zero_point = (int32_t)zero;
    for (int64_t i = 0; i < n; i++) {
        /* The two roundings can meet at 128. */
        codes[i] = (int8_t)fmin(fmax(rint((double)x[i] / (double)*scale) + zero, -127.0), 127.0);
    }
    return GI8_OK;
}

gi8_status gi8_dequantize_zeropoint(const int8_t *codes, int64_t n, float scale, int32_t zero_point,
                                    float *x) {
    gi8_status status = check_call(x, codes, &scale, 1, n, 1);
    if (status != GI8_OK) {
        return status;
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)(((double)codes[i] - (double)zero_point) * (double)scale);
    }
    return GI8_OK;
}
