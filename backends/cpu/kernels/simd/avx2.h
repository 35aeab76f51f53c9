/* avx2.h - vectors of 16 lanes in AVX2, FMA, F16C. scalar.h says what each function does. */
#ifndef GI8I_SIMD_H
#define GI8I_SIMD_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "ggml-int8/gi8_types.h"

#define GI8I_VARIANT(kernel) gi8i_##kernel##_avx2
#define GI8I_INLINE static inline __attribute__((always_inline))

enum { GI8I_TILE_N = 2, GI8I_TILE_M = 3, GI8I_OUTLIER_TILE_M = 2, GI8I_OUTLIER_TILE_P = 2 };

typedef struct f32x16 {
    __m256 low;
    __m256 high;
} f32x16;

typedef struct f64x16 {
    __m256d part[4];
} f64x16;

/* All ones in the first n of 8 lanes. */
GI8I_INLINE __m256i first_lanes(int64_t n) {
    static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    int64_t clamped = n < 0 ? 0 : n > 8 ? 8 : n;
    return _mm256_loadu_si256((const __m256i *)(mask + 8 - clamped));
}

GI8I_INLINE f32x16 f_set1(float value) {
    __m256 v = _mm256_set1_ps(value);
    return (f32x16){v, v};
}

GI8I_INLINE f32x16 f_load(const float *p) {
    return (f32x16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

GI8I_INLINE f32x16 f_load_n(const float *p, int64_t n) {
    return (f32x16){_mm256_maskload_ps(p, first_lanes(n)),
                    n > 8 ? _mm256_maskload_ps(p + 8, first_lanes(n - 8)) : _mm256_setzero_ps()};
}

GI8I_INLINE f32x16 f_load_f16(const uint16_t *p) {
    return (f32x16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                    _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}

GI8I_INLINE f32x16 f_load_f16_n(const uint16_t *p, int64_t n) {
    uint16_t copy[16] = {0};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return f_load_f16(copy);
}

GI8I_INLINE __m256 bf16_bits(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

GI8I_INLINE f32x16 f_load_bf16(const uint16_t *p) {
    return (f32x16){bf16_bits(_mm_loadu_si128((const __m128i *)p)),
                    bf16_bits(_mm_loadu_si128((const __m128i *)(p + 8)))};
}

GI8I_INLINE f32x16 f_load_bf16_n(const uint16_t *p, int64_t n) {
    uint16_t copy[16] = {0};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return f_load_bf16(copy);
}

GI8I_INLINE void f_store(float *p, f32x16 a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}

GI8I_INLINE void f_store_n(float *p, f32x16 a, int64_t n) {
    _mm256_maskstore_ps(p, first_lanes(n), a.low);
    if (n > 8) {
        _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.high);
    }
}

GI8I_INLINE f32x16 f_add(f32x16 a, f32x16 b) {
    return (f32x16){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

GI8I_INLINE f32x16 f_sub(f32x16 a, f32x16 b) {
    return (f32x16){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

GI8I_INLINE f32x16 f_mul(f32x16 a, f32x16 b) {
    return (f32x16){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

GI8I_INLINE f32x16 f_div(f32x16 a, f32x16 b) {
    return (f32x16){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}

GI8I_INLINE f32x16 f_fma(f32x16 a, f32x16 b, f32x16 c) {
    return (f32x16){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

GI8I_INLINE f32x16 f_max(f32x16 a, f32x16 b) {
    return (f32x16){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

GI8I_INLINE f32x16 f_min(f32x16 a, f32x16 b) {
    return (f32x16){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}

GI8I_INLINE f32x16 f_abs(f32x16 a) {
    __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return (f32x16){_mm256_and_ps(a.low, mask), _mm256_and_ps(a.high, mask)};
}

GI8I_INLINE f32x16 f_select_less(f32x16 a, f32x16 b, f32x16 yes, f32x16 no) {
    return (f32x16){
        _mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
        _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}

GI8I_INLINE f32x16 f_fill_from(f32x16 a, int64_t n, float fill) {
    __m256 v = _mm256_set1_ps(fill);
    return (f32x16){_mm256_blendv_ps(v, a.low, _mm256_castsi256_ps(first_lanes(n))),
                    _mm256_blendv_ps(v, a.high, _mm256_castsi256_ps(first_lanes(n - 8)))};
}

GI8I_INLINE __m256 scale_by_power(__m256 p, __m256 t) {
    __m256i n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4b400000));
    __m256i half = _mm256_srai_epi32(n, 1);
    __m256i rest = _mm256_sub_epi32(n, half);
    __m256i bias = _mm256_set1_epi32(127);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

GI8I_INLINE f32x16 f_scale_by_power(f32x16 p, f32x16 t) {
    return (f32x16){scale_by_power(p.low, t.low), scale_by_power(p.high, t.high)};
}

GI8I_INLINE float f_sum(f32x16 a) {
    __m256 eight = _mm256_add_ps(a.low, a.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

GI8I_INLINE void f_sum4(f32x16 a, f32x16 b, f32x16 c, f32x16 d, float sums[4]) {
    sums[0] = f_sum(a);
    sums[1] = f_sum(b);
    sums[2] = f_sum(c);
    sums[3] = f_sum(d);
}

GI8I_INLINE float f_largest(f32x16 a) {
    __m256 eight = _mm256_max_ps(a.low, a.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#define GI8I_PARTS(expression)    \
    f64x16 r;                     \
    for (int i = 0; i < 4; i++) { \
        r.part[i] = (expression); \
    }                             \
    return r

GI8I_INLINE f64x16 d_set1(double value) {
    GI8I_PARTS(_mm256_set1_pd(value));
}

GI8I_INLINE f64x16 d_load(const double *p) {
    GI8I_PARTS(_mm256_loadu_pd(p + 4 * i));
}

GI8I_INLINE void d_store(double *p, f64x16 a) {
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_pd(p + 4 * i, a.part[i]);
    }
}

GI8I_INLINE f64x16 d_add(f64x16 a, f64x16 b) {
    GI8I_PARTS(_mm256_add_pd(a.part[i], b.part[i]));
}

GI8I_INLINE f64x16 d_mul(f64x16 a, f64x16 b) {
    GI8I_PARTS(_mm256_mul_pd(a.part[i], b.part[i]));
}

GI8I_INLINE f64x16 d_div(f64x16 a, f64x16 b) {
    GI8I_PARTS(_mm256_div_pd(a.part[i], b.part[i]));
}

GI8I_INLINE f64x16 d_add_exact_product(f64x16 a, f64x16 b, f64x16 c) {
    GI8I_PARTS(_mm256_fmadd_pd(a.part[i], b.part[i], c.part[i]));
}

GI8I_INLINE f64x16 d_from_i32(const int32_t *p) {
    GI8I_PARTS(_mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(p + 4 * i))));
}

GI8I_INLINE f64x16 d_from_f32(f32x16 a) {
    f64x16 r = {{_mm256_cvtps_pd(_mm256_castps256_ps128(a.low)),
                 _mm256_cvtps_pd(_mm256_extractf128_ps(a.low, 1)),
                 _mm256_cvtps_pd(_mm256_castps256_ps128(a.high)),
                 _mm256_cvtps_pd(_mm256_extractf128_ps(a.high, 1))}};
    return r;
}

GI8I_INLINE f32x16 d_to_f32(f64x16 a) {
    return (f32x16){_mm256_set_m128(_mm256_cvtpd_ps(a.part[1]), _mm256_cvtpd_ps(a.part[0])),
                    _mm256_set_m128(_mm256_cvtpd_ps(a.part[3]), _mm256_cvtpd_ps(a.part[2]))};
}

/* Each 32-bit lane holds the codes of a row: the wanted one goes to the top and down again. */
GI8I_INLINE f64x16 d_from_codes(const int8_t *step, int index) {
    __m128i shift = _mm_cvtsi32_si128(24 - 8 * index);
    __m256i low = _mm256_loadu_si256((const __m256i *)step);
    __m256i high = _mm256_loadu_si256((const __m256i *)(step + 32));
    low = _mm256_srai_epi32(_mm256_sll_epi32(low, shift), 24);
    high = _mm256_srai_epi32(_mm256_sll_epi32(high, shift), 24);
    f64x16 r = {{_mm256_cvtepi32_pd(_mm256_castsi256_si128(low)),
                 _mm256_cvtepi32_pd(_mm256_extracti128_si256(low, 1)),
                 _mm256_cvtepi32_pd(_mm256_castsi256_si128(high)),
                 _mm256_cvtepi32_pd(_mm256_extracti128_si256(high, 1))}};
    return r;
}

#undef GI8I_PARTS

#endif
