/* test_linear.c - the int8 linear layer: loading whole, in tiles and on a device, and back. */
#include <math.h>

#include "ggml-int8/gi8_linear.h"
#include "ggml-int8/gi8_quantize.h"
#include "mock_fixture.h"
#include "test_seed.h"

static gi8_linear_int8 *layer(fixture *f, mock_backend *mock, int64_t k, int64_t n, bool has_bias) {
    const gi8_linear_int8_params params = {.in_features = k,
                                           .out_features = n,
                                           .has_bias = has_bias,
                                           .op = GI8_INT8_PARAMS_DEFAULT,
                                           .name = "dense"};
    gi8_linear_int8 *linear = gi8_linear_int8_create(&mock->base, &params, &f->error);
    if (linear == NULL) {
        fail_msg("%s", f->error.message);
    }
    return linear;
}

/* A weight of normal numbers in each float type; freed with free(). */
static void *random_weight(test_rng *rng, gi8_type type, int64_t n) {
    float *values = malloc((size_t)n * sizeof *values);
    void *w = malloc((size_t)n * gi8_type_size(type));
    assert_true(values != NULL && w != NULL);
    for (int64_t i = 0; i < n; i++) {
        values[i] = test_rng_normal(rng) * 0.02f;
    }
    assert_int_equal(gi8_convert_from_fp32(type, values, n, w), GI8_OK);
    free(values);
    return w;
}

/* The layer holds what gi8_int8_quantize_weight_rows() makes of w, and dequantizes to codes *
 * absmax / 127. */
static void assert_holds(gi8_linear_int8 *linear, gi8_type type, const void *w, int64_t k,
                         int64_t n) {
    int8_t *codes = malloc((size_t)(2 * k * n));
    float *absmax = malloc((size_t)(2 * n) * sizeof *absmax);
    float *back = malloc((size_t)(k * n) * sizeof *back);
    assert_true(codes != NULL && absmax != NULL && back != NULL);
    assert_int_equal(gi8_int8_quantize_weight_rows(type, w, k, n, codes, absmax, NULL), GI8_OK);
    assert_int_equal(
        gi8_tensor_read(gi8_linear_int8_codes(linear), 0, codes + k * n, (size_t)(k * n), NULL),
        GI8_OK);
    assert_int_equal(gi8_tensor_read(gi8_linear_int8_absmax(linear), 0, absmax + n,
                                     (size_t)n * sizeof(float), NULL),
                     GI8_OK);
    assert_memory_equal(codes, codes + k * n, (size_t)(k * n));
    assert_memory_equal(absmax, absmax + n, (size_t)n * sizeof(float));

    assert_int_equal(gi8_linear_int8_dequantize(linear, 0, n, back, NULL), GI8_OK);
    for (int64_t r = 0; r < n; r++) {
        for (int64_t i = 0; i < k; i++) {
            double expected = (double)codes[r * k + i] * (double)absmax[r] / 127.0;
            assert_true(back[r * k + i] == (float)expected);
        }
    }
    free(codes);
    free(absmax);
    free(back);
}

static void check_loading(fixture *f, mock_backend *mock, int64_t k, int64_t n) {
    test_rng rng = test_rng_seeded(5);
    for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
        char *w = random_weight(&rng, (gi8_type)type, k * n);
        size_t row = (size_t)k * gi8_type_size((gi8_type)type);
        gi8_linear_int8 *whole = layer(f, mock, k, n, false);
        assert_int_equal(gi8_linear_int8_load_rows(whole, 0, n, (gi8_type)type, w, &f->error),
                         GI8_OK);
        assert_holds(whole, (gi8_type)type, w, k, n);
        gi8_linear_int8_free(whole);

        gi8_linear_int8 *tiled = layer(f, mock, k, n, false); /* from behind, in uneven tiles */
        for (int64_t end = n; end > 0;) {
            int64_t m = test_rng_int(&rng, 1, end);
            end -= m;
            assert_int_equal(gi8_linear_int8_load_rows(tiled, end, m, (gi8_type)type,
                                                       w + (size_t)end * row, &f->error),
                             GI8_OK);
        }
        assert_holds(tiled, (gi8_type)type, w, k, n);
        float *part = malloc((size_t)(2 * k) * sizeof *part);
        float *one = malloc((size_t)k * sizeof *one);
        assert_true(part != NULL && one != NULL);
        assert_int_equal(gi8_linear_int8_dequantize(tiled, n - 2, 2, part, NULL), GI8_OK);
        assert_int_equal(gi8_linear_int8_dequantize(tiled, n - 1, 1, one, NULL), GI8_OK);
        assert_memory_equal(part + k, one, (size_t)k * sizeof *one);
        free(part);
        free(one);
        gi8_linear_int8_free(tiled);
        free(w);
    }
}

static void test_loading(void **state) {
    fixture *f = *state;
    check_loading(f, &f->mock, 37, 11);
    assert_int_equal(f->mock.largest_write, 0); /* straight into the backend's memory */
    check_loading(f, &f->device, 37, 11);
}

/* More than a tile: what is in the host's memory at a time stays small. */
static void test_device_tiles(void **state) {
    fixture *f = *state;
    check_loading(f, &f->device, 3000, 800);
    assert_true(f->device.largest_write <= (size_t)1 << 20);
    assert_true(f->device.largest_read <= (size_t)3000 * 800); /* the test itself reads all codes */

    mock_allocator allocator;
    mock_allocator_init(&allocator);
    gi8_linear_int8 *linear = gi8_linear_int8_create(
        &f->device.base,
        &(gi8_linear_int8_params){
            .in_features = GI8_INT8_MAX_K, .out_features = 20, .allocator = &allocator.allocator},
        &f->error);
    assert_non_null(linear);
    float *w = calloc((size_t)GI8_INT8_MAX_K * 20, sizeof *w);
    assert_non_null(w);
    w[19 * (size_t)GI8_INT8_MAX_K] = 1.5f;
    assert_int_equal(gi8_linear_int8_load_rows(linear, 0, 20, GI8_TYPE_F32, w, &f->error), GI8_OK);
    assert_int_equal(gi8_linear_int8_dequantize(linear, 0, 20, w, &f->error), GI8_OK);
    assert_true(w[19 * (size_t)GI8_INT8_MAX_K] == 1.5f && w[1] == 0.0f);
    assert_true(allocator.largest <= (size_t)1 << 20);

    int64_t n_alive = allocator.n_alive;
    allocator.fail_in = 0;
    assert_int_equal(gi8_linear_int8_load_rows(linear, 0, 20, GI8_TYPE_F32, w, &f->error),
                     GI8_ERR_MEMORY);
    allocator.fail_in = 0;
    assert_int_equal(gi8_linear_int8_dequantize(linear, 0, 20, w, &f->error), GI8_ERR_MEMORY);
    assert_int_equal(allocator.n_alive, n_alive);
    gi8_linear_int8_free(linear);
    assert_int_equal(allocator.n_alive, 0);
    free(w);
}

static void check_not_finite(fixture *f, mock_backend *mock, int64_t k, int64_t n) {
    float *w = calloc((size_t)(k * n), sizeof *w);
    float *back = calloc((size_t)(k * n), sizeof *back);
    assert_true(w != NULL && back != NULL);
    for (int64_t i = 0; i < k * n; i++) {
        w[i] = 0.5f;
    }
    w[3] = NAN;
    w[5] = INFINITY;
    w[k * n - 1] = -INFINITY;
    gi8_linear_int8 *linear = layer(f, mock, k, n + 1, false);
    assert_int_equal(gi8_linear_int8_load_rows(linear, 1, n, GI8_TYPE_F32, w, &f->error),
                     GI8_ERR_NOT_FINITE);
    assert_int_equal(f->error.status, GI8_ERR_NOT_FINITE);
    assert_non_null(strstr(f->error.message, "\"dense\""));
    assert_non_null(strstr(f->error.message, " 3 of the "));
    assert_int_equal(gi8_linear_int8_dequantize(linear, 1, n, back, NULL), GI8_OK);
    assert_true(isnan(back[0]) &&
                isnan(back[k * n - 1])); /* rows that cannot be taken for good ones */
    assert_true(back[k] == 0.5f);
    gi8_linear_int8_free(linear);
    free(w);
    free(back);
}

static void test_not_finite(void **state) {
    fixture *f = *state;
    check_not_finite(f, &f->mock, 8, 3);
    check_not_finite(f, &f->device, 8, 3);
    check_not_finite(f, &f->device, 3000, 800); /* in two tiles */
}

static void check_codes(fixture *f, mock_backend *mock) {
    int8_t codes[12] = {1, -127, 127, 0, 5, 6, 7, 8, -9, 10, 11, 12};
    float absmax[3] = {1.0f, 0.0f, 127.0f};
    gi8_linear_int8 *linear = layer(f, mock, 4, 5, false);
    assert_int_equal(gi8_linear_int8_load_codes(linear, 2, 3, codes, absmax, &f->error), GI8_OK);
    float back[20];
    assert_int_equal(gi8_linear_int8_dequantize(linear, 0, 5, back, NULL), GI8_OK);
    assert_true(back[0] == 0.0f && back[7] == 0.0f); /* rows that were not loaded */
    assert_true(back[9] == -1.0f && back[12] == 0.0f && back[16] == -9.0f && back[19] == 12.0f);

    codes[9] = -128;
    absmax[0] = 3.0f;
    assert_int_equal(gi8_linear_int8_load_codes(linear, 2, 3, codes, absmax, &f->error),
                     GI8_ERR_FORMAT);
    assert_non_null(strstr(f->error.message, "\"dense\": code 1 of row 4 is -128"));
    codes[9] = 10;
    const float bad[] = {-1.0f, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        absmax[1] = bad[i];
        assert_int_equal(gi8_linear_int8_load_codes(linear, 2, 3, codes, absmax, &f->error),
                         GI8_ERR_FORMAT);
        assert_non_null(strstr(f->error.message, "absmax of row 3"));
    }
    assert_int_equal(gi8_linear_int8_dequantize(linear, 0, 5, back, NULL), GI8_OK);
    assert_true(back[9] == -1.0f); /* what is refused changes nothing */
    gi8_linear_int8_free(linear);
}

static void test_codes(void **state) {
    fixture *f = *state;
    check_codes(f, &f->mock);
    check_codes(f, &f->device);
}

static void check_bias(fixture *f, mock_backend *mock) {
    const int64_t n = 600;
    test_rng rng = test_rng_seeded(6);
    gi8_linear_int8 *linear = layer(f, mock, 4, n, true);
    for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
        float expected[600], found[600];
        void *bias = random_weight(&rng, (gi8_type)type, n);
        gi8_convert_to_fp32((gi8_type)type, bias, n, expected);
        assert_int_equal(gi8_linear_int8_load_bias(linear, (gi8_type)type, bias, &f->error),
                         GI8_OK);
        assert_int_equal(gi8_linear_int8_bias(linear)->type, GI8_TYPE_F32);
        assert_int_equal(
            gi8_tensor_read(gi8_linear_int8_bias(linear), 0, found, sizeof found, NULL), GI8_OK);
        assert_memory_equal(found, expected, sizeof found);
        free(bias);
    }
    float one = 1.0f;
    assert_int_equal(gi8_linear_int8_load_bias(linear, GI8_TYPE_I8, &one, &f->error), GI8_ERR_TYPE);
    assert_int_equal(gi8_linear_int8_load_bias(linear, GI8_TYPE_F32, NULL, &f->error),
                     GI8_ERR_ARGUMENT);
    gi8_linear_int8_free(linear);
    linear = layer(f, mock, 4, 1, false);
    assert_null(gi8_linear_int8_bias(linear));
    assert_int_equal(gi8_linear_int8_load_bias(linear, GI8_TYPE_F32, &one, &f->error),
                     GI8_ERR_ARGUMENT);
    assert_non_null(strstr(f->error.message, "no bias"));
    gi8_linear_int8_free(linear);
}

static void test_bias(void **state) {
    fixture *f = *state;
    check_bias(f, &f->mock);
    check_bias(f, &f->device);
}

static void test_refusals(void **state) {
    fixture *f = *state;
    gi8_linear_int8_params params = {
        .in_features = 4, .out_features = 3, .has_bias = true, .name = "dense"};
    assert_null(gi8_linear_int8_create(NULL, &params, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_ARGUMENT);
    assert_null(gi8_linear_int8_create(&f->mock.base, NULL, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_ARGUMENT);
    const int64_t shapes[][2] = {
        {0, 3},  {-1, 3},        {GI8_INT8_MAX_K + 1, 3}, {4, 0},
        {4, -7}, {4, INT64_MAX}, {64, INT64_MAX / 64},    {1, INT64_MAX / 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        params.in_features = shapes[i][0];
        params.out_features = shapes[i][1];
        assert_null(gi8_linear_int8_create(&f->mock.base, &params, &f->error));
        assert_int_equal(f->error.status, GI8_ERR_SHAPE);
        assert_non_null(strstr(f->error.message, "\"dense\""));
    }
    const struct {
        gi8_int8_params op;
        gi8_status status;
    } ops[] = {
        {{NAN, GI8_OUTLIERS_COLUMN, GI8_TYPE_F32}, GI8_ERR_ARGUMENT},
        {{6.0f, (gi8_outliers)2, GI8_TYPE_F32}, GI8_ERR_ARGUMENT},
        {{6.0f, GI8_OUTLIERS_COLUMN, GI8_TYPE_I8}, GI8_ERR_TYPE},
        {{6.0f, GI8_OUTLIERS_COLUMN, GI8_TYPE_COUNT}, GI8_ERR_TYPE},
    };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        params = (gi8_linear_int8_params){
            .in_features = 4, .out_features = 3, .op = ops[i].op, .name = "dense"};
        assert_null(gi8_linear_int8_create(&f->mock.base, &params, &f->error));
        assert_int_equal(f->error.status, ops[i].status);
        assert_non_null(strstr(f->error.message, "\"dense\""));
    }
    mock_allocator functions;
    mock_allocator_init(&functions);
    gi8_allocator halves[] = {functions.allocator, functions.allocator};
    halves[0].alloc = NULL;
    halves[1].free = NULL;
    for (int i = 0; i < 2; i++) {
        params = (gi8_linear_int8_params){
            .in_features = 4, .out_features = 3, .name = "dense", .allocator = &halves[i]};
        assert_null(gi8_linear_int8_create(&f->mock.base, &params, &f->error));
        assert_int_equal(f->error.status, GI8_ERR_ARGUMENT);
    }
    assert_int_equal(f->mock.n_allocs, 0);

    gi8_linear_int8 *linear = layer(f, &f->mock, 4, 3, false);
    const float w[12] = {0};
    const int8_t codes[12] = {0};
    const int64_t ranges[][2] = {{-1, 1}, {0, 4}, {3, 1}, {1, INT64_MAX}, {4, 0}, {2, -1}};
    float back[12];
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        int64_t first = ranges[i][0], n = ranges[i][1];
        assert_int_equal(gi8_linear_int8_load_rows(linear, first, n, GI8_TYPE_F32, w, &f->error),
                         GI8_ERR_ARGUMENT);
        assert_int_equal(gi8_linear_int8_load_codes(linear, first, n, codes, w, &f->error),
                         GI8_ERR_ARGUMENT);
        assert_int_equal(gi8_linear_int8_dequantize(linear, first, n, back, &f->error),
                         GI8_ERR_ARGUMENT);
    }
    assert_int_equal(gi8_linear_int8_load_rows(linear, 0, 3, GI8_TYPE_I8, w, &f->error),
                     GI8_ERR_TYPE);
    assert_int_equal(gi8_linear_int8_load_rows(linear, 0, 3, GI8_TYPE_F32, NULL, &f->error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_load_rows(linear, 3, 0, GI8_TYPE_F32, NULL, &f->error),
                     GI8_OK);
    assert_int_equal(gi8_linear_int8_load_codes(linear, 0, 3, NULL, w, &f->error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_load_codes(linear, 0, 3, codes, NULL, &f->error),
                     GI8_ERR_ARGUMENT);
    gi8_linear_int8_free(linear);

    assert_int_equal(gi8_linear_int8_load_rows(NULL, 0, 0, GI8_TYPE_F32, w, NULL),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_load_codes(NULL, 0, 0, codes, w, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_load_bias(NULL, GI8_TYPE_F32, w, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_dequantize(NULL, 0, 0, back, NULL), GI8_ERR_ARGUMENT);
    assert_null(gi8_linear_int8_codes(NULL));
    assert_null(gi8_linear_int8_absmax(NULL));
    assert_null(gi8_linear_int8_bias(NULL));
    gi8_linear_int8_free(NULL);
}

static void test_failing_memory(void **state) {
    fixture *f = *state;
    mock_allocator allocator;
    mock_allocator_init(&allocator);
    const gi8_linear_int8_params params = {
        .in_features = 4, .out_features = 3, .has_bias = true, .allocator = &allocator.allocator};
    gi8_linear_int8 *linear = NULL;
    int64_t n_failures = 0;
    for (; linear == NULL; n_failures++) {
        assert_true(n_failures < 100);
        allocator.fail_in = n_failures;
        linear = gi8_linear_int8_create(&f->mock.base, &params, &f->error);
        if (linear == NULL) {
            assert_int_equal(f->error.status, GI8_ERR_MEMORY);
            assert_int_equal(allocator.n_alive, 0);
            assert_int_equal(f->mock.n_alive, 0);
        }
    }
    assert_true(n_failures > 2);
    gi8_linear_int8_free(linear);
    allocator.fail_in = -1;
    for (int i = 0; i < 2; i++) { /* codes, vectors */
        f->mock.fail_alloc_in = i;
        assert_null(gi8_linear_int8_create(&f->mock.base, &params, &f->error));
        assert_int_equal(f->error.status, GI8_ERR_MEMORY);
        assert_int_equal(allocator.n_alive, 0);
        assert_int_equal(f->mock.n_alive, 0);
    }
}

/* The layer in graphs: its leaves are the op's sources, and it is never changed. */
static void test_forward(void **state) {
    fixture *f = *state;
    const gi8_linear_int8_params params = {.in_features = 4,
                                           .out_features = 3,
                                           .has_bias = true,
                                           .op = {2.5f, GI8_OUTLIERS_PER_TOKEN, GI8_TYPE_F16},
                                           .name = "dense"};
    gi8_linear_int8 *linear = gi8_linear_int8_create(&f->device.base, &params, &f->error);
    assert_non_null(linear);
    assert_int_equal(gi8_linear_int8_footprint(linear), 12 + 12 + 12);
    assert_int_equal(gi8_linear_int8_footprint(NULL), 0);
    assert_string_equal(gi8_linear_int8_codes(linear)->name, "dense.codes");

    gi8_tensor *x = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 4, 7);
    gi8_tensor *y = gi8_linear_int8_forward(f->ctx, linear, x);
    assert_non_null(y);
    assert_int_equal(y->op, GI8_OP_MUL_MAT_INT8_MIXED);
    assert_int_equal(y->type, GI8_TYPE_F16);
    assert_true(y->ne[0] == 3 && y->ne[1] == 7);
    const gi8_int8_params *op = y->params;
    assert_true(op->threshold == 2.5f && op->outliers == GI8_OUTLIERS_PER_TOKEN);

    gi8_plan *plan = plan_of(&f->device, graph_of(f, y), NULL);
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    gi8_plan_free(plan);

    assert_null(gi8_linear_int8_forward(f->ctx, NULL, x));
    assert_int_equal(gi8_context_status(f->ctx), GI8_ERR_ARGUMENT);
    gi8_context_clear_error(f->ctx);
    x = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 5, 7);
    assert_null(gi8_linear_int8_forward(f->ctx, linear, x));
    assert_int_equal(gi8_context_status(f->ctx), GI8_ERR_SHAPE);
    gi8_linear_int8_free(linear);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_loading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_tiles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_finite, setup, teardown),
        cmocka_unit_test_setup_teardown(test_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bias, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forward, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
