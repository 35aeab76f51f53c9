/* test_kernel_int8.c - every variant of the kernels of the int8 op against the scalar one, bit by
 * bit, and the scalar ones against the definitions.
 */
#include <math.h>

#include "ggml-int8/gi8_quantize.h"
#include "kernel_table.h"

static const int64_t sizes[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 500, 1024};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static int64_t padded(int64_t k) {
    return (k + GI8I_CODES_ALIGN - 1) / GI8I_CODES_ALIGN * GI8I_CODES_ALIGN;
}

static int8_t *random_codes(test_rng *rng, int64_t count) {
    int8_t *codes = malloc((size_t)count + 1);
    assert_non_null(codes);
    for (int64_t i = 0; i < count; i++) {
        codes[i] = (int8_t)test_rng_int(rng, -127, 127);
    }
    return codes;
}

static void check_quantize_row(const float *x, int64_t k, float threshold, bool marked,
                               size_t shift, gi8i_quantize_fn *fn, const char *name) {
    guarded expected = guarded_new((size_t)padded(k), 1, 0);
    guarded q = guarded_new((size_t)padded(k), 1, shift);
    guarded marks = guarded_new((size_t)padded(k), 1, shift + 1);
    uint8_t *mark = marks.data;
    for (int64_t i = 0; i < padded(k); i++) {
        mark[i] = i % 5 == 0;
    }
    float expected_absmax;
    float absmax;
    int32_t expected_sum;
    int32_t sum;
    gi8i_quantize_scalar(x, k, threshold, NULL, expected.data, &expected_absmax, &expected_sum);
    void *block;
    const float *from = exact_copy(x, (size_t)k, sizeof *x, 1, &block);
    fn(from, k, threshold, marked ? mark : NULL, q.data, &absmax, &sum);
    assert_memory_equal(q.data, expected.data, (size_t)padded(k));
    assert_same_floats(&expected_absmax, &absmax, 1, name);
    assert_int_equal(sum, expected_sum);
    int32_t total = 0;
    for (int64_t i = 0; i < padded(k); i++) {
        total += ((const int8_t *)q.data)[i];
        assert_true(i < k || ((const int8_t *)q.data)[i] == 0);
        bool large = marked && threshold > 0.0f && i < k && fabsf(x[i]) >= threshold;
        assert_int_equal(mark[i], i % 5 == 0 || large);
    }
    assert_int_equal(total, sum);
    free(block);
    guarded_free(&marks, name);
    guarded_free(&q, name);
    guarded_free(&expected, name);
}

static void check_quantize(test_rng *rng, gi8i_quantize_fn *fn, const char *name) {
    static const float thresholds[] = {6.0f, 0.5f, 0.0f, INFINITY};
    for (int i = 0; i < N_SIZES; i++) {
        int64_t k = sizes[i];
        for (int t = 0; t < 4; t++) {
            float *x = random_floats(rng, k, -9.0f, 9.0f);
            x[k / 2] = -6.0f;
            x[k / 4] = nextafterf(6.0f, 0.0f);
            check_quantize_row(x, k, thresholds[t], true, (size_t)i, fn, name);
            check_quantize_row(x, k, thresholds[t], false, (size_t)i, fn, name);
            /* Halves: absmax 127 makes the factor 1. */
            for (int64_t j = 0; j < k; j++) {
                x[j] = (float)test_rng_int(rng, -254, 254) * 0.5f;
            }
            check_quantize_row(x, k, 127.5f, true, 0, fn, name);
            x[0] = 1e-40f;
            x[k - 1] = -3e-39f;
            check_quantize_row(x, k, 1e-38f, true, 0, fn, name);
            x[k / 3] = t == 0 ? NAN : t == 1 ? INFINITY : -INFINITY;
            check_quantize_row(x, k, thresholds[t], true, 0, fn, name);
            memset(x, 0, (size_t)k * sizeof *x);
            check_quantize_row(x, k, thresholds[t], true, 0, fn, name);
            free(x);
        }
    }
}

static void check_int8_dot(test_rng *rng, gi8i_int8_dot_fn *fn, const char *name) {
    for (int i = 0; i < N_SIZES; i++) {
        for (int64_t m = 1; m <= 15; m += 2) {
            int64_t k = sizes[i];
            int64_t n = test_rng_int(rng, 1, GI8I_BLOCK_N);
            int8_t *w = random_codes(rng, n * k);
            int8_t *q = random_codes(rng, m * padded(k));
            int32_t sums[15] = {0};
            if (m ==
                3) { /* the extremes, -128 among them: a file may hold what no quantizer makes */
                memset(w, -128, (size_t)(n * k));
                memset(q, 127, (size_t)(m * padded(k)));
            }
            for (int64_t j = 0; j < m * padded(k); j++) {
                q[j] = j % padded(k) < k ? q[j] : 0;
                sums[j / padded(k)] += q[j];
            }
            /* Panels of just their size: what a kernel reads behind them, a sanitizer sees. */
            int8_t *panels = calloc(1, gi8_panels_size(k, n));
            assert_non_null(panels);
            gi8_panels_pack(w, k, 0, n, panels);
            void *w_block;
            guarded acc = guarded_new((size_t)m * GI8I_BLOCK_N, sizeof(int32_t), (size_t)(i % 4));
            gi8i_int8_dot_args args = {
                .w = exact_copy(panels, gi8_panels_size(k, n), 1, 1, &w_block),
                .q = q,
                .q_sum = sums,
                .acc = acc.data,
                .k = padded(k),
                .n_panels = (n + GI8_PANEL_ROWS - 1) / GI8_PANEL_ROWS,
                .m = m,
                .once = i % 2 == 1,
            };
            fn(&args);
            for (int64_t j = 0; j < n * m; j++) {
                int64_t sum = 0;
                for (int64_t l = 0; l < k; l++) {
                    sum += (int64_t)w[j % n * k + l] * q[j / n * padded(k) + l];
                }
                assert_int_equal(((const int32_t *)acc.data)[j / n * GI8I_BLOCK_N + j % n], sum);
            }
            guarded_free(&acc, name);
            free(w_block);
            free(panels);
            free(w);
            free(q);
        }
    }
}

static void check_int8_outliers(test_rng *rng, gi8i_int8_outliers_fn *fn, const char *name) {
    enum { MAX_COUNT = 255 };
    for (int64_t m = 1; m <= 19; m += 3) {
        for (int64_t count = 0; count <= MAX_COUNT; count += 1 + count) {
            int64_t k = count + 70;
            int64_t n_panels = test_rng_int(rng, 1, GI8I_BLOCK_N / GI8_PANEL_ROWS);
            int64_t n = n_panels * GI8_PANEL_ROWS;
            int8_t *w = random_codes(rng, k * n);
            int8_t *panels = calloc(1, gi8_panels_size(k, n));
            float *x = random_floats(rng, m * count, -50.0f, 50.0f);
            int32_t columns[MAX_COUNT];
            assert_non_null(panels);
            gi8_panels_pack(w, k, 0, n, panels);
            for (int64_t j = 0; j < count; j++) {
                columns[j] = (int32_t)(j + (j > count / 2 ? 69 : 0));
            }
            void *block;
            void *x_block;
            guarded out = guarded_new((size_t)(m * GI8I_BLOCK_N), sizeof(double), (size_t)(m % 4));
            gi8i_int8_outliers_args args = {
                .w = exact_copy(panels, gi8_panels_size(k, n), 1, 1, &block),
                .columns = columns,
                .x = exact_copy(x, (size_t)(m * count), sizeof *x, 1, &x_block),
                .out = out.data,
                .k = padded(k),
                .n_panels = n_panels,
                .m = m,
                .count = count,
            };
            fn(&args);
            for (int64_t i = 0; i < m * n; i++) {
                double sum = 0.0;
                for (int64_t j = 0; j < count; j++) {
                    sum += (double)x[i / n * count + j] * (double)w[i % n * k + columns[j]];
                }
                int64_t at = i / n * GI8I_BLOCK_N + i % n;
                assert_true(((const double *)out.data)[at] == sum);
            }
            guarded_free(&out, name);
            free(block);
            free(x_block);
            free(x);
            free(panels);
            free(w);
        }
    }
}

static void check_int8_finish(test_rng *rng, gi8i_int8_finish_fn *fn, const char *name) {
    enum { MAX_M = 19 };
    for (int64_t n = 1; n <= GI8I_BLOCK_N; n++) {
        int64_t m = 1 + 7 * n % MAX_M;
        int64_t stride = n + n % 5;
        int32_t acc[MAX_M * GI8I_BLOCK_N];
        double out[MAX_M * GI8I_BLOCK_N];
        for (int i = 0; i < MAX_M * GI8I_BLOCK_N; i++) {
            acc[i] = (int32_t)test_rng_int(rng, INT32_MIN, INT32_MAX);
            out[i] = (double)test_rng_float(rng, -1e6f, 1e6f);
        }
        float *absmax_x = random_floats(rng, m, 0.0f, 6.0f);
        float *absmax = random_floats(rng, n, 0.0f, 1.0f);
        float *bias = random_floats(rng, n, -10.0f, 10.0f);
        /* Columns of any size that is finite: the smallest, zero and the largest among them. */
        for (int64_t i = 0; i < n; i += 2) {
            uint32_t bits = (uint32_t)test_rng_int(rng, 0, n % 2 == 0 ? 0x7f7fffff : 0x00ffffff);
            memcpy(absmax + i, &bits, sizeof bits);
        }
        absmax[n - 1] = n % 3 == 0 ? 0.0f : absmax[n - 1]; /* a sum of -0, which must not show */
        bias[n - 1] = n % 3 == 0 ? -0.0f : bias[n - 1];
        absmax_x[0] = n % 7 == 0 ? 1e-45f : absmax_x[0];
        for (int kind = 0; kind < 4; kind++) {
            void *blocks[3];
            guarded y = guarded_new((size_t)((m - 1) * stride + n), sizeof(float), (size_t)(n % 4));
            gi8i_int8_finish_args args = {
                .acc = acc,
                .out = (kind & 1) != 0 ? out : NULL,
                .absmax_x = exact_copy(absmax_x, (size_t)m, sizeof(float), 1, &blocks[0]),
                .absmax = exact_copy(absmax, (size_t)n, sizeof(float), 1, &blocks[1]),
                .bias = exact_copy(bias, (size_t)n, sizeof(float), 3, &blocks[2]),
                .y = y.data,
                .y_stride = stride,
                .n = n,
                .m = m,
            };
            args.bias = (kind & 2) != 0 ? args.bias : NULL;
            fn(&args);
            for (int64_t i = 0; i < (m - 1) * stride + n; i++) {
                int64_t row = i / stride;
                int64_t column = i % stride;
                if (column >= n) { /* between two rows */
                    const uint32_t guard = 0xa5a5a5a5;
                    assert_memory_equal((const float *)y.data + i, &guard, sizeof guard);
                    continue;
                }
                int64_t at = row * GI8I_BLOCK_N + column;
                double scale = (double)absmax[column] / 127.0;
                double sum = (double)acc[at] * ((double)absmax_x[row] / 127.0) * scale;
                sum += args.out != NULL ? out[at] * scale : 0.0;
                sum += args.bias != NULL ? (double)bias[column] : 0.0;
                float expected = (float)sum;
                assert_same_floats(&expected, (const float *)y.data + i, 1, name);
            }
            guarded_free(&y, name);
            for (int i = 0; i < 3; i++) {
                free(blocks[i]);
            }
        }
        free(bias);
        free(absmax);
        free(absmax_x);
    }
}

KERNEL_TEST(quantize)
KERNEL_TEST(int8_dot)
KERNEL_TEST(int8_outliers)
KERNEL_TEST(int8_finish)

/* The list names each kernel with a scalar variant, and a table for every set is complete. */
static void test_table_is_complete(void **state) {
    (void)state;
    for (int isa = 0; isa < GI8_CPU_ISA_COUNT; isa++) {
        gi8i_kernels kernels;
        memset(&kernels, 0, sizeof kernels);
        gi8i_kernels_choose((gi8_cpu_isa)isa, &kernels);
#define GI8I_KERNEL(kernel) assert_true(kernels.kernel != NULL);
#define GI8I_KERNEL_VARIANT(kernel, variant, isa)
#include "kernels/kernels.def"
#undef GI8I_KERNEL
#undef GI8I_KERNEL_VARIANT
        if (isa == GI8_CPU_ISA_SCALAR) {
#define GI8I_KERNEL(kernel) assert_true(kernels.kernel == gi8i_##kernel##_scalar);
#define GI8I_KERNEL_VARIANT(kernel, variant, isa)
#include "kernels/kernels.def"
#undef GI8I_KERNEL
#undef GI8I_KERNEL_VARIANT
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),      cmocka_unit_test(test_int8_dot),
        cmocka_unit_test(test_int8_outliers), cmocka_unit_test(test_int8_finish),
        cmocka_unit_test(test_table_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
