/* avx512.c - int8_dot in AVX-512 BW. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 64, TILE_N = 4, TILE_M = 4, MAX_TILE_N = 4, OFFSET = 0 };

typedef __m512i vector;
typedef struct weights {
    __m512i magnitude;
    __mmask64 negative;
} weights;

static inline vector zero(void) {
    return _mm512_setzero_si512();
}

static inline int32_t reduce(vector v) {
    return _mm512_reduce_add_epi32(v);
}

static inline weights split_sign(__m512i w) {
    return (weights){_mm512_abs_epi8(w), _mm512_movepi8_mask(w)};
}

static inline weights prepare(const int8_t *w) {
    return split_sign(_mm512_loadu_si512(w));
}

static inline weights prepare_n(const int8_t *w, int64_t n) {
    return split_sign(_mm512_maskz_loadu_epi8((UINT64_C(1) << n) - 1, w));
}

/* Two products fit into int16: 2 * 128 * 127 < 2^15. */
static inline vector dot(vector acc, weights w, const int8_t *q) {
    __m512i v = _mm512_loadu_si512(q);
    __m512i signed_q = _mm512_mask_sub_epi8(v, w.negative, _mm512_setzero_si512(), v);
    __m512i pairs = _mm512_maddubs_epi16(w.magnitude, signed_q);
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#include "body.h"

void gi8i_int8_dot_avx512(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
