/* transpose_avx512.h - 16 x 16 elements, rows to columns, in AVX-512; included after avx512.h.
 * transpose.h says what the function does. */
#ifndef GI8I_SIMD_TRANSPOSE_H
#define GI8I_SIMD_TRANSPOSE_H

#include <stddef.h>

#include "../kernels.h"

/* Four rows in their 128-bit parts: column j of each part to out[j]. */
GI8I_INLINE void transpose_4x4(__m512 a, __m512 b, __m512 c, __m512 d, __m512 out[4]) {
    const __m512d ab0 = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
    const __m512d ab1 = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    const __m512d cd0 = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
    const __m512d cd1 = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    out[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab0, cd0));
    out[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab0, cd0));
    out[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab1, cd1));
    out[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab1, cd1));
}

/* 32-bit elements. Row i and row i + 8 share a vector, eight elements of each. */
GI8I_INLINE void store_transposed_32(const char *rows, size_t stride_bytes, float *to,
                                     int64_t to_stride) {
    const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __m512 r[2][8];
    GI8I_UNROLL
    for (int i = 0; i < 8; i++) {
        __m512 a = _mm512_loadu_ps(rows + (size_t)i * stride_bytes);
        __m512 b = _mm512_loadu_ps(rows + (size_t)(i + 8) * stride_bytes);
        r[0][i] = _mm512_shuffle_f32x4(a, b, 0x44);
        r[1][i] = _mm512_shuffle_f32x4(a, b, 0xee);
    }
    GI8I_UNROLL
    for (int half = 0; half < 2; half++) {
        __m512 low[4];  /* rows 0..3 and 8..11, of which parts 0 and 2 hold columns 0..3 */
        __m512 high[4]; /* rows 4..7 and 12..15 */
        transpose_4x4(r[half][0], r[half][1], r[half][2], r[half][3], low);
        transpose_4x4(r[half][4], r[half][5], r[half][6], r[half][7], high);
        GI8I_UNROLL
        for (int j = 0; j < 4; j++) {
            __m512d a = _mm512_castps_pd(low[j]);
            __m512d b = _mm512_castps_pd(high[j]);
            float *column = to + (8 * half + j) * to_stride;
            _mm512_storeu_ps(column, _mm512_castpd_ps(_mm512_permutex2var_pd(a, even, b)));
            column += 4 * to_stride;
            _mm512_storeu_ps(column, _mm512_castpd_ps(_mm512_permutex2var_pd(a, odd, b)));
        }
    }
}

GI8I_INLINE __m512 from_16_bits(gi8_type type, __m256i bits) {
    return type == GI8_TYPE_F16 ? _mm512_cvtph_ps(bits) : bf16_bits(bits);
}

/* 16-bit elements, all of row i and row i + 8 in one vector. */
GI8I_INLINE void store_transposed_16(gi8_type type, const char *rows, size_t stride_bytes,
                                     float *to, int64_t to_stride) {
    __m512i pair[8]; /* rows 2 i, 2 i + 1: columns 0..3, columns 4..7 of each part */
    GI8I_UNROLL
    for (int i = 0; i < 8; i += 2) {
        const char *row = rows + (size_t)i * stride_bytes;
        const char *below = row + 8 * stride_bytes;
        __m512i a = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)row)),
            _mm256_loadu_si256((const __m256i *)(const void *)below), 1);
        row += stride_bytes;
        below += stride_bytes;
        __m512i b = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)row)),
            _mm256_loadu_si256((const __m256i *)(const void *)below), 1);
        pair[i] = _mm512_unpacklo_epi16(a, b);
        pair[i + 1] = _mm512_unpackhi_epi16(a, b);
    }
    GI8I_UNROLL
    for (int j = 0; j < 4; j++) { /* columns 2 j, 2 j + 1 of each part */
        __m512i a = j % 2 == 0 ? _mm512_unpacklo_epi32(pair[j / 2], pair[j / 2 + 2])
                               : _mm512_unpackhi_epi32(pair[j / 2], pair[j / 2 + 2]);
        __m512i b = j % 2 == 0 ? _mm512_unpacklo_epi32(pair[j / 2 + 4], pair[j / 2 + 6])
                               : _mm512_unpackhi_epi32(pair[j / 2 + 4], pair[j / 2 + 6]);
        /* Parts 0 and 2 hold rows 0..7 and 8..15 of column c, 1 and 3 those of column c + 8. */
        __m512i even = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7),
                                                _mm512_unpacklo_epi64(a, b));
        __m512i odd = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7),
                                               _mm512_unpackhi_epi64(a, b));
        float *column = to + 2 * j * to_stride;
        _mm512_storeu_ps(column, from_16_bits(type, _mm512_castsi512_si256(even)));
        _mm512_storeu_ps(column + to_stride, from_16_bits(type, _mm512_castsi512_si256(odd)));
        column += 8 * to_stride;
        _mm512_storeu_ps(column, from_16_bits(type, _mm512_extracti64x4_epi64(even, 1)));
        column += to_stride;
        _mm512_storeu_ps(column, from_16_bits(type, _mm512_extracti64x4_epi64(odd, 1)));
    }
}

GI8I_INLINE void f_store_transposed(gi8_type type, const char *rows, size_t stride_bytes, float *to,
                                    int64_t to_stride) {
    if (type == GI8_TYPE_F32) {
        store_transposed_32(rows, stride_bytes, to, to_stride);
    } else {
        store_transposed_16(type, rows, stride_bytes, to, to_stride);
    }
}

#endif
