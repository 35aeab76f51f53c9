/* scalar.c - int8_dot in plain C. */
#include "../kernels.h"

void gi8i_int8_dot_scalar(const gi8i_int8_dot_args *args) {
    for (int64_t m = 0; m < args->m; m++) {
        const int8_t *q = args->q + m * args->q_stride;
        for (int64_t n = 0; n < args->n; n++) {
            const int8_t *w = args->w + n * args->k;
            int32_t sum = 0;
            for (int64_t k = 0; k < args->k; k++) {
                sum += q[k] * w[k];
            }
            args->acc[m * GI8I_BLOCK_N + n] = sum;
        }
    }
}
