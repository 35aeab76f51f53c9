/* avx512.h - vectors of 16 lanes in AVX-512 F, BW, VL, DQ. scalar.h says what functions do. */
#ifndef GI8I_SIMD_H
#define GI8I_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#include "ggml-int8/gi8_types.h"

#define GI8I_VARIANT(kernel) gi8i_##kernel##_avx512
#define GI8I_INLINE static inline __attribute__((always_inline))

enum { GI8I_TILE_N = 4, GI8I_TILE_M = 6, GI8I_OUTLIER_TILE_M = 8, GI8I_OUTLIER_TILE_P = 4 };

typedef __m512 f32x16;

typedef struct f64x16 {
    __m512d low;
    __m512d high;
} f64x16;

GI8I_INLINE __mmask16 first_lanes(int64_t n) {
    return (__mmask16)((1u << n) - 1);
}

GI8I_INLINE f32x16 f_set1(float value) {
    return _mm512_set1_ps(value);
}

GI8I_INLINE f32x16 f_load(const float *p) {
    return _mm512_loadu_ps(p);
}

GI8I_INLINE f32x16 f_load_n(const float *p, int64_t n) {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

GI8I_INLINE f32x16 f_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

GI8I_INLINE f32x16 f_load_f16_n(const uint16_t *p, int64_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

GI8I_INLINE f32x16 bf16_bits(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

GI8I_INLINE f32x16 f_load_bf16(const uint16_t *p) {
    return bf16_bits(_mm256_loadu_si256((const __m256i *)p));
}

GI8I_INLINE f32x16 f_load_bf16_n(const uint16_t *p, int64_t n) {
    return bf16_bits(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

GI8I_INLINE void f_store(float *p, f32x16 a) {
    _mm512_storeu_ps(p, a);
}

GI8I_INLINE void f_store_n(float *p, f32x16 a, int64_t n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), a);
}

GI8I_INLINE f32x16 f_add(f32x16 a, f32x16 b) {
    return _mm512_add_ps(a, b);
}

GI8I_INLINE f32x16 f_sub(f32x16 a, f32x16 b) {
    return _mm512_sub_ps(a, b);
}

GI8I_INLINE f32x16 f_mul(f32x16 a, f32x16 b) {
    return _mm512_mul_ps(a, b);
}

GI8I_INLINE f32x16 f_div(f32x16 a, f32x16 b) {
    return _mm512_div_ps(a, b);
}

GI8I_INLINE f32x16 f_fma(f32x16 a, f32x16 b, f32x16 c) {
    return _mm512_fmadd_ps(a, b, c);
}

GI8I_INLINE f32x16 f_max(f32x16 a, f32x16 b) {
    return _mm512_max_ps(a, b);
}

GI8I_INLINE f32x16 f_min(f32x16 a, f32x16 b) {
    return _mm512_min_ps(a, b);
}

GI8I_INLINE f32x16 f_abs(f32x16 a) {
    return _mm512_abs_ps(a);
}

GI8I_INLINE f32x16 f_select_less(f32x16 a, f32x16 b, f32x16 yes, f32x16 no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

GI8I_INLINE f32x16 f_fill_from(f32x16 a, int64_t n, float fill) {
    return _mm512_mask_blend_ps(first_lanes(n), _mm512_set1_ps(fill), a);
}

GI8I_INLINE f32x16 f_scale_by_power(f32x16 p, f32x16 t) {
    __m512i n = _mm512_sub_epi32(_mm512_castps_si512(t), _mm512_set1_epi32(0x4b400000));
    __m512i half = _mm512_srai_epi32(n, 1);
    __m512i rest = _mm512_sub_epi32(n, half);
    __m512i bias = _mm512_set1_epi32(127);
    __m512i first = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
    __m512i second = _mm512_slli_epi32(_mm512_add_epi32(rest, bias), 23);
    return _mm512_mul_ps(_mm512_mul_ps(p, _mm512_castsi512_ps(first)), _mm512_castsi512_ps(second));
}

GI8I_INLINE float f_sum(f32x16 a) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* The additions of f_sum(), four at a time: each shuffle brings together lanes of two sums. */
GI8I_INLINE void f_sum4(f32x16 a, f32x16 b, f32x16 c, f32x16 d, float sums[4]) {
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    __m512 four =
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    __m512 two = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4e));
    __m512 one = _mm512_add_ps(two, _mm512_permute_ps(two, 0xb1));
    _mm_storeu_ps(sums, _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, one)));
}

GI8I_INLINE float f_largest(f32x16 a) {
    return _mm512_reduce_max_ps(a);
}

GI8I_INLINE f64x16 d_set1(double value) {
    __m512d v = _mm512_set1_pd(value);
    return (f64x16){v, v};
}

GI8I_INLINE f64x16 d_load(const double *p) {
    return (f64x16){_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)};
}

GI8I_INLINE void d_store(double *p, f64x16 a) {
    _mm512_storeu_pd(p, a.low);
    _mm512_storeu_pd(p + 8, a.high);
}

GI8I_INLINE f64x16 d_add(f64x16 a, f64x16 b) {
    return (f64x16){_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
}

GI8I_INLINE f64x16 d_mul(f64x16 a, f64x16 b) {
    return (f64x16){_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)};
}

GI8I_INLINE f64x16 d_div(f64x16 a, f64x16 b) {
    return (f64x16){_mm512_div_pd(a.low, b.low), _mm512_div_pd(a.high, b.high)};
}

GI8I_INLINE f64x16 d_add_exact_product(f64x16 a, f64x16 b, f64x16 c) {
    return (f64x16){_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}

GI8I_INLINE f64x16 d_from_i32(const int32_t *p) {
    return (f64x16){_mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)p)),
                    _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)(p + 8)))};
}

GI8I_INLINE f64x16 d_from_f32(f32x16 a) {
    return (f64x16){_mm512_cvtps_pd(_mm512_castps512_ps256(a)),
                    _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
}

GI8I_INLINE f32x16 d_to_f32(f64x16 a) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.low)),
                              _mm512_cvtpd_ps(a.high), 1);
}

/* Each 32-bit lane holds the codes of a row: the wanted one goes to the top and down again. */
GI8I_INLINE f64x16 d_from_codes(const int8_t *step, int index) {
    __m512i up = _mm512_sll_epi32(_mm512_loadu_si512(step), _mm_cvtsi32_si128(24 - 8 * index));
    __m512i code = _mm512_srai_epi32(up, 24);
    return (f64x16){_mm512_cvtepi32_pd(_mm512_castsi512_si256(code)),
                    _mm512_cvtepi32_pd(_mm512_extracti32x8_epi32(code, 1))};
}

#endif
