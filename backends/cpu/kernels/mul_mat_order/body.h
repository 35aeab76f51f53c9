/* body.h - mul_mat_order: 16 x 16 elements of a row at a time, 16 elements of each lane. */
#include <string.h>

#include "../kernels.h"

enum { SQUARE = 256, LANE = GI8I_MUL_MAT_K / 16 };

void GI8I_VARIANT(mul_mat_order)(const gi8i_mul_mat_order_args *args) {
    for (int64_t m = 0; m < args->m; m++) {
        const char *x = args->x + (size_t)m * args->x_stride_bytes;
        for (int64_t k = 0; k < args->k; k += SQUARE) {
            float *to = args->ordered + k / GI8I_MUL_MAT_K * args->block_stride +
                        m * GI8I_ORDERED_ROW + k % GI8I_MUL_MAT_K / 16;
            const char *from = x + (size_t)k * sizeof(float);
            float copy[SQUARE] = {0.0f};
            if (args->k - k < SQUARE) {
                memcpy(copy, from, (size_t)(args->k - k) * sizeof *copy);
                from = (const char *)copy;
            }
            f_store_transposed(GI8_TYPE_F32, from, 16 * sizeof(float), to, LANE);
        }
    }
}
