/* avx512.c - quantize_panel in AVX-512. */
#include "../simd/avx512.h"

#include "../simd/weights.h"

/* 16 codes as int32. */
GI8I_INLINE __m512i codes_of(gi8_type type, const char *w, __m512 factor) {
    return _mm512_cvtps_epi32(_mm512_mul_ps(load_weights(type, w), factor));
}

/* 64 codes of a row. The packs work within 128-bit lanes: group 4 j + i of four codes becomes
 * number 4 i + j of the vector. */
GI8I_INLINE __m512i row_codes(gi8_type type, const char *w, float factor) {
    const size_t step = type == GI8_TYPE_F32 ? 64 : 32;
    const __m512 c = _mm512_set1_ps(factor);
    const __m512i low = _mm512_packs_epi32(codes_of(type, w, c), codes_of(type, w + step, c));
    const __m512i high =
        _mm512_packs_epi32(codes_of(type, w + 2 * step, c), codes_of(type, w + 3 * step, c));
    return _mm512_packs_epi16(low, high);
}

/* Transposes 16 x 16 words of 32 bits in three steps: pairs of rows, pairs of pairs, and the lanes
 * of four rows at a time. */
GI8I_INLINE void pack_tile(gi8_type type, const char *w, size_t stride, const float *factor,
                           int8_t *to) {
    __m512i four[4][4]; /* [q][j]: words 4 i + j, i = 0 .. 3, of rows 4 q to 4 q + 3 */
    for (int q = 0; q < 4; q++) {
        const char *rows = w + (size_t)(4 * q) * stride;
        const __m512i a = row_codes(type, rows, factor[4 * q]);
        const __m512i b = row_codes(type, rows + stride, factor[4 * q + 1]);
        const __m512i c = row_codes(type, rows + 2 * stride, factor[4 * q + 2]);
        const __m512i d = row_codes(type, rows + 3 * stride, factor[4 * q + 3]);
        const __m512i ab_low = _mm512_unpacklo_epi32(a, b);
        const __m512i ab_high = _mm512_unpackhi_epi32(a, b);
        const __m512i cd_low = _mm512_unpacklo_epi32(c, d);
        const __m512i cd_high = _mm512_unpackhi_epi32(c, d);
        four[q][0] = _mm512_unpacklo_epi64(ab_low, cd_low);
        four[q][1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        four[q][2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        four[q][3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    for (int j = 0; j < 4; j++) {
        const __m512i low01 = _mm512_shuffle_i32x4(four[0][j], four[1][j], 0x44);
        const __m512i high01 = _mm512_shuffle_i32x4(four[0][j], four[1][j], 0xee);
        const __m512i low23 = _mm512_shuffle_i32x4(four[2][j], four[3][j], 0x44);
        const __m512i high23 = _mm512_shuffle_i32x4(four[2][j], four[3][j], 0xee);
        int8_t *group = to + 4 * j * 64;
        _mm512_storeu_si512(group, _mm512_shuffle_i32x4(low01, low23, 0x88));
        _mm512_storeu_si512(group + 64, _mm512_shuffle_i32x4(low01, low23, 0xdd));
        _mm512_storeu_si512(group + 128, _mm512_shuffle_i32x4(high01, high23, 0x88));
        _mm512_storeu_si512(group + 192, _mm512_shuffle_i32x4(high01, high23, 0xdd));
    }
}

#include "body.h"
