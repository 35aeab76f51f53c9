/* test_cuda_int8_mixed.c - mul_mat_int8_mixed on the device against a reference in double and
 * int64, and against the CPU backend.
 *
 * Codes and integer sums are exact on both sides. What the device computes in fp32 is
 *   y = fma(fma(acc, a / 127, out), s / 127, b),   out = sum over the outlier columns of r * w
 * where in column mode acc holds the codes of all entries below the threshold, and r what they
 * leave, each rounded to fp32. `out` is a sum in fixed point (docs/int8-semantics.md): off by
 *   F = max(2^-30 max |r|, 2^-127) W + u |out|
 * where max |r| is that of the row's outliers, or R where there are none, u = 2^-24, R = a / 127,
 * S = s / 127, and W is the sum of |w| over the outlier columns. With A the sum of |acc| and of
 * |acc| as it is defined (the rounding of R cancels in outlier columns), and O the sum of |r w|, y
 * is off by at most
 *   S * (2 u A R + u |out| + u O + F) + the rounding of R and S (u, or 2^-150 where denormal)
 *     + u |y|
 * and in the rounding to the result's type. The CPU's result is the exact value, rounded.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_fixture.h"
#include "int8_problem.h"

/* ---- graphs ---------------------------------------------------------------------------------- */

static gi8_tensor *float_input(cuda_case *c, gi8_type type, int64_t ne0, int64_t ne1,
                               const float *values) {
    void *bytes = malloc((size_t)(ne0 * ne1) * gi8_type_size(type) + 1);
    assert_non_null(bytes);
    gi8_convert_from_fp32(type, values, ne0 * ne1, bytes);
    gi8_tensor *t = cuda_input(c, type, (int64_t[]){ne0, ne1, 1, 1}, bytes);
    free(bytes);
    return t;
}

/* The codes, or a view of them behind p->w_shift others. */
static gi8_tensor *codes_input(cuda_case *c, const int8_problem *p) {
    const size_t shift = (size_t)p->w_shift;
    const size_t size = (size_t)(p->k * p->n);
    int8_t *values = malloc(shift + size + 1);
    assert_non_null(values);
    memset(values, 99, shift);
    memcpy(values + shift, p->codes, size);
    gi8_tensor *t = cuda_input(c, GI8_TYPE_I8, (int64_t[]){(int64_t)(shift + size), 1, 1, 1},
                               values);
    free(values);
    return gi8_view_2d(c->ctx, t, p->k, p->n, (size_t)p->k, shift);
}

static gi8_tensor *build(cuda_case *c, const void *arg) {
    const int8_problem *p = arg;
    int64_t rows = p->rows > 0 ? p->rows : p->m;
    gi8_tensor *codes = codes_input(c, p);
    gi8_tensor *absmax = float_input(c, GI8_TYPE_F32, p->n, 1, p->absmax);
    gi8_tensor *bias = NULL;
    if (p->bias_type >= 0) {
        bias = float_input(c, (gi8_type)p->bias_type, p->n, 1, p->bias);
    }
    const float *first = p->x + p->first_row * p->k;
    gi8_tensor *x = NULL;
    if (p->gap == 0) {
        x = float_input(c, p->x_type, p->k, rows, first);
    } else { /* rows from element 1 on of longer ones that hold NaN in the gap */
        int64_t wide = p->k + p->gap;
        float *values = malloc((size_t)(wide * rows) * sizeof *values + 1);
        assert_non_null(values);
        for (int64_t i = 0; i < wide * rows; i++) {
            int64_t k = i % wide - 1;
            values[i] = k >= 0 && k < p->k ? first[i / wide * p->k + k] : NAN;
        }
        gi8_tensor *t = float_input(c, p->x_type, wide, rows, values);
        free(values);
        x = gi8_view_2d(c->ctx, t, p->k, rows, t->nb[1], gi8_type_size(p->x_type));
    }
    const gi8_int8_params params = {p->threshold, p->mode, p->out_type};
    return gi8_mul_mat_int8_mixed(c->ctx, codes, absmax, bias, x, &params);
}

/* ---- the reference --------------------------------------------------------------------------- */

/* An element, how far fp32 may take it away from there, and how far the result's type. */
typedef struct expectation {
    double value, bound;
} expectation;

static double error_of(double scale) {
    return fmax(scale * 0x1p-24, 0x1p-150);
}

static expectation expect_element(const int8_problem *p, int64_t row, int64_t column,
                                  const bool *in_o) {
    const float *x = p->x + row * p->k;
    const int8_t *w = p->codes + column * p->k;
    bool decompose = p->threshold > 0.0f;
    float a = int8_problem_row_max(p, row);
    if (isnan(a)) {
        return (expectation){NAN, 0.0};
    }
    float c = a > 0.0f && !isinf(127.0f / a) ? 127.0f / a : 0.0f;
    double r_scale = (double)a / 127.0;
    double s_scale = (double)p->absmax[column] / 127.0;
    int64_t acc = 0;        /* of the definition */
    int64_t device_acc = 0; /* with the codes in outlier columns */
    double out = 0.0;
    double device_out = 0.0;
    double out_size = 0.0; /* of its terms */
    double w_size = 0.0;
    double largest = 0.0; /* outlier of the row */
    for (int64_t i = 0; i < p->k; i++) {
        bool is_large = decompose && fabsf(x[i]) >= p->threshold;
        bool is_outlier = is_large || (p->mode == GI8_OUTLIERS_COLUMN && in_o[i]);
        int64_t code = is_large ? 0 : (int64_t)rint((double)(x[i] * c));
        device_acc += code * w[i];
        largest = is_large ? fmax(largest, fabs((double)x[i])) : largest;
        if (is_outlier) {
            double term = ((double)x[i] - (double)code * r_scale) * (double)w[i];
            out += (double)x[i] * (double)w[i];
            device_out += term;
            out_size += fabs(term);
            w_size += fabs((double)w[i]);
        } else {
            acc += code * w[i];
        }
    }
    double bias = p->bias_type >= 0 ? (double)p->bias[column] : 0.0;
    double whole = fabs((double)acc) + fabs((double)device_acc);
    expectation e = {((double)acc * r_scale + out) * s_scale + bias, 0.0};
    double unit = fmax(0x1p-30 * (largest > 0.0 ? largest : r_scale), 0x1p-127);
    double fixed = unit * w_size + 0x1p-24 * fabs(device_out);
    double inner = 0x1p-24 * (2.0 * whole * r_scale + fabs(device_out) + out_size) + fixed +
                   whole * error_of(r_scale);
    e.bound = 1.01 * (inner * s_scale + error_of(s_scale) * (whole * r_scale + out_size)) +
              0x1p-24 * fabs(e.value) + 0x1p-149;
    if (p->out_type != GI8_TYPE_F32) {
        double half = p->out_type == GI8_TYPE_F16 ? 0x1p-11 : 0x1p-8;
        e.bound += half * (fabs(e.value) + e.bound) + 0x1p-25;
    }
    return e;
}

static void assert_element(float actual, double expected, double bound, const char *what,
                           const int8_problem *p, int64_t i) {
    bool close = isnan(expected)   ? isnan(actual)
                 : isinf(expected) ? (double)actual == expected
                                   : fabs((double)actual - expected) <= bound;
    if (!close) {
        fail_msg("K %lld, N %lld, M %lld, %s: row %lld, column %lld is %.9g, expected %.17g within "
                 "%.3g",
                 (long long)p->k, (long long)p->n, (long long)p->m, what, (long long)(i / p->n),
                 (long long)(i % p->n), (double)actual, expected, bound);
    }
}

static void check(int8_problem *p) {
    int8_problem_round(p);
    cuda_result cuda = cuda_run_cuda(build, p, 0);
    cuda_result cpu = cuda_run_cpu(build, p, 0);
    bool *in_o = malloc((size_t)p->k * sizeof *in_o);
    assert_non_null(in_o);
    int64_t n_outliers = int8_problem_outlier_columns(p, in_o);
    assert_int_equal(cuda.count, p->n * p->m);
    if (p->n * p->m > 0) {
        assert_int_equal(cuda.outliers.columns, p->k);
        assert_int_equal(cuda.outliers.outlier_columns, n_outliers);
    }
    size_t size = gi8_type_size(p->out_type);
    for (int64_t i = 0; i < p->n * p->m; i++) {
        float on_cuda = 0.0f;
        float on_cpu = 0.0f;
        gi8_convert_to_fp32(p->out_type, (char *)cuda.bytes + (size_t)i * size, 1, &on_cuda);
        gi8_convert_to_fp32(p->out_type, (char *)cpu.bytes + (size_t)i * size, 1, &on_cpu);
        expectation e = expect_element(p, i / p->n, i % p->n, in_o);
        if (!isnan(e.value) && isinf(on_cpu)) {
            e.value = (double)on_cpu;
        }
        assert_element(on_cuda, e.value, e.bound, "against the formula", p, i);
        assert_element(on_cuda, (double)on_cpu, 2.0 * e.bound, "against the CPU", p, i);
    }
    free(in_o);
    cuda_result_free(&cuda);
    cuda_result_free(&cpu);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void check_shape(int8_problem *p) {
    p->w_shift = p->threshold == 2.0f ? 1 + p->k % 15 : 0;
    check(p);
}

/* Each path: up to 4 rows, more, more than 128 with K for cuBLASLt; K that is no multiple of 16,
 * and weights at an address that is none; weights of one block and of many, K in one and in many
 * steps. */
static void test_shapes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(161);
    static const int64_t shapes[][3] = {
        {1, 1, 1},    {1, 5, 3},    {4, 2, 2},     {84, 30, 64},  {499, 33, 1}, {63, 130, 67},
        {16, 1, 1},   {64, 9, 2},   {512, 33, 3},  {528, 31, 4},  {2064, 17, 1}, {16, 1500, 1},
        {16, 3, 5},   {96, 65, 33}, {512, 70, 7},  {64, 64, 129}, {1024, 40, 2}, {8192, 4, 3},
        {144, 129, 97},
    };
    int8_check_shapes(&rng, shapes, sizeof shapes / sizeof *shapes, check_shape);
}

/* More than 128 rows and a long K: cuBLASLt and the sums' detour, where the device takes it. */
static void test_many_rows(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(162);
    static const int64_t shapes[][3] = {{8192, 20, 130}, {8192, 22, 131}, {2048, 136, 130},
                                        {8197, 20, 130}};
    for (int i = 0; i < 4; i++) {
        int8_problem p = int8_problem_random(&rng, shapes[i][0], shapes[i][1], shapes[i][2]);
        p.mode = (gi8_outliers)(i % 2);
        p.bias_type = GI8_TYPE_F16;
        int8_problem_plant_outliers(&rng, &p, 150, false);
        check(&p);
        int8_problem_free(&p);
    }
}

static void check_type(int8_problem *p) {
    p->gap = p->out_type == GI8_TYPE_F16 ? 3 : 0;
    check(p);
}

/* What the following tests vary: each path, but for the one through cuBLASLt. */
static const int64_t paths[][2] = {{96, 1}, {96, 3}, {96, 7}, {90, 7}};
enum { N_PATHS = sizeof paths / sizeof *paths };

static void test_types(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(163);
    for (int i = 0; i < N_PATHS; i++) {
        int8_check_types(&rng, paths[i][0], 38, paths[i][1], check_type);
    }
}

static void test_empty(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(164);
    static const int64_t shapes[][2] = {{7, 0}, {0, 3}, {0, 0}};
    for (int i = 0; i < 3; i++) {
        int8_problem p = int8_problem_random(&rng, 20, shapes[i][0], shapes[i][1]);
        check(&p);
        int8_problem_free(&p);
    }
}

/* check() counts the outliers. */
static void test_thresholds(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(165);
    for (int i = 0; i < N_PATHS; i++) {
        int8_check_thresholds(&rng, paths[i][0], 20, paths[i][1], check);
    }
}

/* More of them than any list in shared memory holds. */
static void test_all_and_no_outliers(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(166);
    for (int i = 0; i < N_PATHS; i++) {
        int8_check_outliers(&rng, 6 * paths[i][0], 75, paths[i][1], check);
    }
}

static void test_small_values(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(167);
    for (int i = 0; i < N_PATHS; i++) {
        int8_check_small_values(&rng, paths[i][0], 18, paths[i][1], check);
    }
}

/* NaN: that row and no other. Inf: an outlier where there are any, else like NaN. */
static void test_not_finite(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(168);
    for (int i = 0; i < 4 * N_PATHS; i++) {
        int8_problem p = int8_problem_random(&rng, paths[i / 4][0], 40, paths[i / 4][1]);
        p.mode = (gi8_outliers)(i % 2);
        p.threshold = i % 4 < 2 ? 6.0f : 0.0f;
        p.x[(p.m - 1) * p.k + 33] = -INFINITY;
        if (p.m > 1) {
            p.x[69] = NAN;
            p.x[3] = 50.0f;
        }
        p.codes[33] = 0;
        check(&p);
        int8_problem_free(&p);
        int8_problem nan = int8_problem_random(&rng, paths[i / 4][0], 3, 1);
        nan.x[0] = NAN;
        check(&nan);
        int8_problem_free(&nan);
    }
}

/* Per token, a row gives the same bits alone as in any batch, whatever kernels compute them. */
static void test_batch_invariance(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(170);
    static const int64_t sizes[] = {1, 2, 3, 5, 40};
    for (int kind = 0; kind < 2; kind++) { /* few outlier columns, and more than a list holds */
        int8_problem p = int8_problem_random(&rng, kind == 0 ? 8192 : 400, 24, 129);
        p.mode = GI8_OUTLIERS_PER_TOKEN;
        p.bias_type = GI8_TYPE_F32;
        int8_problem_plant_outliers(&rng, &p, kind == 0 ? 400 : 1, kind == 1);
        cuda_result batch = cuda_run_cuda(build, &p, 0);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            p.rows = sizes[i];
            p.first_row = test_rng_int(&rng, 0, p.m - p.rows);
            cuda_result part = cuda_run_cuda(build, &p, 0);
            const float *same = (const float *)batch.bytes + p.first_row * p.n;
            assert_memory_equal(part.bytes, same, (size_t)(p.rows * p.n) * sizeof *same);
            cuda_result_free(&part);
        }
        cuda_result_free(&batch);
        int8_problem_free(&p);
    }
}

/* With an outlier that is the last bit of the mask. */
static void check_last_column(int8_problem *p) {
    p->x[p->k - 1] = 8.0f;
    check(p);
}

/* k a few thousand and at its limit. */
static void test_largest_sums(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(171);
    static const int64_t shapes[][2] = {
        {4099, 3}, {GI8_INT8_MAX_K, 1}, {133136, 1}, {133136, 5}};
    for (int i = 0; i < 4; i++) {
        int8_check_largest_sums(&rng, shapes[i][0], 3, shapes[i][1], check_last_column);
    }
}

/* ---- more of the graph ----------------------------------------------------------------------- */

/* x with strided rows in four dimensions against the same rows side by side. */
typedef struct view_arg {
    const int8_problem *p;
    bool is_view;
} view_arg;

enum { VIEW_A = 2, VIEW_B = 3, VIEW_C = 2 };

static gi8_tensor *build_view(cuda_case *c, const void *arg) {
    const view_arg *v = arg;
    if (!v->is_view) {
        return build(c, v->p);
    }
    const int8_problem *p = v->p;
    float *wide = malloc((size_t)(2 * p->k * p->m) * sizeof *wide);
    assert_non_null(wide);
    for (int64_t i = 0; i < 2 * p->k * p->m; i++) {
        wide[i] = 1000.0f;
    }
    for (int64_t row = 0; row < p->m; row++) {
        /* Row (a, b, c) of the view [K, A, B, C] lies at (c, b, a) of [2 K, C, B, A]. */
        int64_t a = row % VIEW_A;
        int64_t b = row / VIEW_A % VIEW_B;
        int64_t z = row / VIEW_A / VIEW_B;
        memcpy(wide + ((a * VIEW_B + b) * VIEW_C + z) * 2 * p->k + 4, p->x + row * p->k,
               (size_t)p->k * sizeof *wide);
    }
    gi8_tensor *codes = cuda_input(c, GI8_TYPE_I8, (int64_t[]){p->k, p->n, 1, 1}, p->codes);
    gi8_tensor *absmax = float_input(c, GI8_TYPE_F32, p->n, 1, p->absmax);
    gi8_tensor *t = cuda_input(c, GI8_TYPE_F32, (int64_t[]){2 * p->k, VIEW_C, VIEW_B, VIEW_A},
                               wide);
    free(wide);
    gi8_tensor *view = gi8_view_4d(c->ctx, t, p->k, VIEW_C, VIEW_B, VIEW_A, t->nb[1], t->nb[2],
                                   t->nb[3], 4 * sizeof(float));
    gi8_tensor *x = gi8_permute(c->ctx, view, 0, 3, 2, 1);
    const gi8_int8_params params = {p->threshold, p->mode, p->out_type};
    return gi8_mul_mat_int8_mixed(c->ctx, codes, absmax, NULL, x, &params);
}

static void test_views(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(172);
    for (int i = 0; i < 2; i++) {
        int8_problem p = int8_problem_random(&rng, i == 0 ? 45 : 64, 12, VIEW_A * VIEW_B * VIEW_C);
        int8_problem_plant_outliers(&rng, &p, 10, false);
        view_arg plain = {&p, false};
        view_arg view = {&p, true};
        cuda_result expected = cuda_run_cuda(build_view, &plain, 0);
        cuda_result actual = cuda_run_cuda(build_view, &view, 0);
        assert_int_equal(expected.count, actual.count);
        assert_memory_equal(expected.bytes, actual.bytes, (size_t)expected.count * sizeof(float));
        cuda_result_free(&expected);
        cuda_result_free(&actual);
        int8_problem_free(&p);
    }
}

/* A product, what follows it, and, where `apart`, a copy between the two that keeps them apart. */
typedef struct fused_arg {
    const int8_problem *p;
    bool apart;
    int kind;
} fused_arg;

static gi8_tensor *build_fused(cuda_case *c, const void *arg) {
    const fused_arg *f = arg;
    const int8_problem *p = f->p;
    gi8_tensor *y = build(c, p);
    gi8_tensor *matrix = cuda_random_input(c, GI8_TYPE_F32, (int64_t[]){p->n, p->m, 1, 1}, -1.0f,
                                           1.0f, 0, 0);
    gi8_tensor *row = cuda_random_input(c, GI8_TYPE_F32, (int64_t[]){p->n, 1, 1, 1}, -1.0f, 1.0f, 0,
                                        0);
    if (f->apart) {
        y = gi8_cont(c->ctx, y);
    }
    switch (f->kind) {
    case 0: return gi8_gelu(c->ctx, y);
    case 1: return gi8_add(c->ctx, gi8_add(c->ctx, matrix, gi8_silu(c->ctx, y)), row);
    case 2: return gi8_relu(c->ctx, gi8_gelu_tanh(c->ctx, gi8_add(c->ctx, y, row)));
    default: /* the sum may take over the memory of the other one */
        return gi8_add(c->ctx, y, gi8_scale(c->ctx, matrix, 0.5f));
    }
}

/* Fusing changes no bit. */
static void test_fused(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(173);
    static const int64_t shapes[][3] = {
        {96, 36, 1}, {96, 37, 3}, {96, 36, 7}, {90, 38, 7}, {8192, 36, 129}, {8192, 37, 129}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int kind = 0; kind < 4; kind++) {
            int8_problem p = int8_problem_random(&rng, shapes[i][0], shapes[i][1], shapes[i][2]);
            p.bias_type = kind % 2 == 0 ? GI8_TYPE_BF16 : -1;
            int8_problem_plant_outliers(&rng, &p, 40, false);
            fused_arg together = {&p, false, kind};
            fused_arg apart = {&p, true, kind};
            uint64_t seed = test_rng_next(&rng);
            cuda_result expected = cuda_run_cuda(build_fused, &apart, seed);
            cuda_result actual = cuda_run_cuda(build_fused, &together, seed);
            assert_memory_equal(expected.bytes, actual.bytes,
                                (size_t)expected.count * sizeof(float));
            cuda_result_free(&expected);
            cuda_result_free(&actual);
            int8_problem_free(&p);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_all_and_no_outliers),
        cmocka_unit_test(test_small_values),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_batch_invariance),
        cmocka_unit_test(test_largest_sums),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_fused),
    };
    return cmocka_run_group_tests(tests, cuda_backends_create, cuda_backends_free);
}
