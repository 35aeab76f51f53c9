/* body.h - int8_finish: from the exact sums to the result, in double, rounded to fp32 once. */
#include "../kernels.h"

/* Scales and bias of the columns, in double; a missing bias is zero, so that the sign of a zero is
 * the same without one. */
typedef struct columns {
    double scale[GI8I_BLOCK_N];
    double bias[GI8I_BLOCK_N];
} columns;

GI8I_INLINE f32x16 load_f32(const float *p, int64_t n) {
    return n >= 16 ? f_load(p) : f_load_n(p, n);
}

GI8I_INLINE void load_columns(const gi8i_int8_finish_args *args, columns *c) {
    const f64x16 zero = d_set1(0.0);
    for (int64_t i = 0; i < args->n; i += 16) {
        int64_t n = args->n - i;
        f64x16 top = d_from_f32(load_f32(args->absmax + i, n));
        d_store(c->scale + i, d_div(top, d_set1(127.0)));
        f64x16 bias = args->bias != NULL ? d_from_f32(load_f32(args->bias + i, n)) : zero;
        /* Without outliers a zero is added, too, for the same reason: here, once for all rows, it
         * does what it would do to each sum. */
        d_store(c->bias + i, args->out != NULL ? bias : d_add(bias, zero));
    }
}

/* One row: `n` is a constant where the caller knows it. */
GI8I_INLINE void finish_row(const gi8i_int8_finish_args *args, const columns *c, int64_t m,
                            double scale_x, int64_t n) {
    const int32_t *acc = args->acc + m * GI8I_BLOCK_N;
    const double *out = args->out != NULL ? args->out + m * GI8I_BLOCK_N : NULL;
    float *y = args->y + m * args->y_stride;
    for (int64_t i = 0; i < n; i += 16) {
        f64x16 s = d_load(c->scale + i);
        f64x16 sum = d_mul(d_mul(d_from_i32(acc + i), d_set1(scale_x)), s);
        if (out != NULL) {
            sum = d_add(sum, d_mul(d_load(out + i), s));
        }
        f32x16 rounded = d_to_f32(d_add(sum, d_load(c->bias + i)));
        if (n - i >= 16) {
            f_store(y + i, rounded);
        } else {
            f_store_n(y + i, rounded, n - i);
        }
    }
}

void GI8I_VARIANT(int8_finish)(const gi8i_int8_finish_args *args) {
    columns c;
    double scale_x[16]; /* of rows m / 16 * 16 .. */
    load_columns(args, &c);
    for (int64_t m = 0; m < args->m; m++) {
        if (m % 16 == 0) {
            f64x16 top = d_from_f32(load_f32(args->absmax_x + m, args->m - m));
            d_store(scale_x, d_div(top, d_set1(127.0)));
        }
        if (args->n == GI8I_BLOCK_N) {
            finish_row(args, &c, m, scale_x[m % 16], GI8I_BLOCK_N);
        } else {
            finish_row(args, &c, m, scale_x[m % 16], args->n);
        }
    }
}
