/* test_planner_transformer.c - plans of the layers of a transformer. */
#include "planner_fixture.h"

#define KIB ((size_t)1024)

typedef struct model_shape {
    int64_t d, n_heads, n_tokens, n_layers, n_vocab, n_cache;
} model_shape;

/* A leaf with memory that nobody reads: planning needs an address only. */
static gi8_tensor *weight(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1) {
    static float memory[16];
    gi8_tensor *t = gi8_new_tensor_2d(ctx, type, ne0, ne1);
    gi8_tensor_set_data(t, memory);
    return t;
}

static gi8_tensor *linear(gi8_context *ctx, int64_t k, int64_t n, gi8_tensor *x) {
    return gi8_mul_mat_int8_mixed(ctx, weight(ctx, GI8_TYPE_I8, k, n),
                                  weight(ctx, GI8_TYPE_F32, n, 1), weight(ctx, GI8_TYPE_F32, n, 1),
                                  x, NULL);
}

static gi8_tensor *norm(gi8_context *ctx, int64_t d, gi8_tensor *x) {
    return gi8_layer_norm(ctx, x, weight(ctx, GI8_TYPE_F32, d, 1), weight(ctx, GI8_TYPE_F32, d, 1),
                          1e-5f);
}

static gi8_tensor *cache(gi8_context *ctx, const model_shape *m) {
    static float memory[16];
    gi8_tensor *t =
        gi8_new_tensor_4d(ctx, GI8_TYPE_F16, m->d / m->n_heads, m->n_cache, m->n_heads, 1);
    gi8_tensor_set_data(t, memory);
    return t;
}

/* The layers of GPT-NeoX with a parallel residual. */
static gi8_tensor *transformer(gi8_context *ctx, const model_shape *m) {
    const int64_t d = m->d, head = d / m->n_heads, t = m->n_tokens;
    const size_t row = (size_t)head * sizeof(float);
    const gi8_rope_params rope = {(int32_t)(head / 4), 10000.0f, 1.0f};
    gi8_tensor *ids = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, t);
    gi8_tensor *positions = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, t);
    gi8_tensor *sequences = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, t);
    gi8_tensor *x = gi8_get_rows(ctx, weight(ctx, GI8_TYPE_F16, d, m->n_vocab), ids);
    for (int64_t i = 0; i < m->n_layers; i++) {
        gi8_tensor *qkv = linear(ctx, d, 3 * d, norm(ctx, d, x));
        gi8_tensor *part[3];
        for (size_t p = 0; p < 3; p++) {
            part[p] = gi8_view_3d(ctx, qkv, head, m->n_heads, t, 3 * row,
                                  3 * row * (size_t)m->n_heads, p * row);
        }
        gi8_tensor *q = gi8_rope(ctx, part[0], positions, &rope);
        gi8_tensor *k = gi8_kv_store(ctx, cache(ctx, m), gi8_rope(ctx, part[1], positions, &rope),
                                     positions, sequences);
        gi8_tensor *v = gi8_kv_store(ctx, cache(ctx, m), part[2], positions, sequences);
        gi8_tensor *a = gi8_attention(ctx, q, k, v, positions, sequences, 0.125f);
        a = linear(ctx, d, d, gi8_reshape_2d(ctx, a, d, t));
        gi8_tensor *h =
            linear(ctx, 4 * d, d, gi8_gelu(ctx, linear(ctx, d, 4 * d, norm(ctx, d, x))));
        x = gi8_add(ctx, gi8_add(ctx, h, a), x);
    }
    return linear(ctx, d, m->n_vocab, norm(ctx, d, x));
}

static gi8_plan_stats plan_transformer(fixture *f, const model_shape *m) {
    gi8_context_reset(f->ctx);
    gi8_tensor *logits = transformer(f->ctx, m);
    gi8_graph *graph = graph_of(f, logits);
    gi8_plan *plan = plan_of(&f->mock, graph, NULL);
    gi8_plan_stats stats = gi8_plan_get_stats(plan);
    gi8_plan_free(plan);
    return stats;
}

/* Memory does not grow with depth, and in-place and reuse bring it close to what must be alive. */
static void test_transformer(void **state) {
    fixture *f = *state;
    model_shape m = {1024, 16, 128, 24, 1000, 2048};
    gi8_plan_stats deep = plan_transformer(f, &m);
    printf(
        "24 layers: steps %lld, in place %lld, inputs %zu KiB, lower bound %zu KiB, taken %zu KiB, "
        "without reuse %zu KiB\n",
        (long long)deep.n_steps, (long long)deep.n_in_place, deep.input_bytes / KIB,
        deep.peak_bytes / KIB, deep.memory_bytes / KIB, deep.total_bytes / KIB);
    assert_int_equal(deep.n_in_place, 24 * 3); /* gelu and both sums */
    for (int64_t n = 2; n <= 8; n *= 2) {
        m.n_layers = n;
        gi8_plan_stats stats = plan_transformer(f, &m);
        assert_int_equal(stats.peak_bytes, deep.peak_bytes);
        assert_int_equal(stats.memory_bytes, deep.memory_bytes);
    }
    assert_true(deep.memory_bytes <= deep.peak_bytes + deep.peak_bytes / 10);
    assert_true(deep.total_bytes > 20 * deep.peak_bytes);
}

/* The same with values: through caches, with a plan that fuses and reuses and one that does not. */
static void test_transformer_values(void **state) {
    fixture *f = *state;
    f->mock.fuses = true;
    const model_shape m = {64, 4, 5, 3, 50, 7};
    gi8_tensor *logits = transformer(f->ctx, &m);
    gi8_graph *graph = graph_of(f, logits);
    gi8_buffer *weights[256] = {NULL};
    assert_true(gi8_graph_n_leaves(graph) < 256);
    for (int64_t i = 0; i < gi8_graph_n_leaves(graph); i++) {
        gi8_tensor *leaf = gi8_graph_leaf(graph, i);
        if (leaf->data != NULL) {
            weights[i] = gi8_buffer_create(&f->mock.base, gi8_buffer_space(leaf), NULL);
            assert_int_equal(gi8_buffer_bind(weights[i], leaf, 0, NULL), GI8_OK);
            memset(leaf->data, 0x31, gi8_nbytes(leaf));
        }
    }
    gi8_plan *plans[2] = {plan_of(&f->mock, graph, NULL), NULL};
    check_lifetimes(plans[0], graph, f->mock.plan);
    assert_int_equal(gi8_plan_get_stats(plans[0]).n_fused, 3 * m.n_layers); /* gelu, both sums */
    plans[1] = plan_of(&f->mock, graph, &(gi8_plan_params){.no_reuse = true});
    float values[2][250];
    for (int p = 0; p < 2; p++) {
        assert_int_equal(gi8_plan_execute(plans[p], NULL), GI8_OK);
        assert_int_equal(gi8_plan_read(plans[p], logits, 0, values[p], sizeof values[p], NULL),
                         GI8_OK);
        gi8_plan_free(plans[p]);
    }
    assert_memory_equal(values[0], values[1], sizeof values[0]);
    for (int i = 0; i < 256; i++) {
        gi8_buffer_free(weights[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_transformer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transformer_values, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
