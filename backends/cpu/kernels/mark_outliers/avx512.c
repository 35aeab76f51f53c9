/* avx512.c - mark_outliers in AVX-512. */
#include <immintrin.h>

#include "../kernels.h"

void gi8i_mark_outliers_avx512(const float *x, int64_t k, float threshold, uint8_t *is_outlier) {
    __m512 t = _mm512_set1_ps(threshold);
    for (int64_t i = 0; i < k; i += 16) {
        __mmask16 lanes = (__mmask16)(k - i >= 16 ? 0xffff : (1u << (k - i)) - 1);
        __m512 magnitude = _mm512_abs_ps(_mm512_maskz_loadu_ps(lanes, x + i));
        __mmask16 large = _mm512_mask_cmp_ps_mask(lanes, magnitude, t, _CMP_GE_OQ);
        _mm_mask_storeu_epi8(is_outlier + i, large, _mm_set1_epi8(1));
    }
}
