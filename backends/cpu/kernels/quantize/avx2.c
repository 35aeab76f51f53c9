/* avx2.c - quantize in AVX2. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef __m256i block;

static inline block block_zero(void) {
    return _mm256_setzero_si256();
}

static inline int32_t block_reduce_max(block b) {
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

static inline int32_t block_reduce_add(block b) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

static inline __m256i magnitude_bits(__m256 x) {
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

/* Marks the numbers among eight that are not small. */
static void mark(uint8_t *marks, __m256i bits, __m256i small) {
    __m256i nan = _mm256_cmpgt_epi32(bits, _mm256_set1_epi32(0x7f800000));
    int spared = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_or_si256(small, nan)));
    for (int i = 0; i < 8; i++) {
        if ((spared >> i & 1) == 0) {
            marks[i] = 1;
        }
    }
}

static inline void block_max(const float *x, int32_t small_below, uint8_t *marks,
                             block *largest_small, block *largest) {
    __m256i limit = _mm256_set1_epi32(small_below);
    for (int i = 0; i < 64; i += 8) {
        __m256i bits = magnitude_bits(_mm256_loadu_ps(x + i));
        __m256i small = _mm256_cmpgt_epi32(limit, bits);
        *largest = _mm256_max_epi32(*largest, bits);
        *largest_small = _mm256_max_epi32(*largest_small, _mm256_and_si256(bits, small));
        if (marks != NULL && _mm256_movemask_epi8(small) != -1) { /* rare */
            mark(marks + i, bits, small);
        }
    }
}

/* Eight codes as int32. */
static inline __m256i codes_of(const float *x, __m256i limit, __m256 c) {
    __m256 v = _mm256_loadu_ps(x);
    __m256i keep = _mm256_cmpgt_epi32(limit, magnitude_bits(v));
    return _mm256_and_si256(_mm256_cvtps_epi32(_mm256_mul_ps(v, c)), keep);
}

static inline void block_codes(const float *x, int32_t small_below, float factor, int8_t *q,
                               block *sum) {
    __m256i limit = _mm256_set1_epi32(small_below);
    __m256 c = _mm256_set1_ps(factor);
    /* The packs work within 128-bit halves; this puts the groups of four bytes back in order. */
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int i = 0; i < 64; i += 32) {
        __m256i codes[4];
        for (int j = 0; j < 4; j++) {
            codes[j] = codes_of(x + i + 8 * j, limit, c);
            *sum = _mm256_add_epi32(*sum, codes[j]);
        }
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(codes[0], codes[1]),
                                           _mm256_packs_epi32(codes[2], codes[3]));
        _mm256_storeu_si256((__m256i *)(q + i), _mm256_permutevar8x32_epi32(bytes, order));
    }
}

#include "body.h"

void gi8i_quantize_avx2(const float *x, int64_t k, float threshold, uint8_t *marks, int8_t *q,
                        float *absmax, int32_t *sum) {
    quantize_row(x, k, threshold, marks, q, absmax, sum);
}
