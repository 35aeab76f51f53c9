/* test_cuda_outliers.c - the outlier part of mul_mat_int8_mixed on the device, through every kernel
 * that computes it: to the last bit as kernels/outliers.cuh describes it, and within its error
 * bound of the exact value, from no outlier column to all of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_fixture.h"
#ifdef GI8_CUDA_EMULATION
#include "emulator.h"
#endif

#define THRESHOLD 6.0f

typedef struct problem {
    int64_t k, n, m;
    gi8_outliers mode;
    int8_t *codes;
    float *absmax, *bias, *x;
    bool *in_o; /* [K] the outlier columns */
} problem;

static float *random_floats(test_rng *rng, int64_t count, float low, float high) {
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = test_rng_float(rng, low, high);
    }
    return values;
}

/* Rows with n_columns outlier columns in all, each in about every second row, at least in one. */
static problem make_problem(test_rng *rng, int64_t k, int64_t n, int64_t m, int64_t n_columns) {
    problem p = {.k = k, .n = n, .m = m};
    p.codes = malloc((size_t)(k * n));
    p.in_o = calloc((size_t)k, sizeof *p.in_o);
    assert_non_null(p.codes);
    assert_non_null(p.in_o);
    for (int64_t i = 0; i < k * n; i++) {
        p.codes[i] = (int8_t)test_rng_int(rng, -127, 127);
    }
    p.absmax = random_floats(rng, n, 0.1f, 1.0f);
    p.bias = random_floats(rng, n, -1.0f, 1.0f);
    p.x = random_floats(rng, k * m, -5.9f, 5.9f);
    for (int64_t left = n_columns, i = 0; i < k; i++) {
        if (test_rng_int(rng, 0, k - i - 1) < left) {
            left--;
            p.in_o[i] = true;
            int64_t one = test_rng_int(rng, 0, m - 1);
            for (int64_t j = 0; j < m; j++) {
                if (j == one || test_rng_int(rng, 0, 1) == 1) {
                    p.x[j * k + i] = test_rng_float(rng, 6.0f, 90.0f) * (j % 2 == 0 ? 1.0f : -1.0f);
                }
            }
        }
    }
    return p;
}

static void free_problem(problem *p) {
    free(p->codes);
    free(p->in_o);
    free(p->absmax);
    free(p->bias);
    free(p->x);
}

static gi8_tensor *build(cuda_case *c, const void *arg) {
    const problem *p = arg;
    gi8_tensor *codes = cuda_input(c, GI8_TYPE_I8, (int64_t[]){p->k, p->n, 1, 1}, p->codes);
    gi8_tensor *absmax = cuda_input(c, GI8_TYPE_F32, (int64_t[]){p->n, 1, 1, 1}, p->absmax);
    gi8_tensor *bias = cuda_input(c, GI8_TYPE_F32, (int64_t[]){p->n, 1, 1, 1}, p->bias);
    gi8_tensor *x = cuda_input(c, GI8_TYPE_F32, (int64_t[]){p->k, p->m, 1, 1}, p->x);
    const gi8_int8_params params = {THRESHOLD, p->mode, GI8_TYPE_F32};
    return gi8_mul_mat_int8_mixed(c->ctx, codes, absmax, bias, x, &params);
}

/* What the device makes of a row before it multiplies. */
typedef struct row_constants {
    float factor, scale, unit;
    float largest; /* that the outlier part takes, or more */
} row_constants;

static row_constants constants_of(const float *x, int64_t k) {
    float a = 0.0f;
    float largest = 0.0f;
    for (int64_t i = 0; i < k; i++) {
        float size = fabsf(x[i]);
        a = size < THRESHOLD && size > a ? size : a;
        largest = size > largest ? size : largest;
    }
    row_constants c = {a > 0.0f ? 127.0f / a : 0.0f, a / 127.0f, 0.0f, largest};
    c.largest = largest >= THRESHOLD ? largest : c.scale;
    int exponent = 0;
    frexpf(c.largest, &exponent);
    c.unit = ldexpf(1.0f, exponent - 30 > -126 ? exponent - 30 : -126);
    return c;
}

/* Element (row, column): its bits, its exact value by the definition of the mode, and how far the
 * two may be apart. */
typedef struct expectation {
    float bits;
    double exact, bound;
} expectation;

static expectation expect_element(const problem *p, const row_constants *c, int64_t row,
                                  int64_t column) {
    const float *x = p->x + row * p->k;
    const int8_t *w = p->codes + column * p->k;
    int64_t acc = 0;      /* of all codes */
    int64_t acc_rest = 0; /* of those outside of the outlier columns, by the definition */
    int64_t sum = 0;      /* in units */
    double out = 0.0;
    double size = 0.0;    /* of the outlier part's terms */
    double w_size = 0.0;
    for (int64_t i = 0; i < p->k; i++) {
        bool is_large = fabsf(x[i]) >= THRESHOLD;
        float code = is_large ? 0.0f : rintf(x[i] * c->factor);
        acc += (int64_t)code * w[i];
        bool is_outlier = is_large || (p->in_o[i] && p->mode == GI8_OUTLIERS_COLUMN);
        if (!is_outlier) {
            acc_rest += (int64_t)code * w[i];
            continue;
        }
        float r = is_large ? x[i] : fmaf(-c->scale, code, x[i]);
        sum += llrintf(r / c->unit) * w[i];
        out += (double)x[i] * w[i];
        size += fabs((double)r * w[i]);
        w_size += abs(w[i]);
    }
    float s = p->absmax[column] / 127.0f;
    expectation e;
    e.bits = fmaf(fmaf((float)acc, c->scale, (float)sum * c->unit), s, p->bias[column]);
    double s_exact = (double)p->absmax[column] / 127.0;
    double rest = (double)acc_rest * (double)c->scale;
    e.exact = (rest + out) * s_exact + (double)p->bias[column];
    /* The residuals' own rounding, and that of the sum; then those of the epilogue. */
    double whole = (fabs((double)acc) + fabs((double)acc_rest)) * (double)c->scale + size;
    e.bound = s_exact * (0x1p-30 * (double)c->largest * w_size + 0x1p-24 * size +
                         4.0 * 0x1p-24 * whole) + 0x1p-23 * fabs(e.exact) + 1e-30;
    return e;
}

static void check(const problem *p) {
    cuda_result result = cuda_run_cuda(build, p, 0);
    const float *y = result.bytes;
    assert_int_equal(result.count, p->n * p->m);
    for (int64_t row = 0; row < p->m; row++) {
        row_constants c = constants_of(p->x + row * p->k, p->k);
        for (int64_t column = 0; column < p->n; column++) {
            expectation e = expect_element(p, &c, row, column);
            float found = y[row * p->n + column];
            if (found != e.bits || !(fabs((double)found - e.exact) <= e.bound)) {
                fail_msg("K %d, N %d, M %d, mode %d: row %d, column %d is %.9g instead of %.9g; "
                         "exactly %.17g within %.3g",
                         (int)p->k, (int)p->n, (int)p->m, (int)p->mode, (int)row, (int)column,
                         (double)found, (double)e.bits, e.exact, e.bound);
            }
        }
    }
    cuda_result_free(&result);
}

/* Rows for each kernel, with every tile; 16 and 17 outlier columns are the last and the first that
 * the kernel of the product leaves to others, 128 and 129 those of a list. */
static void test_columns(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(191);
    static const int64_t rows[] = {1, 2, 3, 4, 5, 16, 17, 40, 65, 129};
    static const int64_t columns[] = {0, 1, 7, 16, 17, 32, 128, 129, 200, 272};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t j = 0; j < sizeof columns / sizeof *columns; j++) {
            problem p = make_problem(&rng, 272, test_rng_int(&rng, 1, 40), rows[i], columns[j]);
            p.mode = (gi8_outliers)((i + j) % 2);
            check(&p);
            free_problem(&p);
        }
    }
}

/* More columns than a slice, a chunk, a block of packed rows; more of w than a tile; any K. */
static void test_shapes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(192);
    static const int64_t shapes[][4] = {
        {2064, 70, 1, 2064}, {1040, 33, 2, 600}, {1104, 20, 4, 300},  {999, 9, 3, 999},
        {701, 65, 21, 650},  {64, 300, 33, 63},  {130, 130, 70, 130}, {1200, 131, 17, 18},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int mode = 0; mode < 2; mode++) {
            problem p = make_problem(&rng, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
            p.mode = (gi8_outliers)mode;
            check(&p);
            free_problem(&p);
        }
    }
}

/* Magnitudes from the threshold to 1e30 side by side, and the largest one there is. */
static void test_wide_rows(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(193);
    static const int64_t rows[] = {1, 4, 9, 20, 70};
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        problem p = make_problem(&rng, 96, 21, rows[i / 2], i % 2 == 0 ? 5 : 60);
        p.mode = (gi8_outliers)(i / 2 % 2);
        for (int64_t row = 0; row < p.m; row++) {
            for (int64_t k = 0; k < p.k; k++) {
                float *x = &p.x[row * p.k + k];
                if (fabsf(*x) >= THRESHOLD && row % 3 != 0) {
                    *x *= powf(10.0f, test_rng_float(&rng, 0.0f, row % 3 == 1 ? 4.0f : 28.0f));
                }
            }
        }
        check(&p);
        free_problem(&p);
    }
}

/* How often cuBLASLt was called; on a GPU nobody counts. */
static unsigned long cublaslt_calls(void) {
#ifdef GI8_CUDA_EMULATION
    return gi8emu_calls("cublasLtMatmul");
#else
    return 0;
#endif
}

/* Whether the calls counted since `before` are some, or none. */
static void assert_cublaslt(unsigned long before, bool expected) {
#ifdef GI8_CUDA_EMULATION
    assert_int_equal(cublaslt_calls() != before, expected);
#else
    (void)before;
    (void)expected;
#endif
}

/* Sums by cuBLASLt, the rest by dequant_epilogue: K and M that it takes, N a multiple of 4. */
static void test_cublaslt(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(195);
    static const int64_t shapes[][3] = {
        {132, 131, 16}, {8, 130, 17}, {20, 193, 200}, {12, 132, 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int mode = 0; mode < 2; mode++) {
            problem p = make_problem(&rng, 8192, shapes[i][0], shapes[i][1], shapes[i][2]);
            p.mode = (gi8_outliers)mode;
            unsigned long before = cublaslt_calls();
            check(&p);
            assert_cublaslt(before, true);
            free_problem(&p);
        }
    }
}

/* NaN and Inf: what the reference on the CPU gives, NaN, Inf or its very value; rows beside them
 * have the bits that they have without. */
static void test_not_finite(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(194);
    static const int64_t rows[] = {1, 3, 7, 33, 66, 130};
    for (size_t i = 0; i < 4 * sizeof rows / sizeof *rows; i++) {
        int64_t m = rows[i / 4];
        bool large = m == 130; /* the sums by cuBLASLt */
        problem p = make_problem(&rng, large ? 8192 : 160, large ? 20 : 19, m,
                                 i % 4 < 2 ? 6 : 150);
        p.mode = (gi8_outliers)(i % 2);
        int64_t bad = test_rng_int(&rng, 0, m - 1);
        int64_t first = 0;
        while (!p.in_o[first]) {
            first++;
        }
        int64_t last = p.k - 1;
        while (p.in_o[last] != (i % 3 == 1)) {
            last--;
        }
        p.codes[2 * p.k + first] = 0;
        float *x = p.x + bad * p.k;
        x[first] = INFINITY;
        x[last] = i % 3 == 0 ? x[last] : i % 3 == 1 ? -INFINITY : NAN; /* NaN in no column of O */
        unsigned long before = cublaslt_calls();
        cuda_result cuda = cuda_run_cuda(build, &p, 0);
        assert_cublaslt(before, large);
        cuda_result cpu = cuda_run_cpu(build, &p, 0);
        const float *y = (const float *)cuda.bytes + bad * p.n;
        const float *expected = (const float *)cpu.bytes + bad * p.n;
        for (int64_t n = 0; n < p.n; n++) {
            assert_true(isfinite(expected[n]) == 0);
            bool is_same = isnan(expected[n]) ? isnan(y[n]) != 0 : y[n] == expected[n];
            assert_true(is_same);
        }
        for (int64_t row = 0; row < m; row++) {
            row_constants c = constants_of(p.x + row * p.k, p.k);
            for (int64_t n = 0; n < p.n && row != bad; n++) {
                float bits = expect_element(&p, &c, row, n).bits;
                assert_memory_equal((const float *)cuda.bytes + row * p.n + n, &bits, sizeof bits);
            }
        }
        cuda_result_free(&cuda);
        cuda_result_free(&cpu);
        free_problem(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_cublaslt),
        cmocka_unit_test(test_wide_rows),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, cuda_backends_create, cuda_backends_free);
}
