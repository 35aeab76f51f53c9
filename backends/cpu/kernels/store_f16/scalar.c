/* scalar.c - store_f16 in plain C. */
#include "../kernels.h"

void gi8i_store_f16_scalar(const float *x, int64_t n, uint16_t *y) {
    gi8_convert_from_fp32(GI8_TYPE_F16, x, n, y);
}
