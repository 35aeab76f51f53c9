/* functions.h - exp and the normal distribution function for 16 lanes. Include it after the header
 * of the instruction set. The polynomials are minimax fits in relative error (Remez).
 */
#ifndef GI8I_SIMD_FUNCTIONS_H
#define GI8I_SIMD_FUNCTIONS_H

/* c[0] + x * (c[1] + x * (...)) */
GI8I_INLINE f32x16 f_polynomial(f32x16 x, const float *c, int degree) {
    f32x16 sum = f_set1(c[degree]);
    for (int i = degree - 1; i >= 0; i--) {
        sum = f_fma(sum, x, f_set1(c[i]));
    }
    return sum;
}

/* exp(x) to 1.5 units in the last place; 0 below -104, Inf above 88.73, NaN for NaN.
 * x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts. */
GI8I_INLINE f32x16 f_exp(f32x16 x) {
    static const float c[7] = {1.0f,           1.00000003632f,   0.499999920798f, 0.166664201699f,
                               0.0416682255669f, 0.0083748157983f, 0.00138368461346f};
    /* The constants come first: of max and min with a NaN the second operand stays. */
    x = f_max(f_set1(-105.0f), f_min(f_set1(90.0f), x));
    f32x16 magic = f_set1(12582912.0f); /* 1.5 * 2^23: the sum's last bit is worth 1 */
    f32x16 t = f_fma(x, f_set1(1.44269504089f), magic);
    f32x16 n = f_sub(t, magic);
    f32x16 r = f_fma(n, f_set1(-0.693145751953125f), x);
    r = f_fma(n, f_set1(-1.42860682030941723212e-6f), r);
    return f_scale_by_power(f_polynomial(r, c, 6), t);
}

/* The standard normal distribution function to 4 units in the last place, also far below 0:
 * 1/2 erfc(z) with z = |x| / sqrt(2) is exp(-x^2/2) * t * P(t), t = 1 / (1 + 0.4 z). */
GI8I_INLINE f32x16 f_normal_cdf(f32x16 x) {
    static const float c[10] = {0.2257008763f,  0.2250709679f, 0.2139183935f,  0.1344003564f,
                                0.2582814868f,  -0.2584754237f, 0.5160848186f, -0.4751587753f,
                                0.1879010564f,  -0.02772374652f};
    f32x16 one = f_set1(1.0f);
    f32x16 half = f_set1(0.5f);
    f32x16 magnitude = f_abs(x);
    f32x16 t = f_div(one, f_fma(magnitude, f_set1(0.4f * 0.70710678118654752f), one));
    /* x^2 / 2 in two parts, since exp() turns an absolute error into a relative one. */
    f32x16 clamped = f_min(f_set1(16.0f), magnitude);
    f32x16 minus_half = f_mul(clamped, f_set1(-0.5f));
    f32x16 exponent = f_mul(minus_half, clamped);
    f32x16 rest = f_fma(minus_half, clamped, f_sub(f_set1(0.0f), exponent));
    f32x16 e = f_exp(exponent);
    e = f_fma(e, rest, e);
    f32x16 tail = f_mul(half, f_mul(e, f_mul(t, f_polynomial(t, c, 9))));
    return f_select_less(x, f_set1(0.0f), tail, f_sub(one, tail));
}

#endif
