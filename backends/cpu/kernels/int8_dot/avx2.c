/* avx2.c - int8_dot in AVX2. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { TILE_P = 1, TILE_M = 4, OFFSET = 0 };

typedef __m256i vector;
typedef struct weights {
    __m256i magnitude;
    __m256i w;
} weights;
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
    __m256i v = _mm256_loadu_si256((const __m256i *)w);
    return (weights){_mm256_abs_epi8(v), v};
}

static inline codes repeat(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm256_set1_epi32(four);
}

/* |w| times q with the sign of w. Two products fit into int16: 2 * 127 * 127 < 2^15. */
static inline vector dot(vector acc, weights w, codes q) {
    __m256i pairs = _mm256_maddubs_epi16(w.magnitude, _mm256_sign_epi8(q, w.w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "body.h"

void gi8i_int8_dot_avx2(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
