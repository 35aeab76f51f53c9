/* test_tensor.c - leaves, facts about layouts, and the table of operations. */
#include "graph_fixture.h"

static void test_leaf(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *t = gi8_new_tensor_3d(ctx, GI8_TYPE_F16, 5, 3, 2);
    assert_shape(t, 5, 3, 2, 1);
    const size_t nb[] = {2, 10, 30, 60};
    assert_memory_equal(t->nb, nb, sizeof nb);
    assert_int_equal(t->op, GI8_OP_NONE);
    assert_int_equal(t->type, GI8_TYPE_F16);
    assert_null(t->params);
    assert_null(t->view_src);
    assert_null(t->data);
    assert_null(t->buffer);
    assert_null(t->src[0]);
    assert_string_equal(t->name, "");
    assert_int_equal(gi8_nelements(t), 30);
    assert_int_equal(gi8_nrows(t), 6);
    assert_int_equal(gi8_nbytes(t), 60);
    assert_true(gi8_is_contiguous(t));
    assert_true(gi8_has_contiguous_rows(t));
    assert_shape(gi8_new_tensor_1d(ctx, GI8_TYPE_I8, 7), 7, 1, 1, 1);
    assert_shape(gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 7, 6), 7, 6, 1, 1);
    assert_shape(gi8_new_tensor_4d(ctx, GI8_TYPE_I8, 7, 6, 5, 4), 7, 6, 5, 4);
    gi8_context_free(ctx);
}

static void test_null(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *t = f32(ctx, 1, 1, 1, 1);
    assert_int_equal(gi8_nelements(NULL), 0);
    assert_int_equal(gi8_nrows(NULL), 0);
    assert_int_equal(gi8_nbytes(NULL), 0);
    assert_false(gi8_is_contiguous(NULL));
    assert_false(gi8_has_contiguous_rows(NULL));
    assert_false(gi8_same_shape(NULL, t));
    assert_false(gi8_same_shape(t, NULL));
    assert_null(gi8_set_name(NULL, "%d", 1));
    assert_int_equal(gi8_tensor_set_data(NULL, NULL), GI8_ERR_ARGUMENT);
    gi8_context_free(ctx);
}

static void assert_refused_leaf(gi8_context *ctx, const gi8_tensor *t, gi8_status status) {
    assert_null(t);
    assert_int_equal(gi8_context_status(ctx), status);
    assert_ptr_equal(strstr(gi8_context_message(ctx), "new_tensor: "), gi8_context_message(ctx));
    gi8_context_clear_error(ctx);
}

static void test_refused_leaves(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    const size_t used = gi8_context_used(ctx);
    const int64_t ne[] = {1, 1, 1, 1, 1};
    assert_refused_leaf(ctx, gi8_new_tensor(ctx, GI8_TYPE_F32, 0, ne), GI8_ERR_ARGUMENT);
    assert_refused_leaf(ctx, gi8_new_tensor(ctx, GI8_TYPE_F32, 5, ne), GI8_ERR_ARGUMENT);
    assert_refused_leaf(ctx, gi8_new_tensor(ctx, GI8_TYPE_F32, -1, ne), GI8_ERR_ARGUMENT);
    assert_refused_leaf(ctx, gi8_new_tensor(ctx, GI8_TYPE_F32, 1, NULL), GI8_ERR_ARGUMENT);
    assert_refused_leaf(ctx, gi8_new_tensor(ctx, GI8_TYPE_COUNT, 1, ne), GI8_ERR_TYPE);
    assert_refused_leaf(ctx, gi8_new_tensor(ctx, (gi8_type)99, 1, ne), GI8_ERR_TYPE);
    for (int i = 0; i < 4; i++) {
        int64_t negative[] = {1, 1, 1, 1};
        negative[i] = -1;
        assert_refused_leaf(ctx, gi8_new_tensor(ctx, GI8_TYPE_F32, 4, negative), GI8_ERR_SHAPE);
        negative[i] = INT64_MIN;
        assert_refused_leaf(ctx, gi8_new_tensor(ctx, GI8_TYPE_F32, 4, negative), GI8_ERR_SHAPE);
    }
    assert_int_equal(gi8_context_used(ctx), used);
    gi8_context_free(ctx);
}

/* The largest tensors that are allowed, and one element more. */
static void test_sizes_at_the_limit(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *t = gi8_new_tensor_1d(ctx, GI8_TYPE_I8, PTRDIFF_MAX);
    assert_non_null(t);
    assert_int_equal(gi8_nbytes(t), PTRDIFF_MAX);
    t = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, PTRDIFF_MAX / 8, 2);
    assert_non_null(t);
    assert_int_equal(gi8_nbytes(t), PTRDIFF_MAX / 8 * 8);
    assert_int_equal(gi8_nelements(t), PTRDIFF_MAX / 8 * 2);
    assert_refused_leaf(ctx, gi8_new_tensor_1d(ctx, GI8_TYPE_F32, PTRDIFF_MAX / 4 + 1),
                        GI8_ERR_SHAPE);
    assert_refused_leaf(ctx, gi8_new_tensor_2d(ctx, GI8_TYPE_I8, PTRDIFF_MAX / 2 + 1, 2),
                        GI8_ERR_SHAPE);
    assert_refused_leaf(ctx, f32(ctx, 1 << 20, 1 << 20, 1 << 20, 1 << 20), GI8_ERR_SHAPE);
    assert_refused_leaf(ctx, f32(ctx, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX), GI8_ERR_SHAPE);
    /* Empty, but nelements() of a part of it would overflow. */
    assert_refused_leaf(ctx, f32(ctx, 0, INT64_MAX, 2, 1), GI8_ERR_SHAPE);
    gi8_context_free(ctx);
}

static void test_empty(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    for (int i = 0; i < 4; i++) {
        int64_t ne[] = {2, 3, 4, 5};
        ne[i] = 0;
        gi8_tensor *t = gi8_new_tensor(ctx, GI8_TYPE_F32, 4, ne);
        assert_non_null(t);
        assert_int_equal(gi8_nelements(t), 0);
        assert_int_equal(gi8_nrows(t), i == 0 ? 60 : 0);
        assert_int_equal(gi8_nbytes(t), 0);
        assert_true(gi8_is_contiguous(t));
        assert_true(gi8_is_contiguous(gi8_transpose(ctx, t)));
    }
    gi8_context_free(ctx);
}

static void test_contiguity(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *t = f32(ctx, 4, 3, 2, 1);
    gi8_tensor *transposed = gi8_transpose(ctx, t);
    assert_false(gi8_is_contiguous(transposed));
    assert_false(gi8_has_contiguous_rows(transposed));
    assert_int_equal(gi8_nbytes(transposed), gi8_nbytes(t));
    gi8_tensor *columns = gi8_view_2d(ctx, t, 2, 3, t->nb[1], 4);
    assert_false(gi8_is_contiguous(columns));
    assert_true(gi8_has_contiguous_rows(columns));
    assert_int_equal(gi8_nbytes(columns), 2 * 16 + 2 * 4);
    /* Strides of dimensions of one element do not matter. */
    gi8_tensor *row = gi8_view_2d(ctx, t, 4, 1, 64, 0);
    assert_true(gi8_is_contiguous(row));
    gi8_tensor *column = gi8_transpose(ctx, gi8_view_1d(ctx, t, 4, 0));
    assert_shape(column, 1, 4, 1, 1);
    assert_true(gi8_has_contiguous_rows(column));
    assert_true(gi8_is_contiguous(column));
    assert_true(gi8_same_shape(t, gi8_cont(ctx, t)));
    assert_false(gi8_same_shape(t, transposed));
    gi8_context_free(ctx);
}

static void test_names(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *t = f32(ctx, 1, 1, 1, 1);
    assert_ptr_equal(gi8_set_name(t, "layers.%d.%s", 3, "weight"), t);
    assert_string_equal(t->name, "layers.3.weight");
    char longest[200];
    memset(longest, 'n', sizeof longest);
    longest[199] = '\0';
    gi8_set_name(t, "%s", longest);
    assert_int_equal(strlen(t->name), GI8_MAX_NAME - 1);
    gi8_set_name(t, "%s", "");
    assert_string_equal(t->name, "");
    gi8_context_free(ctx);
}

static void test_set_data(void **state) {
    (void)state;
    float memory[4];
    gi8_context *ctx = new_context();
    gi8_tensor *t = f32(ctx, 4, 1, 1, 1);
    assert_int_equal(gi8_tensor_set_data(t, memory), GI8_OK);
    assert_ptr_equal(t->data, memory);
    assert_int_equal(gi8_tensor_set_data(t, NULL), GI8_OK);
    assert_null(t->data);
    assert_int_equal(gi8_tensor_set_data(gi8_relu(ctx, t), memory), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_tensor_set_data(gi8_transpose(ctx, t), memory), GI8_ERR_ARGUMENT);
    assert_ctx_ok(ctx);
    gi8_context_free(ctx);
}

static void test_op_infos(void **state) {
    (void)state;
    for (int op = 0; op < GI8_OP_COUNT; op++) {
        const gi8_op_info *info = gi8_op_get_info((gi8_op)op);
        assert_non_null(info);
        assert_true(strlen(info->name) > 0);
        assert_in_range(info->max_src, op == GI8_OP_NONE ? 0 : 1, GI8_MAX_SRC);
        for (int other = 0; other < op; other++) {
            assert_string_not_equal(info->name, gi8_op_get_info((gi8_op)other)->name);
        }
    }
    const gi8_op_info *info = gi8_op_get_info(GI8_OP_MUL_MAT_INT8_MIXED);
    assert_string_equal(info->name, "mul_mat_int8_mixed");
    assert_int_equal(info->max_src, 4);
    assert_int_equal(info->params_size, sizeof(gi8_int8_params));
    assert_int_equal(info->flags, 0);
    assert_int_equal(gi8_op_get_info(GI8_OP_CPY)->flags, GI8_OP_WRITES);
    assert_int_equal(gi8_op_get_info(GI8_OP_ADD)->flags, GI8_OP_IN_PLACE);
    assert_int_equal(gi8_op_get_info(GI8_OP_PERMUTE)->flags, GI8_OP_IS_VIEW);
    assert_null(gi8_op_get_info(GI8_OP_COUNT));
    assert_null(gi8_op_get_info((gi8_op)-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaf),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_refused_leaves),
        cmocka_unit_test(test_sizes_at_the_limit),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_contiguity),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_set_data),
        cmocka_unit_test(test_op_infos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
