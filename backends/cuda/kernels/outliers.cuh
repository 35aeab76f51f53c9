/* outliers.cuh - the arithmetic of the outlier part of LLM.int8(): sums in fixed point, which are
 * exact, so that every kernel may add up in any order and all give the same bits.
 *
 * With 2^e the lowest power of two above all that the outlier part may take of a row of x, what it
 * multiplies the weight with is rounded to a multiple of the row's unit, 2^(e - 30), but at least
 * 2^-126: an integer v of at most 2^30. The sum of v * w over the outlier columns is then an
 * integer, below 2^55, that is rounded to fp32 and multiplied with the unit. What a normal result
 * differs by from the sum of the values r themselves is at most
 *
 *   (2^-31 * 2^e + 2^-127) * (sum of |w|) + 2^-24 * |the sum|,  where 2^e is at most 2 * max |r|,
 *
 * in place of the n * 2^-24 * (sum of |r w|) of n additions in fp32. A row's unit depends on that
 * row alone, so that in per-token mode (where columns of other rows' outliers add exact zeros) its
 * result does not depend on the rows that share the call. v is four digits of eight bits, for
 * products by dp4a and tensor cores. A row with Inf has no unit (Inf), and its sums are made in
 * fp32. */
#ifndef GI8I_CUDA_OUTLIERS_CUH
#define GI8I_CUDA_OUTLIERS_CUH

#include <stdint.h>

#include <cuda_runtime.h>

#define GI8I_INF_BITS 0x7f800000

/* The unit of a row of which the outlier part takes no magnitude above `bits`, those of an fp32
 * number. At least 2^-126, so that the reciprocal is a number, too. */
static __device__ inline float gi8i_unit_above(int32_t bits) {
    int32_t exponent = (bits >> 23) + 1 - 30;
    exponent = exponent > 1 ? exponent : 1;
    return __int_as_float(bits < GI8I_INF_BITS ? exponent << 23 : GI8I_INF_BITS);
}

static __device__ inline bool gi8i_has_unit(float unit) {
    return __float_as_int(unit) < GI8I_INF_BITS;
}

/* `r` as an integer number of units; 0 where the row has no unit, or r is NaN. */
static __device__ inline int32_t gi8i_in_units(float r, float unit) {
    uint32_t reciprocal = (254u << 23) - static_cast<uint32_t>(__float_as_int(unit));
    float v = __fmul_rn(r, __int_as_float(static_cast<int32_t>(reciprocal)));
    return gi8i_has_unit(unit) && fabsf(v) <= 1073741824.0f ? __float2int_rn(v) : 0;
}

/* Digits -128 to 127 of base 256, the lowest in the lowest byte; |v| <= 2^30. */
static __device__ inline uint32_t gi8i_digits(int32_t v) {
    return (static_cast<uint32_t>(v) + 0x808080u) ^ 0x808080u;
}

/* Digits of four numbers to words of one digit each, the lowest digit first. */
static __device__ inline void gi8i_transpose_digits(const uint32_t v[4], uint32_t words[4]) {
    uint32_t low[2] = {__byte_perm(v[0], v[1], 0x5140), __byte_perm(v[2], v[3], 0x5140)};
    uint32_t high[2] = {__byte_perm(v[0], v[1], 0x7362), __byte_perm(v[2], v[3], 0x7362)};
    words[0] = __byte_perm(low[0], low[1], 0x5410);
    words[1] = __byte_perm(low[0], low[1], 0x7632);
    words[2] = __byte_perm(high[0], high[1], 0x5410);
    words[3] = __byte_perm(high[0], high[1], 0x7632);
}

/* The sum of v * w from the sums of each digit with w. */
static __device__ inline int64_t gi8i_sum_of_digits(int32_t d0, int32_t d1, int32_t d2,
                                                    int32_t d3) {
    return d0 + (static_cast<int64_t>(d1) * 256) + (static_cast<int64_t>(d2) * 65536) +
           (static_cast<int64_t>(d3) * 16777216);
}

static __device__ inline float gi8i_sum_to_fp32(int64_t sum, float unit) {
    return __fmul_rn(__ll2float_rn(sum), unit);
}

#endif
