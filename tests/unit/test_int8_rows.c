/* test_int8_rows.c - the codes of the weights and the activations of the int8 product. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8_quantize.h"
#include "test_seed.h"

#include "int8_reference.h"

/* ---- Weights ---- */

/* One quantized tensor against float arithmetic on the values that its type can hold. */
static void check_weights(gi8_type type, int64_t k, int64_t n, test_rng *rng) {
    const size_t size = gi8_type_size(type);
    const size_t count = (size_t)(k * n);
    float *values = allocate(count * sizeof *values);
    char *stored = allocate(count * size + 1);
    int8_t *codes = allocate(count + 1);
    float *absmax = allocate((size_t)n * sizeof *absmax);
    float *back = allocate(count * sizeof *back);
    for (size_t i = 0; i < count; i++) {
        values[i] = test_rng_normal(rng) * 0.02f;
    }
    if (n > 1) {
        memset(values, 0, (size_t)k * sizeof *values); /* a zero row */
    }
    if (n > 2) {
        for (int64_t i = 0; i < k; i++) {
            values[k + i] = test_rng_float(rng, -1.0f, 1.0f) * FLT_MIN; /* denormals; 0 in fp16 */
        }
    }
    /* One byte off every alignment. */
    gi8_convert_from_fp32(type, values, (int64_t)count, stored + 1);
    gi8_convert_to_fp32(type, stored + 1, (int64_t)count, values);
    codes[count] = GUARD;
    int64_t not_finite = -1;
    assert_int_equal(
        gi8_int8_quantize_weight_rows(type, stored + 1, k, n, codes, absmax, &not_finite), GI8_OK);
    assert_int_equal(not_finite, 0);
    assert_int_equal(codes[count], GUARD);
    assert_int_equal(gi8_int8_dequantize_weight_rows(codes, absmax, k, n, back), GI8_OK);
    for (int64_t row = 0; row < n; row++) {
        float max = 0.0f;
        for (int64_t i = 0; i < k; i++) {
            max = fmaxf(max, fabsf(values[row * k + i]));
        }
        assert_true(absmax[row] == max);
        volatile float reciprocal = 1.0f / max;
        for (int64_t i = 0; i < k; i++) {
            int8_t code = codes[row * k + i];
            assert_int_equal(code, reference_code(values[row * k + i], 127.0f * reciprocal));
            assert_true(back[row * k + i] == (float)(code * (double)max / 127.0));
        }
    }
    free(values);
    free(stored);
    free(codes);
    free(absmax);
    free(back);
}

static void test_weights_of_every_type_and_many_shapes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(31);
    const int64_t ks[] = {1, 2, 15, 16, 17, 499, 1023, 1024, 1025, 3000};
    const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};
    for (size_t t = 0; t < 3; t++) {
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
            check_weights(types[t], ks[i], 1, &rng);
            check_weights(types[t], ks[i], 7, &rng);
        }
    }
}

/* bitsandbytes multiplies by 127 * (1 / absmax), which has another last bit than 127 / absmax for
 * every fourth absmax. An entry of half the absmax shows it: 63.5 exactly, or just beside. */
static void test_the_factor_of_a_weight_is_127_times_the_reciprocal(void **state) {
    (void)state;
    int differing = 0;
    for (int h = 0x3c00; h < 0x4000; h++) {
        float max = gi8_fp16_to_fp32((uint16_t)h);
        const float w[2] = {max, 0.5f * max};
        int8_t codes[2];
        float absmax = 0.0f;
        assert_int_equal(gi8_int8_quantize_weight_rows(GI8_TYPE_F32, w, 2, 1, codes, &absmax, NULL),
                         GI8_OK);
        volatile float reciprocal = 1.0f / max;
        assert_int_equal(codes[0], 127);
        assert_int_equal(codes[1], reference_code(w[1], 127.0f * reciprocal));
        differing += codes[1] != reference_code(w[1], 127.0f / max);
    }
    assert_true(differing > 0);
}

static void test_weights_that_are_not_finite_are_counted(void **state) {
    (void)state;
    const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};
    for (size_t t = 0; t < 3; t++) {
        float w[12] = {1, 2, 3, 4, NAN, 6, INFINITY, -INFINITY, 9, 10, 11, -12};
        char stored[sizeof w];
        int8_t codes[12];
        float absmax[3];
        int64_t count = -1;
        gi8_convert_from_fp32(types[t], w, 12, stored);
        assert_int_equal(
            gi8_int8_quantize_weight_rows(types[t], stored, 4, 3, codes, absmax, &count),
            GI8_ERR_NOT_FINITE);
        assert_int_equal(count, 3);
        assert_true(absmax[0] == 4.0f && isnan(absmax[1]) && absmax[2] == 12.0f);
        assert_int_equal(codes[3], 127);
        for (int i = 4; i < 8; i++) {
            assert_int_equal(codes[i], 0);
        }
        assert_int_equal(codes[11], -127);
    }
}

static void test_a_weight_row_too_small_for_a_factor_gets_zeros(void **state) {
    (void)state;
    const float edge = 0x1.fcp-122f; /* 127 * 2^-128 */
    const float just_above = nextafterf(edge, 1.0f);
    const float above = nextafterf(just_above, 1.0f);
    const float w[4] = {FLT_TRUE_MIN, -edge, just_above, -above};
    int8_t codes[4];
    float absmax[4];
    assert_int_equal(gi8_int8_quantize_weight_rows(GI8_TYPE_F32, w, 1, 4, codes, absmax, NULL),
                     GI8_OK);
    const int8_t expected[4] = {0, 0, 0, -127}; /* 1 / just_above is rounded up to 2^128 / 127 */
    assert_memory_equal(codes, expected, 4);
    for (int i = 0; i < 4; i++) {
        assert_true(absmax[i] == fabsf(w[i]));
    }
}

static void test_bad_weight_calls_are_refused(void **state) {
    (void)state;
    const float w[2] = {1.0f, 2.0f};
    int8_t codes[2] = {55, 55};
    float absmax[2] = {-7.0f, -7.0f};
    float out[2] = {-7.0f, -7.0f};
    int64_t count = 55;
    const struct {
        gi8_type type;
        int64_t k;
        int64_t n;
        gi8_status expected;
    } cases[] = {
        {GI8_TYPE_I8, 2, 1, GI8_ERR_TYPE},
        {GI8_TYPE_COUNT, 2, 1, GI8_ERR_TYPE},
        {GI8_TYPE_F32, 0, 1, GI8_ERR_SHAPE},
        {GI8_TYPE_F32, -1, 1, GI8_ERR_SHAPE},
        {GI8_TYPE_F32, 2, -1, GI8_ERR_SHAPE},
        {GI8_TYPE_F32, GI8_INT8_MAX_K + 1, 1, GI8_ERR_SHAPE},
        {GI8_TYPE_F32, GI8_INT8_MAX_K, INT64_MAX / 2, GI8_ERR_SHAPE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(gi8_int8_quantize_weight_rows(cases[i].type, w, cases[i].k, cases[i].n,
                                                       codes, absmax, &count),
                         cases[i].expected);
        if (cases[i].expected == GI8_ERR_SHAPE) {
            assert_int_equal(
                gi8_int8_dequantize_weight_rows(codes, absmax, cases[i].k, cases[i].n, out),
                GI8_ERR_SHAPE);
        }
    }
    assert_int_equal(gi8_int8_quantize_weight_rows(GI8_TYPE_F32, NULL, 2, 1, codes, absmax, &count),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_int8_quantize_weight_rows(GI8_TYPE_F32, w, 2, 1, NULL, absmax, &count),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_int8_quantize_weight_rows(GI8_TYPE_F32, w, 2, 1, codes, NULL, &count),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_int8_dequantize_weight_rows(codes, absmax, 2, 1, NULL), GI8_ERR_ARGUMENT);
    assert_true(codes[0] == 55 && absmax[0] == -7.0f && out[0] == -7.0f && count == 55);
    assert_int_equal(gi8_int8_quantize_weight_rows(GI8_TYPE_F32, NULL, 2, 0, NULL, NULL, &count),
                     GI8_OK);
    assert_int_equal(count, 0);
}

/* ---- Outlier columns and activations ---- */

static void test_outliers_begin_at_the_threshold_itself(void **state) {
    (void)state;
    const float below = nextafterf(6.0f, 0.0f);
    const float x[2][8] = {{6.0f, below, -6.0f, -below, INFINITY, 0.0f, 1.0f, NAN},
                           {0.0f, 0.0f, 1.0f, 1.0f, 1.0f, -INFINITY, 7.0f, 1.0f}};
    uint8_t is_outlier[9];
    int64_t count = -1;
    is_outlier[8] = GUARD;
    assert_int_equal(gi8_int8_outlier_columns(x[0], 8, 2, sizeof x[0], 6.0f, is_outlier, &count),
                     GI8_OK);
    const uint8_t both[9] = {1, 0, 1, 0, 1, 1, 1, 0, GUARD};
    assert_memory_equal(is_outlier, both, sizeof both);
    assert_int_equal(count, 5);

    assert_int_equal(gi8_int8_outlier_columns(x[0], 8, 1, 0, INFINITY, is_outlier, NULL), GI8_OK);
    const uint8_t infinite[8] = {0, 0, 0, 0, 1, 0, 0, 0};
    assert_memory_equal(is_outlier, infinite, sizeof infinite);

    const float off[3] = {0.0f, -6.0f, -INFINITY};
    for (int i = 0; i < 3; i++) {
        memset(is_outlier, GUARD, sizeof is_outlier);
        assert_int_equal(
            gi8_int8_outlier_columns(x[0], 8, 2, sizeof x[0], off[i], is_outlier, &count), GI8_OK);
        assert_int_equal(count, 0);
        assert_int_equal(is_outlier[0] + is_outlier[4], 0);
    }
    memset(is_outlier, GUARD, sizeof is_outlier);
    assert_int_equal(gi8_int8_outlier_columns(NULL, 8, 0, 0, 6.0f, is_outlier, &count), GI8_OK);
    assert_int_equal(count, 0);
    assert_int_equal(is_outlier[7], 0);
}

static void test_entries_not_columns_leave_the_maximum(void **state) {
    (void)state;
    /* Column 1 is an outlier because of row 0; its 5 in row 1 still sets that row's absmax. */
    const float x[2][3] = {{1.0f, 8.0f, -2.0f}, {1.0f, 5.0f, -2.5f}};
    const uint8_t is_outlier[3] = {0, 1, 0};
    int8_t q[6];
    float absmax[2];
    assert_int_equal(gi8_int8_quantize_rows(x[0], 3, 2, sizeof x[0], 6.0f, GI8_OUTLIERS_COLUMN,
                                            is_outlier, q, absmax),
                     GI8_OK);
    assert_true(absmax[0] == 2.0f && absmax[1] == 5.0f);
    const int8_t column[6] = {64, 0, -127, 25, 0, -64};
    assert_memory_equal(q, column, sizeof q);
    assert_int_equal(gi8_int8_quantize_rows(x[0], 3, 2, sizeof x[0], 6.0f, GI8_OUTLIERS_PER_TOKEN,
                                            is_outlier, q, absmax),
                     GI8_OK);
    const int8_t per_token[6] = {64, 0, -127, 25, 127, -64};
    assert_memory_equal(q, per_token, sizeof q);
}

static void test_rows_equal_the_reference(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(32);
    enum { MAX_K = 600, MAX_M = 6, STRIDE = MAX_K + 3 };
    static float x[MAX_M * STRIDE];
    static int8_t q[MAX_K * MAX_M + 1];
    uint8_t is_outlier[MAX_K];
    float absmax[MAX_M];
    const float thresholds[] = {-1.0f, 0.0f, 0.5f, 2.0f, 6.0f, INFINITY};
    for (int round = 0; round < 400; round++) {
        int64_t k = test_rng_int(&rng, 1, MAX_K);
        int64_t m = test_rng_int(&rng, 0, MAX_M);
        float threshold = thresholds[test_rng_int(&rng, 0, 5)];
        gi8_outliers mode = (gi8_outliers)test_rng_int(&rng, 0, 1);
        float spread = ldexpf(1.0f, test_rng_int(&rng, 0, 3) == 0 ? -130 : 1);
        for (int64_t i = 0; i < MAX_M * STRIDE; i++) {
            x[i] = test_rng_normal(&rng) * spread;
            if (test_rng_int(&rng, 0, 2000) == 0) {
                const float specials[] = {NAN, INFINITY, -INFINITY, FLT_MAX, FLT_TRUE_MIN};
                x[i] = specials[test_rng_int(&rng, 0, 4)];
            }
        }
        size_t stride = STRIDE * sizeof(float);
        int64_t count = -1;
        assert_int_equal(gi8_int8_outlier_columns(x, k, m, stride, threshold, is_outlier, &count),
                         GI8_OK);
        q[k * m] = GUARD;
        assert_int_equal(
            gi8_int8_quantize_rows(x, k, m, stride, threshold, mode, is_outlier, q, absmax),
            GI8_OK);
        assert_int_equal(q[k * m], GUARD);
        int64_t outliers = 0;
        for (int64_t i = 0; i < k; i++) {
            int any = 0;
            for (int64_t row = 0; row < m; row++) {
                any |= is_outlier_entry(x[row * STRIDE + i], threshold);
            }
            assert_int_equal(is_outlier[i], any);
            outliers += any;
        }
        assert_int_equal(count, outliers);
        for (int64_t row = 0; row < m; row++) {
            const float *x_row = x + row * STRIDE;
            float max = 0.0f;
            for (int64_t i = 0; i < k; i++) {
                max = is_small(x_row[i], threshold) ? fmaxf(max, fabsf(x_row[i])) : max;
                max = isnan(x_row[i]) || (isinf(x_row[i]) && threshold <= 0.0f) ? NAN : max;
                if (isnan(max)) {
                    break;
                }
            }
            assert_true(isnan(max) ? isnan(absmax[row]) : absmax[row] == max);
            for (int64_t i = 0; i < k; i++) {
                int coded = !isnan(max) && is_small(x_row[i], threshold) &&
                            !(mode == GI8_OUTLIERS_COLUMN && is_outlier[i]);
                assert_int_equal(q[row * k + i],
                                 coded ? reference_code(x_row[i], 127.0f / max) : 0);
            }
        }
    }
}

static void test_bad_activation_calls_are_refused(void **state) {
    (void)state;
    const float x[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    uint8_t is_outlier[4] = {GUARD, GUARD, GUARD, GUARD};
    int8_t q[4] = {55, 55, 55, 55};
    float absmax[2] = {-7.0f, -7.0f};
    int64_t count = 55;
    const struct {
        const float *x;
        int64_t k;
        int64_t m;
        size_t stride;
        float threshold;
        gi8_status expected;
    } cases[] = {
        {x, 0, 2, 8, 6.0f, GI8_ERR_SHAPE},
        {x, GI8_INT8_MAX_K + 1, 1, 8, 6.0f, GI8_ERR_SHAPE},
        {x, 2, -1, 8, 6.0f, GI8_ERR_SHAPE},
        {x, 2, 2, 7, 6.0f, GI8_ERR_SHAPE},
        {x, 2, 2, 10, 6.0f, GI8_ERR_SHAPE},
        {x, 2, 2, 4, 6.0f, GI8_ERR_SHAPE},
        {x, 2, 2, SIZE_MAX - 3, 6.0f, GI8_ERR_SHAPE},
        {x, 2, INT64_MAX, 8, 6.0f, GI8_ERR_SHAPE},
        {x, 2, 2, 8, NAN, GI8_ERR_ARGUMENT},
        {NULL, 2, 2, 8, 6.0f, GI8_ERR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(gi8_int8_outlier_columns(cases[i].x, cases[i].k, cases[i].m,
                                                  cases[i].stride, cases[i].threshold, is_outlier,
                                                  &count),
                         cases[i].expected);
        assert_int_equal(gi8_int8_quantize_rows(cases[i].x, cases[i].k, cases[i].m, cases[i].stride,
                                                cases[i].threshold, GI8_OUTLIERS_COLUMN, NULL, q,
                                                absmax),
                         cases[i].expected);
    }
    assert_int_equal(gi8_int8_outlier_columns(x, 2, 2, 8, 6.0f, NULL, &count), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_int8_quantize_rows(x, 2, 2, 8, 6.0f, (gi8_outliers)2, NULL, q, absmax),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(
        gi8_int8_quantize_rows(x, 2, 2, 8, 6.0f, GI8_OUTLIERS_COLUMN, NULL, NULL, absmax),
        GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_int8_quantize_rows(x, 2, 2, 8, 6.0f, GI8_OUTLIERS_COLUMN, NULL, q, NULL),
                     GI8_ERR_ARGUMENT);
    assert_true(is_outlier[0] == GUARD && q[0] == 55 && absmax[0] == -7.0f && count == 55);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_of_every_type_and_many_shapes),
        cmocka_unit_test(test_the_factor_of_a_weight_is_127_times_the_reciprocal),
        cmocka_unit_test(test_weights_that_are_not_finite_are_counted),
        cmocka_unit_test(test_a_weight_row_too_small_for_a_factor_gets_zeros),
        cmocka_unit_test(test_bad_weight_calls_are_refused),
        cmocka_unit_test(test_outliers_begin_at_the_threshold_itself),
        cmocka_unit_test(test_entries_not_columns_leave_the_maximum),
        cmocka_unit_test(test_rows_equal_the_reference),
        cmocka_unit_test(test_bad_activation_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
