/* scalar.h - vectors of 16 lanes in plain C. Same operations, same order, same bits as avx2.h,
 * avx512.h and neon.h: a kernel written with them once is its own reference.
 *
 *   f32x16    16 floats; sums over lanes add lane i and i + 8, then i + 4, i + 2, i + 1
 *   f64x16    16 doubles
 */
#ifndef GI8I_SIMD_H
#define GI8I_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ggml-int8/gi8_types.h"

#define GI8I_VARIANT(kernel) gi8i_##kernel##_scalar
#define GI8I_INLINE static inline

/* Register tiles: rows of w and of x of the fp32 product (see tile.h); rows of x, or panels of w,
 * of the outlier product. */
enum { GI8I_TILE_N = 2, GI8I_TILE_M = 2, GI8I_OUTLIER_TILE_M = 2, GI8I_OUTLIER_TILE_P = 2 };

typedef struct f32x16 {
    float lane[16];
} f32x16;

typedef struct f64x16 {
    double lane[16];
} f64x16;

#define GI8I_LANES(expression)     \
    for (int i = 0; i < 16; i++) { \
        r.lane[i] = (expression);  \
    }                              \
    return r

GI8I_INLINE uint32_t lane_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

GI8I_INLINE float lane_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

GI8I_INLINE f32x16 f_set1(float value) {
    f32x16 r;
    GI8I_LANES(value);
}

GI8I_INLINE f32x16 f_load(const float *p) {
    f32x16 r;
    GI8I_LANES(p[i]);
}

/* The first n lanes; the others are 0. 0 <= n <= 16, as in all _n functions. */
GI8I_INLINE f32x16 f_load_n(const float *p, int64_t n) {
    f32x16 r;
    GI8I_LANES(i < n ? p[i] : 0.0f);
}

GI8I_INLINE f32x16 f_load_f16_n(const uint16_t *p, int64_t n) {
    f32x16 r;
    GI8I_LANES(i < n ? gi8_fp16_to_fp32(p[i]) : 0.0f);
}

GI8I_INLINE f32x16 f_load_bf16_n(const uint16_t *p, int64_t n) {
    f32x16 r;
    GI8I_LANES(i < n ? lane_from_bits((uint32_t)p[i] << 16) : 0.0f);
}

GI8I_INLINE f32x16 f_load_f16(const uint16_t *p) {
    return f_load_f16_n(p, 16);
}

GI8I_INLINE f32x16 f_load_bf16(const uint16_t *p) {
    return f_load_bf16_n(p, 16);
}

GI8I_INLINE void f_store(float *p, f32x16 a) {
    memcpy(p, a.lane, sizeof a.lane);
}

GI8I_INLINE void f_store_n(float *p, f32x16 a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        p[i] = a.lane[i];
    }
}

GI8I_INLINE f32x16 f_add(f32x16 a, f32x16 b) {
    f32x16 r;
    GI8I_LANES(a.lane[i] + b.lane[i]);
}

GI8I_INLINE f32x16 f_sub(f32x16 a, f32x16 b) {
    f32x16 r;
    GI8I_LANES(a.lane[i] - b.lane[i]);
}

GI8I_INLINE f32x16 f_mul(f32x16 a, f32x16 b) {
    f32x16 r;
    GI8I_LANES(a.lane[i] * b.lane[i]);
}

GI8I_INLINE f32x16 f_div(f32x16 a, f32x16 b) {
    f32x16 r;
    GI8I_LANES(a.lane[i] / b.lane[i]);
}

/* a * b + c, rounded once */
GI8I_INLINE f32x16 f_fma(f32x16 a, f32x16 b, f32x16 c) {
    f32x16 r;
    GI8I_LANES(fmaf(a.lane[i], b.lane[i], c.lane[i]));
}

/* a > b ? a : b, so b where one is NaN */
GI8I_INLINE f32x16 f_max(f32x16 a, f32x16 b) {
    f32x16 r;
    GI8I_LANES(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}

/* a < b ? a : b, so b where one is NaN */
GI8I_INLINE f32x16 f_min(f32x16 a, f32x16 b) {
    f32x16 r;
    GI8I_LANES(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}

GI8I_INLINE f32x16 f_abs(f32x16 a) {
    f32x16 r;
    GI8I_LANES(lane_from_bits(lane_bits(a.lane[i]) & 0x7fffffffu));
}

/* a < b ? yes : no */
GI8I_INLINE f32x16 f_select_less(f32x16 a, f32x16 b, f32x16 yes, f32x16 no) {
    f32x16 r;
    GI8I_LANES(a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]);
}

/* Lanes from n on become `fill`. */
GI8I_INLINE f32x16 f_fill_from(f32x16 a, int64_t n, float fill) {
    f32x16 r;
    GI8I_LANES(i < n ? a.lane[i] : fill);
}

/* p * 2^n, where t = 1.5 * 2^23 + n with -150 <= n <= 254 an integer. The factor is split in two,
 * so that results in the denormal range round once. */
GI8I_INLINE f32x16 f_scale_by_power(f32x16 p, f32x16 t) {
    f32x16 r;
    for (int i = 0; i < 16; i++) {
        int32_t n = (int32_t)(lane_bits(t.lane[i]) - 0x4b400000u);
        int32_t half = n >> 1;
        float first = lane_from_bits((uint32_t)(half + 127) << 23);
        float second = lane_from_bits((uint32_t)(n - half + 127) << 23);
        r.lane[i] = p.lane[i] * first * second;
    }
    return r;
}

GI8I_INLINE float f_sum(f32x16 a) {
    for (int width = 8; width >= 1; width /= 2) {
        for (int i = 0; i < width; i++) {
            a.lane[i] += a.lane[i + width];
        }
    }
    return a.lane[0];
}

/* Four sums, each as f_sum() gives it. */
GI8I_INLINE void f_sum4(f32x16 a, f32x16 b, f32x16 c, f32x16 d, float sums[4]) {
    sums[0] = f_sum(a);
    sums[1] = f_sum(b);
    sums[2] = f_sum(c);
    sums[3] = f_sum(d);
}

/* The largest lane; lanes must not be NaN. */
GI8I_INLINE float f_largest(f32x16 a) {
    float largest = a.lane[0];
    for (int i = 1; i < 16; i++) {
        largest = a.lane[i] > largest ? a.lane[i] : largest;
    }
    return largest;
}

GI8I_INLINE f64x16 d_set1(double value) {
    f64x16 r;
    GI8I_LANES(value);
}

GI8I_INLINE f64x16 d_load(const double *p) {
    f64x16 r;
    GI8I_LANES(p[i]);
}

GI8I_INLINE void d_store(double *p, f64x16 a) {
    memcpy(p, a.lane, sizeof a.lane);
}

GI8I_INLINE f64x16 d_add(f64x16 a, f64x16 b) {
    f64x16 r;
    GI8I_LANES(a.lane[i] + b.lane[i]);
}

GI8I_INLINE f64x16 d_mul(f64x16 a, f64x16 b) {
    f64x16 r;
    GI8I_LANES(a.lane[i] * b.lane[i]);
}

GI8I_INLINE f64x16 d_div(f64x16 a, f64x16 b) {
    f64x16 r;
    GI8I_LANES(a.lane[i] / b.lane[i]);
}

/* a * b + c for products that are exact in double: fused or not makes no difference then. */
GI8I_INLINE f64x16 d_add_exact_product(f64x16 a, f64x16 b, f64x16 c) {
    f64x16 r;
    GI8I_LANES(a.lane[i] * b.lane[i] + c.lane[i]);
}

GI8I_INLINE f64x16 d_from_i32(const int32_t *p) {
    f64x16 r;
    GI8I_LANES((double)p[i]);
}

GI8I_INLINE f64x16 d_from_f32(f32x16 a) {
    f64x16 r;
    GI8I_LANES((double)a.lane[i]);
}

GI8I_INLINE f32x16 d_to_f32(f64x16 a) {
    f32x16 r;
    GI8I_LANES((float)a.lane[i]);
}

/* Code number `index` of 4 of each of the 16 rows in one step of a panel (gi8_panels.h). */
GI8I_INLINE f64x16 d_from_codes(const int8_t *step, int index) {
    f64x16 r;
    GI8I_LANES((double)step[4 * i + index]);
}

#undef GI8I_LANES

#endif
