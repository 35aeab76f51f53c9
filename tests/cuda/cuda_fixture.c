/* cuda_fixture.c - one graph on two backends. */
#include "cuda_fixture.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gi8_cpu.h"

static gi8_backend *cpu;
static gi8_backend *cuda;

int cuda_backends_create(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    cuda = test_device_create();
    cpu = gi8_cpu_backend_create(&(gi8_cpu_params){.n_threads = 1}, &error);
    if (cpu == NULL) {
        printf("%s\n", error.message);
        return -1;
    }
    printf("%s\n", gi8_backend_name(cuda));
    return 0;
}

int cuda_backends_free(void **state) {
    (void)state;
    gi8_backend_free(cpu);
    gi8_backend_free(cuda);
    return 0;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

/* Takes `values`, malloc memory of gi8_nbytes(t). */
static gi8_tensor *add_leaf(cuda_case *c, gi8_tensor *t, void *values) {
    assert_non_null(t);
    assert_true(c->n_leaves < CUDA_MAX_LEAVES);
    c->leaves[c->n_leaves] = t;
    c->values[c->n_leaves] = values;
    c->n_leaves++;
    return t;
}

gi8_tensor *cuda_input(cuda_case *c, gi8_type type, const int64_t ne[4], const void *values) {
    gi8_tensor *t = gi8_new_tensor(c->ctx, type, 4, ne);
    void *copy = malloc(gi8_nbytes(t) + 1);
    assert_non_null(copy);
    if (gi8_nbytes(t) > 0) {
        memcpy(copy, values, gi8_nbytes(t));
    }
    return add_leaf(c, t, copy);
}

gi8_tensor *cuda_i32_input(cuda_case *c, int64_t n, const int32_t *values) {
    return cuda_input(c, GI8_TYPE_I32, (int64_t[]){n, 1, 1, 1}, values);
}

static gi8_tensor *random_leaf(cuda_case *c, gi8_type type, const int64_t ne[4], float low,
                               float high) {
    gi8_tensor *t = gi8_new_tensor(c->ctx, type, 4, ne);
    int64_t count = gi8_nelements(t);
    size_t size = gi8_type_size(type);
    char *values = malloc(gi8_nbytes(t) + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        void *to = values + (size_t)i * size;
        if (gi8_type_is_float(type)) {
            float value = test_rng_float(&c->rng, low, high);
            assert_int_equal(gi8_convert_from_fp32(type, &value, 1, to), GI8_OK);
        } else {
            int32_t value = (int32_t)test_rng_int(&c->rng, 0, 100); /* the same in one byte */
            int8_t byte = (int8_t)value;
            memcpy(to, size == 1 ? (const void *)&byte : (const void *)&value, size);
        }
    }
    return add_leaf(c, t, values);
}

gi8_tensor *cuda_random_input(cuda_case *c, gi8_type type, const int64_t ne[4], float low,
                              float high, int64_t gap, int64_t shift) {
    if (gap == 0) {
        return random_leaf(c, type, ne, low, high);
    }
    gi8_tensor *wide = random_leaf(c, type, (int64_t[]){ne[0] + gap, ne[1], ne[2], ne[3]}, low,
                                   high);
    return gi8_view_4d(c->ctx, wide, ne[0], ne[1], ne[2], ne[3], wide->nb[1], wide->nb[2],
                       wide->nb[3], (size_t)shift * gi8_type_size(type));
}

gi8_tensor *cuda_random_memory(cuda_case *c, gi8_type type, const int64_t ne[4]) {
    gi8_tensor *t = random_leaf(c, type, ne, -4.0f, 4.0f);
    gi8_error error = GI8_ERROR_INIT;
    gi8_buffer *buffer = gi8_buffer_create(c->backend, gi8_buffer_space(t), &error);
    if (buffer == NULL || gi8_buffer_bind(buffer, t, 0, &error) != GI8_OK) {
        fail_msg("%s", error.message);
    }
    c->buffers[c->n_leaves - 1] = buffer;
    return t;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void set_leaves(cuda_case *c, gi8_plan *plan, const gi8_graph *graph) {
    gi8_error error = GI8_ERROR_INIT;
    for (int i = 0; i < c->n_leaves; i++) {
        gi8_tensor *leaf = c->leaves[i];
        size_t size = gi8_nbytes(leaf);
        if (size == 0) {
            continue;
        }
        if (c->buffers[i] != NULL) {
            assert_ok(gi8_tensor_write(leaf, 0, c->values[i], size, &error), &error);
            continue;
        }
        for (int64_t j = 0; j < gi8_graph_n_leaves(graph); j++) {
            if (gi8_graph_leaf(graph, j) == leaf) {
                assert_ok(gi8_plan_write(plan, leaf, 0, c->values[i], size, &error), &error);
            }
        }
    }
}

static void read_result(const gi8_plan *plan, const gi8_tensor *output, void *bytes) {
    gi8_error error = GI8_ERROR_INIT;
    const gi8_tensor *root = output->view_src != NULL ? output->view_src : output;
    size_t size = gi8_nbytes(root->data != NULL ? root : output);
    if (size > 0) {
        assert_ok(root->data != NULL ? gi8_tensor_read(root, 0, bytes, size, &error)
                                     : gi8_plan_read(plan, output, 0, bytes, size, &error), &error);
    }
}

static cuda_result run_on(gi8_backend *backend, cuda_build *build, const void *arg, uint64_t seed) {
    cuda_case c = {.ctx = gi8_context_create(NULL, NULL), .backend = backend, .rng = {seed}};
    assert_non_null(c.ctx);
    gi8_tensor *output = build(&c, arg);
    if (output == NULL) {
        fail_msg("%s", gi8_context_message(c.ctx));
    }
    gi8_graph *graph = gi8_graph_create(c.ctx);
    assert_int_equal(gi8_graph_add_output(graph, output), GI8_OK);
    gi8_error error = GI8_ERROR_INIT;
    gi8_plan *plan = gi8_plan_create(backend, graph, NULL, &error);
    if (plan == NULL) {
        fail_msg("%s", error.message);
    }
    const gi8_tensor *root = output->view_src != NULL ? output->view_src : output;
    const gi8_tensor *read = root->data != NULL ? root : output;
    size_t size = gi8_nbytes(read);
    cuda_result result = {read->type, (int64_t)(size / gi8_type_size(read->type)),
                          calloc(1, size + 1), {0, 0}};
    void *again = calloc(1, size + 1);
    assert_true(result.bytes != NULL && again != NULL);
    for (int run = 0; run < 2; run++) {
        set_leaves(&c, plan, graph);
        assert_ok(gi8_plan_execute(plan, &error), &error);
        read_result(plan, output, run == 0 ? result.bytes : again);
    }
    assert_memory_equal(result.bytes, again, size);
    result.outliers = gi8_plan_get_outlier_stats(plan);
    free(again);
    gi8_plan_free(plan);
    for (int i = 0; i < c.n_leaves; i++) {
        gi8_buffer_free(c.buffers[i]);
        free(c.values[i]);
    }
    gi8_context_free(c.ctx);
    return result;
}

cuda_result cuda_run_cpu(cuda_build *build, const void *arg, uint64_t seed) {
    return run_on(cpu, build, arg, seed);
}

cuda_result cuda_run_cuda(cuda_build *build, const void *arg, uint64_t seed) {
    return run_on(cuda, build, arg, seed);
}

void cuda_result_free(cuda_result *result) {
    free(result->bytes);
    *result = (cuda_result){0};
}

/* ---- comparison ------------------------------------------------------------------------------ */

void cuda_assert_close(const cuda_result *expected, const cuda_result *actual, const char *what,
                       double relative, double absolute) {
    assert_int_equal(expected->type, actual->type);
    assert_int_equal(expected->count, actual->count);
    size_t size = gi8_type_size(expected->type);
    for (int64_t i = 0; i < expected->count; i++) {
        const char *e_bytes = (const char *)expected->bytes + (size_t)i * size;
        const char *a_bytes = (const char *)actual->bytes + (size_t)i * size;
        if (memcmp(e_bytes, a_bytes, size) == 0) {
            continue;
        }
        if (!gi8_type_is_float(expected->type)) {
            fail_msg("%s: element %" PRId64 " differs", what, i);
        }
        float e = 0.0f;
        float a = 0.0f;
        gi8_convert_to_fp32(expected->type, e_bytes, 1, &e);
        gi8_convert_to_fp32(expected->type, a_bytes, 1, &a);
        double bound = absolute + relative * fabs((double)e);
        bool close = e == a || (isnan(e) && isnan(a)) ||
                     (isfinite(e) && isfinite(a) && fabs((double)a - (double)e) <= bound);
        if (!close) {
            fail_msg("%s: element %" PRId64 " is %.9g, on the CPU %.9g, bound %.3g", what, i,
                     (double)a, (double)e, bound);
        }
    }
}

void cuda_compare(cuda_build *build, const void *arg, uint64_t seed, const char *what,
                  double relative, double absolute) {
    cuda_result expected = cuda_run_cpu(build, arg, seed);
    cuda_result actual = cuda_run_cuda(build, arg, seed);
    cuda_assert_close(&expected, &actual, what, relative, absolute);
    cuda_result_free(&expected);
    cuda_result_free(&actual);
}
