/* test_op_rows.c - get_rows, layer_norm and soft_max against double. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_fixture.h"

static void test_get_rows(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(31);
    static const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};
    enum { D = 37, V = 11, T = 9 };
    const int32_t ids[T] = {0, 10, 3, 3, -1, 11, INT32_MAX, INT32_MIN, 7};
    for (int i = 0; i < 3; i++) {
        float *table = op_random(&rng, D * V, -4.0f, 4.0f);
        op_round_to(types[i], table, D * V);
        op_case c;
        op_begin(&c);
        gi8_tensor *tt = op_float_input(&c, types[i], (int64_t[]){D, V, 1, 1}, table);
        gi8_tensor *ti = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, ids);
        float *y = op_run(&c, gi8_get_rows(c.ctx, tt, ti));
        for (int j = 0; j < T * D; j++) {
            int32_t id = ids[j / D];
            bool inside = id >= 0 && id < V;
            assert_true(inside ? y[j] == table[id * D + j % D] : isnan(y[j]));
        }
        free(y);
        free(table);
        op_end(&c);
    }
}

static void check_layer_norm(test_rng *rng, int64_t d, int64_t rows, float offset, bool has_gain,
                             bool has_bias, float eps) {
    float *x = op_random(rng, d * rows, offset - 2.0f, offset + 2.0f);
    float *gain = op_random(rng, d, 0.5f, 1.5f);
    float *bias = op_random(rng, d, -1.0f, 1.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *tx = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){d, rows, 1, 1}, x);
    gi8_tensor *tg = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){d, 1, 1, 1}, gain);
    gi8_tensor *tb = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){d, 1, 1, 1}, bias);
    /* As below; the rows that are short enough to have no factor near 2 have eps. */
    double most = d < 15 ? 1.0 / sqrt((double)eps) : 2.0;
    c.absolute = 1.5 * 16 * FLT_EPSILON * ((fabs((double)offset) + 2.0) * most + 1.0);
    float *y =
        op_run(&c, gi8_layer_norm(c.ctx, tx, has_gain ? tg : NULL, has_bias ? tb : NULL, eps));
    for (int64_t row = 0; row < rows; row++) {
        double mean = 0.0;
        double variance = 0.0;
        for (int64_t i = 0; i < d; i++) {
            mean += (double)x[row * d + i] / (double)d;
        }
        for (int64_t i = 0; i < d; i++) {
            double delta = (double)x[row * d + i] - mean;
            variance += delta * delta / (double)d;
        }
        double factor = 1.0 / sqrt(variance + (double)eps);
        for (int64_t i = 0; i < d; i++) {
            double v = ((double)x[row * d + i] - mean) * factor;
            v = v * (has_gain ? (double)gain[i] : 1.0) + (has_bias ? (double)bias[i] : 0.0);
            /* The mean is rounded to fp32: that error, times the factor, and a few roundings. */
            double tolerance = 1.5 * 16 * FLT_EPSILON * ((fabs(mean) + 2.0) * factor + 1.0);
            op_assert_close(y[row * d + i], v, tolerance, "layer_norm", row * d + i);
        }
    }
    free(y);
    free(x);
    free(gain);
    free(bias);
    op_end(&c);
}

static void test_layer_norm(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(32);
    check_layer_norm(&rng, 1, 3, 0.0f, true, true, 1e-5f);
    check_layer_norm(&rng, 15, 4, 0.0f, true, true, 1e-5f);
    check_layer_norm(&rng, 16, 4, 1.0f, false, true, 1e-5f);
    check_layer_norm(&rng, 33, 7, -1.0f, true, false, 1e-3f);
    check_layer_norm(&rng, 256, 50, 0.0f, false, false, 0.0f);
    check_layer_norm(&rng, 1000, 5, 50.0f, true, true, 1e-5f);
    check_layer_norm(&rng, 8, 0, 0.0f, true, true, 1e-5f);
}

static void check_soft_max(test_rng *rng, const int64_t ne[4], const int64_t *mask_ne,
                           float factor) {
    int64_t count = ne[0] * ne[1] * ne[2] * ne[3];
    float *x = op_random(rng, count, -20.0f, 20.0f);
    float *mask = NULL;
    op_case c;
    op_begin(&c);
    gi8_tensor *tx = op_float_input(&c, GI8_TYPE_F32, ne, x);
    gi8_tensor *tm = NULL;
    if (mask_ne != NULL) {
        int64_t mask_count = mask_ne[0] * mask_ne[1] * mask_ne[2] * mask_ne[3];
        mask = op_random(rng, mask_count, -3.0f, 0.0f);
        for (int64_t i = 1; i < mask_count; i += 3) {
            mask[i] = -INFINITY;
        }
        tm = op_float_input(&c, GI8_TYPE_F32, mask_ne, mask);
    }
    /* The exponentials have the CPU's bits, which adds ne[0] / 16 of them one by one. */
    c.relative = (4.0 + (double)ne[0] / 16.0) * FLT_EPSILON;
    c.absolute = 1e-44;
    float *y = op_run(&c, gi8_soft_max(c.ctx, tx, tm, factor));
    double *e = malloc((size_t)ne[0] * sizeof *e);
    assert_non_null(e);
    for (int64_t row = 0; row < count / ne[0]; row++) {
        int64_t at[4] = {0, row % ne[1], row / ne[1] % ne[2], row / (ne[1] * ne[2])};
        double top = -INFINITY;
        double sum = 0.0;
        for (int64_t i = 0; i < ne[0]; i++) {
            int64_t j = 0;
            for (int d = 3; d >= 0 && mask != NULL; d--) {
                j = j * mask_ne[d] + (mask_ne[d] == 1 ? 0 : d == 0 ? i : at[d]);
            }
            e[i] = (double)x[row * ne[0] + i] * (double)factor +
                   (mask != NULL ? (double)mask[j] : 0.0);
            top = e[i] > top ? e[i] : top;
        }
        for (int64_t i = 0; i < ne[0]; i++) {
            e[i] = exp(e[i] - top);
            sum += e[i];
        }
        for (int64_t i = 0; i < ne[0]; i++) {
            /* The argument of exp() is rounded twice; it is at most some 50 in size. */
            double tolerance = (50.0 + (double)ne[0] / 16.0) * FLT_EPSILON * (e[i] / sum) + 1e-44;
            op_assert_close(y[row * ne[0] + i], e[i] / sum, tolerance, "soft_max", row * ne[0] + i);
        }
    }
    free(e);
    free(y);
    free(x);
    free(mask);
    op_end(&c);
}

static void test_soft_max(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(33);
    check_soft_max(&rng, (int64_t[]){1, 1, 1, 1}, NULL, 1.0f);
    check_soft_max(&rng, (int64_t[]){17, 3, 2, 2}, NULL, 0.5f);
    check_soft_max(&rng, (int64_t[]){17, 3, 2, 2}, (int64_t[]){17, 3, 1, 1}, 0.5f);
    check_soft_max(&rng, (int64_t[]){40, 5, 1, 1}, (int64_t[]){40, 1, 1, 1}, -1.0f);
    check_soft_max(&rng, (int64_t[]){16, 6, 1, 1}, (int64_t[]){1, 1, 1, 1}, 1.0f);
    check_soft_max(&rng, (int64_t[]){2048, 9, 1, 1}, NULL, 1.0f);
}

static void test_soft_max_not_finite(void **state) {
    (void)state;
    enum { N = 20, ROWS = 4 };
    float x[N * ROWS] = {0};
    for (int i = 0; i < N; i++) {
        x[i] = -INFINITY; /* a row that is -Inf throughout: NaN */
    }
    x[N + 17] = NAN;
    x[2 * N + 3] = -INFINITY; /* one weight 0, the others 1/19 */
    op_case c;
    op_begin(&c);
    gi8_tensor *t = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){N, ROWS, 1, 1}, x);
    c.relative = 5.0 * FLT_EPSILON;
    float *y = op_run(&c, gi8_soft_max(c.ctx, t, NULL, 1.0f));
    for (int i = 0; i < N; i++) {
        assert_true(isnan(y[i]) && isnan(y[N + i]));
        op_assert_close(y[2 * N + i], i == 3 ? 0.0 : 1.0 / 19, 1e-7, "row with -Inf", i);
        op_assert_close(y[3 * N + i], 1.0 / 20, 1e-8, "row of zeros", i);
    }
    free(y);
    op_end(&c);
}

/* Rows of a strided view. */
static void test_views(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(34);
    enum { D = 21, R = 5 };
    float *data = op_random(&rng, 2 * D * R, -2.0f, 2.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *wide = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){2 * D, R, 1, 1}, data);
    gi8_tensor *x = gi8_view_2d(c.ctx, wide, D, R, wide->nb[1], (D - 4) * sizeof(float));
    gi8_tensor *norm = gi8_layer_norm(c.ctx, gi8_soft_max(c.ctx, x, NULL, 1.0f), NULL, NULL, 1e-9f);
    gi8_tensor *same = gi8_layer_norm(
        c.ctx, gi8_soft_max(c.ctx, gi8_cont(c.ctx, x), NULL, 1.0f), NULL, NULL, 1e-9f);
    gi8_tensor *difference = gi8_add(c.ctx, norm, gi8_scale(c.ctx, same, -1.0f));
    c.absolute = 0.0; /* the difference of equal results is 0 on a device, too */
    float *y = op_run(&c, difference);
    for (int i = 0; i < D * R; i++) {
        assert_true(y[i] == 0.0f);
    }
    free(y);
    c.absolute = 1e-5;
    float *direct = op_run(&c, gi8_layer_norm(c.ctx, x, NULL, NULL, 0.0f));
    for (int r = 0; r < R; r++) {
        double sum = 0.0;
        double squares = 0.0;
        for (int i = 0; i < D; i++) {
            sum += (double)direct[r * D + i];
            squares += (double)direct[r * D + i] * (double)direct[r * D + i];
        }
        op_assert_close((float)sum, 0.0, 1e-5, "sum of a normalized row", r);
        op_assert_close((float)squares, D, 1e-4, "squares of a normalized row", r);
    }
    free(direct);
    free(data);
    op_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_rows), cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_soft_max), cmocka_unit_test(test_soft_max_not_finite),
        cmocka_unit_test(test_views),
    };
    return cmocka_run_group_tests(tests, op_backends_create, op_backends_free);
}
