/* avx2.c - mark_outliers in AVX2. */
#include <immintrin.h>
#include <math.h>

#include "../kernels.h"

/* All ones where |x| >= threshold. */
static inline __m256i large(const float *x, __m256 threshold) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 magnitude = _mm256_andnot_ps(sign, _mm256_loadu_ps(x));
    return _mm256_castps_si256(_mm256_cmp_ps(magnitude, threshold, _CMP_GE_OQ));
}

void gi8i_mark_outliers_avx2(const float *x, int64_t k, float threshold, uint8_t *is_outlier) {
    __m256 t = _mm256_set1_ps(threshold);
    int64_t i = 0;
    for (; i + 16 <= k; i += 16) {
        __m256i words = _mm256_packs_epi32(large(x + i, t), large(x + i + 8, t));
        words = _mm256_permute4x64_epi64(words, 0xd8);
        __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words),
                                        _mm256_extracti128_si256(words, 1));
        __m128i *mask = (__m128i *)(is_outlier + i);
        bytes = _mm_and_si128(bytes, _mm_set1_epi8(1));
        _mm_storeu_si128(mask, _mm_or_si128(_mm_loadu_si128(mask), bytes));
    }
    for (; i < k; i++) {
        is_outlier[i] = (uint8_t)(is_outlier[i] | (fabsf(x[i]) >= threshold));
    }
}
