/* test_cuda_backend.c - devices, memory and plans of the CUDA backend, with hardly a kernel. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include "cuda_device.h"
#include "ggml-int8/gi8_backend.h"

static gi8_backend *cuda;

static int make_backend(void **state) {
    (void)state;
    cuda = test_device_create();
    return 0;
}

static int free_backend(void **state) {
    (void)state;
    gi8_backend_free(cuda);
    return 0;
}

/* ---- devices --------------------------------------------------------------------------------- */

static void copy_line(void *user, const char *line) {
    snprintf(user, 512, "%s", line);
}

static void test_name(void **state) {
    (void)state;
    gi8_cuda_device_info info;
    gi8_error error = GI8_ERROR_INIT;
    assert_true(gi8_cuda_device_count(&error) > 0);
    assert_ok(gi8_cuda_get_device_info(0, &info, &error), &error);
    assert_true(info.major > 0 && info.n_multiprocessors > 0);
    assert_true(info.free_bytes > 0 && info.free_bytes <= info.total_bytes);

    char line[512] = "";
    const gi8_cuda_params params = {.log = copy_line, .log_user = line};
    gi8_backend *backend = gi8_cuda_backend_create(&params, &error);
    assert_non_null(backend);
    char expected[512];
    snprintf(expected, sizeof expected, "cuda (%s, sm_%d%d)", info.name, info.major, info.minor);
    assert_string_equal(gi8_backend_name(backend), expected);
    assert_string_equal(line, expected);
    assert_false(gi8_backend_is_host(backend));
    gi8_backend_free(backend);
}

static void test_no_such_device(void **state) {
    (void)state;
    gi8_cuda_device_info info;
    gi8_error error = GI8_ERROR_INIT;
    const int n = gi8_cuda_device_count(NULL);
    const int wrong[] = {-1, n, INT32_MAX};
    for (int i = 0; i < 3; i++) {
        char number[32];
        snprintf(number, sizeof number, "device %d:", wrong[i]);
        assert_int_equal(gi8_cuda_get_device_info(wrong[i], &info, &error), GI8_ERR_ARGUMENT);
        assert_non_null(strstr(error.message, number));
        const gi8_cuda_params params = {.device = wrong[i]};
        error = (gi8_error)GI8_ERROR_INIT;
        assert_null(gi8_cuda_backend_create(&params, &error));
        assert_int_equal(error.status, GI8_ERR_ARGUMENT);
        assert_non_null(strstr(error.message, number));
        assert_null(gi8_cuda_backend_create(&params, NULL));
    }
    assert_int_equal(gi8_cuda_get_device_info(0, NULL, &error), GI8_ERR_ARGUMENT);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A leaf of `size` bytes in a buffer of its own. */
typedef struct leaf {
    gi8_context *ctx;
    gi8_buffer *buffer;
    gi8_tensor *t;
} leaf;

static leaf make_leaf(size_t size) {
    gi8_error error = GI8_ERROR_INIT;
    leaf l = {.ctx = gi8_context_create(NULL, NULL)};
    l.t = gi8_new_tensor_1d(l.ctx, GI8_TYPE_I8, (int64_t)size);
    l.buffer = gi8_buffer_create(cuda, gi8_buffer_space(l.t), &error);
    assert_ok(l.buffer != NULL ? GI8_OK : error.status, &error);
    assert_ok(gi8_buffer_bind(l.buffer, l.t, 0, &error), &error);
    return l;
}

static void free_leaf(leaf *l) {
    gi8_buffer_free(l->buffer);
    gi8_context_free(l->ctx);
}

static unsigned char *random_bytes(uint64_t seed, size_t size) {
    unsigned char *bytes = malloc(size);
    assert_non_null(bytes);
    test_rng rng = {seed};
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)test_rng_next(&rng);
    }
    return bytes;
}

/* Sizes about those of the buffers that copies go through. */
static const size_t sizes[] = {1,       63,      64,          4096,   (1 << 20) - 1,
                               1 << 20, 1 << 21, 5000000};

static void test_zeroed_and_aligned(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) { /* the second time in memory that was used before */
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            gi8_error error = GI8_ERROR_INIT;
            leaf l = make_leaf(sizes[i]);
            assert_int_equal((uintptr_t)l.t->data % 64, 0);
            unsigned char *bytes = random_bytes(1, sizes[i]);
            unsigned char *zeros = calloc(1, sizes[i]);
            assert_ok(gi8_tensor_read(l.t, 0, bytes, sizes[i], &error), &error);
            assert_memory_equal(bytes, zeros, sizes[i]);
            memset(bytes, 0xff, sizes[i]);
            assert_ok(gi8_tensor_write(l.t, 0, bytes, sizes[i], &error), &error);
            free(zeros);
            free(bytes);
            free_leaf(&l);
        }
    }
}

static void test_write_and_read(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        gi8_error error = GI8_ERROR_INIT;
        leaf l = make_leaf(sizes[i]);
        unsigned char *bytes = random_bytes(i, sizes[i]);
        unsigned char *scribble = malloc(sizes[i]);
        unsigned char *back = calloc(1, sizes[i]);
        /* what was given may change when the call returns */
        memcpy(scribble, bytes, sizes[i]);
        assert_ok(gi8_tensor_write(l.t, 0, scribble, sizes[i], &error), &error);
        memset(scribble, 0xa5, sizes[i]);
        assert_ok(gi8_tensor_read(l.t, 0, back, sizes[i], &error), &error);
        assert_memory_equal(back, bytes, sizes[i]);

        /* a part of it */
        size_t from = sizes[i] / 3, part = (sizes[i] - from) / 2;
        unsigned char *other = random_bytes(100 + i, part + 1);
        memcpy(bytes + from, other, part);
        assert_ok(gi8_tensor_write(l.t, from, other, part, &error), &error);
        assert_ok(gi8_tensor_read(l.t, 0, back, sizes[i], &error), &error);
        assert_memory_equal(back, bytes, sizes[i]);
        memset(back, 0, sizes[i]);
        assert_ok(gi8_tensor_read(l.t, from, back, part, &error), &error);
        assert_memory_equal(back, bytes + from, part);
        free(other);
        free(back);
        free(scribble);
        free(bytes);
        free_leaf(&l);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    gi8_cuda_device_info info;
    assert_int_equal(gi8_cuda_get_device_info(0, &info, NULL), GI8_OK);
    const size_t too_many[] = {info.total_bytes + 1, PTRDIFF_MAX};
    for (int i = 0; i < 2; i++) {
        gi8_error error = GI8_ERROR_INIT;
        char bytes[64];
        snprintf(bytes, sizeof bytes, "%zu bytes", too_many[i]);
        assert_null(gi8_buffer_create(cuda, too_many[i], &error));
        assert_int_equal(error.status, GI8_ERR_MEMORY);
        assert_non_null(strstr(error.message, bytes));
    }
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gi8_buffer_create(cuda, info.total_bytes + 1, &error));
    assert_non_null(strstr(error.message, "are free"));
    leaf l = make_leaf(1000);
    free_leaf(&l);
}

/* Threads load a layer each, tile by tile, and look at it. */
typedef struct loader {
    pthread_t thread;
    uint64_t seed;
    bool good;
} loader;

static void *load(void *arg) {
    enum { TILE = 300000, N = 12 };
    loader *job = arg;
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *t = gi8_new_tensor_1d(ctx, GI8_TYPE_I8, (int64_t)TILE * N);
    gi8_buffer *buffer = gi8_buffer_create(cuda, gi8_buffer_space(t), NULL);
    unsigned char *tile = malloc(TILE), *back = malloc((size_t)TILE * N);
    test_rng rng = {job->seed};
    job->good = buffer != NULL && tile != NULL && back != NULL &&
                gi8_buffer_bind(buffer, t, 0, NULL) == GI8_OK;
    for (int i = 0; i < N && job->good; i++) {
        memset(tile, (int)(test_rng_next(&rng) % 256), TILE);
        job->good = gi8_tensor_write(t, (size_t)i * TILE, tile, TILE, NULL) == GI8_OK;
    }
    job->good = job->good && gi8_tensor_read(t, 0, back, (size_t)TILE * N, NULL) == GI8_OK;
    rng.state = job->seed;
    for (int i = 0; i < N && job->good; i++) {
        memset(tile, (int)(test_rng_next(&rng) % 256), TILE);
        job->good = memcmp(tile, back + (size_t)i * TILE, TILE) == 0;
    }
    free(back);
    free(tile);
    gi8_buffer_free(buffer);
    gi8_context_free(ctx);
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    loader jobs[8];
    for (int i = 0; i < 8; i++) {
        jobs[i] = (loader){.seed = (uint64_t)i};
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, load, &jobs[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(jobs[i].thread, NULL);
        assert_true(jobs[i].good);
    }
}

/* ---- plans ----------------------------------------------------------------------------------- */

static void test_empty_graph(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_plan *plan = gi8_plan_create(cuda, gi8_graph_create(ctx), NULL, &error);
    assert_ok(plan != NULL ? GI8_OK : error.status, &error);
    for (int i = 0; i < 2; i++) {
        assert_ok(gi8_plan_execute(plan, &error), &error);
    }
    gi8_plan_stats stats = gi8_plan_get_stats(plan);
    assert_int_equal(stats.n_steps, 0);
    gi8_outlier_stats outliers = gi8_plan_get_outlier_stats(plan);
    assert_int_equal(outliers.columns, 0);
    assert_int_equal(outliers.outlier_columns, 0);
    gi8_plan_free(plan);
    gi8_context_free(ctx);
}

static void test_host_memory_is_refused(void **state) {
    (void)state;
    float values[4] = {0};
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *own = gi8_set_name(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 4), "mine");
    gi8_tensor_set_data(own, values);
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_graph_add_output(graph, gi8_add(ctx, gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 4), own));
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gi8_plan_create(cuda, graph, NULL, &error));
    assert_int_equal(error.status, GI8_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "mine"));
    gi8_context_free(ctx);
}

static void test_panels_are_refused(void **state) {
    (void)state;
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *x = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 64, 2);
    gi8_tensor *absmax = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 32);
    const gi8_layout layouts[] = {GI8_LAYOUT_STRIDED, GI8_LAYOUT_PANELS};
    for (int i = 0; i < 2; i++) {
        gi8_tensor *w = gi8_set_name(gi8_new_codes(ctx, 64, 32, layouts[i]), "codes");
        gi8_tensor *y = gi8_mul_mat_int8_mixed(ctx, w, absmax, NULL, x, NULL);
        assert_non_null(y);
        gi8_error reason = GI8_ERROR_INIT;
        bool supported = gi8_backend_supports(cuda, y, &reason);
        assert_int_equal(supported, layouts[i] == GI8_LAYOUT_STRIDED);
        if (!supported) {
            assert_int_equal(reason.status, GI8_ERR_UNSUPPORTED);
            assert_non_null(strstr(reason.message, "\"codes\" is in panels"));
        }
    }
    gi8_context_free(ctx);
}

/* z = (x + w) + (x + w) * 1, w a leaf with memory, on a plan that is executed again and again. */
enum { N_SUM = 1000 };

typedef struct sum_plan {
    gi8_context *ctx;
    leaf weight;
    gi8_tensor *x, *w, *y, *z;
    gi8_plan *plan;
    int64_t n_polled;
    int64_t cancel_at; /* -1: never */
} sum_plan;

static bool cancel_sometime(void *user) {
    sum_plan *s = user;
    return s->n_polled++ == s->cancel_at;
}

static void make_sum(sum_plan *s, gi8_backend *backend) {
    gi8_error error = GI8_ERROR_INIT;
    *s = (sum_plan){.ctx = gi8_context_create(NULL, NULL), .cancel_at = -1};
    s->x = gi8_new_tensor_1d(s->ctx, GI8_TYPE_F32, N_SUM);
    s->w = gi8_new_tensor_1d(s->ctx, GI8_TYPE_F32, N_SUM);
    s->weight.buffer = gi8_buffer_create(backend, gi8_buffer_space(s->w), &error);
    assert_non_null(s->weight.buffer);
    assert_ok(gi8_buffer_bind(s->weight.buffer, s->w, 0, &error), &error);
    s->y = gi8_add(s->ctx, s->x, s->w);
    s->z = gi8_add(s->ctx, s->y, s->y);
    gi8_graph *graph = gi8_graph_create(s->ctx);
    gi8_graph_add_output(graph, s->y);
    gi8_graph_add_output(graph, s->z);
    const gi8_plan_params params = {.should_cancel = cancel_sometime, .user = s};
    s->plan = gi8_plan_create(backend, graph, &params, &error);
    assert_ok(s->plan != NULL ? GI8_OK : error.status, &error);
}

static void free_sum(sum_plan *s) {
    gi8_plan_free(s->plan);
    gi8_buffer_free(s->weight.buffer);
    gi8_context_free(s->ctx);
}

static void run_sum(sum_plan *s, float value) {
    gi8_error error = GI8_ERROR_INIT;
    float x[N_SUM], w[N_SUM], y[N_SUM], z[N_SUM];
    for (int i = 0; i < N_SUM; i++) {
        x[i] = value + (float)i;
        w[i] = value * (float)(i % 7);
    }
    assert_ok(gi8_plan_write(s->plan, s->x, 0, x, sizeof x, &error), &error);
    assert_ok(gi8_tensor_write(s->w, 0, w, sizeof w, &error), &error);
    memset(x, 0, sizeof x);
    s->n_polled = 0;
    assert_ok(gi8_plan_execute(s->plan, &error), &error);
    assert_int_equal(s->n_polled, gi8_plan_get_stats(s->plan).n_steps);
    assert_ok(gi8_plan_read(s->plan, s->y, 0, y, sizeof y, &error), &error);
    assert_ok(gi8_plan_read(s->plan, s->z, 0, z, sizeof z, &error), &error);
    for (int i = 0; i < N_SUM; i++) {
        assert_true(y[i] == value + (float)i + w[i]);
        assert_true(z[i] == 2.0f * y[i]);
    }
}

static void test_plan_again_and_again(void **state) {
    (void)state;
    for (int no_graphs = 0; no_graphs < 2; no_graphs++) {
        char line[512] = "";
        const gi8_cuda_params params = {
            .no_graphs = no_graphs == 1, .log = copy_line, .log_user = line};
        gi8_backend *backend = gi8_cuda_backend_create(&params, NULL);
        assert_non_null(backend);
        sum_plan a, b;
        make_sum(&a, backend);
        make_sum(&b, backend);
        assert_string_equal(line, gi8_backend_name(backend)); /* no word of a failed capture */
        for (int i = 0; i < 5; i++) {
            run_sum(&a, (float)i);
            run_sum(&b, 100.0f - (float)i);
        }
        free_sum(&a);
        run_sum(&b, 3.0f);
        free_sum(&b);
        gi8_backend_free(backend);
    }
}

static void test_cancel(void **state) {
    (void)state;
    for (int no_graphs = 0; no_graphs < 2; no_graphs++) {
        gi8_backend *backend =
            gi8_cuda_backend_create(&(gi8_cuda_params){.no_graphs = no_graphs == 1}, NULL);
        assert_non_null(backend);
        sum_plan s;
        make_sum(&s, backend);
        run_sum(&s, 1.0f);
        for (int64_t at = 0; at < 2; at++) {
            gi8_error error = GI8_ERROR_INIT;
            s.n_polled = 0;
            s.cancel_at = at;
            assert_int_equal(gi8_plan_execute(s.plan, &error), GI8_ERR_CANCELLED);
            assert_int_equal(error.status, GI8_ERR_CANCELLED);
            s.cancel_at = -1;
            run_sum(&s, 2.0f);
        }
        free_sum(&s);
        gi8_backend_free(backend);
    }
}

/* Plans of one backend in several threads, memory coming and going in others. */
static void *run_sums(void *arg) {
    sum_plan s;
    make_sum(&s, cuda);
    for (int i = 0; i < 20; i++) {
        run_sum(&s, (float)i + *(float *)arg);
    }
    free_sum(&s);
    return NULL;
}

static void test_plans_in_threads(void **state) {
    (void)state;
    pthread_t threads[4];
    float values[4] = {1.0f, 50.0f, 100.0f, 200.0f};
    loader job = {.seed = 7};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_sums, &values[i]), 0);
    }
    load(&job);
    assert_true(job.good);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_no_such_device),
        cmocka_unit_test(test_zeroed_and_aligned),
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_empty_graph),
        cmocka_unit_test(test_host_memory_is_refused),
        cmocka_unit_test(test_panels_are_refused),
        cmocka_unit_test(test_plan_again_and_again),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_plans_in_threads),
    };
    return cmocka_run_group_tests(tests, make_backend, free_backend);
}
