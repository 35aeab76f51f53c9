/* neon.c - quantize_panel in Advanced SIMD. */
#include "../simd/neon.h"

#include "../simd/weights.h"

/* 16 codes of a row, as four groups of four. */
GI8I_INLINE int32x4_t row_codes(gi8_type type, const char *w, float factor) {
    const f32x16 x = load_weights(type, w);
    const int16x4_t a = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(x.part[0], factor)));
    const int16x4_t b = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(x.part[1], factor)));
    const int16x4_t c = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(x.part[2], factor)));
    const int16x4_t d = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(x.part[3], factor)));
    return vreinterpretq_s32_s8(
        vcombine_s8(vmovn_s16(vcombine_s16(a, b)), vmovn_s16(vcombine_s16(c, d))));
}

GI8I_INLINE void store_group(int8_t *to, int64x2_t codes) {
    vst1q_s8(to, vreinterpretq_s8_s64(codes));
}

/* Transposes 4 x 4 groups: 4 rows and 16 columns. */
GI8I_INLINE void pack_block(gi8_type type, const char *w, size_t stride, const float *factor,
                            int8_t *to) {
    const int32x4_t a = row_codes(type, w, factor[0]);
    const int32x4_t b = row_codes(type, w + stride, factor[1]);
    const int32x4_t c = row_codes(type, w + 2 * stride, factor[2]);
    const int32x4_t d = row_codes(type, w + 3 * stride, factor[3]);
    const int64x2_t ab_even = vreinterpretq_s64_s32(vtrn1q_s32(a, b));
    const int64x2_t ab_odd = vreinterpretq_s64_s32(vtrn2q_s32(a, b));
    const int64x2_t cd_even = vreinterpretq_s64_s32(vtrn1q_s32(c, d));
    const int64x2_t cd_odd = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
    store_group(to, vtrn1q_s64(ab_even, cd_even));
    store_group(to + 64, vtrn1q_s64(ab_odd, cd_odd));
    store_group(to + 128, vtrn2q_s64(ab_even, cd_even));
    store_group(to + 192, vtrn2q_s64(ab_odd, cd_odd));
}

GI8I_INLINE void pack_tile(gi8_type type, const char *w, size_t stride, const float *factor,
                           int8_t *to) {
    const size_t step = type == GI8_TYPE_F32 ? 64 : 32; /* bytes of 16 columns */
    for (size_t row = 0; row < 16; row += 4) {
        for (size_t i = 0; i < 4; i++) {
            pack_block(type, w + row * stride + i * step, stride, factor + row,
                       to + row * 4 + i * 4 * 64);
        }
    }
}

#include "body.h"
