/* neon.c - store_f16 in Advanced SIMD. */
#include <arm_neon.h>

#include "../kernels.h"

void gi8i_store_f16_neon(const float *x, int64_t n, uint16_t *y) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float16x4_t low = vcvt_f16_f32(vld1q_f32(x + i));
        float16x8_t all = vcvt_high_f16_f32(low, vld1q_f32(x + i + 4));
        vst1q_u16(y + i, vreinterpretq_u16_f16(all));
    }
    gi8_convert_from_fp32(GI8_TYPE_F16, x + i, n - i, y + i);
}
