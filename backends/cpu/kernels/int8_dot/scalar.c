/* scalar.c - int8_dot in plain C. */
#include "../kernels.h"

void gi8i_int8_dot_scalar(const gi8i_int8_dot_args *args) {
    for (int64_t m = 0; m < args->m; m++) {
        const int8_t *q = args->q + m * args->k;
        for (int64_t p = 0; p < args->n_panels; p++) {
            const int8_t *w = args->w + p * GI8_PANEL_ROWS * args->k;
            int32_t *acc = args->acc + m * GI8I_BLOCK_N + p * GI8_PANEL_ROWS;
            for (int r = 0; r < GI8_PANEL_ROWS; r++) {
                acc[r] = 0;
            }
            for (int64_t k = 0; k < args->k; k++) {
                const int8_t *column =
                    w + k / GI8_PANEL_STEP * GI8_PANEL_STEP * GI8_PANEL_ROWS + k % GI8_PANEL_STEP;
                for (int r = 0; r < GI8_PANEL_ROWS; r++) {
                    acc[r] += q[k] * column[r * GI8_PANEL_STEP];
                }
            }
        }
    }
}
