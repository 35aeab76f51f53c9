/* avx512vnni.c - int8_dot in AVX-512 VNNI. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { TILE_P = 4, TILE_M = 6, OFFSET = 128 };

typedef __m512i vector;
typedef __m512i weights; /* w + 128 as u8 */
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
    return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8(-128));
}

static inline codes repeat(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm512_set1_epi32(four);
}

static inline vector dot(vector acc, weights w, codes q) {
    acc = _mm512_dpbusd_epi32(acc, w, q);
    /* One register for the sum before and after: gcc 12 takes two, and then stores 18 of the 24
     * sums of a tile at every step, which costs more than half of the speed. */
    __asm__("" : "+v"(acc));
    return acc;
}

#include "body.h"

void gi8i_int8_dot_avx512vnni(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
