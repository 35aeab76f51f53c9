/* body.h - int8_finish: from the exact sums to the result, in double, rounded to fp32 once. */
#include "../kernels.h"

/* Scales and bias of the columns, in double; a missing bias is zero, so that the sign of a zero is
 * the same without one. */
typedef struct columns {
    double scale[GI8I_BLOCK_N];
    double bias[GI8I_BLOCK_N];
} columns;

GI8I_INLINE void load_columns(const gi8i_int8_finish_args *args, columns *c) {
    for (int64_t i = 0; i < args->n; i += 16) {
        int64_t rest = args->n - i;
        const float *absmax = args->absmax + i;
        f64x16 top = d_from_f32(rest >= 16 ? f_load(absmax) : f_load_n(absmax, rest));
        d_store(c->scale + i, d_div(top, d_set1(127.0)));
        f64x16 bias = d_set1(0.0);
        if (args->bias != NULL) {
            const float *b = args->bias + i;
            bias = d_from_f32(rest >= 16 ? f_load(b) : f_load_n(b, rest));
        }
        d_store(c->bias + i, bias);
    }
}

void GI8I_VARIANT(int8_finish)(const gi8i_int8_finish_args *args) {
    columns c;
    load_columns(args, &c);
    for (int64_t m = 0; m < args->m; m++) {
        const int32_t *acc = args->acc + m * GI8I_BLOCK_N;
        const double *out = args->out != NULL ? args->out + m * GI8I_BLOCK_N : NULL;
        float *y = args->y + m * args->y_stride;
        f64x16 scale_x = d_set1((double)args->absmax_x[m] / 127.0);
        for (int64_t i = 0; i < args->n; i += 16) {
            f64x16 s = d_load(c.scale + i);
            f64x16 sum = d_mul(d_mul(d_from_i32(acc + i), scale_x), s);
            /* Without outliers a zero is added, for the same reason. */
            sum = d_add(sum, out != NULL ? d_mul(d_load(out + i), s) : d_set1(0.0));
            sum = d_add(sum, d_load(c.bias + i));
            if (args->n - i >= 16) {
                f_store(y + i, d_to_f32(sum));
            } else {
                f_store_n(y + i, d_to_f32(sum), args->n - i);
            }
        }
    }
}
