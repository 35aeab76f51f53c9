/* test_int8_mixed.c - the plain loop of the whole int8 product. */
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

/* A case of the op; x, codes and absmax are filled by make_case(). */
typedef struct op_case {
    int64_t k, n, m;
    float threshold;
    gi8_outliers mode;
    int8_t *codes;
    float *absmax, *bias, *x, *y;
} op_case;

static op_case make_case(int64_t k, int64_t n, int64_t m, float threshold, gi8_outliers mode,
                         test_rng *rng) {
    op_case c = {k, n, m, threshold, mode, NULL, NULL, NULL, NULL, NULL};
    c.codes = allocate((size_t)(k * n));
    c.absmax = allocate((size_t)n * sizeof(float));
    c.bias = allocate((size_t)n * sizeof(float));
    c.x = allocate((size_t)(k * m) * sizeof(float));
    c.y = allocate(((size_t)(n * m) + 1) * sizeof(float));
    for (int64_t i = 0; i < k * n; i++) {
        c.codes[i] = (int8_t)test_rng_int(rng, -127, 127);
    }
    for (int64_t j = 0; j < n; j++) {
        c.absmax[j] = test_rng_float(rng, 0.0f, 0.2f);
        c.bias[j] = test_rng_float(rng, -2.0f, 2.0f);
    }
    for (int64_t i = 0; i < k * m; i++) {
        c.x[i] = test_rng_normal(rng);
    }
    for (int64_t i = 0; m > 0 && i < 2 + k / 32; i++) {
        int64_t at = test_rng_int(rng, 0, k * m - 1);
        c.x[at] = test_rng_float(rng, -60.0f, 60.0f);
    }
    return c;
}

static void free_case(const op_case *c) {
    free(c->codes);
    free(c->absmax);
    free(c->bias);
    free(c->x);
    free(c->y);
}

static void run_case(const op_case *c, const float *bias) {
    void *scratch = allocate(GI8_INT8_REFERENCE_SCRATCH(c->k));
    memset(c->y + c->n * c->m, GUARD, sizeof(float));
    assert_int_equal(gi8_int8_mul_mat_mixed_reference(c->codes, c->absmax, bias, c->x, c->k, c->n,
                                                      c->m, c->threshold, c->mode, c->y, scratch),
                     GI8_OK);
    for (size_t i = 0; i < sizeof(float); i++) {
        assert_int_equal(((const unsigned char *)(c->y + c->n * c->m))[i], GUARD);
    }
    free(scratch);
}

/* Output (j, row) from the definition: outliers found by scanning x, codes made one at a time. All
 * is exact or in long double; the op's own double arithmetic errs by at most (k + 4) * 2^-53 of the
 * sum of the magnitudes, and its result is rounded to fp32 once. */
static void check_output(const op_case *c, const float *bias, int64_t row, int64_t j) {
    const float *x = c->x + row * c->k;
    float max = 0.0f;
    for (int64_t i = 0; i < c->k; i++) {
        max = is_small(x[i], c->threshold) ? fmaxf(max, fabsf(x[i])) : max;
    }
    int64_t acc = 0;
    long double outliers = 0.0L;
    long double magnitude = 0.0L;
    for (int64_t i = 0; i < c->k; i++) {
        int outlier = is_outlier_entry(x[i], c->threshold);
        for (int64_t r = 0; c->mode == GI8_OUTLIERS_COLUMN && r < c->m; r++) {
            outlier |= is_outlier_entry(c->x[r * c->k + i], c->threshold);
        }
        int8_t w = c->codes[j * c->k + i];
        if (outlier) {
            outliers += (long double)x[i] * w * c->absmax[j] / 127.0L;
            magnitude += fabsl((long double)x[i] * w * c->absmax[j] / 127.0L);
        } else {
            acc += (int64_t)reference_code(x[i], 127.0f / max) * w;
        }
    }
    long double product = (long double)acc * max * c->absmax[j] / (127.0L * 127.0L);
    long double b = bias != NULL ? (long double)bias[j] : 0.0L;
    long double expected = product + outliers + b;
    magnitude += fabsl(product) + fabsl(b);
    long double bound = 0x1p-24L * fabsl(expected) +
                        (long double)(c->k + 4) * 0x1p-53L * magnitude + (long double)FLT_TRUE_MIN;
    long double found = (long double)c->y[row * c->n + j];
    if (!(fabsl(found - expected) <= bound)) {
        fail_msg("k %lld n %lld m %lld t %g mode %d, output (%lld, %lld): %.9Lg, expected %.9Lg",
                 (long long)c->k, (long long)c->n, (long long)c->m, (double)c->threshold,
                 (int)c->mode, (long long)j, (long long)row, found, expected);
    }
}

static void test_the_op_equals_a_wider_reference_for_all_shapes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(33);
    const int64_t ms[] = {1, 2, 7, 64, 128};
    const int64_t ks[] = {1, 4, 84, 499, 512, 1024};
    const int64_t ns[] = {1, 2, 30, 512, 3072};
    const float thresholds[] = {0.0f, 2.0f, 6.0f};
    int turn = 0;
    for (size_t a = 0; a < sizeof ms / sizeof *ms; a++) {
        for (size_t b = 0; b < sizeof ks / sizeof *ks; b++) {
            for (size_t d = 0; d < sizeof ns / sizeof *ns; d++) {
                /* Thresholds and modes take turns; the largest shapes get one combination each. */
                int rounds = ms[a] * ks[b] * ns[d] < 4000000 ? 6 : 1;
                for (int round = 0; round < rounds; round++, turn++) {
                    op_case c = make_case(ks[b], ns[d], ms[a], thresholds[turn % 3],
                                          (gi8_outliers)(turn / 3 % 2), &rng);
                    const float *bias = turn % 5 < 3 ? c.bias : NULL;
                    run_case(&c, bias);
                    for (int sample = 0; sample < 24; sample++) {
                        int64_t row = test_rng_int(&rng, 0, c.m - 1);
                        check_output(&c, bias, row, test_rng_int(&rng, 0, c.n - 1));
                    }
                    free_case(&c);
                }
            }
        }
    }
}

static void test_a_row_alone_equals_the_same_row_in_a_call_per_token(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(34);
    op_case all = make_case(84, 30, 7, 6.0f, GI8_OUTLIERS_PER_TOKEN, &rng);
    run_case(&all, all.bias);
    for (int64_t row = 0; row < all.m; row++) {
        for (int mode = 0; mode < 2; mode++) {
            float y[31];
            op_case one = all;
            one.m = 1;
            one.x = all.x + row * all.k;
            one.y = y;
            one.mode = (gi8_outliers)mode; /* for one row the two modes are the same */
            run_case(&one, all.bias);
            assert_memory_equal(y, all.y + row * all.n, (size_t)all.n * sizeof(float));
        }
    }
    free_case(&all);
}

/* An x that lies below the threshold everywhere, one where no entry does, and rows of zeros. */
static void test_none_all_and_zero_rows(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(35);
    const float values[3] = {nextafterf(6.0f, 0.0f), 6.0f, 0.0f};
    for (int v = 0; v < 3; v++) {
        for (int mode = 0; mode < 2; mode++) {
            op_case c = make_case(33, 5, 3, 6.0f, (gi8_outliers)mode, &rng);
            for (int64_t i = 0; i < c.k * c.m; i++) {
                c.x[i] = i % 2 ? values[v] : -values[v];
            }
            run_case(&c, c.bias);
            for (int64_t i = 0; i < c.n * c.m; i++) {
                check_output(&c, c.bias, i / c.n, i % c.n);
                assert_true(v < 2 || c.y[i] == c.bias[i % c.n]);
            }
            free_case(&c);
        }
    }
}

static void test_special_values_stay_in_their_row(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(36);
    const float specials[3] = {NAN, INFINITY, -INFINITY};
    const float thresholds[2] = {6.0f, 0.0f};
    for (int combination = 0; combination < 12; combination++) {
        float special = specials[combination % 3];
        float threshold = thresholds[combination / 3 % 2];
        op_case c = make_case(20, 6, 3, threshold, (gi8_outliers)(combination / 6), &rng);
        c.codes[0 * c.k + 4] = 0;
        c.codes[1 * c.k + 4] = 100;
        c.codes[2 * c.k + 4] = -100;
        c.x[1 * c.k + 4] = special;
        run_case(&c, c.bias);
        for (int64_t j = 0; j < c.n; j++) {
            float y = c.y[1 * c.n + j];
            int8_t code = c.codes[j * c.k + 4];
            if (isnan(special) || threshold <= 0.0f || code == 0) {
                assert_true(isnan(y));
            } else {
                assert_true(isinf(y) && (signbit(y) != 0) == ((special < 0.0f) != (code < 0)));
            }
            /* In the other rows column 4 is an outlier of small entries, or nothing at all. */
            check_output(&c, c.bias, 0, j);
            check_output(&c, c.bias, 2, j);
        }
        free_case(&c);
    }
}

static void test_rows_too_small_for_a_factor_give_the_bias(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(37);
    op_case c = make_case(9, 4, 2, 6.0f, GI8_OUTLIERS_COLUMN, &rng);
    for (int64_t i = 0; i < c.k * c.m; i++) {
        c.x[i] = i < c.k ? FLT_TRUE_MIN : -0x1.fcp-122f;
    }
    run_case(&c, c.bias);
    for (int64_t i = 0; i < c.n * c.m; i++) {
        assert_true(c.y[i] == c.bias[i % c.n]);
    }
    free_case(&c);
}

static void test_the_longest_row_sums_exactly(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(38);
    op_case c = make_case(GI8_INT8_MAX_K, 1, 1, 0.0f, GI8_OUTLIERS_COLUMN, &rng);
    for (int64_t i = 0; i < c.k; i++) {
        c.codes[i] = -127;
        c.x[i] = -127.0f;
    }
    c.absmax[0] = 127.0f;
    run_case(&c, NULL);
    assert_true(c.y[0] == (float)((int64_t)GI8_INT8_MAX_K * 127 * 127));
    free_case(&c);
}

static void test_empty_and_bad_calls_of_the_op(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(39);
    op_case none = make_case(8, 3, 0, 6.0f, GI8_OUTLIERS_COLUMN, &rng);
    run_case(&none, none.bias);
    free_case(&none);

    op_case c = make_case(8, 3, 2, 6.0f, GI8_OUTLIERS_COLUMN, &rng);
    unsigned char scratch[GI8_INT8_REFERENCE_SCRATCH(8)];
    c.y[0] = -7.0f;
    assert_int_equal(gi8_int8_mul_mat_mixed_reference(NULL, NULL, NULL, c.x, 8, 0, 2, 6.0f, c.mode,
                                                      NULL, scratch),
                     GI8_OK);
    assert_int_equal(gi8_int8_mul_mat_mixed_reference(c.codes, c.absmax, NULL, NULL, 8, 3, 0, 6.0f,
                                                      c.mode, NULL, scratch),
                     GI8_OK);
    const struct {
        int64_t k, n, m;
        float threshold;
        gi8_status expected;
    } cases[] = {
        {0, 3, 2, 6.0f, GI8_ERR_SHAPE},
        {-8, 3, 2, 6.0f, GI8_ERR_SHAPE},
        {GI8_INT8_MAX_K + 1, 3, 2, 6.0f, GI8_ERR_SHAPE},
        {8, -3, 2, 6.0f, GI8_ERR_SHAPE},
        {8, 3, -2, 6.0f, GI8_ERR_SHAPE},
        {8, INT64_MAX, 2, 6.0f, GI8_ERR_SHAPE},
        {1, INT64_C(1) << 40, INT64_C(1) << 40, 6.0f, GI8_ERR_SHAPE},
        {8, 3, 2, NAN, GI8_ERR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(gi8_int8_mul_mat_mixed_reference(c.codes, c.absmax, c.bias, c.x,
                                                          cases[i].k, cases[i].n, cases[i].m,
                                                          cases[i].threshold, c.mode, c.y, scratch),
                         cases[i].expected);
    }
    for (int missing = 0; missing < 6; missing++) {
        gi8_outliers mode = missing == 5 ? (gi8_outliers)7 : c.mode;
        assert_int_equal(gi8_int8_mul_mat_mixed_reference(
                             missing == 0 ? NULL : c.codes, missing == 1 ? NULL : c.absmax, c.bias,
                             missing == 2 ? NULL : c.x, 8, 3, 2, 6.0f, mode,
                             missing == 3 ? NULL : c.y, missing == 4 ? NULL : scratch),
                         GI8_ERR_ARGUMENT);
    }
    assert_true(c.y[0] == -7.0f);
    free_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_op_equals_a_wider_reference_for_all_shapes),
        cmocka_unit_test(test_a_row_alone_equals_the_same_row_in_a_call_per_token),
        cmocka_unit_test(test_none_all_and_zero_rows),
        cmocka_unit_test(test_special_values_stay_in_their_row),
        cmocka_unit_test(test_rows_too_small_for_a_factor_give_the_bias),
        cmocka_unit_test(test_the_longest_row_sums_exactly),
        cmocka_unit_test(test_empty_and_bad_calls_of_the_op),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
