/* avx512.c - store_f16 in AVX-512. */
#include <immintrin.h>

#include "../kernels.h"

void gi8i_store_f16_avx512(const float *x, int64_t n, uint16_t *y) {
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 lanes = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m256i h = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(lanes, x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_mask_storeu_epi16(y + i, lanes, h);
    }
}
