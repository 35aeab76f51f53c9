/* test_cuda_ops.c - get_rows, add, mul, scale, the activations, kv_store, cont and cpy: the CPU's
 * bits, for any shapes and strides. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_fixture.h"

static const gi8_type floats[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};

/* ---- get_rows -------------------------------------------------------------------------------- */

typedef struct rows_arg {
    gi8_type type;
    int64_t d, n_table, gap, shift;
} rows_arg;

static gi8_tensor *build_get_rows(cuda_case *c, const void *arg) {
    const rows_arg *a = arg;
    int32_t ids[13] = {0, (int32_t)a->n_table - 1, (int32_t)a->n_table, -1, INT32_MAX, INT32_MIN};
    for (int i = 6; i < 13; i++) {
        ids[i] = (int32_t)test_rng_int(&c->rng, -1, a->n_table);
    }
    gi8_tensor *table = cuda_random_input(c, a->type, (int64_t[]){a->d, a->n_table, 1, 1}, -4.0f,
                                          4.0f, a->gap, a->shift);
    return gi8_get_rows(c->ctx, table, cuda_i32_input(c, 13, ids));
}

static void test_get_rows(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(701);
    static const rows_arg cases[] = {
        {0, 1, 1, 0, 0},  {0, 3, 7, 0, 0},   {0, 4, 5, 0, 0},    {0, 37, 11, 0, 0},
        {0, 64, 9, 4, 4}, {0, 64, 9, 3, 1},  {0, 130, 30, 0, 0}, {0, 1024, 40, 0, 0},
        {0, 8, 0, 0, 0},  {0, 2051, 3, 2, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int t = 0; t < 3; t++) {
            rows_arg a = cases[i];
            a.type = floats[t];
            cuda_compare(build_get_rows, &a, test_rng_next(&rng), "get_rows", 0.0, 0.0);
        }
    }
}

/* ---- add, mul -------------------------------------------------------------------------------- */

typedef struct binary_arg {
    int64_t a[4], b[4];
    int64_t a_gap, a_shift, b_gap, b_shift;
    bool multiply, permuted;
} binary_arg;

static gi8_tensor *build_binary(cuda_case *c, const void *arg) {
    const binary_arg *p = arg;
    gi8_tensor *a = cuda_random_input(c, GI8_TYPE_F32, p->a, -3.0f, 3.0f, p->a_gap, p->a_shift);
    gi8_tensor *b = cuda_random_input(c, GI8_TYPE_F32, p->b, -3.0f, 3.0f, p->b_gap, p->b_shift);
    if (p->permuted) {
        a = gi8_permute(c->ctx, a, 0, 3, 1, 2);
        b = gi8_permute(c->ctx, b, 0, 3, 1, 2);
    }
    return p->multiply ? gi8_mul(c->ctx, a, b) : gi8_add(c->ctx, a, b);
}

static void test_add_and_mul(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(702);
    static const int64_t shapes[][2][4] = {
        {{1, 1, 1, 1}, {1, 1, 1, 1}},        {{15, 3, 1, 1}, {15, 3, 1, 1}},
        {{33, 4, 2, 3}, {33, 1, 2, 1}},      {{33, 4, 2, 3}, {1, 4, 1, 3}},
        {{1, 5, 3, 2}, {1, 5, 1, 2}},        {{7, 5, 3, 2}, {1, 1, 1, 1}},
        {{1000, 64, 1, 1}, {1000, 1, 1, 1}}, {{5, 0, 2, 1}, {5, 1, 1, 1}},
        {{64, 9, 2, 1}, {64, 9, 2, 1}},      {{2048, 3, 1, 1}, {2048, 3, 1, 1}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        binary_arg a = {.multiply = i % 2 != 0};
        memcpy(a.a, shapes[i][0], sizeof a.a);
        memcpy(a.b, shapes[i][1], sizeof a.b);
        cuda_compare(build_binary, &a, test_rng_next(&rng), "binary", 0.0, 0.0);
    }
    for (int i = 0; i < 60; i++) {
        binary_arg a = {.multiply = i % 2 != 0, .permuted = test_rng_int(&rng, 0, 3) == 0};
        for (int d = 0; d < 4; d++) {
            a.a[d] = test_rng_int(&rng, 1, d == 0 ? 300 : 5);
            a.b[d] = test_rng_int(&rng, 0, 2) == 0 ? 1 : a.a[d];
        }
        a.a_gap = test_rng_int(&rng, 0, 2) * 4;
        a.a_shift = test_rng_int(&rng, 0, a.a_gap);
        a.b_gap = test_rng_int(&rng, 0, 2) * 4;
        a.b_shift = test_rng_int(&rng, 0, a.b_gap);
        cuda_compare(build_binary, &a, test_rng_next(&rng), "random binary", 0.0, 0.0);
    }
}

/* ---- scale and activations ------------------------------------------------------------------- */

typedef struct unary_arg {
    int kind; /* a gi8_activation_kind; -1: scale */
    int64_t ne[4], gap, shift;
    float high;
} unary_arg;

static gi8_tensor *activate(gi8_context *ctx, int kind, gi8_tensor *x) {
    switch (kind) {
    case GI8_ACTIVATION_RELU: return gi8_relu(ctx, x);
    case GI8_ACTIVATION_SILU: return gi8_silu(ctx, x);
    case GI8_ACTIVATION_GELU: return gi8_gelu(ctx, x);
    case GI8_ACTIVATION_GELU_TANH: return gi8_gelu_tanh(ctx, x);
    default: return gi8_scale(ctx, x, -0.3f);
    }
}

static gi8_tensor *build_unary(cuda_case *c, const void *arg) {
    const unary_arg *p = arg;
    return activate(c->ctx, p->kind, cuda_random_input(c, GI8_TYPE_F32, p->ne, -p->high, p->high,
                                                       p->gap, p->shift));
}

static void test_unary(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(703);
    static const unary_arg cases[] = {
        {0, {1, 1, 1, 1}, 0, 0, 12.0f},    {0, {31, 1, 1, 1}, 0, 0, 12.0f},
        {0, {9001, 1, 1, 1}, 0, 0, 12.0f}, {0, {4000, 2, 1, 1}, 4, 4, 20.0f},
        {0, {50, 3, 2, 2}, 3, 1, 1e-3f},   {0, {300, 7, 1, 1}, 8, 3, 100.0f},
        {0, {4, 0, 1, 1}, 0, 0, 1.0f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int kind = -1; kind <= GI8_ACTIVATION_GELU_TANH; kind++) {
            unary_arg a = cases[i];
            a.kind = kind;
            cuda_compare(build_unary, &a, test_rng_next(&rng), "unary", 0.0, 0.0);
        }
    }
}

static gi8_tensor *build_special(cuda_case *c, const void *arg) {
    static const float x[] = {0.0f,      -0.0f,     NAN,   INFINITY, -INFINITY, FLT_MAX,
                              -FLT_MAX,  FLT_MIN,   1e-40f, -1e-44f, 88.7f,     -88.8f,
                              -103.9f,   -104.1f,   -13.0f, -14.5f,  -16.0f,    1e30f,
                              FLT_EPSILON, -FLT_EPSILON, 5.5f};
    return activate(c->ctx, *(const int *)arg,
                    cuda_input(c, GI8_TYPE_F32, (int64_t[]){7, 3, 1, 1}, x));
}

static void test_unary_special(void **state) {
    (void)state;
    for (int kind = -1; kind <= GI8_ACTIVATION_GELU_TANH; kind++) {
        cuda_compare(build_special, &kind, 0, "unary of special values", 0.0, 0.0);
    }
}

/* A chain that the planner runs in place; one of its nodes has the same source twice. */
static gi8_tensor *build_chain(cuda_case *c, const void *arg) {
    (void)arg;
    gi8_tensor *x = cuda_random_input(c, GI8_TYPE_F32, (int64_t[]){101, 90, 1, 1}, -2.0f, 2.0f, 0,
                                      0);
    gi8_tensor *y = gi8_scale(c->ctx, x, 3.0f);
    y = gi8_add(c->ctx, y, x);
    y = gi8_mul(c->ctx, y, y);
    return gi8_gelu(c->ctx, y);
}

static void test_in_place(void **state) {
    (void)state;
    cuda_compare(build_chain, NULL, test_rng_seeded(704).state, "chain", 0.0, 0.0);
}

/* ---- kv_store -------------------------------------------------------------------------------- */

typedef struct store_arg {
    gi8_type type;
    int64_t d, n_positions, n_heads, n_sequences, n_tokens, gap, shift;
} store_arg;

static gi8_tensor *build_kv_store(cuda_case *c, const void *arg) {
    const store_arg *a = arg;
    gi8_tensor *cache = cuda_random_memory(
        c, a->type, (int64_t[]){a->d, a->n_positions, a->n_heads, a->n_sequences});
    gi8_tensor *x = cuda_random_input(c, GI8_TYPE_F32,
                                      (int64_t[]){a->d, a->n_heads, a->n_tokens, 1}, -9.0f, 9.0f,
                                      a->gap, a->shift);
    /* No two tokens name the same place: token t has position t, or one that is out of range. */
    int32_t positions[64] = {0};
    int32_t sequences[64] = {0};
    for (int32_t t = 0; t < a->n_tokens; t++) {
        int64_t dice = test_rng_int(&c->rng, 0, 9);
        positions[t] = dice == 0 ? -1 : dice == 1 ? INT32_MIN : dice == 2 ? INT32_MAX : t;
        sequences[t] = dice == 3   ? -1
                       : dice == 4 ? (int32_t)a->n_sequences
                                   : (int32_t)test_rng_int(&c->rng, 0, a->n_sequences - 1);
    }
    return gi8_kv_store(c->ctx, cache, x, cuda_i32_input(c, a->n_tokens, positions),
                        cuda_i32_input(c, a->n_tokens, sequences));
}

static void test_kv_store(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(705);
    static const store_arg cases[] = {
        {GI8_TYPE_F16, 64, 20, 3, 2, 17, 0, 0},  {GI8_TYPE_F32, 64, 20, 3, 2, 30, 128, 64},
        {GI8_TYPE_F16, 96, 9, 2, 1, 8, 192, 96}, {GI8_TYPE_F16, 7, 40, 5, 3, 40, 0, 0},
        {GI8_TYPE_F32, 13, 5, 1, 4, 9, 2, 1},    {GI8_TYPE_F16, 80, 30, 4, 2, 31, 3, 1},
        {GI8_TYPE_F32, 1, 3, 2, 2, 3, 0, 0},     {GI8_TYPE_F16, 32, 4, 2, 2, 0, 0, 0},
        {GI8_TYPE_F32, 256, 64, 2, 1, 64, 4, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cuda_compare(build_kv_store, &cases[i], test_rng_next(&rng), "kv_store", 0.0, 0.0);
    }
}

/* ---- cont and cpy ---------------------------------------------------------------------------- */

typedef struct cont_arg {
    gi8_type type;
    int64_t ne[4], gap, shift;
    int axis[4];
} cont_arg;

static gi8_tensor *build_cont(cuda_case *c, const void *arg) {
    const cont_arg *a = arg;
    gi8_tensor *x = cuda_random_input(c, a->type, a->ne, -9.0f, 9.0f, a->gap, a->shift);
    return gi8_cont(c->ctx, gi8_permute(c->ctx, x, a->axis[0], a->axis[1], a->axis[2], a->axis[3]));
}

static void test_cont(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(706);
    static const int64_t shapes[][6] = { /* ne, gap, shift */
        {7, 3, 5, 2, 0, 0}, {16, 5, 3, 2, 16, 16}, {64, 3, 2, 1, 1, 1}, {1, 4, 6, 3, 0, 0},
    };
    for (int type = 0; type < GI8_TYPE_COUNT; type++) {
        for (int code = 0; code < 256; code++) {
            int axis[4] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6};
            if ((1 << axis[0] | 1 << axis[1] | 1 << axis[2] | 1 << axis[3]) != 15) {
                continue;
            }
            const int64_t *shape = shapes[test_rng_int(&rng, 0, 3)];
            cont_arg a = {.type = (gi8_type)type, .gap = shape[4], .shift = shape[5]};
            memcpy(a.ne, shape, sizeof a.ne);
            memcpy(a.axis, axis, sizeof axis);
            cuda_compare(build_cont, &a, test_rng_next(&rng), "cont", 0.0, 0.0);
        }
    }
    const cont_arg empty = {.type = GI8_TYPE_F32, .ne = {4, 0, 1, 1}, .axis = {0, 1, 2, 3}};
    cuda_compare(build_cont, &empty, 0, "cont of nothing", 0.0, 0.0);
}

typedef struct cpy_arg {
    gi8_type from, to;
    int64_t a[4], b[4];
    int64_t a_gap, a_shift, b_gap, b_shift;
    bool transposed; /* b */
    float high;
} cpy_arg;

static gi8_tensor *build_cpy(cuda_case *c, const void *arg) {
    const cpy_arg *p = arg;
    gi8_tensor *a = cuda_random_input(c, p->from, p->a, -p->high, p->high, p->a_gap, p->a_shift);
    gi8_tensor *b = cuda_random_memory(
        c, p->to, (int64_t[]){p->b[0] + p->b_gap, p->b[1], p->b[2], p->b[3]});
    b = gi8_view_4d(c->ctx, b, p->b[0], p->b[1], p->b[2], p->b[3], b->nb[1], b->nb[2], b->nb[3],
                    (size_t)p->b_shift * gi8_type_size(p->to));
    return gi8_cpy(c->ctx, a, p->transposed ? gi8_transpose(c->ctx, b) : b);
}

static void test_cpy(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(707);
    static const cpy_arg cases[] = {
        {0, 0, {60, 40, 1, 1}, {100, 24, 1, 1}, 0, 0, 0, 0, false, 100.0f},
        {0, 0, {64, 6, 2, 1}, {64, 6, 2, 1}, 8, 8, 16, 8, false, 1e-5f},
        {0, 0, {64, 6, 2, 1}, {64, 6, 2, 1}, 3, 1, 1, 1, false, 70000.0f},
        {0, 0, {5, 6, 1, 1}, {5, 6, 1, 1}, 2, 1, 3, 2, true, 1e5f},
        {0, 0, {12, 5, 2, 2}, {20, 12, 1, 1}, 1, 0, 0, 0, false, 1.0f},
        {0, 0, {1, 1, 1, 1}, {1, 1, 1, 1}, 0, 0, 0, 0, false, 1.0f},
        {0, 0, {3, 257, 1, 1}, {257, 3, 1, 1}, 0, 0, 0, 0, true, 1e-6f},
    };
    for (int from = 0; from < GI8_TYPE_COUNT; from++) {
        for (int to = 0; to < GI8_TYPE_COUNT; to++) {
            if (from != to && (from > GI8_TYPE_BF16 || to > GI8_TYPE_BF16)) {
                continue;
            }
            for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                cpy_arg a = cases[i];
                a.from = (gi8_type)from;
                a.to = (gi8_type)to;
                cuda_compare(build_cpy, &a, test_rng_next(&rng), "cpy", 0.0, 0.0);
            }
        }
    }
}

/* fp32 bit patterns: NaN, Inf, denormals, ties of both 16-bit formats, and what overflows them. */
static gi8_tensor *build_cpy_special(cuda_case *c, const void *arg) {
    enum { COUNT = 4096 };
    const gi8_type *to = arg;
    static const uint32_t known[] = {
        0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001,
        0x477fefff, 0x477ff000, 0x477fe000, 0x33000000, 0x33000001, 0x32ffffff, 0x38800000,
        0x387fe000, 0x387fffff, 0x3f801000, 0x3f803000, 0x3f808000, 0x3f818000, 0x7f7fffff,
        0x7f7f8000, 0x7f7f7fff, 0x00000001, 0x007fffff, 0x00008000, 0x00018000,
    };
    static uint32_t bits[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        bits[i] = i < sizeof known / sizeof *known ? known[i] : (uint32_t)test_rng_next(&c->rng);
        /* in the range of the 16-bit formats, with few bits below their last one */
        if (i % 3 == 1) {
            bits[i] = (bits[i] & 0x9ffff000u) | 0x30000000u;
        }
    }
    gi8_tensor *a = cuda_input(c, GI8_TYPE_F32, (int64_t[]){COUNT, 1, 1, 1}, bits);
    gi8_tensor *b = cuda_random_memory(c, *to, (int64_t[]){COUNT, 1, 1, 1});
    return gi8_cpy(c->ctx, a, b);
}

static void test_cpy_special(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(708);
    for (int t = 0; t < 3; t++) {
        cuda_compare(build_cpy_special, &floats[t], test_rng_next(&rng), "cpy of special values",
                     0.0, 0.0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_rows),      cmocka_unit_test(test_add_and_mul),
        cmocka_unit_test(test_unary),         cmocka_unit_test(test_unary_special),
        cmocka_unit_test(test_in_place),      cmocka_unit_test(test_kv_store),
        cmocka_unit_test(test_cont),          cmocka_unit_test(test_cpy),
        cmocka_unit_test(test_cpy_special),
    };
    return cmocka_run_group_tests(tests, cuda_backends_create, cuda_backends_free);
}
