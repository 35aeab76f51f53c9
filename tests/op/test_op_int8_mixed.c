/* test_op_int8_mixed.c - mul_mat_int8_mixed against the core's reference and against a reference of
 * its own in double and int64.
 *
 * The op promises fp32 or better and one rounding. The CPU backend computes in double, so that its
 * result is the exact value of the formula, rounded to fp32, except where that lies within some
 * 2^-52 * K of the middle between two floats: a result may be one unit off, and nothing else.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-int8/gi8_quantize.h"
#include "int8_problem.h"
#include "op_fixture.h"

/* How far a device may be from the CPU. Codes and integer sums are the same. It may add the parts
 * in fp32, where each of 16 roundings or fewer is half a unit of at most sum |x| times the largest
 * weight, and n outlier columns in fixed point (docs/int8-semantics.md), where each is off by at
 * most 2^-30 max |x| times that weight, or 2^-127 times it. */
static void set_bound(op_case *c, const int8_problem *p) {
    bool *in_o = malloc((size_t)p->k * sizeof *in_o + 1);
    assert_non_null(in_o);
    double n_outliers = (double)int8_problem_outlier_columns(p, in_o);
    free(in_o);
    double x_size = 0.0;
    double x_max = 0.0;
    float largest = 0.0f;
    for (int64_t row = 0; row < p->m; row++) {
        double sum = 0.0;
        for (int64_t i = 0; i < p->k; i++) {
            double x = fabs((double)p->x[row * p->k + i]);
            sum += isfinite(x) ? x : 0.0;
            x_max = isfinite(x) ? fmax(x_max, x) : x_max;
        }
        x_size = fmax(x_size, sum);
    }
    for (int64_t i = 0; i < p->n; i++) {
        largest = fmaxf(largest, p->absmax[i]);
    }
    double weight = (double)largest;
    c->absolute = 16.0 * 0x1p-24 * (x_size * weight + (p->bias_type >= 0 ? 1.0 : 0.0)) +
                  n_outliers * weight * fmax(0x1p-30 * x_max, 0x1p-127) +
                  (double)p->k * 127.0 * 127.0 * 0x1p-149; /* denormal scales */
    if (p->out_type != GI8_TYPE_F32) {
        c->relative = p->out_type == GI8_TYPE_F16 ? 0x1p-10 : 0x1p-7;
        c->absolute = c->absolute * (1.0 + c->relative) + 0x1p-24;
    }
}

static gi8_tensor *build(op_case *c, const int8_problem *p, int64_t first_row, int64_t rows) {
    set_bound(c, p);
    gi8_tensor *codes = op_codes(c, p->layout, p->k, p->n, p->codes);
    gi8_tensor *absmax = op_memory(c, GI8_TYPE_F32, (int64_t[]){p->n, 1, 1, 1}, p->absmax);
    gi8_tensor *bias = NULL;
    if (p->bias_type >= 0) {
        bias = op_float_input(c, (gi8_type)p->bias_type, (int64_t[]){p->n, 1, 1, 1}, p->bias);
    }
    gi8_tensor *x = op_float_input(c, p->x_type, (int64_t[]){p->k, rows, 1, 1},
                                   p->x + first_row * p->k);
    const gi8_int8_params params = {p->threshold, p->mode, p->out_type};
    return gi8_mul_mat_int8_mixed(c->ctx, codes, absmax, bias, x, &params);
}

/* One unit in the last place of v as fp32. */
static double unit_of(double v) {
    float f = fabsf((float)v);
    return (double)nextafterf(f, INFINITY) - (double)f;
}

/* One element from the definition: codes, maximum and outliers afresh, sums in int64 and double. */
static double expect_element(const int8_problem *p, int64_t row, int64_t column, const bool *in_o) {
    const float *x = p->x + row * p->k;
    const int8_t *w = p->codes + column * p->k;
    bool decompose = p->threshold > 0.0f;
    float a = int8_problem_row_max(p, row);
    if (isnan(a)) {
        return NAN;
    }
    float c = a > 0.0f && !isinf(127.0f / a) ? 127.0f / a : 0.0f;
    int64_t acc = 0;
    double out = 0.0;
    double scale = (double)p->absmax[column] / 127.0;
    for (int64_t i = 0; i < p->k; i++) {
        bool is_outlier = decompose && (p->mode == GI8_OUTLIERS_COLUMN
                                            ? in_o[i]
                                            : fabsf(x[i]) >= p->threshold);
        if (is_outlier) {
            out += (double)x[i] * (double)w[i] * scale;
        } else {
            acc += (int64_t)rint((double)(x[i] * c)) * w[i];
        }
    }
    double bias = p->bias_type >= 0 ? (double)p->bias[column] : 0.0;
    return (double)acc * ((double)a / 127.0) * scale + out + bias;
}

static void check(int8_problem *p) {
    int8_problem_round(p);
    op_case c;
    op_begin(&c);
    void *y = op_run(&c, build(&c, p, 0, p->m));
    bool *in_o = malloc((size_t)p->k * sizeof *in_o);
    float *reference = malloc((size_t)(p->n * p->m) * sizeof *reference + 1);
    float *actual = malloc((size_t)(p->n * p->m) * sizeof *actual + 1);
    void *scratch = malloc(GI8_INT8_REFERENCE_SCRATCH(p->k));
    assert_true(in_o != NULL && reference != NULL && actual != NULL && scratch != NULL);

    int64_t n_outliers = int8_problem_outlier_columns(p, in_o);
    if (p->n * p->m > 0) {
        assert_int_equal(c.outliers.columns, p->k);
        assert_int_equal(c.outliers.outlier_columns, n_outliers);
    }
    assert_int_equal(gi8_int8_mul_mat_mixed_reference(
                         p->codes, p->absmax, p->bias_type >= 0 ? p->bias : NULL, p->x, p->k, p->n,
                         p->m, p->threshold, p->mode, reference, scratch),
                     GI8_OK);
    gi8_convert_to_fp32(p->out_type, y, p->n * p->m, actual);
    for (int64_t i = 0; i < p->n * p->m; i++) {
        /* One fp32 unit off the core's reference at most; after it, the rounding to out_type. */
        double slack = unit_of((double)reference[i]);
        double rounding = p->out_type == GI8_TYPE_F32   ? 0.0
                          : p->out_type == GI8_TYPE_F16 ? 0x1p-11
                                                        : 0x1p-8;
        op_assert_close(actual[i], (double)reference[i],
                        slack + rounding * fabs((double)reference[i]) +
                            (rounding > 0 ? 0x1p-25 : 0.0),
                        "against the reference", i);
        double expected = expect_element(p, i / p->n, i % p->n, in_o);
        if (p->out_type == GI8_TYPE_F32 && !isinf(reference[i]) && !isnan(reference[i])) {
            op_assert_close(actual[i], expected, 0.5001 * unit_of(expected), "against the formula",
                            i);
        } else if (isnan(expected)) {
            assert_true(isnan(actual[i]));
        }
    }
    free(scratch);
    free(actual);
    free(reference);
    free(in_o);
    free(y);
    op_end(&c);
}

static void test_shapes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(61);
    static const int64_t shapes[][3] = {
        {1, 1, 1},    {1, 5, 3},     {4, 2, 2},    {63, 17, 5},  {64, 64, 7},   {65, 65, 49},
        {84, 30, 64}, {499, 130, 2}, {512, 33, 1}, {513, 8, 97}, {1024, 70, 3}, {2500, 20, 6},
        {31, 16, 48}, {128, 129, 50},
    };
    int8_check_shapes(&rng, shapes, sizeof shapes / sizeof *shapes, check);
}

static void test_types(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(62);
    int8_check_types(&rng, 77, 70, 9, check);
}

static void test_empty(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(63);
    int8_problem no_rows = int8_problem_random(&rng, 20, 7, 0);
    check(&no_rows);
    int8_problem_free(&no_rows);
    int8_problem no_columns = int8_problem_random(&rng, 20, 0, 3);
    check(&no_columns);
    int8_problem_free(&no_columns);
}

/* |x| >= threshold: exactly 6 is an outlier, the float below is not. */
static void test_thresholds(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(64);
    int8_check_thresholds(&rng, 100, 20, 3, check);
    int8_check_thresholds(&rng, 50, 10, 4, check);
    for (int mode = 0; mode < 2; mode++) {
        int8_problem p = int8_problem_random(&rng, 100, 20, 3);
        p.mode = (gi8_outliers)mode;
        p.x[5] = 6.0f;
        p.x[100 + 17] = -6.0f;
        p.x[200 + 40] = nextafterf(6.0f, 0.0f);
        p.x[41] = -nextafterf(6.0f, 0.0f);
        op_case c;
        op_begin(&c);
        free(op_run(&c, build(&c, &p, 0, p.m)));
        assert_int_equal(c.outliers.outlier_columns, 2);
        op_end(&c);
        int8_problem_free(&p);
    }
}

static void test_all_and_no_outliers(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(65);
    int8_check_outliers(&rng, 333, 75, 1, check);
    int8_check_outliers(&rng, 333, 75, 60, check);
}

static void test_small_values(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(66);
    int8_check_small_values(&rng, 90, 18, 6, check);
}

/* NaN: that row and no other. Inf: an outlier where there are any, else like NaN. */
static void test_not_finite(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(67);
    for (int mode = 0; mode < 2; mode++) {
        for (int decompose = 0; decompose < 2; decompose++) {
            int8_problem p = int8_problem_random(&rng, 70, 40, 7);
            p.mode = (gi8_outliers)mode;
            p.threshold = decompose ? 6.0f : 0.0f;
            p.x[p.k + 69] = NAN;
            p.x[4 * p.k] = INFINITY;
            p.x[5 * p.k + 33] = -INFINITY;
            p.codes[33] = 0;
            check(&p);
            op_case c;
            op_begin(&c);
            float *y = op_run(&c, build(&c, &p, 0, p.m));
            for (int64_t i = 0; i < p.n * p.m; i++) {
                int64_t row = i / p.n;
                bool is_inf_row = row == 4 || row == 5;
                if (row == 1 || (is_inf_row && !decompose)) {
                    assert_true(isnan(y[i]));
                } else if (is_inf_row) {
                    int8_t code = p.codes[i % p.n * p.k + (row == 4 ? 0 : 33)];
                    bool positive = (code > 0) == (row == 4);
                    assert_true(code == 0 ? isnan(y[i])
                                          : y[i] == (positive ? INFINITY : -INFINITY));
                } else {
                    assert_true(isfinite(y[i]));
                }
            }
            free(y);
            op_end(&c);
            int8_problem_free(&p);
        }
    }
}

/* Per token, a row gives the same bits alone as in any batch; so does each row of column mode alone
 * as in per-token mode alone. */
static void test_batch_invariance(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(69);
    int8_problem p = int8_problem_random(&rng, 150, 80, 55);
    p.mode = GI8_OUTLIERS_PER_TOKEN;
    int8_problem_plant_outliers(&rng, &p, 9, false);
    op_case c;
    op_begin(&c);
    float *batch = op_run(&c, build(&c, &p, 0, p.m));
    op_end(&c);
    for (int64_t row = 0; row < p.m; row += 6) {
        for (int mode = 0; mode < 2; mode++) {
            p.mode = (gi8_outliers)mode;
            op_begin(&c);
            float *alone = op_run(&c, build(&c, &p, row, 1));
            assert_memory_equal(alone, batch + row * p.n, (size_t)p.n * sizeof *alone);
            free(alone);
            op_end(&c);
        }
    }
    free(batch);
    int8_problem_free(&p);
}

/* k a few thousand and at its limit. */
static void test_largest_sums(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(70);
    int8_check_largest_sums(&rng, 4099, 5, 3, check);
    int8_check_largest_sums(&rng, GI8_INT8_MAX_K, 5, 3, check);
}

/* x with strided rows in four dimensions. */
static void test_views(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(71);
    enum { K = 45, N = 12, A = 3, B = 4, ROWS = A * B };
    int8_problem p = int8_problem_random(&rng, K, N, ROWS);
    int8_problem_plant_outliers(&rng, &p, 10, false);
    float *wide = op_random(&rng, 2 * K * ROWS, -3.0f, 3.0f);
    for (int row = 0; row < ROWS; row++) {
        /* Row (a, b) of the view [K, A, B] lies at (b, a) of the wide tensor [2 K, B, A]. */
        int a = row % A;
        int b = row / A;
        memcpy(wide + (a * B + b) * 2 * K + 7, p.x + row * K, K * sizeof *wide);
    }
    op_case plain;
    op_begin(&plain);
    float *expected = op_run(&plain, build(&plain, &p, 0, ROWS));
    op_case c;
    op_begin(&c);
    set_bound(&c, &p);
    gi8_tensor *codes = op_codes(&c, p.layout, K, N, p.codes);
    gi8_tensor *absmax = op_memory(&c, GI8_TYPE_F32, (int64_t[]){N, 1, 1, 1}, p.absmax);
    gi8_tensor *tw = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){2 * K, B, A, 1}, wide);
    gi8_tensor *view = gi8_view_3d(c.ctx, tw, K, B, A, tw->nb[1], tw->nb[2], 7 * sizeof(float));
    gi8_tensor *x = gi8_permute(c.ctx, view, 0, 2, 1, 3);
    float *y = op_run(&c, gi8_mul_mat_int8_mixed(c.ctx, codes, absmax, NULL, x, NULL));
    assert_memory_equal(y, expected, N * ROWS * sizeof *y);
    free(y);
    op_end(&c);
    free(expected);
    op_end(&plain);
    free(wide);
    int8_problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_all_and_no_outliers),
        cmocka_unit_test(test_small_values),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_batch_invariance),
        cmocka_unit_test(test_largest_sums),
        cmocka_unit_test(test_views),
    };
    return cmocka_run_group_tests(tests, op_backends_create, op_backends_free);
}
