/* test_cuda_launches.c - how many kernels a layer of a transformer takes. Each has a latency, and
 * while one token is decoded little else takes time: a step that is no longer computed together
 * with its neighbours shows here. Of the emulation only, which counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulator.h"
#include "ggml-int8/gi8_backend.h"
#include "gi8_cuda.h"

enum { SIZE = 64, HEADS = 2, INNER = 4 * SIZE, POSITIONS = 64 };

typedef struct layer_case {
    const char *what;
    gi8_type weights; /* I8: LLM.int8() */
    bool parallel;    /* the residual, as use_parallel_residual of GPT-NeoX */
    int64_t n_tokens;
    unsigned long launches;
} layer_case;

static gi8_backend *backend;

static gi8_tensor *vector(gi8_context *ctx, int64_t n) {
    return gi8_new_tensor_1d(ctx, GI8_TYPE_F32, n);
}

static gi8_tensor *linear(gi8_context *ctx, const layer_case *c, int64_t n, gi8_tensor *x) {
    gi8_tensor *w = gi8_new_tensor_2d(ctx, c->weights, x->ne[0], n);
    gi8_tensor *bias = vector(ctx, n);
    if (c->weights != GI8_TYPE_I8) {
        return gi8_add(ctx, gi8_mul_mat(ctx, w, x), bias);
    }
    const gi8_int8_params params = GI8_INT8_PARAMS_DEFAULT;
    return gi8_mul_mat_int8_mixed(ctx, w, vector(ctx, n), bias, x, &params);
}

static gi8_tensor *norm(gi8_context *ctx, gi8_tensor *x) {
    return gi8_layer_norm(ctx, x, vector(ctx, SIZE), vector(ctx, SIZE), 1e-5f);
}

/* As models/gptneox builds it. */
static gi8_tensor *layer(gi8_context *ctx, const layer_case *c, gi8_tensor *x,
                         gi8_tensor *positions, gi8_tensor *k_cache, gi8_tensor *v_cache) {
    const int64_t e = SIZE / HEADS;
    const size_t part = (size_t)e * sizeof(float);
    const size_t row = 3 * SIZE * sizeof(float);
    gi8_tensor *sequences = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, c->n_tokens);
    const gi8_rope_params rope = {8, 10000.0f, 1.0f};
    gi8_tensor *qkv = linear(ctx, c, 3 * SIZE, norm(ctx, x));
    gi8_tensor *q = gi8_view_3d(ctx, qkv, e, HEADS, c->n_tokens, 3 * part, row, 0);
    gi8_tensor *k = gi8_view_3d(ctx, qkv, e, HEADS, c->n_tokens, 3 * part, row, part);
    gi8_tensor *v = gi8_view_3d(ctx, qkv, e, HEADS, c->n_tokens, 3 * part, row, 2 * part);
    k = gi8_kv_store(ctx, k_cache, gi8_rope(ctx, k, positions, &rope), positions, sequences);
    v = gi8_kv_store(ctx, v_cache, v, positions, sequences);
    gi8_tensor *y = gi8_attention(ctx, gi8_rope(ctx, q, positions, &rope), k, v, positions,
                                  sequences, 0.2f);
    gi8_tensor *attn = linear(ctx, c, SIZE, gi8_reshape_2d(ctx, y, SIZE, c->n_tokens));
    gi8_tensor *middle = c->parallel ? x : gi8_add(ctx, attn, x);
    gi8_tensor *h = gi8_gelu(ctx, linear(ctx, c, INNER, norm(ctx, middle)));
    gi8_tensor *ff = linear(ctx, c, SIZE, h);
    return c->parallel ? gi8_add(ctx, gi8_add(ctx, ff, attn), x) : gi8_add(ctx, ff, middle);
}

static unsigned long launches_of(const layer_case *c) {
    gi8_error error = GI8_ERROR_INIT;
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *caches[2];
    gi8_buffer *buffers[2];
    for (int i = 0; i < 2; i++) {
        caches[i] = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, SIZE / HEADS, POSITIONS, HEADS, 1);
        buffers[i] = gi8_buffer_create(backend, gi8_buffer_space(caches[i]), &error);
        assert_non_null(buffers[i]);
        assert_int_equal(gi8_buffer_bind(buffers[i], caches[i], 0, &error), GI8_OK);
    }
    gi8_tensor *x = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, SIZE, c->n_tokens);
    gi8_tensor *positions = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, c->n_tokens);
    gi8_tensor *y = layer(ctx, c, x, positions, caches[0], caches[1]);
    if (y == NULL) {
        fail_msg("%s", gi8_context_message(ctx));
    }
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    const unsigned long before = gi8emu_calls("cudaLaunchKernelExC");
    const unsigned long by_cublas = gi8emu_calls("cublasLtMatmul");
    gi8_plan *plan = gi8_plan_create(backend, graph, NULL, &error);
    if (plan == NULL) {
        fail_msg("%s", error.message);
    }
    for (int32_t t = 0; t < c->n_tokens; t++) { /* no two tokens at one place of the cache */
        const size_t at = (size_t)t * sizeof t;
        assert_int_equal(gi8_plan_write(plan, positions, at, &t, sizeof t, &error), GI8_OK);
    }
    assert_int_equal(gi8emu_calls("cublasLtMatmul"), by_cublas);
    const unsigned long launches = gi8emu_calls("cudaLaunchKernelExC") - before;
    assert_int_equal(gi8_plan_execute(plan, &error), GI8_OK);
    assert_int_equal(gi8emu_calls("cudaLaunchKernelExC") - before, launches); /* as one graph */
    gi8_plan_free(plan);
    for (int i = 0; i < 2; i++) {
        gi8_buffer_free(buffers[i]);
    }
    gi8_context_free(ctx);
    return launches;
}

static void test_layer(void **state) {
    (void)state;
    static const layer_case cases[] = {
        /* norm and product; rope and stores; attention; product; norm, product and GELU; product
         * and sums */
        {"int8, one token", GI8_TYPE_I8, true, 1, 6},
        {"int8, one token, residuals one by one", GI8_TYPE_I8, false, 1, 6},
        /* the norms for themselves */
        {"int8, three tokens", GI8_TYPE_I8, true, 3, 8},
        /* and x of each product is quantized before it, with the norm where there is one */
        {"int8, a short prompt", GI8_TYPE_I8, true, 9, 10},
        /* and each product has two kernels for many outlier columns */
        {"int8, a prompt", GI8_TYPE_I8, true, 40, 18},
        {"F16, one token", GI8_TYPE_F16, true, 1, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const unsigned long launches = launches_of(&cases[i]);
        if (launches != cases[i].launches) {
            fail_msg("%s: %lu launches, expected %lu", cases[i].what, launches, cases[i].launches);
        }
    }
}

static int create(void **state) {
    (void)state;
    backend = gi8_cuda_backend_create(NULL, NULL);
    return backend != NULL ? 0 : -1;
}

static int destroy(void **state) {
    (void)state;
    gi8_backend_free(backend);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer),
    };
    return cmocka_run_group_tests(tests, create, destroy);
}
