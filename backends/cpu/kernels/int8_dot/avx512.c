/* avx512.c - int8_dot in AVX-512 BW. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { TILE_P = 2, TILE_M = 6, OFFSET = 0 };

typedef __m512i vector;
typedef struct weights {
    __m512i magnitude;
    __mmask64 negative;
} weights;
typedef __m512i codes;

static inline vector zero(void) {
    return _mm512_setzero_si512();
}

static inline vector subtract(vector v, int32_t s) {
    return _mm512_sub_epi32(v, _mm512_set1_epi32(s));
}

static inline vector plus(vector a, vector b) {
    return _mm512_add_epi32(a, b);
}

static inline void store(int32_t *to, vector v) {
    _mm512_storeu_si512(to, v);
}

static inline weights prepare(const int8_t *w) {
    __m512i v = _mm512_loadu_si512(w);
    return (weights){_mm512_abs_epi8(v), _mm512_movepi8_mask(v)};
}

static inline codes repeat(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm512_set1_epi32(four);
}

/* |w| times q with the sign of w. Two products fit into int16: 2 * 127 * 127 < 2^15. */
static inline vector dot(vector acc, weights w, codes q) {
    __m512i signed_q = _mm512_mask_sub_epi8(q, w.negative, _mm512_setzero_si512(), q);
    __m512i pairs = _mm512_maddubs_epi16(w.magnitude, signed_q);
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#include "body.h"

void gi8i_int8_dot_avx512(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
