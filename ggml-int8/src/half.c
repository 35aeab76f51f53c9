/* half.c - conversions between binary32 and the two 16-bit float formats. */
#include "float_bits.h"
#include "ggml-int8/gi8_types.h"

/* The conversions blend precomputed values by masks instead of branching, so that the array loops
 * below vectorise with nothing but SSE2. */

/* `yes` where the condition is 1, `no` where it is 0. */
static inline uint32_t blend(int condition, uint32_t yes, uint32_t no) {
    uint32_t mask = 0u - (uint32_t)condition;
    return (yes & mask) | (no & ~mask);
}

static inline float fp16_to_fp32(uint16_t h) {
    uint32_t magnitude = h & 0x7fffu;
    uint32_t denormal = gi8i_bits((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t normal = (magnitude << 13) + (UINT32_C(112) << 23);
    uint32_t special = (magnitude << 13) | GI8I_INF_BITS;
    uint32_t bits = blend(magnitude < 0x0400, denormal, normal);
    bits = blend(magnitude >= 0x7c00, special, bits);
    return gi8i_from_bits(bits | (uint32_t)(h & 0x8000u) << 16);
}

static inline uint16_t fp32_to_fp16(float f) {
    uint32_t bits = gi8i_bits(f);
    uint32_t magnitude = bits & GI8I_ABS_MASK;
    /* 0.5f has a last bit worth 2^-24, the smallest fp16 denormal: the addition rounds to it. */
    uint32_t denormal = gi8i_bits(gi8i_from_bits(magnitude) + 0.5f) - gi8i_bits(0.5f);
    /* Half of the lost part, less one where the kept part is even: ties go to even. A carry runs
     * into the exponent, and from 65520 on into infinity. */
    uint32_t lost_half = 0x0fff + ((magnitude >> 13) & 1);
    uint32_t normal = (magnitude - (UINT32_C(112) << 23) + lost_half) >> 13;
    uint32_t nan = 0x7e00 | ((magnitude >> 13) & 0x03ff);
    uint32_t h = blend(magnitude < UINT32_C(0x38800000), denormal, normal); /* 2^-14 */
    h = blend(magnitude >= UINT32_C(0x47800000), 0x7c00, h);                /* 2^16 */
    h = blend(magnitude > GI8I_INF_BITS, nan, h);
    return (uint16_t)(h | (bits >> 16 & 0x8000));
}

static inline float bf16_to_fp32(uint16_t b) {
    return gi8i_from_bits((uint32_t)b << 16);
}

static inline uint16_t fp32_to_bf16(float f) {
    uint32_t bits = gi8i_bits(f);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t nan = bits >> 16 | 0x0040;
    return (uint16_t)((bits & GI8I_ABS_MASK) > GI8I_INF_BITS ? nan : rounded);
}

float gi8_fp16_to_fp32(uint16_t h) {
    return fp16_to_fp32(h);
}

uint16_t gi8_fp32_to_fp16(float f) {
    return fp32_to_fp16(f);
}

float gi8_bf16_to_fp32(uint16_t b) {
    return bf16_to_fp32(b);
}

uint16_t gi8_fp32_to_bf16(float f) {
    return fp32_to_bf16(f);
}

static inline void store_u16(void *array, int64_t i, uint16_t value) {
    memcpy((char *)array + i * (int64_t)sizeof value, &value, sizeof value);
}

/* The 16-bit side of an array may lie at any address, as the tensors of a mapped file do. */

gi8_status gi8_convert_to_fp32(gi8_type type, const void *src, int64_t n, float *dst) {
    if (!gi8_type_is_float(type)) {
        return GI8_ERR_TYPE;
    }
    if (n <= 0) {
        return GI8_OK;
    }
    if (type == GI8_TYPE_F32) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
    } else if (type == GI8_TYPE_F16) {
        for (int64_t i = 0; i < n; i++) {
            dst[i] = fp16_to_fp32(gi8i_load_u16(src, i));
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            dst[i] = bf16_to_fp32(gi8i_load_u16(src, i));
        }
    }
    return GI8_OK;
}

gi8_status gi8_convert_from_fp32(gi8_type type, const float *src, int64_t n, void *dst) {
    if (!gi8_type_is_float(type)) {
        return GI8_ERR_TYPE;
    }
    if (n <= 0) {
        return GI8_OK;
    }
    if (type == GI8_TYPE_F32) {
        memcpy(dst, src, (size_t)n * sizeof *src);
    } else if (type == GI8_TYPE_F16) {
        for (int64_t i = 0; i < n; i++) {
            store_u16(dst, i, fp32_to_fp16(src[i]));
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            store_u16(dst, i, fp32_to_bf16(src[i]));
        }
    }
    return GI8_OK;
}
