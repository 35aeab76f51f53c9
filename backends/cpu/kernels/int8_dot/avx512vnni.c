/* avx512vnni.c - int8_dot in AVX-512 VNNI. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 64, TILE_N = 4, TILE_M = 6, MAX_TILE_N = 8, OFFSET = 128 };

typedef __m512i vector;
typedef __m512i weights; /* w + 128 as u8 */

static inline vector zero(void) {
    return _mm512_setzero_si512();
}

static inline int32_t reduce(vector v) {
    return _mm512_reduce_add_epi32(v);
}

static inline weights prepare(const int8_t *w) {
    return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8(-128));
}

static inline weights prepare_n(const int8_t *w, int64_t n) {
    __mmask64 lanes = (UINT64_C(1) << n) - 1;
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(lanes, w), _mm512_set1_epi8(-128));
}

static inline vector dot(vector acc, weights w, const int8_t *q) {
    return _mm512_dpbusd_epi32(acc, w, _mm512_loadu_si512(q));
}

#include "body.h"

void gi8i_int8_dot_avx512vnni(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
