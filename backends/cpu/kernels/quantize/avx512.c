/* avx512.c - quantize in AVX-512. */
#include <immintrin.h>
#include <stdint.h>

typedef __m512i block;

static inline block block_zero(void) {
    return _mm512_setzero_si512();
}

static inline int32_t block_reduce_max(block b) {
    return _mm512_reduce_max_epi32(b);
}

static inline int32_t block_reduce_add(block b) {
    return _mm512_reduce_add_epi32(b);
}

static inline __m512i magnitude_bits(__m512 x) {
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

static inline void block_max(const float *x, int32_t small_below, uint8_t *marks,
                             block *largest_small, block *largest) {
    __m512i limit = _mm512_set1_epi32(small_below);
    for (int i = 0; i < 64; i += 16) {
        __m512i bits = magnitude_bits(_mm512_loadu_ps(x + i));
        __mmask16 small = _mm512_cmplt_epi32_mask(bits, limit);
        *largest = _mm512_max_epi32(*largest, bits);
        *largest_small = _mm512_mask_max_epi32(*largest_small, small, *largest_small, bits);
        if (marks != NULL && small != 0xffff) { /* rare: a number that is large, or NaN */
            __mmask16 number = _mm512_cmple_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
            __mmask16 large = (__mmask16)(number & ~small);
            _mm_mask_storeu_epi8(marks + i, large, _mm_set1_epi8(1));
        }
    }
}

static inline void block_codes(const float *x, int32_t small_below, float factor, int8_t *q,
                               block *sum) {
    __m512i limit = _mm512_set1_epi32(small_below);
    __m512 c = _mm512_set1_ps(factor);
    for (int i = 0; i < 64; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        __mmask16 keep = _mm512_cmplt_epi32_mask(magnitude_bits(v), limit);
        __m512i codes = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(v, c));
        *sum = _mm512_add_epi32(*sum, codes);
        _mm_storeu_si128((__m128i *)(q + i), _mm512_cvtepi32_epi8(codes));
    }
}

#include "body.h"

void gi8i_quantize_avx512(const float *x, int64_t k, float threshold, uint8_t *marks, int8_t *q,
                          float *absmax, int32_t *sum) {
    quantize_row(x, k, threshold, marks, q, absmax, sum);
}
