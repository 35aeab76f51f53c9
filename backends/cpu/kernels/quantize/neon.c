/* neon.c - quantize in Advanced SIMD. */
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

typedef int32x4_t block;

static inline block block_zero(void) {
    return vdupq_n_s32(0);
}

static inline int32_t block_reduce_max(block b) {
    return vmaxvq_s32(b);
}

static inline int32_t block_reduce_add(block b) {
    return vaddvq_s32(b);
}

static inline int32x4_t magnitude_bits(float32x4_t x) {
    return vreinterpretq_s32_f32(vabsq_f32(x));
}

/* Marks the numbers among four that are not small. */
static void mark(uint8_t *marks, int32x4_t bits, uint32x4_t small) {
    uint32x4_t nan = vcgtq_s32(bits, vdupq_n_s32(0x7f800000));
    uint32_t spared[4];
    vst1q_u32(spared, vorrq_u32(small, nan));
    for (int i = 0; i < 4; i++) {
        if (spared[i] == 0) {
            marks[i] = 1;
        }
    }
}

static inline void block_max(const float *x, int32_t small_below, uint8_t *marks,
                             block *largest_small, block *largest) {
    int32x4_t limit = vdupq_n_s32(small_below);
    for (int i = 0; i < 64; i += 4) {
        int32x4_t bits = magnitude_bits(vld1q_f32(x + i));
        uint32x4_t small = vcltq_s32(bits, limit);
        *largest = vmaxq_s32(*largest, bits);
        *largest_small = vmaxq_s32(*largest_small, vandq_s32(bits, vreinterpretq_s32_u32(small)));
        if (marks != NULL && vminvq_u32(small) == 0) { /* rare */
            mark(marks + i, bits, small);
        }
    }
}

/* Four codes as int32. */
static inline int32x4_t codes_of(const float *x, int32x4_t limit, float32x4_t c) {
    float32x4_t v = vld1q_f32(x);
    uint32x4_t keep = vcltq_s32(magnitude_bits(v), limit);
    return vandq_s32(vcvtnq_s32_f32(vmulq_f32(v, c)), vreinterpretq_s32_u32(keep));
}

static inline void block_codes(const float *x, int32_t small_below, float factor, int8_t *q,
                               block *sum) {
    int32x4_t limit = vdupq_n_s32(small_below);
    float32x4_t c = vdupq_n_f32(factor);
    for (int i = 0; i < 64; i += 8) {
        int32x4_t low = codes_of(x + i, limit, c);
        int32x4_t high = codes_of(x + i + 4, limit, c);
        *sum = vaddq_s32(*sum, vaddq_s32(low, high));
        vst1_s8(q + i, vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high))));
    }
}

#include "body.h"

void gi8i_quantize_neon(const float *x, int64_t k, float threshold, uint8_t *marks, int8_t *q,
                        float *absmax, int32_t *sum) {
    quantize_row(x, k, threshold, marks, q, absmax, sum);
}
