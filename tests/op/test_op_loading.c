/* test_op_loading.c - int8 layers and the CPU backend: every way to load gives the same codes, and
 * gi8_backend_parallel() calls what it shall. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8_linear.h"
#include "ggml-int8/gi8_panels.h"
#include "ggml-int8/gi8_quantize.h"
#include "gi8_cpu.h"
#include "test_seed.h"

static gi8_backend *backend_new(gi8_cpu_isa isa, int n_threads) {
    const gi8_cpu_params params = {.n_threads = n_threads, .isa = isa, .limit_isa = true};
    gi8_error error = GI8_ERROR_INIT;
    gi8_backend *backend = gi8_cpu_backend_create(&params, &error);
    if (backend == NULL) {
        fail_msg("%s", error.message);
    }
    return backend;
}

/* A weight and what it must become. */
typedef struct weight {
    gi8_type type;
    int64_t k, n;
    char *values;
    int8_t *codes;
    float *absmax;
} weight;

static weight weight_new(test_rng *rng, gi8_type type, int64_t k, int64_t n) {
    weight w = {type, k, n, malloc((size_t)(k * n) * sizeof(float)), malloc((size_t)(k * n)),
                malloc((size_t)n * sizeof(float))};
    float *values = malloc((size_t)(k * n) * sizeof *values);
    assert_true(w.values != NULL && w.codes != NULL && w.absmax != NULL && values != NULL);
    for (int64_t i = 0; i < k * n; i++) {
        values[i] = test_rng_normal(rng) * 0.02f;
    }
    assert_int_equal(gi8_convert_from_fp32(type, values, k * n, w.values), GI8_OK);
    free(values);
    assert_int_equal(gi8_int8_quantize_weight_rows(type, w.values, k, n, w.codes, w.absmax, NULL),
                     GI8_OK);
    return w;
}

static void weight_free(weight *w) {
    free(w->values);
    free(w->codes);
    free(w->absmax);
}

static const char *row_of(const weight *w, int64_t row) {
    return w->values + (size_t)(row * w->k) * gi8_type_size(w->type);
}

static gi8_linear_int8 *layer_new(gi8_backend *backend, const weight *w) {
    const gi8_linear_int8_params params = {.in_features = w->k,
                                           .out_features = w->n,
                                           .op = GI8_INT8_PARAMS_DEFAULT,
                                           .name = "dense"};
    gi8_linear_int8 *linear = gi8_linear_int8_create(backend, &params, NULL);
    assert_non_null(linear);
    return linear;
}

/* The layer's memory is what rows quantized one by one and packed would be, padding included. */
static void assert_holds(const gi8_linear_int8 *linear, const weight *w) {
    const gi8_tensor *codes = gi8_linear_int8_codes(linear);
    const size_t size = gi8_panels_size(w->k, w->n);
    int8_t *expected = calloc(1, size);
    int8_t *rows = malloc((size_t)(w->k * w->n));
    float *absmax = malloc((size_t)w->n * sizeof *absmax);
    assert_true(expected != NULL && rows != NULL && absmax != NULL);
    gi8_panels_pack(w->codes, w->k, 0, w->n, expected);
    assert_int_equal(codes->layout, GI8_LAYOUT_PANELS);
    assert_memory_equal(codes->data, expected, size);
    assert_memory_equal(gi8_linear_int8_absmax(linear)->data, w->absmax,
                        (size_t)w->n * sizeof *absmax);

    const int64_t first = w->n / 3;
    assert_int_equal(gi8_linear_int8_read_codes(linear, 0, w->n, rows, absmax, NULL), GI8_OK);
    assert_memory_equal(rows, w->codes, (size_t)(w->k * w->n));
    assert_memory_equal(absmax, w->absmax, (size_t)w->n * sizeof *absmax);
    assert_int_equal(gi8_linear_int8_read_codes(linear, first, 1, rows, absmax, NULL), GI8_OK);
    assert_memory_equal(rows, w->codes + first * w->k, (size_t)w->k);
    assert_int_equal(gi8_linear_int8_read_codes(linear, first + 1, w->n, rows, absmax, NULL),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_read_codes(linear, 0, 1, NULL, absmax, NULL),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_read_codes(linear, 0, 1, rows, NULL, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_linear_int8_read_codes(NULL, 0, 1, rows, absmax, NULL), GI8_ERR_ARGUMENT);
    free(expected);
    free(rows);
    free(absmax);
}

/* Whole; from behind in pieces that begin and end anywhere; as codes. */
static void check_ways(test_rng *rng, gi8_backend *backend, const weight *w) {
    gi8_linear_int8 *linear = layer_new(backend, w);
    assert_int_equal(gi8_linear_int8_load_rows(linear, 0, w->n, w->type, w->values, NULL), GI8_OK);
    assert_holds(linear, w);
    gi8_linear_int8_free(linear);

    linear = layer_new(backend, w);
    for (int64_t end = w->n; end > 0;) {
        const int64_t n = test_rng_int(rng, 1, end < 40 ? end : 40);
        end -= n;
        assert_int_equal(
            gi8_linear_int8_load_rows(linear, end, n, w->type, row_of(w, end), NULL), GI8_OK);
    }
    assert_holds(linear, w);
    gi8_linear_int8_free(linear);

    linear = layer_new(backend, w);
    const int64_t split = test_rng_int(rng, 0, w->n);
    assert_int_equal(gi8_linear_int8_load_codes(linear, split, w->n - split,
                                                w->codes + split * w->k, w->absmax + split, NULL),
                     GI8_OK);
    assert_int_equal(gi8_linear_int8_load_codes(linear, 0, split, w->codes, w->absmax, NULL),
                     GI8_OK);
    assert_holds(linear, w);
    gi8_linear_int8_free(linear);
}

static void test_all_ways(void **state) {
    (void)state;
    static const struct {
        int64_t k, n;
    } shapes[] = {{1, 1}, {3, 16}, {64, 15}, {64, 33}, {100, 48}, {257, 70}, {1030, 17}};
    test_rng rng = test_rng_seeded(31);
    for (int isa = 0; isa < GI8_CPU_ISA_COUNT; isa++) {
        if (!gi8_cpu_isa_available((gi8_cpu_isa)isa)) {
            continue;
        }
        gi8_backend *backend = backend_new((gi8_cpu_isa)isa, 1);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
                weight w = weight_new(&rng, (gi8_type)type, shapes[s].k, shapes[s].n);
                check_ways(&rng, backend, &w);
                weight_free(&w);
            }
        }
        gi8_backend_free(backend);
    }
}

/* The sentence counts every NaN and Inf of the call, in whole panels and in parts of one. */
static void test_not_finite(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(32);
    for (int isa = 0; isa < GI8_CPU_ISA_COUNT; isa++) {
        if (!gi8_cpu_isa_available((gi8_cpu_isa)isa)) {
            continue;
        }
        gi8_backend *backend = backend_new((gi8_cpu_isa)isa, 1);
        weight w = weight_new(&rng, GI8_TYPE_F32, 70, 52);
        float *values = (float *)(void *)w.values;
        values[70 * 5 + 69] = NAN;   /* a whole panel */
        values[70 * 5 + 1] = NAN;
        values[70 * 40] = INFINITY;  /* another */
        values[70 * 50 + 3] = -INFINITY; /* the part at the end */
        gi8_linear_int8 *linear = layer_new(backend, &w);
        gi8_error error = GI8_ERROR_INIT;
        assert_int_equal(gi8_linear_int8_load_rows(linear, 0, 52, GI8_TYPE_F32, values, &error),
                         GI8_ERR_NOT_FINITE);
        assert_non_null(strstr(error.message, "4 of the 3640 weights of rows 0 to 51"));
        assert_int_equal(
            gi8_linear_int8_load_rows(linear, 6, 10, GI8_TYPE_F32, values + 70 * 6, &error),
            GI8_OK);
        gi8_linear_int8_free(linear);
        weight_free(&w);
        gi8_backend_free(backend);
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { TILE = 7 }; /* rows; panels are shared by tiles */

typedef struct shared_load {
    gi8_linear_int8 *linear;
    const weight *w;
    _Atomic int64_t failures;
} shared_load;

static void load_tile(void *arg, int64_t i) {
    shared_load *job = arg;
    const int64_t first = i * TILE;
    const int64_t n = job->w->n - first < TILE ? job->w->n - first : TILE;
    job->failures += gi8_linear_int8_load_rows(job->linear, first, n, job->w->type,
                                               row_of(job->w, first), NULL) != GI8_OK;
}

static void test_parallel_loading(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(33);
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        gi8_backend *backend = backend_new(gi8_cpu_isa_best(), n_threads);
        weight w = weight_new(&rng, GI8_TYPE_F16, 300, 1003);
        shared_load job = {.linear = layer_new(backend, &w), .w = &w};
        gi8_backend_parallel(backend, (w.n + TILE - 1) / TILE, load_tile, &job);
        assert_int_equal(job.failures, 0);
        assert_holds(job.linear, &w);
        gi8_linear_int8_free(job.linear);
        weight_free(&w);
        gi8_backend_free(backend);
    }
}

enum { CALLS = 1000 };

typedef struct call_counts {
    gi8_backend *backend;
    bool nested;
    _Atomic int n[CALLS];
} call_counts;

static void count_call(void *arg, int64_t i) {
    call_counts *counts = arg;
    if (counts->nested && i % 100 == 0) { /* the threads are taken: in order, in this one */
        call_counts inner = {.backend = counts->backend};
        gi8_backend_parallel(counts->backend, 5, count_call, &inner);
        for (int j = 0; j < 6; j++) {
            counts->n[i] += inner.n[j] != (j < 5);
        }
    }
    counts->n[i]++;
}

static void check_calls(gi8_backend *backend, int64_t n, bool nested) {
    call_counts counts = {.backend = backend, .nested = nested};
    gi8_backend_parallel(backend, n, count_call, &counts);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(counts.n[i], i < n ? 1 : 0);
    }
}

static void *check_calls_thread(void *backend) {
    for (int i = 0; i < 20; i++) {
        check_calls(backend, CALLS, i % 2 == 0);
    }
    return NULL;
}

static void test_parallel_calls(void **state) {
    (void)state;
    check_calls(NULL, 10, false);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        gi8_backend *backend = backend_new(GI8_CPU_ISA_SCALAR, n_threads);
        check_calls(backend, -1, false);
        check_calls(backend, 0, false);
        check_calls(backend, 1, false);
        check_calls(backend, CALLS, false);
        check_calls(backend, CALLS, true);
        pthread_t other; /* two callers: one of them has the threads */
        assert_int_equal(pthread_create(&other, NULL, check_calls_thread, backend), 0);
        check_calls_thread(backend);
        assert_int_equal(pthread_join(other, NULL), 0);
        gi8_backend_free(backend);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ways),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_parallel_loading),
        cmocka_unit_test(test_parallel_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
