/* avx2.c - int8_dot in AVX2. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 32, TILE_N = 2, TILE_M = 4, MAX_TILE_N = 4, OFFSET = 0 };

typedef __m256i vector;
typedef struct weights {
    __m256i magnitude;
    __m256i w;
} weights;

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
    __m256i v = _mm256_loadu_si256((const __m256i *)w);
    return (weights){_mm256_abs_epi8(v), v};
}

static inline weights prepare_n(const int8_t *w, int64_t n) {
    __m256i v = load_n(w, n);
    return (weights){_mm256_abs_epi8(v), v};
}

/* |w| times q with the sign of w. Two products fit into int16: 2 * 128 * 127 < 2^15. */
static inline vector dot(vector acc, weights w, const int8_t *q) {
    __m256i signed_q = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)q), w.w);
    __m256i pairs = _mm256_maddubs_epi16(w.magnitude, signed_q);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "body.h"

void gi8i_int8_dot_avx2(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
