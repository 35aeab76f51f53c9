/* test_builders.c - the computing operations: shapes of results, and everything that is refused. */
#include "refusals.h"

#include <math.h>

static void test_get_rows(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *table = gi8_new_tensor_2d(ctx, GI8_TYPE_BF16, 8, 100);
    gi8_tensor *ids = i32(ctx, 5);
    gi8_tensor *y = gi8_get_rows(ctx, table, ids);
    assert_node(y, GI8_OP_GET_ROWS, GI8_TYPE_F32);
    assert_shape(y, 8, 5, 1, 1);
    assert_ptr_equal(y->src[0], table);
    assert_ptr_equal(y->src[1], ids);
    assert_shape(gi8_get_rows(ctx, table, i32(ctx, 0)), 8, 0, 1, 1);
    assert_shape(gi8_get_rows(ctx, f32(ctx, 8, 0, 1, 1), ids), 8, 5, 1, 1);

    gi8_tensor *deep = f32(ctx, 8, 100, 2, 1);
    gi8_tensor *columns = strided(ctx, 8, 100, 1, 1);
    gi8_tensor *floats = f32(ctx, 5, 1, 1, 1);
    gi8_tensor *matrix = gi8_new_tensor_2d(ctx, GI8_TYPE_I32, 5, 2);
    gi8_tensor *gaps = gappy_i32(ctx, 5);
    gi8_tensor *codes = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 8, 100);
    gi8_tensor *vast = gi8_new_tensor_2d(ctx, GI8_TYPE_F16, PTRDIFF_MAX / 16, 8);
    const refusals r = refusals_from(ctx);
    refused(&r, gi8_get_rows(ctx, vast, ids), GI8_ERR_SHAPE, "get_rows", "the result F32 [");
    refused(&r, gi8_get_rows(ctx, NULL, ids), GI8_ERR_ARGUMENT, "get_rows", "table is NULL");
    refused(&r, gi8_get_rows(ctx, table, NULL), GI8_ERR_ARGUMENT, "get_rows", "ids are NULL");
    refused(&r, gi8_get_rows(ctx, codes, ids), GI8_ERR_TYPE, "get_rows",
            "table has type I8, expected F32, F16 or BF16");
    refused(&r, gi8_get_rows(ctx, table, floats), GI8_ERR_TYPE, "get_rows",
            "ids have type F32, expected I32");
    refused(&r, gi8_get_rows(ctx, deep, ids), GI8_ERR_SHAPE, "get_rows",
            "table has shape [8, 100, 2], expected at most 2 dimensions");
    refused(&r, gi8_get_rows(ctx, columns, ids), GI8_ERR_SHAPE, "get_rows", "not contiguous");
    refused(&r, gi8_get_rows(ctx, table, matrix), GI8_ERR_SHAPE, "get_rows",
            "ids have shape [5, 2], expected at most 1 dimension");
    refused(&r, gi8_get_rows(ctx, table, gaps), GI8_ERR_SHAPE, "get_rows", "ids have strides");
    gi8_context_free(ctx);
}

static void test_layer_norm(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *x = f32(ctx, 8, 5, 3, 2);
    gi8_tensor *gain = f32(ctx, 8, 1, 1, 1);
    gi8_tensor *bias = f32(ctx, 8, 1, 1, 1);
    gi8_tensor *y = gi8_layer_norm(ctx, x, gain, bias, 1e-5f);
    assert_node(y, GI8_OP_LAYER_NORM, GI8_TYPE_F32);
    assert_shape(y, 8, 5, 3, 2);
    assert_ptr_equal(y->src[1], gain);
    assert_ptr_equal(y->src[2], bias);
    assert_true(((const gi8_layer_norm_params *)y->params)->eps == 1e-5f);
    y = gi8_layer_norm(ctx, x, NULL, bias, 0.0f);
    assert_null(y->src[1]);
    assert_ptr_equal(y->src[2], bias);
    assert_non_null(gi8_layer_norm(ctx, x, NULL, NULL, 1.0f));
    assert_non_null(gi8_layer_norm(ctx, gi8_view_2d(ctx, x, 4, 5, 32, 0), NULL, NULL, 1.0f));

    gi8_tensor *columns = strided(ctx, 8, 5, 1, 1);
    gi8_tensor *halves = gi8_new_tensor_1d(ctx, GI8_TYPE_F16, 8);
    gi8_tensor *seven = f32(ctx, 7, 1, 1, 1);
    gi8_tensor *matrix = f32(ctx, 8, 2, 1, 1);
    gi8_tensor *gaps = gappy_f32(ctx, 8);
    const char *op = "layer_norm";
    const refusals r = refusals_from(ctx);
    refused(&r, gi8_layer_norm(ctx, NULL, gain, bias, 0), GI8_ERR_ARGUMENT, op, "x is NULL");
    refused(&r, gi8_layer_norm(ctx, halves, gain, bias, 0), GI8_ERR_TYPE, op, "x has type F16");
    refused(&r, gi8_layer_norm(ctx, columns, gain, bias, 0), GI8_ERR_SHAPE, op, "x has rows");
    gi8_tensor *const wrong[] = {halves, seven, matrix, gaps};
    const gi8_status status[] = {GI8_ERR_TYPE, GI8_ERR_SHAPE, GI8_ERR_SHAPE, GI8_ERR_SHAPE};
    for (int i = 0; i < 4; i++) {
        refused(&r, gi8_layer_norm(ctx, x, wrong[i], bias, 0), status[i], op, "gain has ");
        refused(&r, gi8_layer_norm(ctx, x, gain, wrong[i], 0), status[i], op, "bias has ");
    }
    const float bad[] = {-1e-9f, NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 4; i++) {
        refused(&r, gi8_layer_norm(ctx, x, gain, bias, bad[i]), GI8_ERR_ARGUMENT, op, "eps is ");
    }
    gi8_context_free(ctx);
}

static void test_mul_mat(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *w = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, 8, 3, 2, 3);
    gi8_tensor *x = f32(ctx, 8, 5, 4, 3);
    gi8_tensor *y = gi8_mul_mat(ctx, w, x);
    assert_node(y, GI8_OP_MUL_MAT, GI8_TYPE_F32);
    assert_shape(y, 3, 5, 4, 3);
    assert_ptr_equal(y->src[0], w);
    assert_ptr_equal(y->src[1], x);
    gi8_tensor *empty = f32(ctx, 8, 3, 0, 1);
    assert_shape(gi8_mul_mat(ctx, empty, f32(ctx, 8, 5, 0, 1)), 3, 5, 0, 1);
    assert_shape(gi8_mul_mat(ctx, w, f32(ctx, 8, 0, 4, 3)), 3, 0, 4, 3);
    assert_shape(gi8_mul_mat(ctx, f32(ctx, 0, 3, 1, 1), f32(ctx, 0, 5, 1, 1)), 3, 5, 1, 1);

    gi8_tensor *three = f32(ctx, 8, 5, 3, 3);
    gi8_tensor *four = f32(ctx, 8, 5, 4, 4);
    gi8_tensor *long_x = gi8_set_name(f32(ctx, 9, 5, 4, 3), "h");
    gi8_tensor *half_x = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, 8, 5, 4, 3);
    gi8_tensor *codes = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 8, 3);
    gi8_tensor *columns = strided(ctx, 8, 3, 1, 1);
    gi8_tensor *wide = f32(ctx, 0, INT32_MAX, 1, 1);
    gi8_tensor *many = f32(ctx, 0, INT64_C(1) << 33, 1, 1);
    const refusals r = refusals_from(ctx);
    const char *op = "mul_mat";
    refused(&r, gi8_mul_mat(ctx, NULL, x), GI8_ERR_ARGUMENT, op, "w is NULL");
    refused(&r, gi8_mul_mat(ctx, w, NULL), GI8_ERR_ARGUMENT, op, "x is NULL");
    refused(&r, gi8_mul_mat(ctx, codes, x), GI8_ERR_TYPE, op, "w has type I8");
    refused(&r, gi8_mul_mat(ctx, w, half_x), GI8_ERR_TYPE, op, "x has type F16, expected F32");
    refused(&r, gi8_mul_mat(ctx, w, long_x), GI8_ERR_SHAPE, op,
            "w has ne[0] = 8, x 'h' has ne[0] = 9");
    refused(&r, gi8_mul_mat(ctx, w, three), GI8_ERR_SHAPE, op,
            "x has ne[2] = 3, expected a multiple of w's 2");
    refused(&r, gi8_mul_mat(ctx, w, four), GI8_ERR_SHAPE, op, "x has ne[3] = 4");
    refused(&r, gi8_mul_mat(ctx, empty, x), GI8_ERR_SHAPE, op, "a multiple of w's 0");
    refused(&r, gi8_mul_mat(ctx, columns, x), GI8_ERR_SHAPE, op, "w has rows");
    refused(&r, gi8_mul_mat(ctx, x, columns), GI8_ERR_SHAPE, op, "x has rows");
    refused(&r, gi8_mul_mat(ctx, wide, many), GI8_ERR_SHAPE, op, "the result F32");
    gi8_context_free(ctx);
}

static void test_mul_mat_int8_mixed(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *codes = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 8, 3);
    gi8_tensor *absmax = f32(ctx, 3, 1, 1, 1);
    gi8_tensor *bias = gi8_new_tensor_1d(ctx, GI8_TYPE_BF16, 3);
    gi8_tensor *x = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, 8, 5, 2, 4);
    gi8_tensor *y = gi8_mul_mat_int8_mixed(ctx, codes, absmax, bias, x, NULL);
    assert_node(y, GI8_OP_MUL_MAT_INT8_MIXED, GI8_TYPE_F32);
    assert_shape(y, 3, 5, 2, 4);
    gi8_tensor *const sources[] = {codes, absmax, bias, x, NULL};
    assert_memory_equal(y->src, sources, sizeof sources);
    const gi8_int8_params *p = y->params;
    assert_true(p->threshold == GI8_DEFAULT_THRESHOLD && p->outliers == GI8_OUTLIERS_COLUMN);
    gi8_int8_params params = {0.0f, GI8_OUTLIERS_PER_TOKEN, GI8_TYPE_BF16};
    y = gi8_mul_mat_int8_mixed(ctx, codes, absmax, NULL, x, &params);
    assert_node(y, GI8_OP_MUL_MAT_INT8_MIXED, GI8_TYPE_BF16);
    assert_null(y->src[2]);
    assert_ptr_equal(y->src[3], x);
    p = y->params;
    assert_true(p != &params && p->threshold == 0.0f && p->outliers == GI8_OUTLIERS_PER_TOKEN);
    params.threshold = INFINITY;
    assert_non_null(gi8_mul_mat_int8_mixed(ctx, codes, absmax, NULL, x, &params));
    gi8_tensor *longest = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, GI8_INT8_MAX_K, 3);
    assert_non_null(gi8_mul_mat_int8_mixed(ctx, longest, absmax, NULL,
                                           f32(ctx, GI8_INT8_MAX_K, 0, 1, 1), NULL));

    gi8_tensor *too_long = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, GI8_INT8_MAX_K + 1, 3);
    gi8_tensor *too_long_x = f32(ctx, GI8_INT8_MAX_K + 1, 2, 1, 1);
    gi8_tensor *none = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 0, 3);
    gi8_tensor *none_x = f32(ctx, 0, 2, 1, 1);
    gi8_tensor *deep = gi8_new_tensor_3d(ctx, GI8_TYPE_I8, 8, 3, 2);
    gi8_tensor *turned = gi8_transpose(ctx, gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 3, 8));
    gi8_tensor *part = gi8_view_2d(ctx, gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 9, 3), 8, 3, 9, 0);
    gi8_tensor *floats = f32(ctx, 8, 3, 1, 1);
    gi8_tensor *four = f32(ctx, 4, 1, 1, 1);
    gi8_tensor *matrix = f32(ctx, 3, 2, 1, 1);
    gi8_tensor *gaps = gappy_f32(ctx, 3);
    gi8_tensor *ints = i32(ctx, 3);
    gi8_tensor *half = gi8_new_tensor_1d(ctx, GI8_TYPE_F16, 3);
    gi8_tensor *nine = gi8_set_name(f32(ctx, 9, 5, 1, 1), "h");
    gi8_tensor *columns = strided(ctx, 8, 5, 1, 1);
    const refusals r = refusals_from(ctx);
    const char *op = "mul_mat_int8_mixed";
#define REFUSED(CODES, ABSMAX, BIAS, X, STATUS, PART) \
    refused(&r, gi8_mul_mat_int8_mixed(ctx, CODES, ABSMAX, BIAS, X, NULL), STATUS, op, PART)
    REFUSED(NULL, absmax, bias, x, GI8_ERR_ARGUMENT, "codes are NULL");
    REFUSED(codes, NULL, bias, x, GI8_ERR_ARGUMENT, "absmax is NULL");
    REFUSED(codes, absmax, bias, NULL, GI8_ERR_ARGUMENT, "x is NULL");
    REFUSED(floats, absmax, bias, x, GI8_ERR_TYPE, "codes have type F32, expected I8");
    REFUSED(codes, half, bias, x, GI8_ERR_TYPE, "absmax has type F16, expected F32");
    REFUSED(codes, absmax, ints, x, GI8_ERR_TYPE, "bias has type I32");
    REFUSED(codes, absmax, bias, codes, GI8_ERR_TYPE, "x has type I8");
    REFUSED(codes, absmax, bias, nine, GI8_ERR_SHAPE, "codes have ne[0] = 8, x 'h' has ne[0] = 9");
    REFUSED(turned, absmax, bias, x, GI8_ERR_SHAPE, "codes have strides");
    REFUSED(part, absmax, bias, x, GI8_ERR_SHAPE, "codes have strides");
    REFUSED(deep, absmax, bias, x, GI8_ERR_SHAPE, "codes have shape [8, 3, 2]");
    REFUSED(codes, absmax, bias, columns, GI8_ERR_SHAPE, "x has rows");
    REFUSED(codes, four, bias, x, GI8_ERR_SHAPE, "absmax has ne[0] = 4, codes have ne[1] = 3");
    REFUSED(codes, matrix, bias, x, GI8_ERR_SHAPE, "absmax has shape");
    REFUSED(codes, gaps, bias, x, GI8_ERR_SHAPE, "absmax has strides");
    REFUSED(codes, absmax, four, x, GI8_ERR_SHAPE, "bias has ne[0] = 4, codes have ne[1] = 3");
    REFUSED(codes, absmax, matrix, x, GI8_ERR_SHAPE, "bias has shape");
    REFUSED(codes, absmax, gaps, x, GI8_ERR_SHAPE, "bias has strides");
    REFUSED(too_long, absmax, bias, too_long_x, GI8_ERR_SHAPE, "expected 1 to 133144");
    REFUSED(none, absmax, bias, none_x, GI8_ERR_SHAPE, "codes have ne[0] = 0, expected 1 to");
#undef REFUSED
    const struct {
        gi8_int8_params params;
        gi8_status status;
        const char *part;
    } bad[] = {
        {{NAN, GI8_OUTLIERS_COLUMN, GI8_TYPE_F32}, GI8_ERR_ARGUMENT, "threshold is NaN"},
        {{6.0f, (gi8_outliers)2, GI8_TYPE_F32}, GI8_ERR_ARGUMENT, "outliers is 2"},
        {{6.0f, GI8_OUTLIERS_COLUMN, GI8_TYPE_I8}, GI8_ERR_TYPE, "out_type is I8"},
        {{6.0f, GI8_OUTLIERS_COLUMN, (gi8_type)77}, GI8_ERR_TYPE, "out_type is unknown"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gi8_tensor *t = gi8_mul_mat_int8_mixed(ctx, codes, absmax, bias, x, &bad[i].params);
        refused(&r, t, bad[i].status, op, bad[i].part);
    }
    gi8_context_free(ctx);
}

static void test_add_and_mul(void **state) {
    (void)state;
    gi8_tensor *(*const builders[])(gi8_context *, gi8_tensor *, gi8_tensor *) = {gi8_add, gi8_mul};
    const gi8_op ops[] = {GI8_OP_ADD, GI8_OP_MUL};
    for (int k = 0; k < 2; k++) {
        const char *op = gi8_op_get_info(ops[k])->name;
        gi8_context *ctx = new_context();
        gi8_tensor *a = f32(ctx, 2, 3, 4, 5);
        for (int mask = 0; mask < 16; mask++) {
            int64_t ne[] = {2, 3, 4, 5};
            for (int i = 0; i < 4; i++) {
                ne[i] = (mask >> i & 1) != 0 ? 1 : ne[i];
            }
            gi8_tensor *b = gi8_new_tensor(ctx, GI8_TYPE_F32, 4, ne);
            gi8_tensor *y = builders[k](ctx, a, b);
            assert_node(y, ops[k], GI8_TYPE_F32);
            assert_shape(y, 2, 3, 4, 5);
            assert_ptr_equal(y->src[0], a);
            assert_ptr_equal(y->src[1], b);
        }
        assert_non_null(builders[k](ctx, a, a));
        gi8_tensor *columns = strided(ctx, 2, 3, 4, 5);
        gi8_tensor *half = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, 2, 3, 4, 5);
        gi8_tensor *ones = f32(ctx, 1, 1, 1, 1);
        gi8_tensor *smaller[4];
        for (int i = 0; i < 4; i++) {
            int64_t ne[] = {4, 6, 8, 10}; /* multiples are not repeated, unlike in mul_mat */
            ne[i] = 1;
            smaller[i] = gi8_new_tensor(ctx, GI8_TYPE_F32, 4, ne);
        }
        const refusals r = refusals_from(ctx);
        refused(&r, builders[k](ctx, NULL, a), GI8_ERR_ARGUMENT, op, "a is NULL");
        refused(&r, builders[k](ctx, a, NULL), GI8_ERR_ARGUMENT, op, "b is NULL");
        refused(&r, builders[k](ctx, half, a), GI8_ERR_TYPE, op, "a has type F16");
        refused(&r, builders[k](ctx, a, half), GI8_ERR_TYPE, op, "b has type F16");
        refused(&r, builders[k](ctx, columns, a), GI8_ERR_SHAPE, op, "a has rows");
        refused(&r, builders[k](ctx, a, columns), GI8_ERR_SHAPE, op, "b has rows");
        refused(&r, builders[k](ctx, ones, a), GI8_ERR_SHAPE, op, "equal or 1; a has shape [1]");
        for (int i = 0; i < 4; i++) {
            refused(&r, builders[k](ctx, a, smaller[i]), GI8_ERR_SHAPE, op, "b has shape [");
        }
        gi8_context_free(ctx);
    }
}

static void test_scale(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *x = f32(ctx, 2, 3, 4, 5);
    gi8_tensor *y = gi8_scale(ctx, x, -0.5f);
    assert_node(y, GI8_OP_SCALE, GI8_TYPE_F32);
    assert_shape(y, 2, 3, 4, 5);
    assert_true(((const gi8_scale_params *)y->params)->factor == -0.5f);
    gi8_tensor *columns = strided(ctx, 2, 3, 1, 1);
    gi8_tensor *ints = i32(ctx, 3);
    const refusals r = refusals_from(ctx);
    refused(&r, gi8_scale(ctx, NULL, 1), GI8_ERR_ARGUMENT, "scale", "x is NULL");
    refused(&r, gi8_scale(ctx, ints, 1), GI8_ERR_TYPE, "scale", "x has type I32");
    refused(&r, gi8_scale(ctx, columns, 1), GI8_ERR_SHAPE, "scale", "x has rows");
    refused(&r, gi8_scale(ctx, x, NAN), GI8_ERR_ARGUMENT, "scale", "factor is nan");
    refused(&r, gi8_scale(ctx, x, INFINITY), GI8_ERR_ARGUMENT, "scale", "factor is inf");
    gi8_context_free(ctx);
}

static void test_activations(void **state) {
    (void)state;
    const struct {
        gi8_tensor *(*build)(gi8_context *, gi8_tensor *);
        gi8_activation_kind kind;
        const char *name;
    } all[] = {{gi8_relu, GI8_ACTIVATION_RELU, "relu"},
               {gi8_silu, GI8_ACTIVATION_SILU, "silu"},
               {gi8_gelu, GI8_ACTIVATION_GELU, "gelu"},
               {gi8_gelu_tanh, GI8_ACTIVATION_GELU_TANH, "gelu_tanh"}};
    for (int i = 0; i < 4; i++) {
        gi8_context *ctx = new_context();
        gi8_tensor *x = f32(ctx, 2, 3, 4, 5);
        gi8_tensor *y = all[i].build(ctx, x);
        assert_node(y, GI8_OP_ACTIVATION, GI8_TYPE_F32);
        assert_shape(y, 2, 3, 4, 5);
        assert_ptr_equal(y->src[0], x);
        assert_int_equal(((const gi8_activation_params *)y->params)->kind, all[i].kind);
        gi8_tensor *columns = strided(ctx, 2, 3, 1, 1);
        gi8_tensor *half = gi8_new_tensor_1d(ctx, GI8_TYPE_F16, 3);
        const refusals r = refusals_from(ctx);
        refused(&r, all[i].build(ctx, NULL), GI8_ERR_ARGUMENT, all[i].name, "x is NULL");
        refused(&r, all[i].build(ctx, half), GI8_ERR_TYPE, all[i].name, "x has type F16");
        refused(&r, all[i].build(ctx, columns), GI8_ERR_SHAPE, all[i].name, "x has rows");
        gi8_context_free(ctx);
    }
}

static void test_rope(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    const gi8_rope_params good = {4, 10000.0f, 0.25f};
    gi8_tensor *x = f32(ctx, 8, 3, 5, 1);
    gi8_tensor *positions = i32(ctx, 5);
    gi8_tensor *y = gi8_rope(ctx, x, positions, &good);
    assert_node(y, GI8_OP_ROPE, GI8_TYPE_F32);
    assert_shape(y, 8, 3, 5, 1);
    assert_ptr_equal(y->src[1], positions);
    const gi8_rope_params *p = y->params;
    assert_true(p->n_rot == 4 && p->base == 10000.0f && p->freq_scale == 0.25f);
    assert_non_null(gi8_rope(ctx, x, positions, &(gi8_rope_params){8, 1.0f, 0.0f}));

    gi8_tensor *columns = strided(ctx, 8, 3, 5, 1);
    gi8_tensor *half = gi8_new_tensor_3d(ctx, GI8_TYPE_F16, 8, 3, 5);
    gi8_tensor *batch = f32(ctx, 8, 3, 5, 2);
    gi8_tensor *floats = f32(ctx, 5, 1, 1, 1);
    gi8_tensor *four = i32(ctx, 4);
    gi8_tensor *matrix = gi8_new_tensor_2d(ctx, GI8_TYPE_I32, 5, 2);
    gi8_tensor *gaps = gappy_i32(ctx, 5);
    const refusals r = refusals_from(ctx);
    refused(&r, gi8_rope(ctx, NULL, positions, &good), GI8_ERR_ARGUMENT, "rope", "x is NULL");
    refused(&r, gi8_rope(ctx, x, NULL, &good), GI8_ERR_ARGUMENT, "rope", "positions are NULL");
    refused(&r, gi8_rope(ctx, x, positions, NULL), GI8_ERR_ARGUMENT, "rope", "params is NULL");
    refused(&r, gi8_rope(ctx, half, positions, &good), GI8_ERR_TYPE, "rope", "x has type F16");
    refused(&r, gi8_rope(ctx, x, floats, &good), GI8_ERR_TYPE, "rope", "positions have type F32");
    refused(&r, gi8_rope(ctx, columns, positions, &good), GI8_ERR_SHAPE, "rope", "x has rows");
    refused(&r, gi8_rope(ctx, batch, positions, &good), GI8_ERR_SHAPE, "rope",
            "x has shape [8, 3, 5, 2], expected at most 3 dimensions");
    refused(&r, gi8_rope(ctx, x, four, &good), GI8_ERR_SHAPE, "rope",
            "positions have ne[0] = 4, x has ne[2] = 5");
    refused(&r, gi8_rope(ctx, x, matrix, &good), GI8_ERR_SHAPE, "rope", "positions have shape");
    refused(&r, gi8_rope(ctx, x, gaps, &good), GI8_ERR_SHAPE, "rope", "positions have strides");
    const struct {
        gi8_rope_params params;
        const char *part;
    } bad[] = {
        {{0, 10000.0f, 1.0f}, "n_rot is 0, expected an even number from 2 to x's ne[0] = 8"},
        {{-2, 10000.0f, 1.0f}, "n_rot is -2"},
        {{3, 10000.0f, 1.0f}, "n_rot is 3"},
        {{10, 10000.0f, 1.0f}, "n_rot is 10"},
        {{4, 0.0f, 1.0f}, "base is 0"},
        {{4, -1.0f, 1.0f}, "base is -1"},
        {{4, NAN, 1.0f}, "base is nan"},
        {{4, INFINITY, 1.0f}, "base is inf"},
        {{4, 10000.0f, NAN}, "freq_scale is nan"},
        {{4, 10000.0f, INFINITY}, "freq_scale is inf"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refused(&r, gi8_rope(ctx, x, positions, &bad[i].params), GI8_ERR_ARGUMENT, "rope",
                bad[i].part);
    }
    gi8_context_free(ctx);
}

static void test_soft_max(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *x = f32(ctx, 6, 5, 4, 3);
    gi8_tensor *mask = f32(ctx, 6, 5, 1, 1);
    gi8_tensor *y = gi8_soft_max(ctx, x, mask, 0.125f);
    assert_node(y, GI8_OP_SOFT_MAX, GI8_TYPE_F32);
    assert_shape(y, 6, 5, 4, 3);
    assert_ptr_equal(y->src[1], mask);
    assert_true(((const gi8_soft_max_params *)y->params)->scale == 0.125f);
    assert_null(gi8_soft_max(ctx, x, NULL, 1.0f)->src[1]);
    gi8_tensor *columns = strided(ctx, 6, 5, 1, 1);
    gi8_tensor *half = gi8_new_tensor_2d(ctx, GI8_TYPE_F16, 6, 5);
    gi8_tensor *two = f32(ctx, 6, 2, 1, 1);
    const refusals r = refusals_from(ctx);
    refused(&r, gi8_soft_max(ctx, NULL, mask, 1), GI8_ERR_ARGUMENT, "soft_max", "x is NULL");
    refused(&r, gi8_soft_max(ctx, half, NULL, 1), GI8_ERR_TYPE, "soft_max", "x has type F16");
    refused(&r, gi8_soft_max(ctx, x, half, 1), GI8_ERR_TYPE, "soft_max", "mask has type F16");
    refused(&r, gi8_soft_max(ctx, columns, NULL, 1), GI8_ERR_SHAPE, "soft_max", "x has rows");
    refused(&r, gi8_soft_max(ctx, x, columns, 1), GI8_ERR_SHAPE, "soft_max", "mask has rows");
    refused(&r, gi8_soft_max(ctx, x, two, 1), GI8_ERR_SHAPE, "soft_max", "mask has shape [6, 2]");
    refused(&r, gi8_soft_max(ctx, x, mask, NAN), GI8_ERR_ARGUMENT, "soft_max", "factor is nan");
    gi8_context_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_rows),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_mul_mat),
        cmocka_unit_test(test_mul_mat_int8_mixed),
        cmocka_unit_test(test_add_and_mul),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_soft_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
