/* avxvnni.c - int8_dot in AVX-VNNI. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { TILE_P = 1, TILE_M = 6, OFFSET = 128 };

typedef __m256i vector;
typedef __m256i weights; /* w + 128 as u8 */
typedef __m256i codes;

static inline vector zero(void) {
    return _mm256_setzero_si256();
}

static inline vector subtract(vector v, int32_t s) {
    return _mm256_sub_epi32(v, _mm256_set1_epi32(s));
}

static inline vector plus(vector a, vector b) {
    return _mm256_add_epi32(a, b);
}

static inline void store(int32_t *to, vector v) {
    _mm256_storeu_si256((__m256i *)to, v);
}

static inline weights prepare(const int8_t *w) {
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)w), _mm256_set1_epi8(-128));
}

static inline codes repeat(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm256_set1_epi32(four);
}

static inline vector dot(vector acc, weights w, codes q) {
    return _mm256_dpbusd_avx_epi32(acc, w, q);
}

#include "body.h"

void gi8i_int8_dot_avxvnni(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
