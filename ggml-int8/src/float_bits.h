/* float_bits.h - binary32 values as bit patterns, and the one rounding from a value to a code. */
#ifndef GI8_FLOAT_BITS_H
#define GI8_FLOAT_BITS_H

#include <float.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__)
#error "the core's results are defined to the last bit: build it without -ffast-math"
#endif
#if FLT_EVAL_METHOD != 0
#error "the core needs fp32 arithmetic without excess precision (on x86-32: -msse2 -mfpmath=sse)"
#endif

/* Magnitudes compare as their bit patterns do; NaN lies above Inf. Comparing integers keeps NaN,
 * Inf and denormals apart whatever the floating-point environment is. */
#define GI8I_ABS_MASK UINT32_C(0x7fffffff)
#define GI8I_INF_BITS UINT32_C(0x7f800000)
/* 127 * 2^-128: the largest absmax for which 127 / absmax overflows. */
#define GI8I_FACTOR_OVERFLOW_BITS UINT32_C(0x02fe0000)

static inline uint32_t gi8i_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float gi8i_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t gi8i_abs_bits(float f) {
    return gi8i_bits(f) & GI8I_ABS_MASK;
}

/* Element i of an array at any address: the tensors of a mapped file need not be aligned. */
static inline uint32_t gi8i_load_u32(const void *array, int64_t i) {
    uint32_t value;
    memcpy(&value, (const char *)array + i * (int64_t)sizeof value, sizeof value);
    return value;
}

static inline uint16_t gi8i_load_u16(const void *array, int64_t i) {
    uint16_t value;
    memcpy(&value, (const char *)array + i * (int64_t)sizeof value, sizeof value);
    return value;
}

/* rint(v) for |v| <= 127, half to even. Adding 1.5 * 2^23 leaves a sum whose last bit is worth 1,
 * so the addition rounds as rint() does and the low byte of the sum is the code in two's
 * complement. Unlike rintf() this needs no instruction beyond SSE2, and unlike a conversion it is
 * defined for any v: NaN and large values give some byte. `v` must be a rounded fp32 product: the
 * core is built with -ffp-contract=off so that no fused multiply-add skips that rounding. */
static inline int8_t gi8i_round_to_code(float v) {
    uint32_t byte = gi8i_bits(v + 12582912.0f) & 0xff;
    return (int8_t)(byte < 128 ? (int32_t)byte : (int32_t)byte - 256);
}

#endif
