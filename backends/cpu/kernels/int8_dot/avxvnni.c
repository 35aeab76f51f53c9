/* avxvnni.c - int8_dot in AVX-VNNI. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 32, TILE_N = 2, TILE_M = 5, MAX_TILE_N = 4, OFFSET = 128 };

typedef __m256i vector;
typedef __m256i weights; /* w + 128 as u8 */

static inline vector zero(void) {
    return _mm256_setzero_si256();
}

static inline int32_t reduce(vector v) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

static inline __m256i load_n(const int8_t *w, int64_t n) {
    int8_t copy[32] = {0};
    memcpy(copy, w, (size_t)n);
    return _mm256_loadu_si256((const __m256i *)copy);
}

static inline weights prepare(const int8_t *w) {
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)w), _mm256_set1_epi8(-128));
}

static inline weights prepare_n(const int8_t *w, int64_t n) {
    return _mm256_xor_si256(load_n(w, n), _mm256_set1_epi8(-128));
}

static inline vector dot(vector acc, weights w, const int8_t *q) {
    return _mm256_dpbusd_avx_epi32(acc, w, _mm256_loadu_si256((const __m256i *)q));
}

#include "body.h"

void gi8i_int8_dot_avxvnni(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
