/* test_kernel_float.c - every variant of the floating-point kernels against the scalar one, bit by
 * bit, at odd sizes and alignments, with guard bytes around the results.
 */
#include <math.h>

#include "kernel_table.h"

/* Sizes around one, two and four vectors. */
static const int64_t sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 257};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void put_specials(test_rng *rng, float *x, int64_t n) {
    static const float specials[] = {0.0f, -0.0f, 1e-40f, -1e-40f, 3e38f, -3e38f, NAN, INFINITY,
                                     -INFINITY};
    for (size_t i = 0; i < sizeof specials / sizeof *specials && n > 20; i++) {
        x[test_rng_int(rng, 0, n - 1)] = specials[i];
    }
}

static void check_unary(test_rng *rng, gi8i_unary_fn *fn, const char *name) {
    for (int i = 0; i < N_SIZES; i++) {
        int64_t n = sizes[i];
        for (int kind = GI8I_UNARY_SCALE; kind <= GI8I_UNARY_GELU_TANH; kind++) {
            float *x = random_floats(rng, n, -15.0f, 15.0f);
            put_specials(rng, x, n);
            float *expected = random_floats(rng, n, 0.0f, 1.0f);
            gi8i_unary_scalar((gi8i_unary)kind, 0.7f, x, expected, n);
            void *block;
            const float *from = exact_copy(x, (size_t)n, sizeof *x, 3, &block);
            guarded y = guarded_new((size_t)n, sizeof(float), (size_t)(i % 4));
            fn((gi8i_unary)kind, 0.7f, from, y.data, n);
            assert_same_floats(expected, y.data, n, name);
            memcpy(y.data, x, (size_t)n * sizeof *x);
            fn((gi8i_unary)kind, 0.7f, y.data, y.data, n); /* in place */
            assert_same_floats(expected, y.data, n, name);
            guarded_free(&y, name);
            free(block);
            free(expected);
            free(x);
        }
    }
}

static void check_binary(test_rng *rng, gi8i_binary_fn *fn, const char *name) {
    for (int i = 0; i < N_SIZES; i++) {
        int64_t n = sizes[i];
        for (int kind = 0; kind < 4; kind++) {
            bool multiply = (kind & 1) != 0;
            bool repeat = (kind & 2) != 0;
            float *a = random_floats(rng, n, -15.0f, 15.0f);
            float *b = random_floats(rng, n, -15.0f, 15.0f);
            put_specials(rng, a, n);
            float *expected = random_floats(rng, n, 0.0f, 1.0f);
            gi8i_binary_scalar(multiply, a, b, repeat, expected, n);
            void *block;
            const float *from = exact_copy(b, repeat ? 1 : (size_t)n, sizeof *b, 1, &block);
            guarded y = guarded_new((size_t)n, sizeof(float), (size_t)(i % 4));
            memcpy(y.data, a, (size_t)n * sizeof *a);
            fn(multiply, y.data, from, repeat, y.data, n);
            assert_same_floats(expected, y.data, n, name);
            guarded_free(&y, name);
            free(block);
            free(expected);
            free(a);
            free(b);
        }
    }
}

/* Rows of a matrix at the end of their memory, `stride` elements apart. */
static float *strided_rows(test_rng *rng, int64_t n, int64_t m, int64_t stride, void **block) {
    int64_t count = (m - 1) * stride + n;
    float *values = random_floats(rng, count, -15.0f, 15.0f);
    put_specials(rng, values, count);
    float *rows = exact_copy(values, (size_t)count, sizeof *values, 1, block);
    free(values);
    return rows;
}

/* Against the kernels for one operation, scalar. `kinds`: the operations, a letter for each. */
static void check_fused_ops(test_rng *rng, gi8i_fused_fn *fn, const char *name, const char *kinds,
                            int64_t n, int64_t m) {
    int64_t stride = n + test_rng_int(rng, 0, 20);
    void *blocks[GI8_MAX_FUSED + 1];
    int n_blocks = 0;
    gi8i_fused_args args = {.y_stride = n + 5, .dst_stride = stride, .n = n, .m = m};
    args.y = strided_rows(rng, n, m, args.y_stride, &blocks[n_blocks++]);
    size_t count = (size_t)((m - 1) * stride + n);
    guarded y = guarded_new(count, sizeof(float), (size_t)n % 4);
    args.dst = y.data;
    float *expected = malloc(count * sizeof *expected);
    assert_non_null(expected);
    memcpy(expected, y.data, count * sizeof *expected); /* between the rows nothing changes */
    for (const char *kind = kinds; *kind != '\0'; kind++) {
        assert_true(args.n_ops < GI8_MAX_FUSED);
        gi8i_fused_op *op = &args.ops[args.n_ops++];
        if (*kind == 'i') { /* a sum in place: its addends lie where the result goes */
            float *other = strided_rows(rng, n, m, stride, &blocks[n_blocks++]);
            memcpy(y.data, other, count * sizeof *other);
            memcpy(expected, other, count * sizeof *other);
        }
        switch (*kind) {
        case '+': op->stride = n + 3; break;
        case 'i': op->stride = stride; op->other = args.dst; break;
        case 'r': op->kind = GI8I_UNARY_RELU; break;
        case 's': op->kind = GI8I_UNARY_SILU; break;
        case 'g': op->kind = GI8I_UNARY_GELU; break;
        case 't': op->kind = GI8I_UNARY_GELU_TANH; break;
        default: op->stride = 0; break; /* '1': one row for all */
        }
        if (*kind == '+' || *kind == '1') {
            op->other = strided_rows(rng, n, *kind == '1' ? 1 : m, op->stride, &blocks[n_blocks++]);
        }
    }
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t j = 0; j < m; j++) {
        memcpy(x, args.y + j * args.y_stride, (size_t)n * sizeof *x);
        for (int i = 0; i < args.n_ops; i++) {
            const gi8i_fused_op *op = &args.ops[i];
            if (op->other != NULL) {
                gi8i_binary_scalar(false, x, op->other + j * op->stride, false, x, n);
            } else {
                gi8i_unary_scalar(op->kind, 1.0f, x, x, n);
            }
        }
        memcpy(expected + j * stride, x, (size_t)n * sizeof *x);
    }
    fn(&args);
    assert_same_floats(expected, y.data, (int64_t)count, name);
    guarded_free(&y, name);
    free(x);
    free(expected);
    while (n_blocks > 0) {
        free(blocks[--n_blocks]);
    }
}

static void check_fused(test_rng *rng, gi8i_fused_fn *fn, const char *name) {
    static const char *const lists[] = {"", "+", "1", "i", "r", "s", "g", "t", "g1", "+i", "+1t",
                                        "i+r", "sg1"};
    for (size_t list = 0; list < sizeof lists / sizeof *lists; list++) {
        for (int i = 0; i < N_SIZES; i++) {
            check_fused_ops(rng, fn, name, lists[list], sizes[i], 1 + i % 4);
        }
    }
}

static void check_layer_norm(test_rng *rng, gi8i_layer_norm_fn *fn, const char *name) {
    for (int i = 0; i < N_SIZES; i++) {
        int64_t n = sizes[i];
        for (int kind = 0; kind < 4; kind++) {
            float *x = random_floats(rng, n, -1.0f, 5.0f);
            float *gain = random_floats(rng, n, 0.0f, 2.0f);
            float *bias = random_floats(rng, n, -2.0f, 2.0f);
            float *expected = random_floats(rng, n, 0.0f, 1.0f);
            const float *g = (kind & 1) != 0 ? gain : NULL;
            const float *b = (kind & 2) != 0 ? bias : NULL;
            gi8i_layer_norm_scalar(x, g, b, 1e-5f, expected, n);
            void *block;
            const float *from = exact_copy(x, (size_t)n, sizeof *x, 5, &block);
            guarded y = guarded_new((size_t)n, sizeof(float), (size_t)(i % 4));
            fn(from, g, b, 1e-5f, y.data, n);
            assert_same_floats(expected, y.data, n, name);
            guarded_free(&y, name);
            free(block);
            free(expected);
            free(x);
            free(gain);
            free(bias);
        }
    }
}

static void check_soft_max(test_rng *rng, gi8i_soft_max_fn *fn, const char *name) {
    for (int i = 0; i < N_SIZES; i++) {
        int64_t n = sizes[i];
        for (int kind = 0; kind < 3; kind++) {
            float *x = random_floats(rng, n, -30.0f, 30.0f);
            float *mask = random_floats(rng, n, -1.0f, 0.0f);
            float *expected = random_floats(rng, n, 0.0f, 1.0f);
            if (n > 20) {
                mask[3] = -INFINITY;
                x[n - 1] = i % 3 == 0 ? NAN : x[n - 1];
            }
            const float *m = kind == 0 ? NULL : mask;
            gi8i_soft_max_scalar(x, m, kind == 2, 0.3f, expected, n);
            void *block;
            const float *from = exact_copy(x, (size_t)n, sizeof *x, 1, &block);
            guarded y = guarded_new((size_t)n, sizeof(float), (size_t)(i % 4));
            fn(from, m, kind == 2, 0.3f, y.data, n);
            assert_same_floats(expected, y.data, n, name);
            guarded_free(&y, name);
            free(block);
            free(expected);
            free(x);
            free(mask);
        }
    }
}

static void check_mul_mat(test_rng *rng, gi8i_mul_mat_fn *fn, const char *name) {
    static const int64_t shapes[][3] = {/* k, n, m */
                                        {0, 2, 2},    {1, 1, 1},    {5, 9, 13},
                                        {16, 8, 6},   {17, 4, 7},   {40, 5, 5},
                                        {100, 11, 9}, {300, 3, 14}, {64, 1, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
            int64_t k = shapes[i][0];
            int64_t n = shapes[i][1];
            int64_t m = shapes[i][2];
            size_t size = gi8_type_size((gi8_type)type);
            float *w = random_floats(rng, (k + 1) * n, -1.0f, 1.0f);
            float *x = random_floats(rng, (k + 3) * m, -1.0f, 1.0f);
            float *expected = random_floats(rng, n * m, 0.0f, 1.0f);
            void *converted = malloc((size_t)((k + 1) * n) * size);
            assert_non_null(converted);
            gi8_convert_from_fp32((gi8_type)type, w, (k + 1) * n, converted);
            void *w_block;
            void *x_block;
            /* Rows one and three elements apart; the last row ends where the memory ends. */
            gi8i_mul_mat_args args = {
                .w_type = (gi8_type)type,
                .w = exact_copy(converted, (size_t)((k + 1) * n - 1), size, 1, &w_block),
                .x = exact_copy(x, (size_t)((k + 3) * m - 3), sizeof *x, 1, &x_block),
                .y = expected,
                .w_stride_bytes = (size_t)(k + 1) * size,
                .x_stride_bytes = (size_t)(k + 3) * sizeof *x,
                .y_stride_bytes = (size_t)n * sizeof(float),
                .k = k,
                .n = n,
                .m = m,
            };
            gi8i_mul_mat_scalar(&args);
            guarded y = guarded_new((size_t)(n * m), sizeof(float), i % 4);
            args.y = y.data;
            fn(&args);
            assert_same_floats(expected, y.data, n * m, name);
            guarded_free(&y, name);
            free(w_block);
            free(x_block);
            free(converted);
            free(expected);
            free(w);
            free(x);
        }
    }
}

/* A tile of queries against the scalar kernel, one query at a time. */
static void check_attention(test_rng *rng, gi8i_attention_fn *fn, const char *name) {
    static const int64_t shapes[][3] = {
        /* d, n, m */
        {1, 1, 1},    {8, 5, 1},     {16, 16, 1}, {17, 33, 2},  {32, 100, 7}, {80, 47, 6},
        {64, 256, 1}, {130, 20, 12}, {50, 55, 12}, {96, 64, 11}, {64, 129, 12}, {256, 59, 8},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int type = GI8_TYPE_F32; type <= GI8_TYPE_F16; type++) {
            int64_t d = shapes[i][0];
            int64_t n = shapes[i][1];
            int64_t m = shapes[i][2];
            int64_t rows = n + m - 1;
            size_t size = gi8_type_size((gi8_type)type);
            float *q = random_floats(rng, (d + 2) * m, -2.0f, 2.0f);
            float *k = random_floats(rng, (d + 1) * rows, -2.0f, 2.0f);
            float *v = random_floats(rng, (d + 1) * rows, -2.0f, 2.0f);
            float *expected = random_floats(rng, d * m, 0.0f, 1.0f);
            void *converted = malloc((size_t)((d + 1) * rows) * size);
            assert_non_null(converted);
            void *q_block;
            void *k_block;
            void *v_block;
            /* Rows one or two elements apart; the last row ends where the memory ends. */
            size_t count = (size_t)((d + 1) * rows - 1);
            gi8_convert_from_fp32((gi8_type)type, k, (int64_t)count, converted);
            const char *tk = exact_copy(converted, count, size, 1, &k_block);
            gi8_convert_from_fp32((gi8_type)type, v, (int64_t)count, converted);
            const char *tv = exact_copy(converted, count, size, 3, &v_block);
            gi8i_attention_args args = {
                .q = exact_copy(q, (size_t)((d + 2) * m - 2), sizeof *q, 1, &q_block),
                .type = (gi8_type)type,
                .k = tk,
                .v = tv,
                .q_stride_bytes = (size_t)(d + 2) * sizeof *q,
                .k_stride_bytes = (size_t)(d + 1) * size,
                .v_stride_bytes = (size_t)(d + 1) * size,
                .y_stride_bytes = (size_t)d * sizeof(float),
                .scale = 0.3f,
                .d = d,
            };
            for (int64_t j = 0; j < m; j++) {
                gi8i_attention_args one = args;
                one.q += j * (d + 2);
                one.y = expected + j * d;
                one.n = n + j;
                one.m = 1;
                gi8i_attention_scalar(&one);
            }
            guarded y = guarded_new((size_t)(d * m), sizeof(float), i % 4);
            args.y = y.data;
            args.n = n;
            args.m = m;
            fn(&args);
            assert_same_floats(expected, y.data, d * m, name);
            guarded_free(&y, name);
            free(q_block);
            free(k_block);
            free(v_block);
            free(converted);
            free(expected);
            free(q);
            free(k);
            free(v);
        }
    }
}

/* Random bits: every kind of number, halfway cases of fp16 among them. */
static void check_store_f16(test_rng *rng, gi8i_store_f16_fn *fn, const char *name) {
    for (int i = 0; i < N_SIZES; i++) {
        int64_t n = sizes[i];
        for (int round = 0; round < 20; round++) {
            float *x = random_floats(rng, n, -70000.0f, 70000.0f);
            for (int64_t j = 0; j < n; j++) {
                uint32_t bits = (uint32_t)test_rng_next(rng);
                bits = j % 3 == 0 ? (bits & 0x8ffff000) | 0x38000000 : bits; /* halfway, about 1 */
                if (j % 4 != 0) {
                    memcpy(x + j, &bits, sizeof bits);
                }
            }
            put_specials(rng, x, n);
            void *block;
            const float *from = exact_copy(x, (size_t)n, sizeof *x, 1, &block);
            guarded y = guarded_new((size_t)n, sizeof(uint16_t), (size_t)(i % 4));
            fn(from, n, y.data);
            for (int64_t j = 0; j < n; j++) {
                assert_int_equal(((const uint16_t *)y.data)[j], gi8_fp32_to_fp16(x[j]));
            }
            guarded_free(&y, name);
            free(block);
            free(x);
        }
    }
}

KERNEL_TEST(store_f16)
KERNEL_TEST(unary)
KERNEL_TEST(binary)
KERNEL_TEST(fused)
KERNEL_TEST(layer_norm)
KERNEL_TEST(soft_max)
KERNEL_TEST(mul_mat)
KERNEL_TEST(attention)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_f16), cmocka_unit_test(test_unary),
        cmocka_unit_test(test_binary),   cmocka_unit_test(test_fused),
        cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_soft_max),
        cmocka_unit_test(test_mul_mat),  cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
