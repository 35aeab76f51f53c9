/* transpose_avx2.h - 16 x 16 elements, rows to columns, in AVX2; included after avx2.h. transpose.h
 * says what the function does. */
#ifndef GI8I_SIMD_TRANSPOSE_H
#define GI8I_SIMD_TRANSPOSE_H

#include <stddef.h>

#include "../kernels.h"

/* 16 bytes at each address. */
GI8I_INLINE __m256i load_two(const char *low, const char *high) {
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
        _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

/* 32-bit elements, 8 rows x 4. Row i and row i + 4 share a vector. */
GI8I_INLINE void store_transposed_8x4(const char *rows, size_t stride_bytes, float *to,
                                      int64_t to_stride) {
    __m256 r[4];
    GI8I_UNROLL
    for (int i = 0; i < 4; i++) {
        const char *row = rows + (size_t)i * stride_bytes;
        r[i] = _mm256_castsi256_ps(load_two(row, row + 4 * stride_bytes));
    }
    const __m256d ab0 = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1]));
    const __m256d ab1 = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
    const __m256d cd0 = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3]));
    const __m256d cd1 = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
    _mm256_storeu_ps(to, _mm256_castpd_ps(_mm256_unpacklo_pd(ab0, cd0)));
    _mm256_storeu_ps(to + to_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(ab0, cd0)));
    _mm256_storeu_ps(to + 2 * to_stride, _mm256_castpd_ps(_mm256_unpacklo_pd(ab1, cd1)));
    _mm256_storeu_ps(to + 3 * to_stride, _mm256_castpd_ps(_mm256_unpackhi_pd(ab1, cd1)));
}

/* 16 rows of one column, as 16-bit elements. */
GI8I_INLINE void store_column(gi8_type type, float *to, __m256i bits) {
    const __m128i low = _mm256_castsi256_si128(bits);
    const __m128i high = _mm256_extracti128_si256(bits, 1);
    _mm256_storeu_ps(to, type == GI8_TYPE_F16 ? _mm256_cvtph_ps(low) : bf16_bits(low));
    _mm256_storeu_ps(to + 8, type == GI8_TYPE_F16 ? _mm256_cvtph_ps(high) : bf16_bits(high));
}

/* 16-bit elements, 16 rows x 8. Row i and row i + 8 share a vector. */
GI8I_INLINE void store_transposed_16x8(gi8_type type, const char *rows, size_t stride_bytes,
                                       float *to, int64_t to_stride) {
    __m256i pair[8]; /* rows 2 i, 2 i + 1: columns 0..3, columns 4..7 */
    GI8I_UNROLL
    for (int i = 0; i < 8; i += 2) {
        const char *row = rows + (size_t)i * stride_bytes;
        __m256i a = load_two(row, row + 8 * stride_bytes);
        __m256i b = load_two(row + stride_bytes, row + 9 * stride_bytes);
        pair[i] = _mm256_unpacklo_epi16(a, b);
        pair[i + 1] = _mm256_unpackhi_epi16(a, b);
    }
    GI8I_UNROLL
    for (int j = 0; j < 4; j++) { /* columns 2 j, 2 j + 1 */
        __m256i a = j % 2 == 0 ? _mm256_unpacklo_epi32(pair[j / 2], pair[j / 2 + 2])
                               : _mm256_unpackhi_epi32(pair[j / 2], pair[j / 2 + 2]);
        __m256i b = j % 2 == 0 ? _mm256_unpacklo_epi32(pair[j / 2 + 4], pair[j / 2 + 6])
                               : _mm256_unpackhi_epi32(pair[j / 2 + 4], pair[j / 2 + 6]);
        store_column(type, to + 2 * j * to_stride, _mm256_unpacklo_epi64(a, b));
        store_column(type, to + (2 * j + 1) * to_stride, _mm256_unpackhi_epi64(a, b));
    }
}

GI8I_INLINE void f_store_transposed(gi8_type type, const char *rows, size_t stride_bytes, float *to,
                                    int64_t to_stride) {
    if (type != GI8_TYPE_F32) {
        store_transposed_16x8(type, rows, stride_bytes, to, to_stride);
        store_transposed_16x8(type, rows + 16, stride_bytes, to + 8 * to_stride, to_stride);
        return;
    }
    for (int i = 0; i < 16; i += 4) {
        const char *quad = rows + 4 * i;
        store_transposed_8x4(quad, stride_bytes, to + i * to_stride, to_stride);
        store_transposed_8x4(quad + 8 * stride_bytes, stride_bytes, to + i * to_stride + 8,
                             to_stride);
    }
}

#endif
