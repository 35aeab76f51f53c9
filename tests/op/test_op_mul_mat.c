/* test_op_mul_mat.c - mul_mat against sums in double. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_fixture.h"

typedef struct shape {
    int64_t k, n, m, b2, b3, c2, c3;
} shape;

/* How far a device may be from the CPU, with values in [-1, 1]: fp32 sums of k products in any
 * order, and more than four rows of x rounded to the type of 16-bit weights. */
static void set_bound(op_case *c, gi8_type type, int64_t k) {
    double rounding = type == GI8_TYPE_F16 ? 0x1p-11 + 0x1p-38 : type == GI8_TYPE_BF16 ? 0x1p-8 : 0;
    c->absolute = (double)k * (2.0 * (double)k * 0x1p-24 + rounding);
}

static void check(test_rng *rng, gi8_type type, shape s) {
    int64_t w_count = s.k * s.n * s.b2 * s.b3;
    int64_t x_count = s.k * s.m * s.c2 * s.c3;
    float *w = op_random(rng, w_count, -1.0f, 1.0f);
    float *x = op_random(rng, x_count, -1.0f, 1.0f);
    op_round_to(type, w, w_count);
    op_case c;
    op_begin(&c);
    gi8_tensor *tw = op_float_input(&c, type, (int64_t[]){s.k, s.n, s.b2, s.b3}, w);
    gi8_tensor *tx = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){s.k, s.m, s.c2, s.c3}, x);
    set_bound(&c, type, s.k);
    float *y = op_run(&c, gi8_mul_mat(c.ctx, tw, tx));
    for (int64_t i3 = 0; i3 < s.c3; i3++) {
        for (int64_t i2 = 0; i2 < s.c2; i2++) {
            const float *wm = w + ((i3 / (s.c3 / s.b3)) * s.b2 + i2 / (s.c2 / s.b2)) * s.k * s.n;
            for (int64_t j = 0; j < s.m * s.n; j++) {
                int64_t row = (i3 * s.c2 + i2) * s.m + j / s.n;
                double sum = 0.0;
                double size = 0.0;
                for (int64_t i = 0; i < s.k; i++) {
                    double p = (double)wm[j % s.n * s.k + i] * (double)x[row * s.k + i];
                    sum += p;
                    size += fabs(p);
                }
                /* In a block at most k/16 additions a lane and four more, then one for each block:
                 * each rounds by half a unit of the sum so far. */
                double roundings = (double)s.k / 16 + 5 + (double)s.k / 2048;
                double tolerance = roundings * 0.5 * FLT_EPSILON * size;
                op_assert_close(y[row * s.n + j % s.n], sum, tolerance, "mul_mat",
                                row * s.n + j % s.n);
            }
        }
    }
    free(y);
    free(w);
    free(x);
    op_end(&c);
}

static void test_shapes_and_types(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(11);
    static const shape shapes[] = {
        {1, 1, 1, 1, 1, 1, 1},     {3, 2, 5, 1, 1, 1, 1},      {16, 4, 6, 1, 1, 1, 1},
        {17, 5, 7, 1, 1, 1, 1},    {31, 33, 13, 1, 1, 1, 1},   {64, 130, 1, 1, 1, 1, 1},
        {499, 67, 2, 1, 1, 1, 1},  {256, 70, 29, 1, 1, 1, 1},  {80, 9, 3, 2, 1, 4, 1},
        {33, 6, 4, 1, 3, 2, 6},    {1500, 8, 100, 1, 1, 1, 1}, {48, 200, 65, 1, 1, 1, 1},
        {5, 3, 0, 1, 1, 1, 1},     {7, 0, 3, 1, 1, 1, 1},      {1031, 70, 17, 1, 1, 1, 1},
        {2050, 33, 40, 1, 1, 1, 1}, {1100, 5, 1030, 1, 1, 1, 1}, {4200, 37, 33, 1, 1, 1, 1},
        {1040, 18, 20, 1, 2, 2, 4}, {4111, 1, 35, 1, 1, 2, 1}, {4100, 0, 33, 1, 1, 1, 1},
    };
    static const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};
    for (size_t t = 0; t < 3; t++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            check(&rng, types[t], shapes[i]);
        }
    }
}

/* k = 0: an empty sum is 0. */
static void test_empty_sum(void **state) {
    (void)state;
    op_case c;
    op_begin(&c);
    gi8_tensor *w = op_input(&c, GI8_TYPE_F32, (int64_t[]){0, 3, 1, 1}, NULL);
    gi8_tensor *x = op_input(&c, GI8_TYPE_F32, (int64_t[]){0, 5, 1, 1}, NULL);
    float *y = op_run(&c, gi8_mul_mat(c.ctx, w, x));
    for (int i = 0; i < 15; i++) {
        assert_true(y[i] == 0.0f);
    }
    free(y);
    op_end(&c);
}

/* Strided w and x: head-wise views of a wider tensor, permuted beyond dimension 0. */
static void test_views(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(12);
    enum { D = 24, H = 3, T = 7, N = 10 };
    float *data = op_random(&rng, 3 * D * H * T, -1.0f, 1.0f);
    float *weights = op_random(&rng, (D + 3) * N, -1.0f, 1.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *wide = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){3 * D, H, T, 1}, data);
    gi8_tensor *w = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){D + 3, N, 1, 1}, weights);
    gi8_tensor *middle =
        gi8_view_3d(c.ctx, wide, D, H, T, wide->nb[1], wide->nb[2], D * sizeof(float));
    gi8_tensor *x = gi8_permute(c.ctx, middle, 0, 2, 1, 3); /* [D, T, H] */
    gi8_tensor *cut = gi8_view_2d(c.ctx, w, D, N, w->nb[1], 2 * sizeof(float));
    set_bound(&c, GI8_TYPE_F32, D);
    float *y = op_run(&c, gi8_mul_mat(c.ctx, cut, x));
    for (int h = 0; h < H; h++) {
        for (int t = 0; t < T; t++) {
            for (int n = 0; n < N; n++) {
                double sum = 0.0;
                for (int d = 0; d < D; d++) {
                    sum += (double)weights[n * (D + 3) + 2 + d] *
                           (double)data[(t * H + h) * 3 * D + D + d];
                }
                op_assert_close(y[(h * T + t) * N + n], sum, 1e-5, "view", (h * T + t) * N + n);
            }
        }
    }
    free(y);
    free(data);
    free(weights);
    op_end(&c);
}

/* A row gives the same bits alone as in any batch. */
static void check_invariance(test_rng *rng, gi8_type type, int64_t k, int64_t n, int64_t m) {
    float *w = op_random(rng, k * n, -1.0f, 1.0f);
    float *x = op_random(rng, k * m, -1.0f, 1.0f);
    float *batch = NULL;
    for (int64_t row = -1; row < m; row++) {
        op_case c;
        op_begin(&c);
        gi8_tensor *tw = op_float_input(&c, type, (int64_t[]){k, n, 1, 1}, w);
        gi8_tensor *tx = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){k, row < 0 ? m : 1, 1, 1},
                                        row < 0 ? x : x + row * k);
        set_bound(&c, type, k);
        float *y = op_run(&c, gi8_mul_mat(c.ctx, tw, tx));
        if (row < 0) {
            batch = y;
        } else {
            assert_memory_equal(y, batch + row * n, (size_t)n * sizeof *y);
            free(y);
        }
        op_end(&c);
    }
    free(batch);
    free(w);
    free(x);
}

static void test_batch_invariance(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(13);
    check_invariance(&rng, GI8_TYPE_F16, 203, 37, 21);
    check_invariance(&rng, GI8_TYPE_F32, 2300, 37, 21);
    check_invariance(&rng, GI8_TYPE_BF16, 4113, 19, 35);
}

/* NaN and Inf go through the sum of their own row and column only. */
static void test_not_finite(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(14);
    enum { K = 40, N = 9, M = 8 };
    float *w = op_random(&rng, K * N, 0.5f, 1.0f);
    float *x = op_random(&rng, K * M, 0.5f, 1.0f);
    x[3 * K + 38] = NAN;
    x[5 * K + 1] = INFINITY;
    op_case c;
    op_begin(&c);
    gi8_tensor *tw = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){K, N, 1, 1}, w);
    gi8_tensor *tx = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){K, M, 1, 1}, x);
    set_bound(&c, GI8_TYPE_F32, K);
    float *y = op_run(&c, gi8_mul_mat(c.ctx, tw, tx));
    for (int i = 0; i < M * N; i++) {
        int row = i / N;
        assert_true(row == 3 ? isnan(y[i]) : row == 5 ? isinf(y[i]) : isfinite(y[i]));
    }
    free(y);
    free(w);
    free(x);
    op_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes_and_types), cmocka_unit_test(test_empty_sum),
        cmocka_unit_test(test_views),            cmocka_unit_test(test_batch_invariance),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, op_backends_create, op_backends_free);
}
