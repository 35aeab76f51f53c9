/* test_op_backend.c - the CPU backend itself: instruction sets, threads, memory, cancelling. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "op_fixture.h"

static void test_names(void **state) {
    (void)state;
    assert_string_equal(gi8_cpu_isa_name(GI8_CPU_ISA_SCALAR), "scalar");
    assert_string_equal(gi8_cpu_isa_name(GI8_CPU_ISA_AVX512VNNI), "avx512vnni");
    assert_string_equal(gi8_cpu_isa_name(GI8_CPU_ISA_NEON_DOT), "neondot");
    assert_string_equal(gi8_cpu_isa_name(GI8_CPU_ISA_COUNT), "unknown");
    assert_string_equal(gi8_cpu_isa_name((gi8_cpu_isa)-1), "unknown");
    assert_true(gi8_cpu_isa_available(GI8_CPU_ISA_SCALAR));
    assert_true(gi8_cpu_isa_available(gi8_cpu_isa_best()));
    assert_false(gi8_cpu_isa_available(GI8_CPU_ISA_COUNT));
    assert_true(gi8_cpu_available_cores() >= 1);
}

/* The name of a backend made with GI8_CPU_ISA=`value`, or the status of the failure. */
static gi8_status create_with_isa(const char *value, const gi8_cpu_params *params, char name[64]) {
    setenv("GI8_CPU_ISA", value, 1);
    gi8_error error = GI8_ERROR_INIT;
    gi8_backend *backend = gi8_cpu_backend_create(params, &error);
    unsetenv("GI8_CPU_ISA");
    if (backend == NULL) {
        assert_non_null(strstr(error.message, "GI8_CPU_ISA"));
        return error.status;
    }
    snprintf(name, 64, "%s", gi8_backend_name(backend));
    gi8_backend_free(backend);
    return GI8_OK;
}

static void test_environment(void **state) {
    (void)state;
    char name[64];
    gi8_cpu_params one = {.n_threads = 1};
    assert_int_equal(create_with_isa("sse9", &one, name), GI8_ERR_ARGUMENT);
    assert_int_equal(create_with_isa("AVX2", &one, name), GI8_ERR_ARGUMENT);
    assert_int_equal(create_with_isa("", &one, name), GI8_OK);
    for (int isa = 0; isa < GI8_CPU_ISA_COUNT; isa++) {
        const char *wanted = gi8_cpu_isa_name((gi8_cpu_isa)isa);
        if (gi8_cpu_isa_available((gi8_cpu_isa)isa)) {
            assert_int_equal(create_with_isa(wanted, &one, name), GI8_OK);
            char expected[64];
            snprintf(expected, sizeof expected, "cpu (%s, 1 thread)", wanted);
            assert_string_equal(name, expected);
        } else {
            assert_int_equal(create_with_isa(wanted, &one, name), GI8_ERR_UNSUPPORTED);
        }
    }
    /* Of the variable and the parameter the lower one holds. */
    gi8_cpu_params limited = {.n_threads = 3, .isa = GI8_CPU_ISA_SCALAR, .limit_isa = true};
    assert_int_equal(create_with_isa(gi8_cpu_isa_name(gi8_cpu_isa_best()), &limited, name), GI8_OK);
    assert_string_equal(name, "cpu (scalar, 3 threads)");
}

/* An allocator that counts what is out and fails at call number `fail_at`. */
typedef struct counter {
    int calls;
    int fail_at; /* -1: never */
    size_t bytes;
} counter;

static void *counting_alloc(void *user, size_t size, size_t alignment) {
    counter *c = user;
    if (c->calls++ == c->fail_at) {
        return NULL;
    }
    c->bytes += size;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void counting_free(void *user, void *pointer, size_t size) {
    ((counter *)user)->bytes -= size;
    free(pointer);
}

static void test_bad_parameters(void **state) {
    (void)state;
    static const int bad_threads[] = {-1, 1025};
    for (int i = 0; i < 2; i++) {
        gi8_error error = GI8_ERROR_INIT;
        gi8_cpu_params params = {.n_threads = bad_threads[i]};
        assert_null(gi8_cpu_backend_create(&params, &error));
        assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    }
    gi8_error error = GI8_ERROR_INIT;
    gi8_cpu_params params = {.isa = (gi8_cpu_isa)77, .limit_isa = true};
    assert_null(gi8_cpu_backend_create(&params, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    params.isa = /* of another architecture */
        gi8_cpu_isa_available(GI8_CPU_ISA_NEON) ? GI8_CPU_ISA_AVX2 : GI8_CPU_ISA_NEON;
    error.status = GI8_OK;
    assert_null(gi8_cpu_backend_create(&params, &error));
    assert_int_equal(error.status, GI8_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, gi8_cpu_isa_name(params.isa)));
    static const gi8_allocator halves[] = {{NULL, counting_free, NULL},
                                           {counting_alloc, NULL, NULL}};
    for (int i = 0; i < 2; i++) {
        const gi8_cpu_params half = {.n_threads = 1, .allocator = &halves[i]};
        error.status = GI8_OK;
        assert_null(gi8_cpu_backend_create(&half, &error));
        assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    }
    gi8_backend *defaults = gi8_cpu_backend_create(NULL, NULL);
    assert_non_null(defaults);
    gi8_backend_free(defaults);
}

static void remember_line(void *user, const char *line) {
    snprintf(user, 64, "%s", line);
}

static void test_log(void **state) {
    (void)state;
    char line[64] = "";
    gi8_cpu_params params = {.n_threads = 2, .log = remember_line, .log_user = line};
    gi8_backend *backend = gi8_cpu_backend_create(&params, NULL);
    assert_string_equal(line, gi8_backend_name(backend));
    gi8_backend_free(backend);
}

/* A layer on a backend with a counting allocator; false where a step failed for lack of memory. */
static bool run_with(counter *c) {
    const gi8_allocator allocator = {counting_alloc, counting_free, c};
    gi8_error error = GI8_ERROR_INIT;
    gi8_cpu_params params = {.n_threads = 2, .allocator = &allocator};
    gi8_backend *backend = gi8_cpu_backend_create(&params, &error);
    bool ok = backend != NULL;
    if (ok) {
        gi8_context *ctx = gi8_context_create(NULL, NULL);
        int8_t codes[64] = {1};
        float absmax[8] = {1.0f};
        gi8_tensor *w = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 8, 8);
        gi8_tensor *s = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 8);
        gi8_tensor_set_data(w, codes);
        gi8_tensor_set_data(s, absmax);
        gi8_tensor *x = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 8, 5);
        gi8_graph *graph = gi8_graph_create(ctx);
        gi8_graph_add_output(graph, gi8_mul_mat_int8_mixed(ctx, w, s, NULL, x, NULL));
        gi8_plan *plan = gi8_plan_create(backend, graph, NULL, &error);
        ok = plan != NULL;
        if (ok) {
            int calls = c->calls;
            assert_int_equal(gi8_plan_execute(plan, &error), GI8_OK);
            assert_int_equal(c->calls, calls); /* execution never allocates */
            gi8_plan_free(plan);
        }
        gi8_context_free(ctx);
        gi8_backend_free(backend);
    }
    assert_true(ok || error.status == GI8_ERR_MEMORY);
    return ok;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    counter never = {.fail_at = -1};
    assert_true(run_with(&never));
    assert_int_equal(never.bytes, 0);
    for (int i = 0; i < never.calls; i++) {
        counter c = {.fail_at = i};
        assert_false(run_with(&c));
        assert_int_equal(c.bytes, 0);
    }
}

/* A graph with a few steps of every size, and its expected result from a first run. */
typedef struct shared_work {
    gi8_backend *backend;
    float seed;
    int failures;
} shared_work;

static void *execute_plans(void *arg) {
    shared_work *work = arg;
    enum { D = 150, R = 40, RUNS = 60 };
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *x = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, D, R);
    gi8_tensor *y = gi8_mul_mat(ctx, x, gi8_scale(ctx, x, 0.01f)); /* [R, R] */
    y = gi8_soft_max(ctx, gi8_layer_norm(ctx, y, NULL, NULL, 1e-5f), NULL, 1.0f);
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_graph_add_output(graph, y);
    gi8_plan *plan = gi8_plan_create(work->backend, graph, NULL, NULL);
    float data[D * R];
    for (int i = 0; i < D * R; i++) {
        data[i] = work->seed * (float)(i % 97) - (float)(i % 31);
    }
    gi8_plan_write(plan, x, 0, data, sizeof data, NULL);
    float first[R * R];
    for (int run = 0; run < RUNS; run++) {
        float result[R * R];
        if (gi8_plan_execute(plan, NULL) != GI8_OK ||
            gi8_plan_read(plan, y, 0, result, sizeof result, NULL) != GI8_OK ||
            (run > 0 && memcmp(first, result, sizeof result) != 0)) {
            work->failures++;
        }
        memcpy(first, result, sizeof result);
    }
    gi8_plan_free(plan);
    gi8_context_free(ctx);
    return NULL;
}

/* Several threads execute plans of one backend; they take turns. */
static void test_two_threads_one_backend(void **state) {
    (void)state;
    gi8_cpu_params params = {.n_threads = 3};
    gi8_backend *backend = gi8_cpu_backend_create(&params, NULL);
    shared_work work[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        work[i] = (shared_work){backend, 0.1f * (float)(i + 1), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, execute_plans, &work[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(work[i].failures, 0);
    }
    gi8_backend_free(backend);
}

static bool always(void *user) {
    (void)user;
    return true;
}

static void test_cancel(void **state) {
    (void)state;
    gi8_backend *backend = gi8_cpu_backend_create(NULL, NULL);
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *x = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 4);
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_graph_add_output(graph, gi8_scale(ctx, x, 2.0f));
    gi8_plan_params params = {.should_cancel = always};
    gi8_plan *plan = gi8_plan_create(backend, graph, &params, NULL);
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gi8_plan_execute(plan, &error), GI8_ERR_CANCELLED);
    assert_int_equal(error.status, GI8_ERR_CANCELLED);
    gi8_plan_free(plan);
    gi8_context_free(ctx);
    gi8_backend_free(backend);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_bad_parameters),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_two_threads_one_backend),
        cmocka_unit_test(test_cancel),
    };
    /* Tests of GI8_CPU_ISA set it themselves. */
    unsetenv("GI8_CPU_ISA");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
