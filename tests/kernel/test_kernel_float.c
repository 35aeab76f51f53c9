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

/* A product: sources that end where their memory ends, rows one and three elements apart. */
typedef struct product {
    gi8_type type;
    int64_t k, n, m;
    const char *w;
    const char *x;
    size_t w_stride_bytes;
    size_t x_stride_bytes;
    void *w_block;
    void *x_block;
    float *expected;
} product;

static float weight(const product *p, int64_t n, int64_t k) {
    const char *at = p->w + (size_t)n * p->w_stride_bytes + (size_t)k * gi8_type_size(p->type);
    float value;
    gi8_convert_to_fp32(p->type, at, 1, &value);
    return value;
}

/* The definition in kernels.h, word by word. */
static float defined_sum(const product *p, int64_t n, int64_t m) {
    const float *x = (const float *)(const void *)(p->x + (size_t)m * p->x_stride_bytes);
    float all = 0.0f;
    for (int64_t begin = 0; begin < p->k; begin += GI8I_MUL_MAT_K) {
        float lane[16] = {0.0f};
        for (int64_t i = 0; i < GI8I_MUL_MAT_K && begin + i < (p->k + 15) / 16 * 16; i++) {
            int64_t k = begin + i;
            lane[i % 16] = fmaf(k < p->k ? weight(p, n, k) : 0.0f, k < p->k ? x[k] : 0.0f,
                                lane[i % 16]);
        }
        for (int width = 8; width >= 1; width /= 2) {
            for (int i = 0; i < width; i++) {
                lane[i] += lane[i + width];
            }
        }
        all = begin == 0 ? lane[0] : all + lane[0];
    }
    return all;
}

static product product_new(test_rng *rng, gi8_type type, int64_t k, int64_t n, int64_t m) {
    product p = {.type = type, .k = k, .n = n, .m = m};
    size_t size = gi8_type_size(type);
    int64_t w_count = (k + 1) * n - 1;
    int64_t x_count = (k + 3) * m - 3;
    float *w = random_floats(rng, w_count, -1.0f, 1.0f);
    float *x = random_floats(rng, x_count, -1.0f, 1.0f);
    if (w_count > 1000) {
        /* Of a few sums only: NaN and Inf hide what else is wrong. */
        static const float specials[] = {0.0f, -0.0f, 1e-40f, -6e-8f, 6e4f, NAN, INFINITY};
        for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
            w[test_rng_int(rng, 0, k)] = specials[i];
        }
        x[test_rng_int(rng, 0, k)] = -INFINITY;
        x[test_rng_int(rng, 0, x_count - 1)] = -1e-40f;
    }
    void *converted = malloc((size_t)w_count * size + 1);
    assert_non_null(converted);
    gi8_convert_from_fp32(type, w, w_count, converted);
    p.w = exact_copy(converted, (size_t)w_count, size, 1, &p.w_block);
    p.x = exact_copy(x, (size_t)x_count, sizeof *x, 1, &p.x_block);
    p.w_stride_bytes = (size_t)(k + 1) * size;
    p.x_stride_bytes = (size_t)(k + 3) * sizeof *x;
    p.expected = random_floats(rng, n * m, 0.0f, 1.0f);
    for (int64_t i = 0; i < n * m; i++) {
        p.expected[i] = defined_sum(&p, i % n, i / n);
    }
    free(converted);
    free(w);
    free(x);
    return p;
}

static void product_free(product *p) {
    free(p->w_block);
    free(p->x_block);
    free(p->expected);
}

static const int64_t product_shapes[][3] = {
    /* k, n, m */
    {1, 1, 1},     {5, 9, 13},    {16, 8, 6},    {17, 4, 7},    {40, 5, 5},   {100, 11, 9},
    {300, 3, 14},  {64, 1, 3},    {255, 17, 15}, {272, 33, 28}, {256, 32, 2}, {2047, 16, 8},
    {2049, 5, 3},  {2064, 50, 1}, {4500, 35, 5}, {2304, 7, 11}, {48, 64, 43}, {33, 48, 10},
    {90, 20, 12},  {128, 31, 4},
};
enum { N_PRODUCTS = sizeof product_shapes / sizeof *product_shapes };

static void check_mul_mat(test_rng *rng, gi8i_mul_mat_fn *fn, const char *name) {
    for (size_t i = 0; i < N_PRODUCTS + 1; i++) {
        for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
            const int64_t none[] = {0, 2, 2}; /* an empty sum */
            const int64_t *shape = i < N_PRODUCTS ? product_shapes[i] : none;
            product p = product_new(rng, (gi8_type)type, shape[0], shape[1], shape[2]);
            guarded y = guarded_new((size_t)(p.n * p.m), sizeof(float), i % 4);
            gi8i_mul_mat_args args = {
                .w_type = p.type,
                .w = p.w,
                .x = p.x,
                .y = y.data,
                .w_stride_bytes = p.w_stride_bytes,
                .x_stride_bytes = p.x_stride_bytes,
                .y_stride_bytes = (size_t)p.n * sizeof(float),
                .k = p.k,
                .n = p.n,
                .m = p.m,
                .fetch = (i + (size_t)type) % 2 == 0,
            };
            fn(&args);
            assert_same_floats(p.expected, y.data, p.n * p.m, name);
            guarded_free(&y, name);
            product_free(&p);
        }
    }
}

/* x in order, NaN where the definition says nothing. */
static float *ordered_by_definition(const product *p, int64_t count, int64_t block_stride) {
    float *ordered = malloc((size_t)count * sizeof *ordered);
    assert_non_null(ordered);
    for (int64_t i = 0; i < count; i++) {
        ordered[i] = NAN;
    }
    for (int64_t m = 0; m < p->m; m++) {
        const float *x = (const float *)(const void *)(p->x + (size_t)m * p->x_stride_bytes);
        for (int64_t k = 0; k < (p->k + 15) / 16 * 16; k++) {
            int64_t i = k % GI8I_MUL_MAT_K;
            ordered[k / GI8I_MUL_MAT_K * block_stride + m * GI8I_ORDERED_ROW +
                    i % 16 * (GI8I_MUL_MAT_K / 16) + i / 16] = k < p->k ? x[k] : 0.0f;
        }
    }
    return ordered;
}

static void check_mul_mat_order(test_rng *rng, gi8i_mul_mat_order_fn *fn, const char *name) {
    for (size_t i = 0; i < N_PRODUCTS; i++) {
        const int64_t *shape = product_shapes[i];
        product p = product_new(rng, GI8_TYPE_F32, shape[0], 1, shape[2]);
        int64_t stride = (p.m + 1) * GI8I_ORDERED_ROW;
        int64_t count = (p.k + GI8I_MUL_MAT_K - 1) / GI8I_MUL_MAT_K * stride;
        float *expected = ordered_by_definition(&p, count, stride);
        guarded ordered = guarded_new((size_t)count, sizeof(float), i % 4);
        gi8i_mul_mat_order_args args = {.x = p.x,
                                        .ordered = ordered.data,
                                        .x_stride_bytes = p.x_stride_bytes,
                                        .block_stride = stride,
                                        .k = p.k,
                                        .m = p.m};
        fn(&args);
        for (int64_t at = 0; at < count; at++) {
            if (expected[at] == expected[at]) {
                assert_same_floats(expected + at, (const float *)ordered.data + at, 1, name);
            }
        }
        guarded_free(&ordered, name);
        free(expected);
        product_free(&p);
    }
}

static void check_mul_mat_panels(test_rng *rng, gi8i_mul_mat_panels_fn *fn, const char *name) {
    for (size_t i = 0; i < N_PRODUCTS; i++) {
        for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
            const int64_t *shape = product_shapes[i];
            product p = product_new(rng, (gi8_type)type, shape[0], shape[1], shape[2]);
            int64_t stride = p.m * GI8I_ORDERED_ROW;
            int64_t blocks = (p.k + GI8I_MUL_MAT_K - 1) / GI8I_MUL_MAT_K;
            float *x = ordered_by_definition(&p, blocks * stride, stride);
            size_t n_panels = (size_t)(p.n + 15) / 16;
            guarded panels = guarded_new(n_panels * GI8I_MUL_MAT_PANEL, sizeof(float), 0);
            int64_t y_stride = p.n + (int64_t)(i % 3);
            guarded y = guarded_new((size_t)((p.m - 1) * y_stride + p.n), sizeof(float), i % 4);
            gi8i_mul_mat_panels_args args = {
                .w_type = p.type,
                .w = p.w,
                .x = x,
                .y = y.data,
                .panels = panels.data,
                .w_stride_bytes = p.w_stride_bytes,
                .y_stride_bytes = (size_t)y_stride * sizeof(float),
                .x_block_stride = stride,
                .k = p.k,
                .n = p.n,
                .m = p.m,
                .next = i % 2 == 0 ? p.w : NULL,
            };
            fn(&args);
            for (int64_t m = 0; m < p.m; m++) {
                assert_same_floats(p.expected + m * p.n, (const float *)y.data + m * y_stride, p.n,
                                   name);
            }
            guarded_free(&y, name);
            guarded_free(&panels, name);
            free(x);
            product_free(&p);
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
                .once = i % 2 == 1,
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
KERNEL_TEST(mul_mat_order)
KERNEL_TEST(mul_mat_panels)
KERNEL_TEST(attention)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_f16), cmocka_unit_test(test_unary),
        cmocka_unit_test(test_binary),   cmocka_unit_test(test_fused),
        cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_soft_max),
        cmocka_unit_test(test_mul_mat),  cmocka_unit_test(test_mul_mat_order),
        cmocka_unit_test(test_mul_mat_panels), cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
