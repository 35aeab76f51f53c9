/* graph.c - the forward pass of GPT-NeoX (Black et al. 2022), top to bottom.
 *
 *   T tokens, D = hidden_size, H heads of size E, F = intermediate_size; shapes as [ne0, ne1, ...].
 *   The residual stream, norms, softmax and rotary angles are F32 whatever the weights are.
 */
#include "graph.h"

#include <math.h>

/* What every part of the pass needs to know. */
typedef struct pass {
    gi8_context *ctx;
    const gptneox_model *model;
    const gptneoxi_kv_cache *cache;
    const gptneoxi_graph *inputs;
    int64_t n_tokens;
} pass;

/* [in, T] -> [out, T] */
static gi8_tensor *linear(gi8_context *ctx, const gptneoxi_linear *l, gi8_tensor *x) {
    if (l->int8 != NULL) {
        return gi8_linear_int8_forward(ctx, l->int8, x);
    }
    gi8_tensor *y = gi8_mul_mat(ctx, l->weight, x);
    return l->bias != NULL ? gi8_add(ctx, y, l->bias) : y;
}

/* [D, T] -> [D, T] */
static gi8_tensor *layer_norm(const pass *p, const gptneoxi_norm *norm, gi8_tensor *x) {
    return gi8_layer_norm(p->ctx, x, norm->gain, norm->bias, p->model->config.layer_norm_eps);
}

static gi8_tensor *hidden_act(const pass *p, gi8_tensor *x) {
    switch (p->model->config.hidden_act) {
    case GI8_ACTIVATION_RELU: return gi8_relu(p->ctx, x);
    case GI8_ACTIVATION_SILU: return gi8_silu(p->ctx, x);
    case GI8_ACTIVATION_GELU: return gi8_gelu(p->ctx, x);
    case GI8_ACTIVATION_GELU_TANH: return gi8_gelu_tanh(p->ctx, x);
    }
    return NULL;
}

/* Rotates queries or keys by their positions. [E, H, T] -> [E, H, T] */
static gi8_tensor *rotary(const pass *p, gi8_tensor *x) {
    const gptneox_config *c = &p->model->config;
    if (c->rotary_dim == 0) {
        return x;
    }
    gi8_rope_params params = {c->rotary_dim, c->rope_theta, c->rope_freq_scale};
    return gi8_rope(p->ctx, x, p->inputs->positions, &params);
}

/* Causal self-attention of block `i`: reads and extends the cache. [D, T] -> [D, T] */
static gi8_tensor *attention(const pass *p, int32_t i, gi8_tensor *x) {
    const gptneox_config *c = &p->model->config;
    const gptneoxi_layer *layer = &p->model->weights.layers[i];
    const int64_t e = c->head_dim;
    const int64_t h = c->num_attention_heads;

    /* A token's row of qkv is [head][q, k, v][E]: the three are strided views of it. */
    gi8_tensor *qkv = linear(p->ctx, &layer->query_key_value, x); /* [3 D, T] */
    const size_t part = (size_t)e * sizeof(float);
    const size_t row = 3 * (size_t)c->hidden_size * sizeof(float);
    gi8_tensor *q = gi8_view_3d(p->ctx, qkv, e, h, p->n_tokens, 3 * part, row, 0);
    gi8_tensor *k = gi8_view_3d(p->ctx, qkv, e, h, p->n_tokens, 3 * part, row, part);
    gi8_tensor *v = gi8_view_3d(p->ctx, qkv, e, h, p->n_tokens, 3 * part, row, 2 * part);

    gi8_tensor *positions = p->inputs->positions;
    gi8_tensor *sequences = p->inputs->sequences;
    k = gi8_kv_store(p->ctx, p->cache->k[i], rotary(p, k), positions, sequences);
    v = gi8_kv_store(p->ctx, p->cache->v[i], v, positions, sequences);
    gi8_tensor *y = gi8_attention(p->ctx, rotary(p, q), k, v, positions, sequences,
                                  1.0f / sqrtf((float)e)); /* [E, H, T] */
    return linear(p->ctx, &layer->dense, gi8_reshape_2d(p->ctx, y, c->hidden_size, p->n_tokens));
}

/* [D, T] -> [D, T] by way of [F, T] */
static gi8_tensor *mlp(const pass *p, const gptneoxi_layer *layer, gi8_tensor *x) {
    gi8_tensor *h = hidden_act(p, linear(p->ctx, &layer->dense_h_to_4h, x));
    return linear(p->ctx, &layer->dense_4h_to_h, h);
}

/* One block: [D, T] -> [D, T] */
static gi8_tensor *block(const pass *p, int32_t i, gi8_tensor *x) {
    const gptneoxi_layer *layer = &p->model->weights.layers[i];
    gi8_tensor *attn = attention(p, i, layer_norm(p, &layer->input_layernorm, x));
    if (p->model->config.use_parallel_residual) {
        gi8_tensor *ff = mlp(p, layer, layer_norm(p, &layer->post_attention_layernorm, x));
        return gi8_add(p->ctx, gi8_add(p->ctx, ff, attn), x);
    }
    x = gi8_add(p->ctx, attn, x);
    gi8_tensor *ff = mlp(p, layer, layer_norm(p, &layer->post_attention_layernorm, x));
    return gi8_add(p->ctx, ff, x);
}

static gi8_tensor *input(gi8_context *ctx, int64_t n, const char *name) {
    return gi8_set_name(gi8_new_tensor_1d(ctx, GI8_TYPE_I32, n), "%s", name);
}

gi8_status gptneoxi_graph_build(gptneoxi_graph *out, gi8_context *ctx, const gptneox_model *model,
                                const gptneoxi_kv_cache *cache, int64_t n_tokens, int64_t n_rows,
                                gi8_error *error) {
    const gptneoxi_weights *w = &model->weights;
    *out = (gptneoxi_graph){
        .graph = gi8_graph_create(ctx),
        .tokens = input(ctx, n_tokens, "tokens"),
        .positions = input(ctx, n_tokens, "positions"),
        .sequences = input(ctx, n_tokens, "sequences"),
    };
    const pass p = {ctx, model, cache, out, n_tokens};

    gi8_tensor *x = gi8_get_rows(ctx, w->embed_in, out->tokens); /* [D, T] */
    for (int32_t i = 0; i < model->config.num_hidden_layers; i++) {
        x = gi8_set_name(block(&p, i, x), "layers.%d", i);
    }
    if (n_rows > 0) {
        out->rows = input(ctx, n_rows, "rows");
        x = gi8_get_rows(ctx, x, out->rows); /* [D, R] */
        x = layer_norm(&p, &w->final_layer_norm, x);
        x = gi8_set_name(linear(ctx, &w->embed_out, x), "logits"); /* [V, R] */
        out->logits = x;
    }
    gi8_graph_add_output(out->graph, x);
    if (gi8_context_status(ctx) != GI8_OK) {
        return gi8_error_set(error, gi8_context_status(ctx), "forward pass: %s",
                             gi8_context_message(ctx));
    }
    return GI8_OK;
}
