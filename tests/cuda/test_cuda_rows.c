/* test_cuda_rows.c - layer_norm, soft_max and rope against the CPU. The order of sums differs, and
 * so do the last bits of the first two: their bounds are stated at their tests. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_fixture.h"

/* ---- layer_norm ------------------------------------------------------------------------------ */

typedef struct norm_arg {
    int64_t ne[4], gap, shift;
    float offset, eps;
    bool gain, bias;
    bool contiguous; /* of a copy of x */
} norm_arg;

static gi8_tensor *build_layer_norm(cuda_case *c, const void *arg) {
    const norm_arg *a = arg;
    gi8_tensor *x = cuda_random_input(c, GI8_TYPE_F32, a->ne, a->offset - 2.0f, a->offset + 2.0f,
                                      a->gap, a->shift);
    const int64_t ne[4] = {a->ne[0], 1, 1, 1};
    gi8_tensor *gain = cuda_random_input(c, GI8_TYPE_F32, ne, 0.5f, 1.5f, 0, 0);
    /* the second half of a leaf: at any alignment */
    gi8_tensor *bias = cuda_random_input(c, GI8_TYPE_F32, ne, -1.0f, 1.0f, ne[0], ne[0]);
    return gi8_layer_norm(c->ctx, a->contiguous ? gi8_cont(c->ctx, x) : x, a->gain ? gain : NULL,
                          a->bias ? bias : NULL, a->eps);
}

static const norm_arg norms[] = {
    {{1, 3, 1, 1}, 0, 0, 0.0f, 0.1f, true, true, false},
    {{2, 9, 1, 1}, 0, 0, 1.0f, 0.1f, true, false, false},
    {{15, 4, 1, 1}, 0, 0, 0.0f, 1e-5f, true, true, false},
    {{16, 17, 1, 1}, 0, 0, 1.0f, 1e-5f, false, true, false},
    {{33, 7, 2, 2}, 1, 1, -1.0f, 1e-3f, true, false, false},
    {{256, 50, 1, 1}, 0, 0, 0.0f, 0.0f, false, false, false},
    {{257, 3, 3, 1}, 3, 1, 0.0f, 1e-5f, true, true, false},
    {{768, 5, 1, 1}, 768, 768, 0.0f, 1e-5f, true, true, false},
    {{1000, 5, 1, 1}, 0, 0, 50.0f, 1e-5f, true, true, false},
    {{1024, 2, 1, 1}, 4, 3, 0.0f, 1e-5f, true, true, false},
    {{1025, 2, 1, 1}, 0, 0, 0.0f, 1e-5f, true, true, false},
    {{2048, 3, 1, 1}, 0, 0, -3.0f, 1e-5f, true, true, false},
    {{2050, 2, 1, 1}, 2, 1, 0.0f, 1e-5f, false, false, false},
    {{6144, 3, 1, 1}, 0, 0, 0.0f, 1e-5f, true, true, false},
    {{8192, 1, 1, 1}, 0, 0, 0.0f, 1e-5f, true, true, false},
    {{8193, 2, 1, 1}, 5, 2, 0.0f, 1e-5f, true, true, false},
    {{20000, 2, 1, 1}, 0, 0, 0.0f, 1e-5f, true, true, false},
    {{8, 0, 1, 1}, 0, 0, 0.0f, 1e-5f, true, true, false},
};

static void test_layer_norm(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(711);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        const norm_arg *a = &norms[i];
        /* The rounding of the mean, times the factor, at most 2 but for short rows; a few
         * roundings of what comes behind it; the gain. */
        double factor = a->ne[0] < 15 ? 1.0 / sqrt((double)a->eps) : 2.0;
        double bound = 1.5 * 16 * FLT_EPSILON * ((fabs((double)a->offset) + 2.0) * factor + 1.0);
        cuda_compare(build_layer_norm, a, test_rng_next(&rng), "layer_norm", 0.0, bound);
    }
}

/* Rows with NaN or Inf, and rows without any variance. */
static gi8_tensor *build_odd_norm(cuda_case *c, const void *arg) {
    enum { D = 64 };
    float x[4 * D];
    for (int i = 0; i < 4 * D; i++) {
        x[i] = i < 2 * D ? (float)i : 2.0f;
    }
    x[5] = NAN;
    x[D + 40] = -INFINITY;
    gi8_tensor *t = cuda_input(c, GI8_TYPE_F32, (int64_t[]){D, 4, 1, 1}, x);
    return gi8_layer_norm(c->ctx, t, NULL, NULL, *(const float *)arg);
}

static void test_layer_norm_not_finite(void **state) {
    (void)state;
    const float eps[] = {0.0f, 1e-5f};
    for (int i = 0; i < 2; i++) {
        cuda_compare(build_odd_norm, &eps[i], 0, "layer_norm of odd rows", 0.0, 1e-6);
    }
}

/* ---- soft_max -------------------------------------------------------------------------------- */

typedef struct soft_max_arg {
    int64_t ne[4], gap, shift;
    int64_t mask[4], mask_gap, mask_shift; /* mask[0] 0: none */
    float factor;
    bool contiguous; /* of a copy of x */
} soft_max_arg;

static gi8_tensor *build_soft_max(cuda_case *c, const void *arg) {
    const soft_max_arg *a = arg;
    gi8_tensor *x = cuda_random_input(c, GI8_TYPE_F32, a->ne, -20.0f, 20.0f, a->gap, a->shift);
    gi8_tensor *mask = NULL;
    if (a->mask[0] > 0) {
        mask = cuda_random_input(c, GI8_TYPE_F32, a->mask, -3.0f, 0.0f, a->mask_gap, a->mask_shift);
        float *values = c->values[c->n_leaves - 1];
        int64_t count = (int64_t)(gi8_nbytes(c->leaves[c->n_leaves - 1]) / sizeof *values);
        for (int64_t i = 1; i < count; i += 3) {
            values[i] = -INFINITY;
        }
    }
    return gi8_soft_max(c->ctx, a->contiguous ? gi8_cont(c->ctx, x) : x, mask, a->factor);
}

static const soft_max_arg soft_maxes[] = {
    {{1, 1, 1, 1}, 0, 0, {0}, 0, 0, 1.0f, false},
    {{17, 3, 2, 2}, 0, 0, {0}, 0, 0, 0.5f, false},
    {{17, 3, 2, 2}, 2, 1, {17, 3, 1, 1}, 0, 0, 0.5f, false},
    {{40, 5, 1, 1}, 0, 0, {40, 1, 1, 1}, 8, 8, -1.0f, false},
    {{16, 6, 1, 1}, 0, 0, {1, 1, 1, 1}, 0, 0, 1.0f, false},
    {{24, 6, 2, 3}, 1, 1, {24, 1, 2, 1}, 1, 1, 0.7f, false},
    {{5, 6, 2, 3}, 0, 0, {1, 6, 1, 3}, 0, 0, 0.7f, false},
    {{260, 4, 1, 1}, 4, 4, {260, 4, 1, 1}, 4, 4, 1.0f, false},
    {{1024, 3, 1, 1}, 3, 2, {0}, 0, 0, 1.0f, false},
    {{1030, 3, 1, 1}, 0, 0, {1030, 1, 1, 1}, 0, 0, 1.0f, false},
    {{2048, 9, 1, 1}, 0, 0, {0}, 0, 0, 1.0f, false},
    {{5000, 2, 1, 1}, 1, 1, {5000, 2, 1, 1}, 0, 0, 0.3f, false},
    {{9001, 2, 1, 1}, 1, 1, {9001, 1, 1, 1}, 0, 0, 0.3f, false},
    {{8, 0, 1, 1}, 0, 0, {0}, 0, 0, 1.0f, false},
};

static void test_soft_max(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(712);
    for (size_t i = 0; i < sizeof soft_maxes / sizeof *soft_maxes; i++) {
        /* The exponentials have the CPU's bits; the CPU adds ne[0] / 16 of them one by one. */
        double bound = (4.0 + (double)soft_maxes[i].ne[0] / 16.0) * FLT_EPSILON;
        cuda_compare(build_soft_max, &soft_maxes[i], test_rng_next(&rng), "soft_max", bound,
                     1e-44);
    }
}

static gi8_tensor *build_odd_soft_max(cuda_case *c, const void *arg) {
    enum { N = 20, ROWS = 6 };
    float x[N * ROWS] = {0};
    (void)arg;
    for (int i = 0; i < N; i++) {
        x[i] = -INFINITY; /* a row that is -Inf throughout: NaN */
        x[5 * N + i] = -FLT_MAX;
    }
    x[N + 17] = NAN;
    x[2 * N + 3] = -INFINITY;
    x[3 * N + 19] = INFINITY; /* NaN */
    x[5 * N + 7] = FLT_MAX;
    gi8_tensor *t = cuda_input(c, GI8_TYPE_F32, (int64_t[]){N, ROWS, 1, 1}, x);
    return gi8_soft_max(c->ctx, t, NULL, 1.0f);
}

static void test_soft_max_not_finite(void **state) {
    (void)state;
    cuda_compare(build_odd_soft_max, NULL, 0, "soft_max of odd rows", 1e-6, 0.0);
    cuda_result y = cuda_run_cuda(build_odd_soft_max, NULL, 0);
    const float *v = y.bytes;
    assert_true(isnan(v[0]) && isnan(v[19]) && isnan(v[20]) && isnan(v[60]));
    assert_true(v[43] == 0.0f && v[107] == 1.0f);
    cuda_result_free(&y);
}

/* ---- strides change no bit ------------------------------------------------------------------- */

static void check_copy(cuda_build *build, const void *view, const void *copy, uint64_t seed) {
    cuda_result expected = cuda_run_cuda(build, copy, seed);
    cuda_result actual = cuda_run_cuda(build, view, seed);
    cuda_assert_close(&expected, &actual, "of a view and of a copy", 0.0, 0.0);
    cuda_result_free(&expected);
    cuda_result_free(&actual);
}

static void test_alignment(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(713);
    const int64_t lengths[] = {24, 64, 256, 1024, 1536, 4096, 8196};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        norm_arg norm = {{lengths[i], 3, 1, 1}, 7, 1, 0.5f, 1e-5f, true, true, false};
        norm_arg norm_copy = norm;
        norm_copy.contiguous = true;
        check_copy(build_layer_norm, &norm, &norm_copy, test_rng_next(&rng));
        soft_max_arg soft = {{lengths[i], 3, 1, 1}, 7, 3, {0}, 0, 0, 0.5f, false};
        soft_max_arg soft_copy = soft;
        soft_copy.contiguous = true;
        check_copy(build_soft_max, &soft, &soft_copy, test_rng_next(&rng));
    }
}

/* ---- rope ------------------------------------------------------------------------------------ */

typedef struct rope_arg {
    int64_t d, n_heads, n_tokens, gap, shift;
    gi8_rope_params params;
} rope_arg;

static gi8_tensor *build_rope(cuda_case *c, const void *arg) {
    const rope_arg *a = arg;
    static const int32_t known[] = {0, 1, -1, 2047, 131071, 16777217, INT32_MAX, INT32_MIN};
    int32_t positions[64] = {0};
    for (int t = 0; t < a->n_tokens; t++) {
        positions[t] = t < 8 ? known[t] : (int32_t)test_rng_int(&c->rng, 0, 1 << 20);
    }
    gi8_tensor *x = cuda_random_input(c, GI8_TYPE_F32,
                                      (int64_t[]){a->d, a->n_heads, a->n_tokens, 1}, -3.0f, 3.0f,
                                      a->gap, a->shift);
    return gi8_rope(c->ctx, x, cuda_i32_input(c, a->n_tokens, positions), &a->params);
}

static void test_rope(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(714);
    static const rope_arg cases[] = {
        {64, 12, 20, 0, 0, {16, 10000.0f, 1.0f}},   {64, 12, 20, 128, 64, {16, 10000.0f, 1.0f}},
        {96, 3, 9, 192, 0, {24, 10000.0f, 0.25f}},  {128, 2, 8, 0, 0, {128, 10000.0f, 1.0f}},
        {80, 5, 3, 3, 1, {20, 500000.0f, 1.0f}},    {2, 1, 8, 0, 0, {2, 10000.0f, 1.0f}},
        {7, 4, 33, 0, 0, {6, 10000.0f, -2.0f}},     {1100, 2, 8, 0, 0, {1098, 10000.0f, 1.0f}},
        {512, 1, 5, 4, 4, {512, 2.0f, 1.0f}},       {32, 70, 1, 0, 0, {8, 10000.0f, 1.0f}},
        {32, 3, 0, 0, 0, {8, 10000.0f, 1.0f}},      {10, 3, 64, 0, 0, {4, 1.0f, 1e-3f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cuda_compare(build_rope, &cases[i], test_rng_next(&rng), "rope", 0.0, 0.0);
    }
}

/* Angles from 2^31 on, where sin() and cos() of the device are used: one rounding of each to fp32
 * may differ. */
static void test_rope_of_large_angles(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(715);
    static const rope_arg cases[] = {
        {64, 2, 9, 0, 0, {64, 1e-6f, 1.0f}},
        {64, 2, 9, 0, 0, {64, 1e-30f, 1.0f}},
        {16, 2, 9, 0, 0, {16, 10000.0f, 1e30f}},
        {16, 2, 9, 0, 0, {16, 1e-44f, 1.0f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cuda_compare(build_rope, &cases[i], test_rng_next(&rng), "rope of large angles", 0.0,
                     3.0 * 4 * FLT_EPSILON);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm),  cmocka_unit_test(test_layer_norm_not_finite),
        cmocka_unit_test(test_soft_max),    cmocka_unit_test(test_soft_max_not_finite),
        cmocka_unit_test(test_alignment),   cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_of_large_angles),
    };
    return cmocka_run_group_tests(tests, cuda_backends_create, cuda_backends_free);
}
