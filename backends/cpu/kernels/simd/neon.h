/* neon.h - vectors of 16 lanes in 64-bit Arm's Advanced SIMD. scalar.h says what functions do. */
#ifndef GI8I_SIMD_H
#define GI8I_SIMD_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "ggml-int8/gi8_types.h"

#define GI8I_VARIANT(kernel) gi8i_##kernel##_neon
#define GI8I_INLINE static inline __attribute__((always_inline))

enum { GI8I_TILE_N = 2, GI8I_TILE_M = 3, GI8I_OUTLIER_TILE_M = 2, GI8I_OUTLIER_TILE_P = 2 };

typedef struct f32x16 {
    float32x4_t part[4];
} f32x16;

typedef struct f64x16 {
    float64x2_t part[8];
} f64x16;

/* Not as loops over the parts: gcc would keep them in memory. */
#define GI8I_F(f) ((f32x16){{f(0), f(1), f(2), f(3)}})
#define GI8I_D(f) ((f64x16){{f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)}})

GI8I_INLINE f32x16 f_set1(float value) {
    const float32x4_t v = vdupq_n_f32(value);
    return (f32x16){{v, v, v, v}};
}

GI8I_INLINE f32x16 f_load(const float *p) {
#define PART(i) vld1q_f32(p + 4 * (i))
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_load_n(const float *p, int64_t n) {
    float copy[16] = {0.0f};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return f_load(copy);
}

GI8I_INLINE f32x16 f_load_f16(const uint16_t *p) {
#define PART(i) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * (i))))
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_load_f16_n(const uint16_t *p, int64_t n) {
    uint16_t copy[16] = {0};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return f_load_f16(copy);
}

GI8I_INLINE f32x16 f_load_bf16(const uint16_t *p) {
#define PART(i) vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * (i)), 16))
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_load_bf16_n(const uint16_t *p, int64_t n) {
    uint16_t copy[16] = {0};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return f_load_bf16(copy);
}

GI8I_INLINE void f_store(float *p, f32x16 a) {
    vst1q_f32(p, a.part[0]);
    vst1q_f32(p + 4, a.part[1]);
    vst1q_f32(p + 8, a.part[2]);
    vst1q_f32(p + 12, a.part[3]);
}

GI8I_INLINE void f_store_n(float *p, f32x16 a, int64_t n) {
    float copy[16];
    f_store(copy, a);
    memcpy(p, copy, (size_t)n * sizeof *p);
}

GI8I_INLINE f32x16 f_add(f32x16 a, f32x16 b) {
#define PART(i) vaddq_f32(a.part[i], b.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_sub(f32x16 a, f32x16 b) {
#define PART(i) vsubq_f32(a.part[i], b.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_mul(f32x16 a, f32x16 b) {
#define PART(i) vmulq_f32(a.part[i], b.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_div(f32x16 a, f32x16 b) {
#define PART(i) vdivq_f32(a.part[i], b.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_fma(f32x16 a, f32x16 b, f32x16 c) {
#define PART(i) vfmaq_f32(c.part[i], a.part[i], b.part[i])
    return GI8I_F(PART);
#undef PART
}

/* No FMAX and no FMAXNM: one gives NaN, the other the number, where one of the two is NaN. */
GI8I_INLINE f32x16 f_max(f32x16 a, f32x16 b) {
#define PART(i) vbslq_f32(vcgtq_f32(a.part[i], b.part[i]), a.part[i], b.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_min(f32x16 a, f32x16 b) {
#define PART(i) vbslq_f32(vcltq_f32(a.part[i], b.part[i]), a.part[i], b.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_abs(f32x16 a) {
#define PART(i) vabsq_f32(a.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_select_less(f32x16 a, f32x16 b, f32x16 yes, f32x16 no) {
#define PART(i) vbslq_f32(vcltq_f32(a.part[i], b.part[i]), yes.part[i], no.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE f32x16 f_fill_from(f32x16 a, int64_t n, float fill) {
    static const int32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const int32x4_t end = vdupq_n_s32((int32_t)n);
    const float32x4_t v = vdupq_n_f32(fill);
#define PART(i) vbslq_f32(vcltq_s32(vld1q_s32(lane + 4 * (i)), end), a.part[i], v)
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE float32x4_t scale_by_power(float32x4_t p, float32x4_t t) {
    const int32x4_t n = vsubq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(0x4b400000));
    const int32x4_t half = vshrq_n_s32(n, 1);
    const int32x4_t bias = vdupq_n_s32(127);
    const int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
    const int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(n, half), bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second));
}

GI8I_INLINE f32x16 f_scale_by_power(f32x16 p, f32x16 t) {
#define PART(i) scale_by_power(p.part[i], t.part[i])
    return GI8I_F(PART);
#undef PART
}

GI8I_INLINE float f_sum(f32x16 a) {
    const float32x4_t four =
        vaddq_f32(vaddq_f32(a.part[0], a.part[2]), vaddq_f32(a.part[1], a.part[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

GI8I_INLINE void f_sum4(f32x16 a, f32x16 b, f32x16 c, f32x16 d, float sums[4]) {
    sums[0] = f_sum(a);
    sums[1] = f_sum(b);
    sums[2] = f_sum(c);
    sums[3] = f_sum(d);
}

GI8I_INLINE float f_largest(f32x16 a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.part[0], a.part[1]), vmaxq_f32(a.part[2], a.part[3])));
}

GI8I_INLINE f64x16 d_set1(double value) {
    const float64x2_t v = vdupq_n_f64(value);
    return (f64x16){{v, v, v, v, v, v, v, v}};
}

GI8I_INLINE f64x16 d_load(const double *p) {
#define PART(i) vld1q_f64(p + 2 * (i))
    return GI8I_D(PART);
#undef PART
}

GI8I_INLINE void d_store(double *p, f64x16 a) {
    vst1q_f64(p, a.part[0]);
    vst1q_f64(p + 2, a.part[1]);
    vst1q_f64(p + 4, a.part[2]);
    vst1q_f64(p + 6, a.part[3]);
    vst1q_f64(p + 8, a.part[4]);
    vst1q_f64(p + 10, a.part[5]);
    vst1q_f64(p + 12, a.part[6]);
    vst1q_f64(p + 14, a.part[7]);
}

GI8I_INLINE f64x16 d_add(f64x16 a, f64x16 b) {
#define PART(i) vaddq_f64(a.part[i], b.part[i])
    return GI8I_D(PART);
#undef PART
}

GI8I_INLINE f64x16 d_mul(f64x16 a, f64x16 b) {
#define PART(i) vmulq_f64(a.part[i], b.part[i])
    return GI8I_D(PART);
#undef PART
}

GI8I_INLINE f64x16 d_div(f64x16 a, f64x16 b) {
#define PART(i) vdivq_f64(a.part[i], b.part[i])
    return GI8I_D(PART);
#undef PART
}

GI8I_INLINE f64x16 d_add_exact_product(f64x16 a, f64x16 b, f64x16 c) {
#define PART(i) vfmaq_f64(c.part[i], a.part[i], b.part[i])
    return GI8I_D(PART);
#undef PART
}

/* Two doubles of four integers: those in the lower or in the upper half. */
GI8I_INLINE float64x2_t low_doubles(int32x4_t a) {
    return vcvtq_f64_s64(vmovl_s32(vget_low_s32(a)));
}

GI8I_INLINE float64x2_t high_doubles(int32x4_t a) {
    return vcvtq_f64_s64(vmovl_high_s32(a));
}

GI8I_INLINE f64x16 d_from_vectors(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
    return (f64x16){{low_doubles(a), high_doubles(a), low_doubles(b), high_doubles(b),
                     low_doubles(c), high_doubles(c), low_doubles(d), high_doubles(d)}};
}

GI8I_INLINE f64x16 d_from_i32(const int32_t *p) {
    return d_from_vectors(vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12));
}

GI8I_INLINE f64x16 d_from_f32(f32x16 a) {
    return (f64x16){{vcvt_f64_f32(vget_low_f32(a.part[0])), vcvt_high_f64_f32(a.part[0]),
                     vcvt_f64_f32(vget_low_f32(a.part[1])), vcvt_high_f64_f32(a.part[1]),
                     vcvt_f64_f32(vget_low_f32(a.part[2])), vcvt_high_f64_f32(a.part[2]),
                     vcvt_f64_f32(vget_low_f32(a.part[3])), vcvt_high_f64_f32(a.part[3])}};
}

GI8I_INLINE f32x16 d_to_f32(f64x16 a) {
#define PART(i) vcvt_high_f32_f64(vcvt_f32_f64(a.part[2 * (i)]), a.part[2 * (i) + 1])
    return GI8I_F(PART);
#undef PART
}

/* Each 32-bit lane holds the codes of a row: the wanted one goes to the top and down again. */
GI8I_INLINE int32x4_t row_codes_at(const int8_t *step, int32x4_t shift) {
    return vshrq_n_s32(vshlq_s32(vreinterpretq_s32_s8(vld1q_s8(step)), shift), 24);
}

GI8I_INLINE f64x16 d_from_codes(const int8_t *step, int index) {
    const int32x4_t shift = vdupq_n_s32(24 - 8 * index);
    return d_from_vectors(row_codes_at(step, shift), row_codes_at(step + 16, shift),
                          row_codes_at(step + 32, shift), row_codes_at(step + 48, shift));
}

#undef GI8I_F
#undef GI8I_D

#endif
