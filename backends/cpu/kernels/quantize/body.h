/* body.h - quantize in blocks of 64 elements. The including file has a `block`, and with it
 *   void block_max(const float *x, int32_t small_below, uint8_t *marks, block *largest_small,
 *                  block *largest)       marks may be NULL
 *   void block_codes(const float *x, int32_t small_below, float factor, int8_t *q, block *sum)
 *   int32_t block_reduce_max(block), block_reduce_add(block), block block_zero(void)
 * Magnitudes are compared as bit patterns: NaN lies above Inf.
 */
#include <string.h>

#include "../kernels.h"
#include "ggml-int8/gi8_quantize.h"

enum { INF_BITS = 0x7f800000, BLOCK = GI8I_CODES_ALIGN };

static inline int32_t bits_of(float f) {
    int32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float from_bits(int32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline void quantize_row(const float *x, int64_t k, float threshold, uint8_t *marks,
                                int8_t *q, float *absmax, int32_t *sum) {
    bool decompose = threshold > 0.0f;
    int32_t small_below = decompose ? bits_of(threshold) : INF_BITS;
    int64_t whole = k / BLOCK * BLOCK;
    size_t rest = (size_t)(k - whole);
    float x_rest[BLOCK] = {0.0f};
    memcpy(x_rest, x + whole, rest * sizeof *x);
    marks = decompose ? marks : NULL;

    block largest_small = block_zero();
    block largest = block_zero();
    for (int64_t i = 0; i < whole; i += BLOCK) {
        block_max(x + i, small_below, marks != NULL ? marks + i : NULL, &largest_small, &largest);
    }
    if (rest > 0) {
        block_max(x_rest, small_below, marks != NULL ? marks + whole : NULL, &largest_small,
                  &largest);
    }
    int32_t top = block_reduce_max(largest);
    if (top > INF_BITS || (!decompose && top == INF_BITS)) {
        memset(q, 0, (size_t)whole + (rest > 0 ? BLOCK : 0));
        *absmax = from_bits(INF_BITS + 0x400000); /* quiet NaN */
        *sum = 0;
        return;
    }
    *absmax = from_bits(block_reduce_max(largest_small));

    float factor = gi8_int8_factor(*absmax);
    block total = block_zero();
    for (int64_t i = 0; i < whole; i += BLOCK) {
        block_codes(x + i, small_below, factor, q + i, &total);
    }
    if (rest > 0) {
        block_codes(x_rest, small_below, factor, q + whole, &total);
    }
    *sum = block_reduce_add(total);
}
