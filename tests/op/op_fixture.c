/* op_fixture.c - the runner of the op tests. */
#include "op_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-int8/gi8_panels.h"
#ifdef GI8_TEST_CUDA
#include "test_device.h"
#endif

enum { MAX_BACKENDS = 4 * GI8_CPU_ISA_COUNT };

static gi8_backend *backends[MAX_BACKENDS]; /* of the CPU */
static int n_backends;
static gi8_backend *device; /* or NULL */

#ifdef GI8_TEST_CUDA

int op_backends_create(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    device = test_device_create();
    backends[0] = gi8_cpu_backend_create(NULL, &error);
    if (backends[0] == NULL) {
        printf("%s\n", error.message);
        return -1;
    }
    n_backends = 1;
    return 0;
}

#else

int op_backends_create(void **state) {
    (void)state;
    n_backends = 0;
    for (int isa = 0; isa < GI8_CPU_ISA_COUNT; isa++) {
        if (!gi8_cpu_isa_available((gi8_cpu_isa)isa)) {
            continue;
        }
        for (int n_threads = 1; n_threads <= 4; n_threads++) {
            gi8_error error = GI8_ERROR_INIT;
            gi8_cpu_params params = {
                .n_threads = n_threads, .isa = (gi8_cpu_isa)isa, .limit_isa = true};
            backends[n_backends] = gi8_cpu_backend_create(&params, &error);
            if (backends[n_backends] == NULL) {
                printf("%s\n", error.message);
                return -1;
            }
            n_backends++;
        }
    }
    return 0;
}

#endif

int op_backends_free(void **state) {
    (void)state;
    gi8_backend_free(device);
    device = NULL;
    for (int i = 0; i < n_backends; i++) {
        gi8_backend_free(backends[i]);
    }
    n_backends = 0;
    return 0;
}

int op_n_backends(void) {
    return n_backends;
}

gi8_backend *op_backend(int index) {
    return backends[index];
}

void op_begin(op_case *c) {
    memset(c, 0, sizeof *c);
    c->ctx = gi8_context_create(NULL, NULL);
    assert_non_null(c->ctx);
}

void op_end(op_case *c) {
    for (int i = 0; i < c->n_leaves; i++) {
        free(c->values[i]);
        free(c->memory[i]);
    }
    gi8_context_free(c->ctx);
}

static gi8_tensor *add_leaf(op_case *c, gi8_tensor *t, const void *values) {
    assert_true(c->n_leaves < OP_MAX_LEAVES);
    assert_non_null(t);
    size_t size = gi8_nbytes(t);
    c->values[c->n_leaves] = malloc(size + 1);
    assert_non_null(c->values[c->n_leaves]);
    if (size > 0) {
        memcpy(c->values[c->n_leaves], values, size);
    }
    c->leaves[c->n_leaves] = t;
    c->n_leaves++;
    return t;
}

gi8_tensor *op_input(op_case *c, gi8_type type, const int64_t ne[4], const void *values) {
    return add_leaf(c, gi8_new_tensor(c->ctx, type, 4, ne), values);
}

/* Gives the leaf that was added last memory of its own. */
static gi8_tensor *own_memory(op_case *c, gi8_tensor *t) {
    void *memory = malloc(gi8_nbytes(t) + 1);
    assert_non_null(memory);
    c->memory[c->n_leaves - 1] = memory;
    assert_int_equal(gi8_tensor_set_data(t, memory), GI8_OK);
    return t;
}

gi8_tensor *op_memory(op_case *c, gi8_type type, const int64_t ne[4], const void *values) {
    return own_memory(c, add_leaf(c, gi8_new_tensor(c->ctx, type, 4, ne), values));
}

gi8_tensor *op_codes(op_case *c, gi8_layout layout, int64_t k, int64_t n, const int8_t *codes) {
    if (layout == GI8_LAYOUT_STRIDED || device != NULL) {
        return op_memory(c, GI8_TYPE_I8, (int64_t[]){k, n, 1, 1}, codes);
    }
    int8_t *panels = calloc(1, gi8_panels_size(k, n) + 1);
    assert_non_null(panels);
    gi8_panels_pack(codes, k, 0, n, panels);
    gi8_tensor *t = own_memory(c, add_leaf(c, gi8_new_codes(c->ctx, k, n, layout), panels));
    free(panels);
    return t;
}

gi8_tensor *op_float_input(op_case *c, gi8_type type, const int64_t ne[4], const float *values) {
    int64_t count = ne[0] * ne[1] * ne[2] * ne[3];
    void *converted = malloc((size_t)count * gi8_type_size(type) + 1);
    assert_non_null(converted);
    assert_int_equal(gi8_convert_from_fp32(type, values, count, converted), GI8_OK);
    gi8_tensor *t = op_input(c, type, ne, converted);
    free(converted);
    return t;
}

bool op_same_bits(gi8_type type, const void *a, const void *b, int64_t count) {
    size_t size = gi8_type_size(type);
    for (int64_t i = 0; i < count; i++) {
        const char *pa = (const char *)a + (size_t)i * size;
        const char *pb = (const char *)b + (size_t)i * size;
        if (memcmp(pa, pb, size) != 0) {
            float fa = 0.0f;
            float fb = 0.0f;
            if (!gi8_type_is_float(type)) {
                return false;
            }
            gi8_convert_to_fp32(type, pa, 1, &fa);
            gi8_convert_to_fp32(type, pb, 1, &fb);
            if (!isnan(fa) || !isnan(fb)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void must(const gi8_backend *backend, gi8_status status, const gi8_error *error) {
    if (status != GI8_OK) {
        fail_msg("%s: %s", gi8_backend_name(backend), error->message);
    }
}

static void set_leaves(const op_case *c, gi8_backend *backend, gi8_plan *plan) {
    gi8_error error = GI8_ERROR_INIT;
    for (int i = 0; i < c->n_leaves; i++) {
        size_t size = gi8_nbytes(c->leaves[i]);
        if (size == 0) {
            continue;
        }
        if (c->memory[i] != NULL) {
            must(backend, gi8_tensor_write(c->leaves[i], 0, c->values[i], size, &error), &error);
        } else {
            /* A leaf that the graph does not use is no input: its write is refused. */
            gi8_plan_write(plan, c->leaves[i], 0, c->values[i], size, NULL);
        }
    }
}

static void run_on(op_case *c, gi8_backend *backend, const gi8_graph *graph, bool no_reuse,
                   gi8_tensor *output, void *result) {
    gi8_error error = GI8_ERROR_INIT;
    gi8_plan_params params = {.guard = true, .no_reuse = no_reuse};
    gi8_plan *plan = gi8_plan_create(backend, graph, &params, &error);
    if (plan == NULL) {
        fail_msg("%s: %s", gi8_backend_name(backend), error.message);
    }
    for (int run = 0; run < 2; run++) {
        set_leaves(c, backend, plan);
        must(backend, gi8_plan_execute(plan, &error), &error);
    }
    c->outliers = gi8_plan_get_outlier_stats(plan);
    if (!no_reuse) {
        c->stats = gi8_plan_get_stats(plan);
    }
    const gi8_tensor *root = output->view_src != NULL ? output->view_src : output;
    size_t size = gi8_nbytes(root->data != NULL ? root : output);
    if (size > 0) {
        must(backend,
             root->data != NULL ? gi8_tensor_read(root, 0, result, size, &error)
                                : gi8_plan_read(plan, output, 0, result, size, &error),
             &error);
    }
    gi8_plan_free(plan);
}

static void compare_with_device(const op_case *c, gi8_type type, int64_t count,
                                const char *expected, const char *actual) {
    size_t size = gi8_type_size(type);
    for (int64_t i = 0; i < count; i++) {
        const char *e_bytes = expected + (size_t)i * size;
        const char *a_bytes = actual + (size_t)i * size;
        if (op_same_bits(type, e_bytes, a_bytes, 1)) {
            continue;
        }
        float e = 0.0f;
        float a = 0.0f;
        if (!gi8_type_is_float(type)) {
            fail_msg("%s and the CPU differ in element %lld", gi8_backend_name(device),
                     (long long)i);
        }
        gi8_convert_to_fp32(type, e_bytes, 1, &e);
        gi8_convert_to_fp32(type, a_bytes, 1, &a);
        op_assert_close(a, (double)e, c->absolute + c->relative * fabs((double)e),
                        "device and CPU", i);
    }
}

/* Runs the graph on the device, with the leaves that have memory of their own in its memory. */
static void run_on_device(op_case *c, const gi8_graph *graph, gi8_tensor *output, gi8_type type,
                          int64_t count, const void *expected) {
    op_case d = *c;
    gi8_error error = GI8_ERROR_INIT;
    gi8_buffer *buffers[OP_MAX_LEAVES] = {NULL};
    for (int i = 0; i < c->n_leaves; i++) {
        if (c->memory[i] != NULL) {
            buffers[i] = gi8_buffer_create(device, gi8_buffer_space(c->leaves[i]), &error);
            must(device, error.status, &error);
            must(device, gi8_buffer_bind(buffers[i], c->leaves[i], 0, &error), &error);
        }
    }
    size_t size = (size_t)count * gi8_type_size(type) + 1;
    void *separate = calloc(1, size);
    void *fused = calloc(1, size);
    assert_true(separate != NULL && fused != NULL);
    run_on(&d, device, graph, true, output, separate);
    compare_with_device(c, type, count, expected, separate);
    run_on(&d, device, graph, false, output, fused);
    compare_with_device(c, type, count, expected, fused);
#ifdef GI8_CUDA_EMULATION
    const bool same_sums = true;
#else
    const bool same_sums = !c->sums_vary;
#endif
    if (same_sums && !op_same_bits(type, separate, fused, count)) {
        fail_msg("%s with and without fused nodes differ", gi8_backend_name(device));
    }
    assert_int_equal(d.outliers.columns, c->outliers.columns);
    assert_int_equal(d.outliers.outlier_columns, c->outliers.outlier_columns);
    free(separate);
    free(fused);
    for (int i = 0; i < c->n_leaves; i++) {
        if (c->memory[i] != NULL) {
            assert_int_equal(gi8_tensor_set_data(c->leaves[i], c->memory[i]), GI8_OK);
            gi8_buffer_free(buffers[i]);
        }
    }
}

void *op_run(op_case *c, gi8_tensor *output) {
    if (output == NULL) {
        fail_msg("%s", gi8_context_message(c->ctx));
    }
    gi8_graph *graph = gi8_graph_create(c->ctx);
    assert_int_equal(gi8_graph_add_output(graph, output), GI8_OK);
    const gi8_tensor *root = output->view_src != NULL ? output->view_src : output;
    int64_t count = gi8_nelements(root);
    size_t size = (size_t)count * gi8_type_size(root->type) + 1;
    void *first = calloc(1, size);
    void *other = calloc(1, size);
    assert_true(first != NULL && other != NULL);
    for (int i = 0; i < 2 * n_backends; i++) {
        bool no_reuse = i % 2 == 0;
        run_on(c, backends[i / 2], graph, no_reuse, output, i == 0 ? first : other);
        if (i > 0 && !op_same_bits(root->type, first, other, count)) {
            fail_msg("%s without reuse and %s with%s differ", gi8_backend_name(backends[0]),
                     gi8_backend_name(backends[i / 2]), no_reuse ? "out" : "");
        }
    }
    free(other);
    if (device != NULL) {
        run_on_device(c, graph, output, root->type, count, first);
    }
    return first;
}

/* ---- values ---------------------------------------------------------------------------------- */

float *op_random(test_rng *rng, int64_t count, float low, float high) {
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = test_rng_float(rng, low, high);
    }
    return values;
}

void op_assert_close(float actual, double expected, double tolerance, const char *what,
                     int64_t index) {
    bool close = isnan(expected)   ? isnan(actual)
                 : isinf(expected) ? (double)actual == expected
                                   : fabs((double)actual - expected) <= tolerance;
    if (!close) {
        fail_msg("%s: element %lld is %.9g, expected %.17g within %.3g", what, (long long)index,
                 (double)actual, expected, tolerance);
    }
}

void op_round_to(gi8_type type, float *values, int64_t count) {
    uint32_t buffer;
    for (int64_t i = 0; i < count; i++) {
        gi8_convert_from_fp32(type, values + i, 1, &buffer);
        gi8_convert_to_fp32(type, &buffer, 1, values + i);
    }
}
