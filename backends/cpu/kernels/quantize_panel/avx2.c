/* avx2.c - quantize_panel in AVX2. */
#include "../simd/avx2.h"

#include "../simd/weights.h"

/* 16 codes as int16; within 128-bit lanes, as the pack works: 0-3 8-11 | 4-7 12-15. */
GI8I_INLINE __m256i codes_of(gi8_type type, const char *w, __m256 factor) {
    const f32x16 x = load_weights(type, w);
    return _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(x.low, factor)),
                              _mm256_cvtps_epi32(_mm256_mul_ps(x.high, factor)));
}

/* 32 codes of a row: group 2 j + i of four codes becomes number 4 i + j of the vector. */
GI8I_INLINE __m256i row_codes(gi8_type type, const char *w, float factor) {
    const size_t step = type == GI8_TYPE_F32 ? 64 : 32;
    const __m256 c = _mm256_set1_ps(factor);
    return _mm256_packs_epi16(codes_of(type, w, c), codes_of(type, w + step, c));
}

/* Transposes 8 x 8 words of 32 bits: 8 rows and 32 columns. */
GI8I_INLINE void pack_block(gi8_type type, const char *w, size_t stride, const float *factor,
                            int8_t *to) {
    __m256i four[2][4]; /* [q][j]: words j and 4 + j of rows 4 q to 4 q + 3 */
    for (int q = 0; q < 2; q++) {
        const char *rows = w + (size_t)(4 * q) * stride;
        const __m256i a = row_codes(type, rows, factor[4 * q]);
        const __m256i b = row_codes(type, rows + stride, factor[4 * q + 1]);
        const __m256i c = row_codes(type, rows + 2 * stride, factor[4 * q + 2]);
        const __m256i d = row_codes(type, rows + 3 * stride, factor[4 * q + 3]);
        const __m256i ab_low = _mm256_unpacklo_epi32(a, b);
        const __m256i ab_high = _mm256_unpackhi_epi32(a, b);
        const __m256i cd_low = _mm256_unpacklo_epi32(c, d);
        const __m256i cd_high = _mm256_unpackhi_epi32(c, d);
        four[q][0] = _mm256_unpacklo_epi64(ab_low, cd_low);
        four[q][1] = _mm256_unpackhi_epi64(ab_low, cd_low);
        four[q][2] = _mm256_unpacklo_epi64(ab_high, cd_high);
        four[q][3] = _mm256_unpackhi_epi64(ab_high, cd_high);
    }
    for (int j = 0; j < 4; j++) {
        __m256i *group = (__m256i *)(void *)(to + 2 * j * 64);
        _mm256_storeu_si256(group, _mm256_permute2x128_si256(four[0][j], four[1][j], 0x20));
        _mm256_storeu_si256(group + 2, _mm256_permute2x128_si256(four[0][j], four[1][j], 0x31));
    }
}

GI8I_INLINE void pack_tile(gi8_type type, const char *w, size_t stride, const float *factor,
                           int8_t *to) {
    const size_t half = type == GI8_TYPE_F32 ? 128 : 64; /* bytes of 32 columns */
    for (int row = 0; row < 16; row += 8) {
        const char *rows = w + (size_t)row * stride;
        pack_block(type, rows, stride, factor + row, to + row * 4);
        pack_block(type, rows + half, stride, factor + row, to + row * 4 + 8 * 64);
    }
}

#include "body.h"
