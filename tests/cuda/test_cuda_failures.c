/* test_cuda_failures.c - each call of the CUDA runtime and of cuBLASLt fails once, at every place
 * where the backend makes it: that is said in a sentence, nothing leaks, and what was there before
 * works on. Of the emulation only, which can make calls fail. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "emulator.h"
#include "ggml-int8/gi8_backend.h"
#include "ggml-int8/gi8_quantize.h"
#include "gi8_cuda.h"
#include "test_seed.h"

/* Calls that may fail. Not those that free or end something: one that is made to fail has not. */
static const struct {
    const char *name;
    int error;
} calls[] = {
    {"cudaGetDeviceCount", cudaErrorInsufficientDriver},
    {"cudaGetDeviceProperties", cudaErrorUnknown},
    {"cudaFuncSetAttribute", cudaErrorInvalidValue}, /* before a kernel is allowed what it needs */
    {"cudaMemGetInfo", cudaErrorUnknown},
    {"cudaSetDevice", cudaErrorUnknown},
    {"cudaMalloc", cudaErrorMemoryAllocation},
    {"cudaMallocHost", cudaErrorMemoryAllocation},
    {"cudaMemcpyAsync", cudaErrorUnknown},
    {"cudaMemsetAsync", cudaErrorUnknown},
    {"cudaStreamCreateWithFlags", cudaErrorUnknown},
    {"cudaStreamSynchronize", cudaErrorUnknown},
    {"cudaStreamWaitEvent", cudaErrorUnknown},
    {"cudaStreamBeginCapture", cudaErrorUnknown},
    {"cudaEventCreate", cudaErrorUnknown},
    {"cudaEventCreateWithFlags", cudaErrorUnknown},
    {"cudaEventRecord", cudaErrorUnknown},
    {"cudaEventSynchronize", cudaErrorUnknown},
    {"cudaEventElapsedTime", cudaErrorUnknown},
    {"cudaGraphInstantiate", cudaErrorMemoryAllocation},
    {"cudaGraphUpload", cudaErrorUnknown},
    {"cudaGraphLaunch", cudaErrorUnknown},
    {"cudaLaunchKernelExC", cudaErrorLaunchOutOfResources},
    {"cudaFuncGetAttributes", cudaErrorUnknown},
    {"cublasLtCreate", CUBLAS_STATUS_NOT_INITIALIZED},
    {"cublasLtMatmulPreferenceCreate", CUBLAS_STATUS_ALLOC_FAILED},
    {"cublasLtMatmulPreferenceSetAttribute", CUBLAS_STATUS_INVALID_VALUE},
    {"cublasLtMatmulDescCreate", CUBLAS_STATUS_ALLOC_FAILED},
    {"cublasLtMatmulDescSetAttribute", CUBLAS_STATUS_INVALID_VALUE},
    {"cublasLtMatrixLayoutCreate", CUBLAS_STATUS_ALLOC_FAILED},
    {"cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_INTERNAL_ERROR},
    {"cublasLtMatmul", CUBLAS_STATUS_EXECUTION_FAILED},
};
#define N_CALLS (sizeof calls / sizeof *calls)

/* ---- what the program does ------------------------------------------------------------------- */

/* An int8 layer with a few outliers, and a product with fp32 weights, for many rows and for one. */
enum { K = 64, N = 32, MAX_M = 160 };

typedef struct program {
    bool no_graphs;
    int64_t m;
    int8_t codes[K * N];
    float absmax[N], w[K * N], x[K * MAX_M];
    float y[N * MAX_M], expected[N * MAX_M]; /* of the plan that ran first */
    bool known;
    gi8_outlier_stats outliers;

    gi8_backend *backend;
    gi8_context *ctx;
    gi8_tensor *t_codes, *t_absmax, *t_w, *t_x, *t_y;
    gi8_buffer *buffer;
    gi8_graph *graph;
    gi8_plan *plan;
} program;

static gi8_status make_backend(program *p, gi8_error *error) {
    const gi8_cuda_params params = {.no_graphs = p->no_graphs};
    p->backend = gi8_cuda_backend_create(&params, error);
    return p->backend != NULL ? GI8_OK : error->status;
}

static gi8_status make_buffer(program *p, gi8_error *error) {
    size_t absmax_at = gi8_buffer_space(p->t_codes);
    size_t w_at = absmax_at + gi8_buffer_space(p->t_absmax);
    p->buffer = gi8_buffer_create(p->backend, w_at + gi8_buffer_space(p->t_w), error);
    if (p->buffer == NULL) {
        return error->status;
    }
    gi8_buffer_bind(p->buffer, p->t_codes, 0, NULL);
    gi8_buffer_bind(p->buffer, p->t_absmax, absmax_at, NULL);
    gi8_buffer_bind(p->buffer, p->t_w, w_at, NULL);
    return GI8_OK;
}

static gi8_status write_weights(program *p, gi8_error *error) {
    gi8_status status = gi8_tensor_write(p->t_codes, 0, p->codes, sizeof p->codes, error);
    if (status == GI8_OK) {
        status = gi8_tensor_write(p->t_absmax, 0, p->absmax, sizeof p->absmax, error);
    }
    return status == GI8_OK ? gi8_tensor_write(p->t_w, 0, p->w, sizeof p->w, error) : status;
}

static gi8_status read_weights(program *p, gi8_error *error) {
    float back[K * N];
    gi8_status status = gi8_tensor_read(p->t_w, 0, back, sizeof back, error);
    if (status == GI8_OK) {
        assert_memory_equal(back, p->w, sizeof back);
    }
    return status;
}

static gi8_status make_plan(program *p, gi8_error *error) {
    p->plan = gi8_plan_create(p->backend, p->graph, NULL, error);
    return p->plan != NULL ? GI8_OK : error->status;
}

static gi8_status execute(program *p, gi8_error *error) {
    const size_t x_bytes = (size_t)(K * p->m) * sizeof(float);
    const size_t y_bytes = (size_t)(N * p->m) * sizeof(float);
    gi8_status status = gi8_plan_write(p->plan, p->t_x, 0, p->x, x_bytes, error);
    for (int i = 0; i < 2 && status == GI8_OK; i++) {
        status = gi8_plan_execute(p->plan, error);
    }
    if (status == GI8_OK) {
        status = gi8_plan_read(p->plan, p->t_y, 0, p->y, y_bytes, error);
    }
    if (status != GI8_OK) {
        return status;
    }
    gi8_outlier_stats outliers = gi8_plan_get_outlier_stats(p->plan);
    if (!p->known) {
        p->known = true;
        p->outliers = outliers;
        memcpy(p->expected, p->y, y_bytes);
    }
    assert_memory_equal(p->y, p->expected, y_bytes);
    assert_int_equal(outliers.columns, K);
    assert_int_equal(outliers.outlier_columns, 2);
    return GI8_OK;
}

typedef gi8_status stage(program *p, gi8_error *error);
static stage *const stages[] = {make_backend, make_buffer, write_weights,
                                read_weights, make_plan,   execute};
#define N_STAGES (sizeof stages / sizeof *stages)

/* Frees what a stage made, and all after it. */
static void undo_from(program *p, size_t number) {
    if (number <= 4) {
        gi8_plan_free(p->plan);
        p->plan = NULL;
    }
    if (number <= 1) {
        gi8_buffer_free(p->buffer);
        p->buffer = NULL;
    }
    if (number == 0) {
        gi8_backend_free(p->backend);
        p->backend = NULL;
    }
}

static void init(program *p, bool no_graphs, int64_t m) {
    *p = (program){.no_graphs = no_graphs, .m = m, .ctx = gi8_context_create(NULL, NULL)};
    test_rng rng = {17};
    for (int i = 0; i < K * N; i++) {
        p->codes[i] = (int8_t)test_rng_int(&rng, -127, 127);
        p->w[i] = test_rng_float(&rng, -1.0f, 1.0f);
    }
    for (int i = 0; i < N; i++) {
        p->absmax[i] = test_rng_float(&rng, 0.1f, 1.0f);
    }
    for (int i = 0; i < K * MAX_M; i++) {
        p->x[i] = test_rng_float(&rng, -2.0f, 2.0f);
    }
    p->x[3] = 20.0f;
    p->x[40] = -9.0f;
    p->t_codes = gi8_new_codes(p->ctx, K, N, GI8_LAYOUT_STRIDED);
    p->t_absmax = gi8_new_tensor_1d(p->ctx, GI8_TYPE_F32, N);
    p->t_w = gi8_new_tensor_2d(p->ctx, GI8_TYPE_F32, K, N);
    p->t_x = gi8_new_tensor_2d(p->ctx, GI8_TYPE_F32, K, m);
    /* leaves get memory later, which a graph does not mind */
    gi8_tensor *a = gi8_mul_mat_int8_mixed(p->ctx, p->t_codes, p->t_absmax, NULL, p->t_x, NULL);
    gi8_tensor *b = gi8_mul_mat(p->ctx, p->t_w, p->t_x);
    p->t_y = gi8_gelu(p->ctx, gi8_add(p->ctx, a, b));
    p->graph = gi8_graph_create(p->ctx);
    assert_int_equal(gi8_graph_add_output(p->graph, p->t_y), GI8_OK);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Makes call number n of `name` fail within a stage. False where the stage makes fewer. */
static bool failed_at(program *p, size_t number, size_t call, unsigned long n) {
    const unsigned long before = gi8emu_calls(calls[call].name);
    gi8emu_fail_call(calls[call].name, n, calls[call].error);
    gi8_error error = GI8_ERROR_INIT;
    gi8_status status = stages[number](p, &error);
    const bool fired = gi8emu_calls(calls[call].name) - before >= n;
    gi8emu_fail_call(calls[call].name, 0, 0);
    if (status != GI8_OK) { /* some failures are made good: a capture's, an algorithm's */
        if (!fired) {
            fail_msg("%s (%s)", error.message, gi8emu_message());
        }
        assert_int_equal(error.status, status);
        assert_true(status == GI8_ERR_DEVICE || status == GI8_ERR_MEMORY ||
                    status == GI8_ERR_UNSUPPORTED);
        assert_int_not_equal(error.message[0], '\0');
    }
    undo_from(p, number);
    gi8emu_clear_message();
    return fired;
}

/* Fails everything in turn in one stage; after each failure the stage works. */
static int fail_stage(program *p, size_t number) {
    int n_failed = 0;
    gi8_error error = GI8_ERROR_INIT;
    for (size_t call = 0; call < N_CALLS; call++) {
        for (unsigned long n = 1; failed_at(p, number, call, n); n++) {
            n_failed++;
            if (stages[number](p, &error) != GI8_OK) {
                fail_msg("stage %zu after call %lu of %s failed: %s", number, n, calls[call].name,
                         error.message);
            }
            undo_from(p, number);
        }
    }
    assert_int_equal(stages[number](p, &error), GI8_OK);
    return n_failed;
}

static void fail_everything(bool no_graphs, int64_t m) {
    gi8emu_reset();
    program *p = malloc(sizeof *p);
    assert_non_null(p);
    init(p, no_graphs, m);
    size_t alive[N_STAGES + 1];
    for (size_t i = 0; i < N_STAGES; i++) {
        alive[i] = gi8emu_live_objects();
        int n_failed = fail_stage(p, i);
        print_message("stage %zu: %d failures\n", i, n_failed);
        assert_true(n_failed > 0);
    }
    assert_true(gi8emu_memory_is_intact());
    for (size_t i = N_STAGES; i-- > 0;) {
        undo_from(p, i);
        if (i == 0 || i == 1 || i == 4) { /* the stages that make something */
            assert_int_equal(gi8emu_live_objects(), alive[i]);
        }
    }
    assert_int_equal(gi8emu_live_objects(), 0);
    gi8_context_free(p->ctx);
    free(p);
}

static void test_graphs(void **state) {
    (void)state;
    fail_everything(false, MAX_M);
}

static void test_graphs_of_one_row(void **state) {
    (void)state;
    fail_everything(false, 1);
}

static void test_step_by_step(void **state) {
    (void)state;
    fail_everything(true, MAX_M);
}

static void test_step_by_step_of_one_row(void **state) {
    (void)state;
    fail_everything(true, 1);
}

static void copy_line(void *user, const char *line) {
    snprintf(user, 1024, "%s", line);
}

/* A plan that cannot be captured says so, once, and computes the same. */
static void test_capture_fails(void **state) {
    (void)state;
    gi8emu_reset();
    char line[1024] = "";
    const gi8_cuda_params params = {.log = copy_line, .log_user = line};
    program *p = malloc(sizeof *p);
    assert_non_null(p);
    init(p, false, 8);
    gi8_error error = GI8_ERROR_INIT;
    p->backend = gi8_cuda_backend_create(&params, &error);
    assert_non_null(p->backend);
    for (size_t i = 1; i < N_STAGES; i++) {
        assert_int_equal(stages[i](p, &error), GI8_OK);
    }
    assert_string_equal(line, gi8_backend_name(p->backend));
    undo_from(p, 4);
    gi8emu_fail_call("cudaGraphInstantiate", 1, cudaErrorMemoryAllocation);
    unsigned long replays = gi8emu_calls("cudaGraphLaunch");
    assert_int_equal(make_plan(p, &error), GI8_OK);
    assert_non_null(strstr(line, "step by step"));
    assert_non_null(strstr(line, "cudaErrorMemoryAllocation"));
    assert_int_equal(execute(p, &error), GI8_OK);
    assert_int_equal(gi8emu_calls("cudaGraphLaunch"), replays);
    undo_from(p, 0);
    assert_int_equal(gi8emu_live_objects(), 0);
    gi8_context_free(p->ctx);
    free(p);
}

/* A plan neither allocates nor frees while it executes. */
static void test_executing_allocates_nothing(void **state) {
    (void)state;
    static const char *const forbidden[] = {
        "cudaMalloc", "cudaFree", "cudaMallocHost", "cudaFreeHost", "cudaStreamCreateWithFlags",
        "cudaEventCreateWithFlags", "cudaEventCreate", "cudaGraphInstantiate"};
    enum { N_FORBIDDEN = sizeof forbidden / sizeof *forbidden };
    for (int no_graphs = 0; no_graphs < 2; no_graphs++) {
        gi8emu_reset();
        program *p = malloc(sizeof *p);
        assert_non_null(p);
        init(p, no_graphs == 1, MAX_M);
        gi8_error error = GI8_ERROR_INIT;
        unsigned long before[N_FORBIDDEN];
        for (size_t i = 0; i < N_STAGES; i++) {
            for (int j = 0; j < N_FORBIDDEN; j++) {
                before[j] = gi8emu_calls(forbidden[j]);
            }
            assert_int_equal(stages[i](p, &error), GI8_OK);
        }
        for (int j = 0; j < N_FORBIDDEN; j++) {
            assert_int_equal(gi8emu_calls(forbidden[j]), before[j]);
        }
        undo_from(p, 0);
        gi8_context_free(p->ctx);
        free(p);
    }
}

/* One product of 129 rows, by cuBLASLt unless `refused`; y [16, 129]. */
static void multiply(gi8_type type, bool refused, float *y) {
    enum { LONG_K = 2048, ROWS = 16, M = 129 };
    gi8_error error = GI8_ERROR_INIT;
    const gi8_cuda_params params = {.no_graphs = true};
    gi8_backend *backend = gi8_cuda_backend_create(&params, &error);
    assert_non_null(backend);
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *w = gi8_new_tensor_2d(ctx, type, LONG_K, ROWS);
    gi8_tensor *absmax = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, ROWS);
    gi8_tensor *x = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, LONG_K, M);
    gi8_tensor *out = type == GI8_TYPE_I8
                          ? gi8_mul_mat_int8_mixed(ctx, w, absmax, NULL, x, NULL)
                          : gi8_mul_mat(ctx, w, x);
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, out), GI8_OK);
    const int refusal = CUBLAS_STATUS_NOT_SUPPORTED;
    gi8emu_fail_call("cublasLtMatmulAlgoGetHeuristic", refused ? 1 : 0, refusal);
    gi8_plan *plan = gi8_plan_create(backend, graph, NULL, &error);
    assert_non_null(plan);
    gi8_tensor *const leaves[] = {w, absmax, x};
    test_rng rng = {23};
    for (int i = 0; i < 3; i++) {
        if (leaves[i] == absmax && type != GI8_TYPE_I8) {
            continue;
        }
        const size_t size = gi8_nbytes(leaves[i]);
        char *values = malloc(size);
        assert_non_null(values);
        for (size_t j = 0; j < size; j += leaves[i]->type == GI8_TYPE_I8 ? 1 : sizeof(float)) {
            const float value = test_rng_float(&rng, -8.0f, 8.0f);
            if (leaves[i]->type == GI8_TYPE_I8) {
                values[j] = (char)(int)(15.0f * value);
            } else {
                memcpy(values + j, &value, sizeof value);
            }
        }
        assert_int_equal(gi8_plan_write(plan, leaves[i], 0, values, size, &error), GI8_OK);
        free(values);
    }
    unsigned long products = gi8emu_calls("cublasLtMatmul");
    gi8emu_fail_call("cublasLtMatmulAlgoGetHeuristic", refused ? 1 : 0, refusal);
    assert_int_equal(gi8_plan_execute(plan, &error), GI8_OK);
    assert_int_equal(gi8emu_calls("cublasLtMatmul") - products, refused ? 0 : 1);
    gi8emu_fail_call("cublasLtMatmulAlgoGetHeuristic", 0, 0);
    assert_int_equal(gi8_plan_read(plan, out, 0, y, ROWS * M * sizeof *y, &error), GI8_OK);
    gi8_plan_free(plan);
    gi8_backend_free(backend);
    gi8_context_free(ctx);
}

/* Where cuBLASLt has no algorithm, as for types that the device lacks, other kernels compute. */
static void test_no_algorithm(void **state) {
    (void)state;
    setenv("GI8_EMU_SM", "90", 1);
    gi8emu_reset();
    static float expected[16 * 129], y[16 * 129];
    multiply(GI8_TYPE_I8, false, expected);
    multiply(GI8_TYPE_I8, true, y);
    assert_memory_equal(y, expected, sizeof y);
    multiply(GI8_TYPE_F32, false, expected);
    multiply(GI8_TYPE_F32, true, y);
    for (int i = 0; i < 16 * 129; i++) {
        assert_float_equal(y[i], expected[i], 0.05f); /* of sums of 2048 products up to 64 */
    }
    unsetenv("GI8_EMU_SM");
    gi8emu_reset();
}

static void test_no_device(void **state) {
    (void)state;
    setenv("GI8_EMU_DEVICES", "0", 1);
    gi8emu_reset();
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gi8_cuda_device_count(NULL), 0);
    assert_int_equal(gi8_cuda_device_count(&error), 0);
    assert_int_equal(error.status, GI8_ERR_DEVICE);
    gi8_cuda_device_info info;
    error = (gi8_error)GI8_ERROR_INIT;
    assert_int_equal(gi8_cuda_get_device_info(0, &info, &error), GI8_ERR_DEVICE);
    assert_int_equal(error.status, GI8_ERR_DEVICE);
    error = (gi8_error)GI8_ERROR_INIT;
    assert_null(gi8_cuda_backend_create(NULL, &error));
    assert_int_equal(error.status, GI8_ERR_DEVICE);
    unsetenv("GI8_EMU_DEVICES");
    gi8emu_reset();
    assert_int_equal(gi8_cuda_device_count(NULL), 1);
}

static void test_old_device(void **state) {
    (void)state;
    setenv("GI8_EMU_SM", "70", 1);
    gi8emu_reset();
    gi8_error error = GI8_ERROR_INIT;
    gi8_cuda_device_info info;
    assert_int_equal(gi8_cuda_get_device_info(0, &info, &error), GI8_OK);
    assert_null(gi8_cuda_backend_create(NULL, &error));
    assert_int_equal(error.status, GI8_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "7.0, expected 7.5 or newer"));
    setenv("GI8_EMU_SM", "75", 1);
    gi8emu_reset();
    gi8_backend *backend = gi8_cuda_backend_create(NULL, &error);
    assert_non_null(backend);
    gi8_backend_free(backend);
    unsetenv("GI8_EMU_SM");
    gi8emu_reset();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_graphs_of_one_row),
        cmocka_unit_test(test_step_by_step),
        cmocka_unit_test(test_step_by_step_of_one_row),
        cmocka_unit_test(test_capture_fails),
        cmocka_unit_test(test_executing_allocates_nothing),
        cmocka_unit_test(test_no_algorithm),
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_old_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
