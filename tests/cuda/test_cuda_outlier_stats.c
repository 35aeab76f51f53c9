/* test_cuda_outlier_stats.c - the outlier columns of each execution are counted, whatever became of
 * the executions before. */
#include "cuda_device.h"
#include "ggml-int8/gi8_backend.h"

enum { K = 64, N = 16, N_OUTLIERS = 5 };

typedef struct cancel_at {
    int64_t calls, at; /* -1: never */
} cancel_at;

static bool should_cancel(void *user) {
    cancel_at *c = user;
    return c->calls++ == c->at;
}

/* Two products of the same x, cancelled before one of them or not at all. */
static void check(bool no_graphs, int64_t m) {
    gi8_error error = GI8_ERROR_INIT;
    gi8_backend *backend =
        gi8_cuda_backend_create(&(gi8_cuda_params){.no_graphs = no_graphs}, &error);
    assert_non_null(backend);
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_tensor *x = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, K, m);
    const gi8_int8_params params = GI8_INT8_PARAMS_DEFAULT;
    for (int i = 0; i < 2; i++) {
        gi8_tensor *codes = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, K, N);
        gi8_tensor *absmax = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, N);
        gi8_tensor *y = gi8_mul_mat_int8_mixed(ctx, codes, absmax, NULL, x, &params);
        assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    }
    cancel_at when = {0, -1};
    const gi8_plan_params plan_params = {.should_cancel = should_cancel, .user = &when};
    gi8_plan *plan = gi8_plan_create(backend, graph, &plan_params, &error);
    assert_non_null(plan);

    static const int64_t cancelled[] = {-1, -1, 0, -1, 1, -1, 1, 1, -1, -1};
    for (size_t run = 0; run < sizeof cancelled / sizeof *cancelled; run++) {
        const int n_outliers = N_OUTLIERS + (int)run;
        float values[K] = {0};
        for (int i = 0; i < n_outliers; i++) {
            values[4 * i] = 10.0f;
        }
        assert_int_equal(gi8_plan_write(plan, x, 0, values, sizeof values, &error), GI8_OK);
        when = (cancel_at){0, cancelled[run]};
        const gi8_status status = gi8_plan_execute(plan, &error);
        assert_int_equal(status, when.at < 0 ? GI8_OK : GI8_ERR_CANCELLED);
        if (status == GI8_OK) {
            const gi8_outlier_stats stats = gi8_plan_get_outlier_stats(plan);
            assert_int_equal(stats.columns, 2 * K);
            assert_int_equal(stats.outlier_columns, 2 * n_outliers);
        }
    }
    gi8_plan_free(plan);
    gi8_context_free(ctx);
    gi8_backend_free(backend);
}

static void test_each_run_counts(void **state) {
    (void)state;
    for (int no_graphs = 0; no_graphs < 2; no_graphs++) {
        check(no_graphs == 1, 1);
        check(no_graphs == 1, 9);
    }
}

int main(void) {
    test_device_require();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_run_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
