/* test_cuda_norm_int8.c - layer_norm right before mul_mat_int8_mixed, which one kernel computes,
 * against the same graph with a copy between the two: not one bit differs. */
#include <stdio.h>
#include <string.h>

#include "cuda_fixture.h"

typedef struct norm_arg {
    int64_t k, n, m, gap;
    gi8_outliers mode;
    float threshold;
    bool gain, bias; /* with and without */
    bool reused;     /* the normalized rows are read once more */
    bool apart;
} norm_arg;

static gi8_tensor *build(cuda_case *c, const void *arg) {
    const norm_arg *a = arg;
    const int64_t vector[4] = {a->k, 1, 1, 1};
    gi8_tensor *x = cuda_random_input(c, GI8_TYPE_F32, (int64_t[]){a->k, a->m, 1, 1}, -2.0f, 3.0f,
                                      a->gap, a->gap > 0 ? 1 : 0);
    gi8_tensor *gain = cuda_random_input(c, GI8_TYPE_F32, vector, 0.0f, 4.0f, 0, 0);
    gi8_tensor *bias = cuda_random_input(c, GI8_TYPE_F32, vector, -1.0f, 1.0f, 0, 0);
    gi8_tensor *codes = cuda_random_input(c, GI8_TYPE_I8, (int64_t[]){a->k, a->n, 1, 1}, 0.0f, 0.0f,
                                          0, 0);
    gi8_tensor *absmax = cuda_random_input(c, GI8_TYPE_F32, (int64_t[]){a->n, 1, 1, 1}, 0.1f, 1.0f,
                                           0, 0);
    x = a->reused ? gi8_scale(c->ctx, x, 1.5f) : x; /* the product may take its memory, or not */
    gi8_tensor *y = gi8_layer_norm(c->ctx, x, a->gain ? gain : NULL,
                                   a->bias ? bias : NULL, 1e-5f);
    const gi8_int8_params params = {a->threshold, a->mode, GI8_TYPE_F32};
    gi8_tensor *source = a->apart ? gi8_cont(c->ctx, y) : y;
    gi8_tensor *product = gi8_mul_mat_int8_mixed(c->ctx, codes, absmax, NULL, source, &params);
    return a->reused ? gi8_add(c->ctx, product, y) : product;
}

static void check(norm_arg a, uint64_t seed) {
    norm_arg apart = a;
    apart.apart = true;
    cuda_result expected = cuda_run_cuda(build, &apart, seed);
    cuda_result actual = cuda_run_cuda(build, &a, seed);
    char what[160];
    snprintf(what, sizeof what, "K %d, N %d, M %d, threshold %g", (int)a.k, (int)a.n, (int)a.m,
             (double)a.threshold);
    assert_int_equal(expected.count, actual.count);
    if (memcmp(expected.bytes, actual.bytes, (size_t)expected.count * sizeof(float)) != 0) {
        fail_msg("%s: bits differ", what);
    }
    assert_int_equal(expected.outliers.outlier_columns, actual.outliers.outlier_columns);
    cuda_result_free(&expected);
    cuda_result_free(&actual);
}

/* Rows of a warp and of a block, kept in registers and not, whole units and not; each way to
 * multiply. */
static void test_shapes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(181);
    static const int64_t ks[] = {1, 16, 90, 96, 256, 512, 768, 1024, 1040, 1030, 2064, 8192, 8208};
    static const int64_t ms[] = {1, 2, 4, 5, 9};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        for (size_t j = 0; j < sizeof ms / sizeof *ms; j++) {
            norm_arg a = {.k = ks[i], .n = 12, .m = ms[j], .threshold = 6.0f};
            a.mode = (gi8_outliers)((i + j) % 2);
            a.gain = i % 3 != 0;
            a.bias = j % 3 != 0;
            a.gap = i % 4 == 1 ? 3 : 0;
            check(a, test_rng_next(&rng));
        }
    }
}

/* No outliers, all of them, and no decomposition. */
static void test_thresholds(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(182);
    static const float thresholds[] = {100.0f, 0.01f, 0.0f};
    for (int i = 0; i < 3; i++) {
        for (int m = 1; m <= 7; m += 3) {
            norm_arg a = {.k = 352, .n = 70, .m = m, .threshold = thresholds[i], .gain = true};
            check(a, test_rng_next(&rng));
        }
    }
}

/* The normalized rows are there for others, also where they are many. */
static void test_rows_are_written(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(183);
    static const int64_t shapes[][2] = {{64, 1}, {64, 3}, {1040, 1}, {64, 6}, {50, 6}, {64, 130}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        norm_arg a = {.k = shapes[i][0], .n = shapes[i][0], .m = shapes[i][1], .threshold = 2.0f,
                      .gain = true, .bias = true, .reused = true};
        check(a, test_rng_next(&rng));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_rows_are_written),
    };
    return cmocka_run_group_tests(tests, cuda_backends_create, cuda_backends_free);
}
