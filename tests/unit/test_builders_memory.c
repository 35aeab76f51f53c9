/* test_builders_memory.c - cont, cpy, kv_store and attention: what copies, writes into others'
 * memory, or reads what was written there. */
#include "refusals.h"

#include <math.h>

static void test_cont(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    for (int type = 0; type < GI8_TYPE_COUNT; type++) {
        gi8_tensor *a = gi8_new_tensor_4d(ctx, (gi8_type)type, 2, 3, 4, 5);
        gi8_tensor *y = gi8_cont(ctx, gi8_permute(ctx, a, 3, 2, 1, 0));
        assert_node(y, GI8_OP_CONT, (gi8_type)type);
        assert_shape(y, 5, 4, 3, 2);
    }
    const refusals r = refusals_from(ctx);
    refused(&r, gi8_cont(ctx, NULL), GI8_ERR_ARGUMENT, "cont", "a is NULL");
    gi8_context_free(ctx);
}

static void test_cpy(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = f32(ctx, 6, 4, 1, 1);
    gi8_tensor *root = gi8_new_tensor_2d(ctx, GI8_TYPE_F16, 10, 5);
    gi8_tensor *b = gi8_view_3d(ctx, root, 8, 3, 1, 20, 60, 20);
    gi8_tensor *y = gi8_cpy(ctx, a, b);
    assert_non_null(y);
    assert_int_equal(y->op, GI8_OP_CPY);
    assert_int_equal(y->type, GI8_TYPE_F16);
    assert_ptr_equal(y->src[0], b); /* what it writes into comes first */
    assert_ptr_equal(y->src[1], a);
    assert_ptr_equal(y->view_src, root);
    assert_int_equal(y->view_offset, 20);
    assert_memory_equal(y->ne, b->ne, sizeof b->ne);
    assert_memory_equal(y->nb, b->nb, sizeof b->nb);
    /* Into a turned matrix, and into a part of a result. */
    assert_non_null(gi8_cpy(ctx, a, gi8_transpose(ctx, f32(ctx, 6, 4, 1, 1))));
    y = gi8_cpy(ctx, a, gi8_relu(ctx, a));
    assert_int_equal(y->view_src->op, GI8_OP_ACTIVATION);
    /* Halves of one tensor do not overlap. */
    gi8_tensor *both = f32(ctx, 8, 1, 1, 1);
    assert_non_null(gi8_cpy(ctx, gi8_view_1d(ctx, both, 4, 0), gi8_view_1d(ctx, both, 4, 16)));
    assert_non_null(gi8_cpy(ctx, gi8_view_1d(ctx, both, 4, 16), gi8_view_1d(ctx, both, 4, 0)));
    assert_non_null(gi8_cpy(ctx, f32(ctx, 0, 3, 1, 1), f32(ctx, 5, 0, 1, 1)));
    assert_ctx_ok(ctx);
    gi8_context_free(ctx);
}

static void test_cpy_types(void **state) {
    (void)state;
    for (int from = 0; from < GI8_TYPE_COUNT; from++) {
        for (int to = 0; to < GI8_TYPE_COUNT; to++) {
            gi8_context *ctx = new_context();
            gi8_tensor *a = gi8_new_tensor_1d(ctx, (gi8_type)from, 3);
            gi8_tensor *b = gi8_new_tensor_1d(ctx, (gi8_type)to, 3);
            const refusals r = refusals_from(ctx);
            gi8_tensor *y = gi8_cpy(ctx, a, b);
            if (from == to || (from <= GI8_TYPE_BF16 && to <= GI8_TYPE_BF16)) {
                assert_non_null(y);
            } else {
                refused(&r, y, GI8_ERR_TYPE, "cpy", "is not converted to b's ");
            }
            gi8_context_free(ctx);
        }
    }
}

static void test_cpy_refusals(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = f32(ctx, 6, 4, 1, 1);
    gi8_tensor *b = f32(ctx, 6, 5, 1, 1);
    gi8_tensor *small = f32(ctx, 12, 1, 1, 1);
    gi8_tensor *repeated_row = gi8_view_2d(ctx, small, 12, 2, 0, 0);
    gi8_tensor *sliding_rows = gi8_view_2d(ctx, small, 6, 4, 8, 0);
    gi8_tensor *front = gi8_view_1d(ctx, b, 12, 0);
    gi8_tensor *back = gi8_reshape_2d(ctx, gi8_view_1d(ctx, b, 12, 44), 6, 2);
    const refusals r = refusals_from(ctx);
    refused(&r, gi8_cpy(ctx, NULL, b), GI8_ERR_ARGUMENT, "cpy", "a is NULL");
    refused(&r, gi8_cpy(ctx, a, NULL), GI8_ERR_ARGUMENT, "cpy", "b is NULL");
    refused(&r, gi8_cpy(ctx, a, b), GI8_ERR_SHAPE, "cpy", "a has 24 elements, b has 30");
    refused(&r, gi8_cpy(ctx, a, repeated_row), GI8_ERR_SHAPE, "cpy", "elements of b share memory");
    refused(&r, gi8_cpy(ctx, a, sliding_rows), GI8_ERR_SHAPE, "cpy", "elements of b share memory");
    refused(&r, gi8_cpy(ctx, b, b), GI8_ERR_ARGUMENT, "cpy", "span the same bytes");
    refused(&r, gi8_cpy(ctx, front, back), GI8_ERR_ARGUMENT, "cpy", "span the same bytes");
    refused(&r, gi8_cpy(ctx, back, front), GI8_ERR_ARGUMENT, "cpy", "span the same bytes");
    /* Reading the same memory several times is fine. */
    assert_non_null(gi8_cpy(ctx, repeated_row, a));
    assert_non_null(gi8_cpy(ctx, sliding_rows, a));
    gi8_context_free(ctx);
}

enum { D = 8, C = 16, H = 4, G = 2, S = 3, T = 5 };

static void test_kv_store(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *cache = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, D, C, H, S);
    gi8_tensor *qkv = f32(ctx, 3 * D, H, T, 1);
    gi8_tensor *x = gi8_view_3d(ctx, qkv, D, H, T, qkv->nb[1], qkv->nb[2], 32);
    gi8_tensor *positions = i32(ctx, T);
    gi8_tensor *sequences = i32(ctx, T);
    gi8_tensor *y = gi8_kv_store(ctx, cache, x, positions, sequences);
    assert_non_null(y);
    assert_int_equal(y->op, GI8_OP_KV_STORE);
    assert_int_equal(y->type, GI8_TYPE_F16);
    assert_shape(y, D, C, H, S);
    assert_ptr_equal(y->view_src, cache);
    assert_int_equal(y->view_offset, 0);
    gi8_tensor *const sources[] = {cache, x, positions, sequences, NULL};
    assert_memory_equal(y->src, sources, sizeof sources);

    gi8_tensor *bf16 = gi8_new_tensor_4d(ctx, GI8_TYPE_BF16, D, C, H, S);
    gi8_tensor *part = gi8_view_4d(ctx, cache, D, C, H, 1, D * 2, D * C * 2, D * C * H * 2, 0);
    gi8_tensor *one = f32(ctx, D, C, H, 1);
    gi8_tensor *half = gi8_new_tensor_3d(ctx, GI8_TYPE_F16, D, H, T);
    gi8_tensor *batch = f32(ctx, D, H, T, 2);
    gi8_tensor *columns = strided(ctx, D, H, T, 1);
    gi8_tensor *wide = f32(ctx, D + 1, H, T, 1);
    gi8_tensor *heads = f32(ctx, D, H + 1, T, 1);
    gi8_tensor *square = f32(ctx, D, D, D, 1);
    gi8_tensor *square_view = gi8_reshape_3d(ctx, square, D, D, D);
    gi8_tensor *eight = i32(ctx, D);
    gi8_tensor *four = i32(ctx, T - 1);
    gi8_tensor *floats = f32(ctx, T, 1, 1, 1);
    gi8_tensor *matrix = gi8_new_tensor_2d(ctx, GI8_TYPE_I32, T, 2);
    gi8_tensor *gaps = gappy_i32(ctx, T);
    const refusals r = refusals_from(ctx);
    const char *op = "kv_store";
#define REFUSED(CACHE, X, POSITIONS, SEQUENCES, STATUS, PART) \
    refused(&r, gi8_kv_store(ctx, CACHE, X, POSITIONS, SEQUENCES), STATUS, op, PART)
    REFUSED(NULL, x, positions, sequences, GI8_ERR_ARGUMENT, "cache is NULL");
    REFUSED(cache, NULL, positions, sequences, GI8_ERR_ARGUMENT, "x is NULL");
    REFUSED(cache, x, NULL, sequences, GI8_ERR_ARGUMENT, "positions are NULL");
    REFUSED(cache, x, positions, NULL, GI8_ERR_ARGUMENT, "sequences are NULL");
    REFUSED(bf16, x, positions, sequences, GI8_ERR_TYPE, "cache has type BF16, expected F32 or");
    REFUSED(cache, half, positions, sequences, GI8_ERR_TYPE, "x has type F16");
    REFUSED(cache, x, floats, sequences, GI8_ERR_TYPE, "positions have type F32");
    REFUSED(cache, x, positions, floats, GI8_ERR_TYPE, "sequences have type F32");
    REFUSED(part, x, positions, sequences, GI8_ERR_ARGUMENT, "cache is a result of view");
    REFUSED(y, x, positions, sequences, GI8_ERR_ARGUMENT, "cache is a result of kv_store");
    REFUSED(cache, columns, positions, sequences, GI8_ERR_SHAPE, "x has rows");
    REFUSED(cache, batch, positions, sequences, GI8_ERR_SHAPE, "x has shape");
    REFUSED(cache, wide, positions, sequences, GI8_ERR_SHAPE, "x has ne[0] = 9, cache has ne[0]");
    REFUSED(cache, heads, positions, sequences, GI8_ERR_SHAPE, "x has ne[1] = 5, cache has ne[2]");
    REFUSED(cache, x, four, sequences, GI8_ERR_SHAPE, "positions have ne[0] = 4, x has ne[2] = 5");
    REFUSED(cache, x, positions, four, GI8_ERR_SHAPE, "sequences have ne[0] = 4, x has ne[2] = 5");
    REFUSED(cache, x, matrix, sequences, GI8_ERR_SHAPE, "positions have shape");
    REFUSED(cache, x, positions, matrix, GI8_ERR_SHAPE, "sequences have shape");
    REFUSED(cache, x, gaps, sequences, GI8_ERR_SHAPE, "positions have strides");
    REFUSED(cache, x, positions, gaps, GI8_ERR_SHAPE, "sequences have strides");
    REFUSED(square, square, eight, eight, GI8_ERR_ARGUMENT, "x looks at the cache itself");
    REFUSED(square, square_view, eight, eight, GI8_ERR_ARGUMENT, "x looks at the cache itself");
#undef REFUSED
    assert_non_null(gi8_kv_store(ctx, one, x, positions, sequences));
    gi8_context_free(ctx);
}

static void test_attention(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *q = f32(ctx, D, H, T, 1);
    gi8_tensor *k_cache = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, D, C, G, S);
    gi8_tensor *v = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, D, C, G, S);
    gi8_tensor *positions = i32(ctx, T);
    gi8_tensor *sequences = i32(ctx, T);
    gi8_tensor *k = gi8_kv_store(ctx, k_cache, f32(ctx, D, G, T, 1), positions, sequences);
    gi8_tensor *y = gi8_attention(ctx, q, k, v, positions, sequences, 0.5f);
    assert_node(y, GI8_OP_ATTENTION, GI8_TYPE_F32);
    assert_shape(y, D, H, T, 1);
    gi8_tensor *const sources[] = {q, k, v, positions, sequences};
    assert_memory_equal(y->src, sources, sizeof sources);
    assert_true(((const gi8_attention_params *)y->params)->scale == 0.5f);

    gi8_tensor *half_q = gi8_new_tensor_3d(ctx, GI8_TYPE_F16, D, H, T);
    gi8_tensor *columns = strided(ctx, D, H, T, 1);
    gi8_tensor *batch = f32(ctx, D, H, T, 2);
    gi8_tensor *wide = f32(ctx, D + 1, H, T, 1);
    gi8_tensor *odd = f32(ctx, D, G + 1, T, 1);
    gi8_tensor *bf16 = gi8_new_tensor_4d(ctx, GI8_TYPE_BF16, D, C, G, S);
    gi8_tensor *single = f32(ctx, D, C, G, S);
    gi8_tensor *longer = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, D, C + 1, G, S);
    gi8_tensor *turned = gi8_transpose(ctx, gi8_new_tensor_4d(ctx, GI8_TYPE_F16, C, D, G, S));
    gi8_tensor *reshaped = gi8_reshape_4d(ctx, v, D, C, G, S);
    gi8_tensor *no_heads = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, D, C, 0, S);
    gi8_tensor *floats = f32(ctx, T, 1, 1, 1);
    gi8_tensor *four = i32(ctx, T - 1);
    gi8_tensor *matrix = gi8_new_tensor_2d(ctx, GI8_TYPE_I32, T, 2);
    gi8_tensor *gaps = gappy_i32(ctx, T);
    const refusals r = refusals_from(ctx);
    const char *op = "attention";
#define REFUSED(Q, K, V, POSITIONS, SEQUENCES, STATUS, PART) \
    refused(&r, gi8_attention(ctx, Q, K, V, POSITIONS, SEQUENCES, 0.5f), STATUS, op, PART)
    REFUSED(NULL, k, v, positions, sequences, GI8_ERR_ARGUMENT, "q is NULL");
    REFUSED(q, NULL, v, positions, sequences, GI8_ERR_ARGUMENT, "k is NULL");
    REFUSED(q, k, NULL, positions, sequences, GI8_ERR_ARGUMENT, "v is NULL");
    REFUSED(q, k, v, NULL, sequences, GI8_ERR_ARGUMENT, "positions are NULL");
    REFUSED(q, k, v, positions, NULL, GI8_ERR_ARGUMENT, "sequences are NULL");
    REFUSED(half_q, k, v, positions, sequences, GI8_ERR_TYPE, "q has type F16");
    REFUSED(q, bf16, v, positions, sequences, GI8_ERR_TYPE, "k has type BF16, expected F32 or F16");
    REFUSED(q, k, bf16, positions, sequences, GI8_ERR_TYPE, "v has type BF16");
    REFUSED(q, k, single, positions, sequences, GI8_ERR_TYPE, "k has type F16, v has type F32");
    REFUSED(q, k, v, floats, sequences, GI8_ERR_TYPE, "positions have type F32");
    REFUSED(q, k, v, positions, floats, GI8_ERR_TYPE, "sequences have type F32");
    REFUSED(columns, k, v, positions, sequences, GI8_ERR_SHAPE, "q has rows");
    REFUSED(batch, k, v, positions, sequences, GI8_ERR_SHAPE, "q has shape");
    REFUSED(wide, k, v, positions, sequences, GI8_ERR_SHAPE, "q has ne[0] = 9, k has ne[0] = 8");
    REFUSED(odd, k, v, positions, sequences, GI8_ERR_SHAPE, "a multiple of k's ne[2] = 2");
    REFUSED(q, no_heads, no_heads, positions, sequences, GI8_ERR_SHAPE, "k's ne[2] = 0");
    REFUSED(q, k, longer, positions, sequences, GI8_ERR_SHAPE, "k has shape [8, 16, 2, 3], ");
    REFUSED(q, turned, v, positions, sequences, GI8_ERR_SHAPE, "k has strides");
    REFUSED(q, k, turned, positions, sequences, GI8_ERR_SHAPE, "v has strides");
    REFUSED(q, reshaped, v, positions, sequences, GI8_ERR_ARGUMENT, "k is a result of reshape");
    REFUSED(q, k, reshaped, positions, sequences, GI8_ERR_ARGUMENT, "v is a result of reshape");
    REFUSED(q, k, v, four, sequences, GI8_ERR_SHAPE, "positions have ne[0] = 4, q has ne[2] = 5");
    REFUSED(q, k, v, positions, four, GI8_ERR_SHAPE, "sequences have ne[0] = 4, q has ne[2] = 5");
    REFUSED(q, k, v, matrix, sequences, GI8_ERR_SHAPE, "positions have shape");
    REFUSED(q, k, v, positions, matrix, GI8_ERR_SHAPE, "sequences have shape");
    REFUSED(q, k, v, gaps, sequences, GI8_ERR_SHAPE, "positions have strides");
    REFUSED(q, k, v, positions, gaps, GI8_ERR_SHAPE, "sequences have strides");
#undef REFUSED
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        refused(&r, gi8_attention(ctx, q, k, v, positions, sequences, bad[i]), GI8_ERR_ARGUMENT, op,
                "scale is ");
    }
    gi8_context_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cont),
        cmocka_unit_test(test_cpy),
        cmocka_unit_test(test_cpy_types),
        cmocka_unit_test(test_cpy_refusals),
        cmocka_unit_test(test_kv_store),
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
