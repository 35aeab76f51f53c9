/* functions.cuh - exp and the normal distribution function in fp32. Operation for operation those
 * of the CPU backend (simd/functions.h), and so the same bits: products are written __fmul_rn(), so
 * that the compiler fuses none of them with a sum. */
#ifndef GI8I_CUDA_FUNCTIONS_CUH
#define GI8I_CUDA_FUNCTIONS_CUH

#include <cuda_runtime.h>
#include <stdint.h>

/* exp(x) to 1.5 units in the last place; 0 below -104, Inf above 88.73, NaN for NaN.
 * x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts. */
static __device__ inline float gi8i_exp(float x) {
    x = x > 90.0f ? 90.0f : x; /* a NaN stays */
    x = x < -105.0f ? -105.0f : x;
    float t = fmaf(x, 1.44269504089f, 12582912.0f); /* 1.5 * 2^23: its last bit is worth 1 */
    float n = t - 12582912.0f;
    float r = fmaf(n, -0.693145751953125f, x);
    r = fmaf(n, -1.42860682030941723212e-6f, r);
    float p = 0.00138368461346f;
    p = fmaf(p, r, 0.0083748157983f);
    p = fmaf(p, r, 0.0416682255669f);
    p = fmaf(p, r, 0.166664201699f);
    p = fmaf(p, r, 0.499999920798f);
    p = fmaf(p, r, 1.00000003632f);
    p = fmaf(p, r, 1.0f);
    /* p 2^n, the factor in two parts: results in the denormal range round once. */
    int32_t whole = static_cast<int32_t>(__float_as_uint(t) - 0x4b400000u);
    int32_t part = whole >> 1;
    float first = __uint_as_float(static_cast<uint32_t>(part + 127) << 23);
    float second = __uint_as_float(static_cast<uint32_t>(whole - part + 127) << 23);
    return __fmul_rn(__fmul_rn(p, first), second);
}

/* The standard normal distribution function to 4 units in the last place, also far below 0:
 * 1/2 erfc(z) with z = |x| / sqrt(2) is exp(-x^2/2) * t * P(t), t = 1 / (1 + 0.4 z). */
static __device__ inline float gi8i_normal_cdf(float x) {
    float magnitude = fabsf(x);
    float t = __fdiv_rn(1.0f, fmaf(magnitude, 0.4f * 0.70710678118654752f, 1.0f));
    /* x^2 / 2 in two parts, since exp() turns an absolute error into a relative one. */
    float clamped = magnitude > 16.0f ? 16.0f : magnitude;
    float minus_half = __fmul_rn(clamped, -0.5f);
    float exponent = __fmul_rn(minus_half, clamped);
    float rest = fmaf(minus_half, clamped, -exponent);
    float e = gi8i_exp(exponent);
    e = fmaf(e, rest, e);
    float p = -0.02772374652f;
    p = fmaf(p, t, 0.1879010564f);
    p = fmaf(p, t, -0.4751587753f);
    p = fmaf(p, t, 0.5160848186f);
    p = fmaf(p, t, -0.2584754237f);
    p = fmaf(p, t, 0.2582814868f);
    p = fmaf(p, t, 0.1344003564f);
    p = fmaf(p, t, 0.2139183935f);
    p = fmaf(p, t, 0.2250709679f);
    p = fmaf(p, t, 0.2257008763f);
    float tail = __fmul_rn(0.5f, __fmul_rn(e, __fmul_rn(t, p)));
    return x < 0.0f ? tail : 1.0f - tail;
}

#endif
