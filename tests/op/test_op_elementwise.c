/* test_op_elementwise.c - add, mul, scale and the activations against libm in double. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_fixture.h"

/* a [a0..a3] with b repeated where its dimension is 1. */
static void check_binary(test_rng *rng, const int64_t a_ne[4], const int64_t b_ne[4]) {
    int64_t a_count = a_ne[0] * a_ne[1] * a_ne[2] * a_ne[3];
    int64_t b_count = b_ne[0] * b_ne[1] * b_ne[2] * b_ne[3];
    float *a = op_random(rng, a_count, -3.0f, 3.0f);
    float *b = op_random(rng, b_count, -3.0f, 3.0f);
    for (int multiply = 0; multiply < 2; multiply++) {
        op_case c;
        op_begin(&c);
        gi8_tensor *ta = op_float_input(&c, GI8_TYPE_F32, a_ne, a);
        gi8_tensor *tb = op_float_input(&c, GI8_TYPE_F32, b_ne, b);
        float *y = op_run(&c, multiply ? gi8_mul(c.ctx, ta, tb) : gi8_add(c.ctx, ta, tb));
        for (int64_t i = 0; i < a_count; i++) {
            int64_t at[4] = {i % a_ne[0], i / a_ne[0] % a_ne[1], i / (a_ne[0] * a_ne[1]) % a_ne[2],
                             i / (a_ne[0] * a_ne[1] * a_ne[2])};
            int64_t j = 0;
            for (int d = 3; d >= 0; d--) {
                j = j * b_ne[d] + (b_ne[d] == 1 ? 0 : at[d]);
            }
            float expected = multiply ? a[i] * b[j] : a[i] + b[j];
            op_assert_close(y[i], (double)expected, 0.0, multiply ? "mul" : "add", i);
        }
        free(y);
        op_end(&c);
    }
    free(a);
    free(b);
}

static void test_add_and_mul(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(21);
    static const int64_t shapes[][2][4] = {
        {{1, 1, 1, 1}, {1, 1, 1, 1}},       {{15, 3, 1, 1}, {15, 3, 1, 1}},
        {{33, 4, 2, 3}, {33, 1, 2, 1}},     {{33, 4, 2, 3}, {1, 4, 1, 3}},
        {{16, 5, 1, 1}, {16, 1, 1, 1}},     {{7, 5, 3, 2}, {1, 1, 1, 1}},
        {{1000, 64, 1, 1}, {1000, 1, 1, 1}}, {{5, 0, 2, 1}, {5, 1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_binary(&rng, shapes[i][0], shapes[i][1]);
    }
}

/* x / 2 (1 + erf(x / sqrt 2)) without cancellation. */
static double gelu(double x) {
    return 0.5 * x * erfc(-x * sqrt(0.5));
}

static double gelu_tanh(double x) {
    return x / (1.0 + exp(-2.0 * sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

static void check_activation(const float *x, int64_t count, gi8_activation_kind kind) {
    op_case c;
    op_begin(&c);
    gi8_tensor *t = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){count, 1, 1, 1}, x);
    float *y = op_run(&c, kind == GI8_ACTIVATION_RELU   ? gi8_relu(c.ctx, t)
                          : kind == GI8_ACTIVATION_SILU ? gi8_silu(c.ctx, t)
                          : kind == GI8_ACTIVATION_GELU ? gi8_gelu(c.ctx, t)
                                                        : gi8_gelu_tanh(c.ctx, t));
    for (int64_t i = 0; i < count; i++) {
        double v = (double)x[i];
        double expected = kind == GI8_ACTIVATION_RELU   ? (v > 0.0 ? v : 0.0)
                          : kind == GI8_ACTIVATION_SILU ? v / (1.0 + exp(-v))
                          : kind == GI8_ACTIVATION_GELU ? gelu(v)
                                                        : gelu_tanh(v);
        /* A few units in the last place; the argument of exp() adds its own rounding. */
        double units = kind == GI8_ACTIVATION_GELU_TANH ? 8.0 + fabs(v * v * v) : 8.0 + fabs(v);
        /* Where 1 + exp(-u) overflows, the quotient is 0. */
        double tolerance = units * FLT_EPSILON * fabs(expected) + 2e-45 +
                           (kind == GI8_ACTIVATION_GELU ? 0.0 : 0x1p-127 * fabs(v));
        op_assert_close(y[i], expected, kind == GI8_ACTIVATION_RELU ? 0.0 : tolerance, "activation",
                        i);
    }
    free(y);
    op_end(&c);
}

static void test_activations(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(22);
    enum { COUNT = 20011 };
    float *x = op_random(&rng, COUNT, -12.0f, 12.0f);
    for (int i = 0; i < 2000; i++) {
        x[i] *= 1e-3f;
    }
    x[7] = 0.0f;
    x[9] = FLT_MIN / 8.0f;
    x[11] = -87.0f;
    x[12] = 88.0f;
    for (int kind = GI8_ACTIVATION_RELU; kind <= GI8_ACTIVATION_GELU_TANH; kind++) {
        check_activation(x, COUNT, (gi8_activation_kind)kind);
        check_activation(x, 1, (gi8_activation_kind)kind);
        check_activation(x, 31, (gi8_activation_kind)kind);
    }
    free(x);
}

/* Large arguments do not overflow on the way, and NaN stays NaN. */
static void test_activation_limits(void **state) {
    (void)state;
    const float x[] = {1e30f, -1e30f, 200.0f, -200.0f, NAN, INFINITY};
    for (int kind = GI8_ACTIVATION_RELU; kind <= GI8_ACTIVATION_GELU_TANH; kind++) {
        op_case c;
        op_begin(&c);
        gi8_tensor *t = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){6, 1, 1, 1}, x);
        float *y = op_run(&c, kind == GI8_ACTIVATION_RELU   ? gi8_relu(c.ctx, t)
                              : kind == GI8_ACTIVATION_SILU ? gi8_silu(c.ctx, t)
                              : kind == GI8_ACTIVATION_GELU ? gi8_gelu(c.ctx, t)
                                                            : gi8_gelu_tanh(c.ctx, t));
        assert_true(y[0] == 1e30f && y[1] == 0.0f && y[2] == 200.0f && y[3] == 0.0f);
        assert_true(isnan(y[4]) && y[5] == INFINITY);
        free(y);
        op_end(&c);
    }
}

static void test_scale(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(23);
    enum { COUNT = 9001 };
    float *x = op_random(&rng, COUNT, -5.0f, 5.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *t = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){COUNT, 1, 1, 1}, x);
    float *y = op_run(&c, gi8_scale(c.ctx, t, -0.3f));
    for (int64_t i = 0; i < COUNT; i++) {
        assert_true(y[i] == x[i] * -0.3f);
    }
    free(y);
    free(x);
    op_end(&c);
}

/* Sources that are views: every second row of the middle third, permuted. */
static void test_views(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(24);
    enum { D = 19, R = 6 };
    float *data = op_random(&rng, 3 * D * R * 2, -2.0f, 2.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *wide = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){3 * D, 2, R, 1}, data);
    gi8_tensor *view = gi8_view_3d(c.ctx, wide, D, 2, R / 2, wide->nb[1], 2 * wide->nb[2],
                                   D * sizeof(float));
    gi8_tensor *x = gi8_permute(c.ctx, view, 0, 2, 1, 3); /* [D, R / 2, 2] */
    gi8_tensor *sum = gi8_add(c.ctx, gi8_scale(c.ctx, x, 2.0f), x);
    float *y = op_run(&c, sum);
    for (int b = 0; b < 2; b++) {
        for (int r = 0; r < R / 2; r++) {
            for (int d = 0; d < D; d++) {
                float v = data[(2 * r * 2 + b) * 3 * D + D + d];
                assert_true(y[(b * (R / 2) + r) * D + d] == v * 2.0f + v);
            }
        }
    }
    free(y);
    free(data);
    op_end(&c);
}

/* A chain that the planner runs in place. */
static void test_in_place(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(25);
    enum { D = 100, R = 90 };
    float *data = op_random(&rng, D * R, -2.0f, 2.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *x = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){D, R, 1, 1}, data);
    gi8_tensor *y = gi8_scale(c.ctx, x, 3.0f);
    y = gi8_add(c.ctx, y, x);
    y = gi8_mul(c.ctx, y, x);
    y = gi8_relu(c.ctx, y);
    float *result = op_run(&c, y);
    for (int i = 0; i < D * R; i++) {
        float expected = (data[i] * 3.0f + data[i]) * data[i];
        assert_true(result[i] == (expected > 0.0f ? expected : 0.0f));
    }
    free(result);
    free(data);
    op_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_mul),       cmocka_unit_test(test_activations),
        cmocka_unit_test(test_activation_limits), cmocka_unit_test(test_scale),
        cmocka_unit_test(test_views),             cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, op_backends_create, op_backends_free);
}
