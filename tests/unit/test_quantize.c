/* test_quantize.c - the paper's quantizers against references written here. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8_quantize.h"
#include "test_seed.h"

/* 127 * 2^-128: up to here 127 / absmax overflows. */
#define FACTOR_OVERFLOW 0x1.fcp-122f

static float reference_factor(float absmax) {
    double factor = 127.0 / (double)absmax;
    return absmax > 0.0f && isfinite(absmax) && (float)factor <= FLT_MAX ? (float)factor : 0.0f;
}

/* The product is stored as fp32 before it is rounded, whatever the compiler would like. */
static int8_t reference_code(float x, float factor) {
    volatile float product = x * factor;
    return factor == 0.0f ? 0 : (int8_t)nearbyint((double)product);
}

/* Numbers over the range that `exponent` sets, now and then zero or denormal. */
static float some_value(test_rng *rng, int exponent) {
    switch (test_rng_int(rng, 0, 15)) {
    case 0: return 0.0f;
    case 1: return test_rng_float(rng, -1.0f, 1.0f) * FLT_MIN;
    default: return ldexpf(test_rng_float(rng, -1.0f, 1.0f), exponent);
    }
}

static void test_the_worked_absmax_example(void **state) {
    (void)state;
    const float x[8] = {1.2f, -0.5f, -4.3f, 1.2f, -3.1f, 0.8f, 2.4f, 5.4f};
    const int8_t expected[8] = {28, -12, -101, 28, -73, 19, 56, 127};
    int8_t codes[8];
    float absmax = 0.0f;
    assert_int_equal(gi8_quantize_absmax(x, 8, codes, &absmax), GI8_OK);
    assert_memory_equal(codes, expected, sizeof codes);
    assert_true(absmax == 5.4f);
    float back[8];
    assert_int_equal(gi8_dequantize_absmax(codes, 8, absmax, back), GI8_OK);
    for (int i = 0; i < 8; i++) {
        assert_true(fabsf(back[i] - x[i]) <= 0.5f * 5.4f / 127.0f);
    }
}

static void test_the_worked_zeropoint_example(void **state) {
    (void)state;
    const float x[3] = {-1.0f, 0.3f, 1.0f};
    int8_t codes[3];
    float scale = 0.0f;
    int32_t zero_point = 99;
    assert_int_equal(gi8_quantize_zeropoint(x, 3, codes, &scale, &zero_point), GI8_OK);
    assert_int_equal(zero_point, 0);
    assert_int_equal(codes[0], -127);
    assert_int_equal(codes[1], 38);
    assert_int_equal(codes[2], 127);
    float back[3];
    assert_int_equal(gi8_dequantize_zeropoint(codes, 3, scale, zero_point, back), GI8_OK);
    assert_true(fabsf(back[1] - 0.2992f) < 0.00005f);
}

static void test_factor_and_its_edges(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(21);
    assert_true(gi8_int8_factor(127.0f) == 1.0f);
    assert_true(gi8_int8_factor(0.0f) == 0.0f);
    assert_true(gi8_int8_factor(-1.0f) == 0.0f);
    assert_true(gi8_int8_factor(NAN) == 0.0f);
    assert_true(gi8_int8_factor(INFINITY) == 0.0f);
    assert_true(gi8_int8_factor(FLT_TRUE_MIN) == 0.0f);
    assert_true(gi8_int8_factor(FACTOR_OVERFLOW) == 0.0f);
    assert_true(gi8_int8_factor(nextafterf(FACTOR_OVERFLOW, 1.0f)) == FLT_MAX);
    assert_true(gi8_int8_factor(FLT_MAX) == 127.0f / FLT_MAX);
    for (int i = 0; i < 100000; i++) {
        float absmax = fabsf(some_value(&rng, (int)test_rng_int(&rng, -126, 128)));
        assert_true(gi8_int8_factor(absmax) == reference_factor(absmax));
    }
}

/* With absmax 127 the factor is 1, so codes are rint() of the values themselves. */
static void check_rounding(const float *values, int64_t n) {
    int8_t codes[256];
    float absmax = 0.0f;
    assert_true(n <= 256 && values[0] == 127.0f);
    assert_int_equal(gi8_quantize_absmax(values, n, codes, &absmax), GI8_OK);
    for (int64_t i = 0; i < n; i++) {
        if (codes[i] != (int)nearbyint((double)values[i])) {
            fail_msg("%a becomes %d", (double)values[i], codes[i]);
        }
    }
}

/* Every tie and every whole number in [-127, 127] with the floats around it, then a grid over all
 * floats of that range: the addition that stands for rint() must equal it everywhere. */
static void test_codes_are_rounded_half_to_even(void **state) {
    (void)state;
    float values[256] = {127.0f};
    for (int twice = -254; twice <= 254; twice++) {
        float up = (float)twice * 0.5f;
        float down = up;
        int64_t n = 1;
        for (int step = 0; step < 20; step++) {
            values[n++] = up;
            values[n++] = down;
            up = fminf(nextafterf(up, INFINITY), 127.0f);
            down = fmaxf(nextafterf(down, -INFINITY), -127.0f);
        }
        check_rounding(values, n);
    }
    uint32_t last = 0;
    const float limit = 127.0f;
    memcpy(&last, &limit, sizeof last);
    int64_t n = 1;
    for (uint32_t bits = 0; bits <= last; bits += 211) {
        memcpy(&values[n], &bits, sizeof bits);
        values[n + 1] = -values[n];
        n += 2;
        if (n > 250 || bits + 211 > last) {
            check_rounding(values, n);
            n = 1;
        }
    }
}

/* One quantizer's result on a matrix [k, rows], vector by vector. */
static void check_vectors(const float *x, int64_t k, int64_t rows, int axis, const int8_t *codes,
                          const float *absmax) {
    int64_t vectors = axis == 0 ? rows : k;
    int64_t length = axis == 0 ? k : rows;
    for (int64_t v = 0; v < vectors; v++) {
        float max = 0.0f;
        int finite = 1;
        for (int64_t i = 0; i < length; i++) {
            float value = x[axis == 0 ? v * k + i : i * k + v];
            finite = finite && isfinite(value);
            max = fmaxf(max, fabsf(value));
        }
        float factor = finite ? reference_factor(max) : 0.0f;
        assert_true(finite ? absmax[v] == max : isnan(absmax[v]));
        for (int64_t i = 0; i < length; i++) {
            int64_t at = axis == 0 ? v * k + i : i * k + v;
            assert_int_equal(codes[at], reference_code(finite ? x[at] : 0.0f, factor));
        }
    }
}

static void test_vectorwise_equals_the_reference_on_both_axes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(22);
    enum { MAX_K = 300, MAX_ROWS = 9, MAX = MAX_K * MAX_ROWS };
    static float x[MAX];
    static float back[MAX];
    static int8_t codes[MAX + 1];
    float absmax[MAX_K + 1];
    for (int round = 0; round < 600; round++) {
        int64_t k = test_rng_int(&rng, 0, MAX_K);
        int64_t rows = test_rng_int(&rng, 0, MAX_ROWS);
        int axis = (int)test_rng_int(&rng, 0, 1);
        int64_t vectors = axis == 0 ? rows : k;
        int not_finite = 0;
        int exponent = (int)test_rng_int(&rng, -140, 127);
        for (int64_t i = 0; i < k * rows; i++) {
            x[i] = some_value(&rng, exponent);
            if (test_rng_int(&rng, 0, 3000) == 0) {
                x[i] = test_rng_int(&rng, 0, 1) ? NAN : -INFINITY;
                not_finite = 1;
            }
        }
        memset(codes, 0x55, sizeof codes);
        absmax[vectors] = -7.0f;
        assert_int_equal(gi8_quantize_vectorwise(x, k, rows, axis, codes, absmax),
                         not_finite ? GI8_ERR_NOT_FINITE : GI8_OK);
        check_vectors(x, k, rows, axis, codes, absmax);
        assert_int_equal(codes[k * rows], 0x55);
        assert_true(absmax[vectors] == -7.0f);

        assert_int_equal(gi8_dequantize_vectorwise(codes, absmax, k, rows, axis, back), GI8_OK);
        for (int64_t i = 0; i < k * rows; i++) {
            float s = absmax[axis == 0 ? i / k : i % k];
            float expected = (float)((double)codes[i] * (double)s / 127.0);
            assert_true(isnan(s) ? isnan(back[i]) : back[i] == expected);
        }
    }
}

static void test_rowwise_and_absmax_are_cases_of_vectorwise(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(23);
    float x[7 * 33];
    float back[2][7 * 33];
    int8_t codes[2][7 * 33];
    float absmax[2][7];
    for (int i = 0; i < 7 * 33; i++) {
        x[i] = test_rng_normal(&rng);
    }
    x[40] = NAN;
    assert_int_equal(gi8_quantize_vectorwise(x, 33, 7, 0, codes[0], absmax[0]), GI8_ERR_NOT_FINITE);
    assert_int_equal(gi8_quantize_rowwise(x, 33, 7, codes[1], absmax[1]), GI8_ERR_NOT_FINITE);
    assert_memory_equal(codes[0], codes[1], sizeof codes[0]);
    assert_memory_equal(absmax[0], absmax[1], sizeof absmax[0]);
    assert_int_equal(gi8_dequantize_rowwise(codes[0], absmax[0], 33, 7, back[0]), GI8_OK);
    for (int row = 0; row < 7; row++) {
        gi8_status expected = row == 1 ? GI8_ERR_NOT_FINITE : GI8_OK;
        assert_int_equal(gi8_quantize_absmax(x + row * 33, 33, codes[1], absmax[1]), expected);
        assert_memory_equal(codes[1], codes[0] + row * 33, 33);
        assert_memory_equal(absmax[1], absmax[0] + row, sizeof(float));
        assert_int_equal(gi8_dequantize_absmax(codes[1], 33, absmax[1][0], back[1]), GI8_OK);
        assert_memory_equal(back[1], back[0] + row * 33, 33 * sizeof(float));
    }
}

static void test_dequantizing_the_largest_values_does_not_overflow(void **state) {
    (void)state;
    const int8_t codes[3] = {127, -127, 1};
    float x[3];
    assert_int_equal(gi8_dequantize_absmax(codes, 3, FLT_MAX, x), GI8_OK);
    assert_true(x[0] == FLT_MAX && x[1] == -FLT_MAX && x[2] == (float)((double)FLT_MAX / 127.0));
}

static void test_zeropoint_equals_the_reference(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(24);
    enum { MAX = 400 };
    float x[MAX];
    float back[MAX];
    int8_t codes[MAX + 1];
    for (int round = 0; round < 2000; round++) {
        int64_t n = test_rng_int(&rng, 1, MAX);
        int exponent = (int)test_rng_int(&rng, -110, 127);
        float shift = ldexpf(test_rng_float(&rng, -1.0f, 1.0f), exponent);
        double lo = 0.0;
        double hi = 0.0;
        for (int64_t i = 0; i < n; i++) {
            x[i] = ldexpf(test_rng_float(&rng, -0.9f, 0.9f), exponent) + 0.1f * shift;
            lo = fmin(lo, (double)x[i]);
            hi = fmax(hi, (double)x[i]);
        }
        float scale = -1.0f;
        int32_t zero_point = 1000;
        codes[n] = 0x55;
        assert_int_equal(gi8_quantize_zeropoint(x, n, codes, &scale, &zero_point), GI8_OK);
        assert_int_equal(codes[n], 0x55);
        assert_true(scale == (float)((hi - lo) / 254.0));
        assert_int_equal(zero_point, (int32_t)nearbyint(-127.0 - lo / (double)scale));
        assert_in_range(zero_point + 127, 0, 254);
        assert_int_equal(gi8_dequantize_zeropoint(codes, n, scale, zero_point, back), GI8_OK);
        for (int64_t i = 0; i < n; i++) {
            double code = nearbyint((double)x[i] / (double)scale) + zero_point;
            assert_int_equal(codes[i], (int)fmax(-127.0, fmin(127.0, code)));
            assert_true(back[i] == (float)((codes[i] - zero_point) * (double)scale));
            /* Half a step, or a whole one where the two roundings met at 128. */
            assert_true(fabs((double)back[i] - (double)x[i]) <= 1.001 * (double)scale);
        }
    }
}

static void test_zeropoint_special_values(void **state) {
    (void)state;
    int8_t codes[4];
    float scale = -1.0f;
    int32_t zero_point = 1000;
    const float positive[4] = {0.0f, 2.54f, 1.0f, 0.5f};
    assert_int_equal(gi8_quantize_zeropoint(positive, 4, codes, &scale, &zero_point), GI8_OK);
    assert_int_equal(zero_point, -127);
    assert_int_equal(codes[0], -127);
    assert_int_equal(codes[1], 127);
    assert_int_equal(codes[2], -27);

    const float constant[2] = {5.0f, 5.0f};
    float back[2];
    assert_int_equal(gi8_quantize_zeropoint(constant, 2, codes, &scale, &zero_point), GI8_OK);
    assert_int_equal(gi8_dequantize_zeropoint(codes, 2, scale, zero_point, back), GI8_OK);
    assert_true(fabsf(back[0] - 5.0f) <= 5.0f * FLT_EPSILON);

    const float widest[2] = {-FLT_MAX, FLT_MAX};
    assert_int_equal(gi8_quantize_zeropoint(widest, 2, codes, &scale, &zero_point), GI8_OK);
    assert_int_equal(codes[0], -127);
    assert_int_equal(codes[1], 127);
    assert_int_equal(zero_point, 0);

    const float nearly_zero[3] = {0.0f, FLT_TRUE_MIN, -FLT_MIN};
    assert_int_equal(gi8_quantize_zeropoint(nearly_zero, 3, codes, &scale, &zero_point), GI8_OK);
    assert_true(scale == 0.0f && zero_point == 0 && codes[1] == 0 && codes[2] == 0);
    assert_int_equal(gi8_quantize_zeropoint(NULL, 0, NULL, &scale, &zero_point), GI8_OK);
    assert_true(scale == 0.0f && zero_point == 0);

    const float specials[2] = {NAN, -INFINITY};
    for (int i = 0; i < 2; i++) {
        const float x[3] = {1.0f, specials[i], -1.0f};
        memset(codes, 0x55, sizeof codes);
        zero_point = 1000;
        assert_int_equal(gi8_quantize_zeropoint(x, 3, codes, &scale, &zero_point),
                         GI8_ERR_NOT_FINITE);
        assert_true(isnan(scale) && zero_point == 0);
        assert_true(codes[0] == 0 && codes[1] == 0 && codes[2] == 0 && codes[3] == 0x55);
    }
}

static void test_bad_calls_are_refused_and_write_nothing(void **state) {
    (void)state;
    const float x[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    int8_t codes[4] = {55, 55, 55, 55};
    float absmax[4] = {-7.0f, -7.0f, -7.0f, -7.0f};
    float out[4] = {-7.0f, -7.0f, -7.0f, -7.0f};
    int32_t zero_point = 55;
    assert_int_equal(gi8_quantize_absmax(x, -1, codes, absmax), GI8_ERR_SHAPE);
    assert_int_equal(gi8_quantize_absmax(NULL, 4, codes, absmax), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_quantize_absmax(x, 4, NULL, absmax), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_quantize_absmax(x, 4, codes, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_quantize_absmax(x, INT64_MAX, codes, absmax), GI8_ERR_SHAPE);
    assert_int_equal(gi8_quantize_rowwise(x, -2, 2, codes, absmax), GI8_ERR_SHAPE);
    assert_int_equal(gi8_quantize_rowwise(x, INT64_C(1) << 40, INT64_C(1) << 40, codes, absmax),
                     GI8_ERR_SHAPE);
    assert_int_equal(gi8_quantize_vectorwise(x, 2, 2, 2, codes, absmax), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_quantize_vectorwise(x, 2, 2, -1, codes, absmax), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_quantize_vectorwise(x, 2, -2, 1, codes, absmax), GI8_ERR_SHAPE);
    assert_int_equal(gi8_quantize_zeropoint(x, -4, codes, absmax, &zero_point), GI8_ERR_SHAPE);
    assert_int_equal(gi8_quantize_zeropoint(x, 4, codes, NULL, &zero_point), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_quantize_zeropoint(x, 4, codes, absmax, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_dequantize_absmax(codes, -1, 1.0f, out), GI8_ERR_SHAPE);
    assert_int_equal(gi8_dequantize_absmax(codes, 4, 1.0f, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_dequantize_rowwise(codes, NULL, 2, 2, out), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_dequantize_vectorwise(codes, absmax, 2, 2, 3, out), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_dequantize_zeropoint(NULL, 4, 1.0f, 0, out), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_dequantize_zeropoint(codes, -4, 1.0f, 0, out), GI8_ERR_SHAPE);
    for (int i = 0; i < 4; i++) {
        assert_true(codes[i] == 55 && absmax[i] == -7.0f && out[i] == -7.0f);
    }
    assert_int_equal(zero_point, 55);
}

static void test_empty_arrays(void **state) {
    (void)state;
    float absmax[2] = {-7.0f, -7.0f};
    assert_int_equal(gi8_quantize_absmax(NULL, 0, NULL, absmax), GI8_OK);
    assert_true(absmax[0] == 0.0f && absmax[1] == -7.0f);
    assert_int_equal(gi8_quantize_rowwise(NULL, 5, 0, NULL, NULL), GI8_OK);
    assert_int_equal(gi8_quantize_vectorwise(NULL, 0, 2, 0, NULL, absmax), GI8_OK);
    assert_true(absmax[0] == 0.0f && absmax[1] == 0.0f);
    absmax[0] = -7.0f;
    assert_int_equal(gi8_quantize_vectorwise(NULL, 1, 0, 1, NULL, absmax), GI8_OK);
    assert_true(absmax[0] == 0.0f);
    assert_int_equal(gi8_dequantize_absmax(NULL, 0, 1.0f, NULL), GI8_OK);
    assert_int_equal(gi8_dequantize_zeropoint(NULL, 0, 1.0f, 0, NULL), GI8_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_worked_absmax_example),
        cmocka_unit_test(test_the_worked_zeropoint_example),
        cmocka_unit_test(test_factor_and_its_edges),
        cmocka_unit_test(test_codes_are_rounded_half_to_even),
        cmocka_unit_test(test_vectorwise_equals_the_reference_on_both_axes),
        cmocka_unit_test(test_rowwise_and_absmax_are_cases_of_vectorwise),
        cmocka_unit_test(test_dequantizing_the_largest_values_does_not_overflow),
        cmocka_unit_test(test_zeropoint_equals_the_reference),
        cmocka_unit_test(test_zeropoint_special_values),
        cmocka_unit_test(test_bad_calls_are_refused_and_write_nothing),
        cmocka_unit_test(test_empty_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
