/* test_cuda_mul_mat.c - the product with float weights on the CUDA backend against double, within
 * bounds that follow from its roundings; the CPU backend, on the same data, keeps those of fp32.
 *
 * With size = sum_k |w_k x_k|, fp32 sums in any order are within k 2^-24 size. More than four rows
 * of x are rounded to the type of 16-bit weights, which adds 2^-8 size for BF16, and for F16
 *   2^-11 size + 2^-21 max |x| sum_k |w_k|   for a row with max |x| in [2^-4, 65504],
 *   2^-11 size + 2^-38 max |x| sum_k |w_k|   for any other, as it is scaled; a bias adds
 *                2^-36 max |x| |bias|.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "cuda_fixture.h"

#ifdef GI8_CUDA_EMULATION
#include <cublasLt.h>

#include "emulator.h"
#endif

enum { PLAIN, ACTIVATION, BIAS, RESIDUAL, ALL, N_CHAINS };

typedef struct problem {
    gi8_type type;
    int64_t k, n, m, b2, b3, c2, c3;
    int64_t w_gap, w_shift; /* elements between rows of w, and before the first */
    int64_t x_gap, x_shift;
    int64_t bias_shift;
    int chain; /* what follows the product, and may be fused with it */
    float *w, *x, *bias, *residual;
} problem;

static float *random_values(test_rng *rng, int64_t count) {
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = test_rng_float(rng, -1.0f, 1.0f);
    }
    return values;
}

static void fill(problem *p, test_rng *rng) {
    int64_t w_count = p->k * p->n * p->b2 * p->b3;
    p->w = random_values(rng, w_count);
    p->x = random_values(rng, p->k * p->m * p->c2 * p->c3);
    p->bias = random_values(rng, p->n);
    p->residual = random_values(rng, p->n * p->m * p->c2 * p->c3);
    for (int64_t i = 0; i < w_count; i++) {
        uint32_t rounded = 0;
        assert_int_equal(gi8_convert_from_fp32(p->type, p->w + i, 1, &rounded), GI8_OK);
        assert_int_equal(gi8_convert_to_fp32(p->type, &rounded, 1, p->w + i), GI8_OK);
    }
}

static void release(problem *p) {
    free(p->w);
    free(p->x);
    free(p->bias);
    free(p->residual);
}

/* Rows of ne[0] values as a view of rows that are `gap` elements longer. */
static gi8_tensor *rows(cuda_case *c, gi8_type type, const int64_t ne[4], int64_t gap,
                        int64_t shift, const float *values) {
    int64_t row = ne[0] + gap;
    int64_t n_rows = ne[1] * ne[2] * ne[3];
    float *wide = calloc((size_t)(row * n_rows) + 1, sizeof *wide);
    void *bytes = malloc((size_t)(row * n_rows) * gi8_type_size(type) + 1);
    assert_true(wide != NULL && bytes != NULL);
    for (int64_t i = 0; i < ne[0] * n_rows; i++) {
        wide[i / ne[0] * row + shift + i % ne[0]] = values[i];
    }
    assert_int_equal(gi8_convert_from_fp32(type, wide, row * n_rows, bytes), GI8_OK);
    gi8_tensor *t = cuda_input(c, type, (int64_t[]){row, ne[1], ne[2], ne[3]}, bytes);
    free(wide);
    free(bytes);
    return gap == 0 ? t
                    : gi8_view_4d(c->ctx, t, ne[0], ne[1], ne[2], ne[3], t->nb[1], t->nb[2],
                                  t->nb[3], (size_t)shift * gi8_type_size(type));
}

static gi8_tensor *build(cuda_case *c, const void *arg) {
    const problem *p = arg;
    gi8_tensor *w =
        rows(c, p->type, (int64_t[]){p->k, p->n, p->b2, p->b3}, p->w_gap, p->w_shift, p->w);
    gi8_tensor *x = rows(c, GI8_TYPE_F32, (int64_t[]){p->k, p->m, p->c2, p->c3}, p->x_gap,
                         p->x_shift, p->x);
    gi8_tensor *y = gi8_mul_mat(c->ctx, w, x);
    if (p->chain == BIAS || p->chain == ALL) {
        y = gi8_add(c->ctx, y, rows(c, GI8_TYPE_F32, (int64_t[]){p->n, 1, 1, 1}, p->bias_shift,
                                    p->bias_shift, p->bias));
    }
    if (p->chain == ACTIVATION || p->chain == ALL) {
        y = gi8_gelu(c->ctx, y);
    }
    if (p->chain == RESIDUAL || p->chain == ALL) {
        const int64_t ne[4] = {p->n, p->m, p->c2, p->c3};
        y = gi8_add(c->ctx, y, cuda_input(c, GI8_TYPE_F32, ne, p->residual));
    }
    return y;
}

/* What follows the product; no step of it makes an error more than 1.13 times larger. */
static double follow(const problem *p, double y, int64_t row, int64_t n) {
    if (p->chain == BIAS || p->chain == ALL) {
        y += (double)p->bias[n];
    }
    if (p->chain == ACTIVATION || p->chain == ALL) {
        y = 0.5 * y * erfc(-y * 0.70710678118654752440);
    }
    if (p->chain == RESIDUAL || p->chain == ALL) {
        y += (double)p->residual[row * p->n + n];
    }
    return y;
}

/* Fails unless y is within the bounds. `u`: how far the entries of x may be rounded. */
static void compare(const problem *p, const float *y, double u, const char *what) {
    for (int64_t i = 0; i < p->n * p->m * p->c2 * p->c3; i++) {
        int64_t row = i / p->n;
        int64_t n = i % p->n;
        int64_t i2 = row / p->m % p->c2;
        int64_t i3 = row / p->m / p->c2;
        int64_t matrix = i3 / (p->c3 / p->b3) * p->b2 + i2 / (p->c2 / p->b2);
        const float *w = p->w + (matrix * p->n + n) * p->k;
        const float *x = p->x + row * p->k;
        double sum = 0.0;
        double size = 0.0;
        double w_size = 0.0;
        double x_max = 0.0;
        for (int64_t k = 0; k < p->k; k++) {
            double product = (double)w[k] * (double)x[k];
            sum += product;
            size += fabs(product);
            w_size += fabs((double)w[k]);
            x_max = fmax(x_max, fabs((double)x[k]));
        }
        bool is_fp16 = u > 0.0 && p->type == GI8_TYPE_F16;
        bool is_scaled = is_fp16 && !(x_max >= 0x1p-4 && x_max <= 65504.0);
        double v = is_scaled ? 0x1p-38 : is_fp16 ? 0x1p-21 : 0.0;
        double fp32 = (double)p->k * 0x1p-24 * size;
        double expected = follow(p, sum, row, n);
        double tolerance = 1.13 * (fp32 + u * size + v * x_max * w_size) +
                           (p->chain == PLAIN ? 0.0 : 8.0 * FLT_EPSILON * (1.0 + fabs(expected)));
        if (is_scaled && (p->chain == BIAS || p->chain == ALL)) {
            tolerance += 1.13 * 0x1p-36 * x_max * fabs((double)p->bias[n]);
        }
        double actual = (double)y[i];
        if (!(fabs(actual - expected) <= tolerance)) {
            fail_msg("%s, %s [%lld, %lld] x [%lld, %lld], chain %d: row %lld, column %lld is %.9g, "
                     "expected %.9g within %.3g",
                     what, gi8_type_name(p->type), (long long)p->k, (long long)p->n,
                     (long long)p->k, (long long)p->m, p->chain, (long long)row, (long long)n,
                     actual, expected, tolerance);
        }
    }
}

static double rounding(const problem *p) {
    bool few = p->m * p->c2 * p->c3 <= 4 || p->type == GI8_TYPE_F32;
    return few ? 0.0 : p->type == GI8_TYPE_F16 ? 0x1p-11 : 0x1p-8;
}

static void check(const problem *p) {
    cuda_result cpu = cuda_run_cpu(build, p, 1);
    cuda_result cuda = cuda_run_cuda(build, p, 1);
    compare(p, cpu.bytes, 0.0, "CPU");
    compare(p, cuda.bytes, rounding(p), "CUDA");
    cuda_result_free(&cpu);
    cuda_result_free(&cuda);
}

static const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};

static void check_random(test_rng *rng, problem p) {
    for (int i = 0; i < 3; i++) {
        p.type = types[i];
        fill(&p, rng);
        check(&p);
        release(&p);
    }
}

static problem matrix(int64_t k, int64_t n, int64_t m) {
    return (problem){.k = k, .n = n, .m = m, .b2 = 1, .b3 = 1, .c2 = 1, .c3 = 1};
}

static void test_few_rows(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(81);
    static const int64_t shapes[][2] = {{1, 1},   {8, 3},    {16, 64},  {40, 7},
                                        {31, 5},  {264, 33}, {768, 20}, {2056, 9},
                                        {4100, 3}, {20000, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int64_t m = 1; m <= 4; m++) {
            problem p = matrix(shapes[i][0], shapes[i][1], m);
            p.chain = (int)((i + (size_t)m) % N_CHAINS);
            check_random(&rng, p);
        }
    }
}

static void test_many_rows(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(82);
    static const int64_t shapes[][3] = {{16, 4, 5},    {17, 5, 7},   {31, 33, 13}, {256, 70, 29},
                                        {48, 200, 65}, {96, 64, 64}, {8, 8, 130},  {1500, 8, 100},
                                        {1, 9, 9},     {600, 1, 6}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int chain = 0; chain < N_CHAINS; chain++) {
            problem p = matrix(shapes[i][0], shapes[i][1], shapes[i][2]);
            p.chain = chain;
            check_random(&rng, p);
        }
    }
}

/* Strides and alignments of every kind, with few rows and with many. */
static void test_views(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(83);
    static const int64_t gaps[][4] = {{8, 0, 0, 0}, {8, 8, 8, 4}, {1, 0, 0, 0}, {5, 1, 3, 2},
                                      {0, 0, 4, 0}, {0, 0, 4, 1}, {16, 3, 0, 0}, {0, 0, 7, 7}};
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        static const int64_t rows_of_x[] = {1, 3, 5, 20};
        for (int j = 0; j < 4; j++) {
            problem p = matrix(64, 10, rows_of_x[j]);
            p.w_gap = gaps[i][0];
            p.w_shift = gaps[i][1];
            p.x_gap = gaps[i][2];
            p.x_shift = gaps[i][3];
            p.bias_shift = gaps[i][3];
            p.chain = (int)i % N_CHAINS;
            check_random(&rng, p);
            p.m = 2; /* a batch that shares the weights */
            p.c2 = rows_of_x[j];
            p.c3 = 2;
            check_random(&rng, p);
        }
    }
}

/* The product of a permuted x, whose rows lie at several strides. */
static gi8_tensor *build_permuted(cuda_case *c, const void *arg) {
    const problem *p = arg;
    gi8_tensor *w = rows(c, p->type, (int64_t[]){p->k, p->n, 1, 1}, 0, 0, p->w);
    gi8_tensor *x = rows(c, GI8_TYPE_F32, (int64_t[]){p->k, p->c2, p->m, 1}, 0, 0, p->x);
    return gi8_mul_mat(c->ctx, w, gi8_permute(c->ctx, x, 0, 2, 1, 3));
}

static void test_permuted(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(84);
    for (int i = 0; i < 6; i++) {
        problem p = matrix(72, 11, i < 3 ? 2 : 7);
        p.type = types[i % 3];
        p.c2 = i < 3 ? 2 : 3;
        fill(&p, &rng);
        cuda_result y = cuda_run_cuda(build_permuted, &p, 1);
        problem straight = p; /* x as the product sees it */
        straight.x = random_values(&rng, p.k * p.m * p.c2);
        for (int64_t j = 0; j < p.k * p.m * p.c2; j++) {
            int64_t row = j / p.k;
            int64_t from = row % p.m * p.c2 + row / p.m;
            straight.x[j] = p.x[from * p.k + j % p.k];
        }
        compare(&straight, y.bytes, rounding(&p), "permuted");
        free(straight.x);
        cuda_result_free(&y);
        release(&p);
    }
}

static void test_batches(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(85);
    problem p = matrix(80, 9, 3);
    p.b2 = 2;
    p.c2 = 4;
    check_random(&rng, p);
    p = matrix(33, 66, 70);
    p.b3 = 3;
    p.c2 = 2;
    p.c3 = 6;
    p.chain = ALL;
    check_random(&rng, p);
    p = matrix(24, 5, 1);
    p.b2 = p.c2 = 3;
    p.b3 = p.c3 = 2;
    p.chain = BIAS;
    check_random(&rng, p);
}

static void test_empty(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(86);
    check_random(&rng, matrix(5, 3, 0));
    check_random(&rng, matrix(7, 0, 3));
    problem p = matrix(0, 3, 2); /* an empty sum is 0 */
    p.chain = BIAS;
    check_random(&rng, p);
    p.m = 9;
    check_random(&rng, p);
}

/* Rows of x far beyond the range of fp16, and far below, next to usual ones. */
static void test_size_of_x(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(87);
    for (int i = 0; i < 3 * N_CHAINS; i++) {
        problem p = matrix(64, 24, 12);
        p.type = types[i % 3];
        p.chain = i / 3;
        fill(&p, &rng);
        for (int64_t j = 0; j < p.k * p.m; j++) {
            static const int exponents[] = {0, 15, 16, 40, 100, 120, -14, -24, -60, -90, 3, 0};
            p.x[j] = ldexpf(p.x[j], exponents[j / p.k]);
        }
        p.x[0] = 1e9f; /* one entry that is much larger than its row */
        for (int64_t j = 0; j < p.k; j++) {
            p.x[11 * p.k + j] = 0.0f;
        }
        check(&p);
        /* The largest values there are, against weights that keep the sum in range. */
        for (int64_t j = 0; j < p.k * p.m; j++) {
            p.x[j] = j % 2 == 0 ? FLT_MAX : -FLT_MAX;
        }
        for (int64_t j = 0; j < p.k * p.n; j++) {
            p.w[j] = 0x1p-10f;
        }
        p.chain = PLAIN;
        cuda_result y = cuda_run_cuda(build, &p, 1);
        for (int64_t j = 0; j < p.n * p.m; j++) {
            assert_true(fabsf(((const float *)y.bytes)[j]) <= 0x1p-20f * FLT_MAX);
        }
        cuda_result_free(&y);
        release(&p);
    }
}

/* NaN and Inf go through the sum of their own row and column only. */
static void test_not_finite(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(88);
    for (int i = 0; i < 6; i++) {
        problem p = matrix(i < 3 ? 40 : 43, 9, i % 2 == 0 ? 8 : 4);
        p.type = types[i % 3];
        fill(&p, &rng);
        for (int64_t j = 0; j < p.k * p.n; j++) {
            p.w[j] = fabsf(p.w[j]) + 0.5f;
        }
        p.x[1 * p.k + 38] = NAN;
        p.x[3 * p.k + 1] = INFINITY;
        p.w[4 * p.k + 2] = -INFINITY;
        p.x[0 * p.k + 2] = 0.5f;
        p.x[2 * p.k + 2] = 0.25f;
        cuda_result y = cuda_run_cuda(build, &p, 1);
        for (int64_t j = 0; j < p.n * 4; j++) {
            float v = ((const float *)y.bytes)[j];
            int64_t row = j / p.n;
            int64_t n = j % p.n;
            float x2 = p.x[row * p.k + 2];
            assert_true(row == 1   ? isnan(v)
                        : row == 3 ? (n == 4 ? !isfinite(v) : v == INFINITY)
                        : n == 4   ? v == (x2 > 0.0f ? -INFINITY : INFINITY)
                                   : isfinite(v));
        }
        cuda_result_free(&y);
        release(&p);
    }
}

#ifdef GI8_CUDA_EMULATION
/* Attributes of products that making and capturing a plan sets: the transpose, with a bias its
 * pointer and the epilogue, for what chooses an algorithm, finds it again and runs it. */
static unsigned long count_attributes(const problem *p) {
    const unsigned long before = gi8emu_calls("cublasLtMatmulDescSetAttribute");
    check(p);
    return gi8emu_calls("cublasLtMatmulDescSetAttribute") - before;
}

/* cuBLASLt adds the bias, where it is aligned and there is an algorithm for it. */
static void test_who_adds_the_bias(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(89);
    for (int i = 0; i < 3; i++) {
        for (int chain = PLAIN; chain < N_CHAINS; chain++) {
            problem p = matrix(40, 28, 11);
            p.type = types[i];
            p.chain = chain;
            fill(&p, &rng);
            const bool is_first = chain == BIAS || chain == ALL;
            assert_int_equal(count_attributes(&p), is_first ? 9 : 3);
            p.bias_shift = 1;
            assert_int_equal(count_attributes(&p), 3);
            p.bias_shift = 0;
            if (is_first) { /* the algorithm is known: the first product is that of the plan */
                gi8emu_fail_call("cublasLtMatmul", 1, CUBLAS_STATUS_NOT_SUPPORTED);
                assert_int_equal(count_attributes(&p), 11);
            }
            release(&p);
        }
    }
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_rows),  cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_views),     cmocka_unit_test(test_permuted),
        cmocka_unit_test(test_batches),   cmocka_unit_test(test_empty),
        cmocka_unit_test(test_size_of_x), cmocka_unit_test(test_not_finite),
#ifdef GI8_CUDA_EMULATION
        cmocka_unit_test(test_who_adds_the_bias),
#endif
    };
    return cmocka_run_group_tests(tests, cuda_backends_create, cuda_backends_free);
}
