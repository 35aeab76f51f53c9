/* transpose_neon.h - 16 x 16 elements, rows to columns, in Advanced SIMD; included after neon.h.
 * transpose.h says what the function does. */
#ifndef GI8I_SIMD_TRANSPOSE_H
#define GI8I_SIMD_TRANSPOSE_H

#include <stddef.h>

/* Four elements as fp32. */
GI8I_INLINE float32x4_t load_four(gi8_type type, const char *p) {
    if (type == GI8_TYPE_F32) {
        return vld1q_f32((const float *)(const void *)p);
    }
    const uint16x4_t bits = vld1_u16((const uint16_t *)(const void *)p);
    return type == GI8_TYPE_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(bits))
                                : vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

/* Elements 2 i of a and b in turns, or 2 i + 1, as pairs. */
GI8I_INLINE float64x2_t even_pairs(float32x4_t a, float32x4_t b) {
    return vreinterpretq_f64_f32(vtrn1q_f32(a, b));
}

GI8I_INLINE float64x2_t odd_pairs(float32x4_t a, float32x4_t b) {
    return vreinterpretq_f64_f32(vtrn2q_f32(a, b));
}

GI8I_INLINE void f_store_transposed(gi8_type type, const char *rows, size_t stride_bytes, float *to,
                                    int64_t to_stride) {
    const size_t four = type == GI8_TYPE_F32 ? 16 : 8; /* bytes */
    for (int64_t r = 0; r < 16; r += 4) {
        for (int64_t i = 0; i < 16; i += 4) {
            const char *from = rows + (size_t)r * stride_bytes + (size_t)(i / 4) * four;
            const float32x4_t a = load_four(type, from);
            const float32x4_t b = load_four(type, from + stride_bytes);
            const float32x4_t c = load_four(type, from + 2 * stride_bytes);
            const float32x4_t d = load_four(type, from + 3 * stride_bytes);
            const float64x2_t ab_even = even_pairs(a, b);
            const float64x2_t ab_odd = odd_pairs(a, b);
            const float64x2_t cd_even = even_pairs(c, d);
            const float64x2_t cd_odd = odd_pairs(c, d);
            float *column = to + i * to_stride + r;
            vst1q_f32(column, vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even)));
            column += to_stride;
            vst1q_f32(column, vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)));
            column += to_stride;
            vst1q_f32(column, vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even)));
            column += to_stride;
            vst1q_f32(column, vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)));
        }
    }
}

#endif
