/* graph_fixture.h - what the tests of contexts, tensors, builders and graphs share. */
#ifndef GRAPH_FIXTURE_H
#define GRAPH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8.h"

/* An allocator that keeps count, checks sizes on free, and can be told to run dry. */
typedef struct counting_allocator {
    size_t n_allocs;   /* calls that succeeded */
    size_t fail_after; /* calls that may succeed */
    size_t live_bytes;
    gi8_allocator functions;
} counting_allocator;

/* Also the alignment that contexts ask for, and malloc's. */
#define COUNTING_HEADER 16

static inline void *counting_alloc(void *user, size_t size, size_t alignment) {
    counting_allocator *c = user;
    assert_true(size > 0);
    if (c->n_allocs >= c->fail_after) {
        return NULL;
    }
    /* The size stands in front, so that free can check the one it is told. */
    assert_int_equal(alignment, COUNTING_HEADER);
    unsigned char *base = malloc(COUNTING_HEADER + size);
    assert_non_null(base);
    memcpy(base, &size, sizeof size);
    memset(base + COUNTING_HEADER, 0xa5, size);
    c->n_allocs++;
    c->live_bytes += size;
    return base + COUNTING_HEADER;
}

static inline void counting_free(void *user, void *pointer, size_t size) {
    counting_allocator *c = user;
    unsigned char *base = (unsigned char *)pointer - COUNTING_HEADER;
    size_t allocated;
    assert_non_null(pointer);
    memcpy(&allocated, base, sizeof allocated);
    assert_int_equal(allocated, size);
    c->live_bytes -= size;
    free(base);
}

static inline void counting_init(counting_allocator *c, size_t fail_after) {
    *c = (counting_allocator){.fail_after = fail_after};
    c->functions = (gi8_allocator){counting_alloc, counting_free, c};
}

static inline gi8_context *new_context(void) {
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    assert_non_null(ctx);
    return ctx;
}

/* Fails the test where ctx holds an error, with its sentence. */
static inline void assert_ctx_ok(const gi8_context *ctx) {
    if (gi8_context_status(ctx) != GI8_OK) {
        fail_msg("%s: %s", gi8_status_name(gi8_context_status(ctx)), gi8_context_message(ctx));
    }
}

static inline void assert_shape(const gi8_tensor *t, int64_t ne0, int64_t ne1, int64_t ne2,
                                int64_t ne3) {
    assert_non_null(t);
    const int64_t ne[] = {ne0, ne1, ne2, ne3};
    assert_memory_equal(t->ne, ne, sizeof ne);
}

static inline gi8_tensor *f32(gi8_context *ctx, int64_t ne0, int64_t ne1, int64_t ne2,
                              int64_t ne3) {
    return gi8_new_tensor_4d(ctx, GI8_TYPE_F32, ne0, ne1, ne2, ne3);
}

static inline gi8_tensor *i32(gi8_context *ctx, int64_t n) {
    return gi8_new_tensor_1d(ctx, GI8_TYPE_I32, n);
}

/* One layer of something like a transformer: each op but get_rows at least once. Returns the last
 * node, or NULL where ctx refused something. */
static inline gi8_tensor *build_layer(gi8_context *ctx, gi8_tensor *x, gi8_tensor *positions,
                                      gi8_tensor *sequences, int64_t n_tokens) {
    enum { D = 8, H = 4, E = D * H, C = 16, S = 2 };
    const gi8_rope_params rope = {4, 10000.0f, 1.0f};
    gi8_tensor *gain = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, E);
    gi8_tensor *bias = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, E);
    gi8_tensor *codes = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, E, 3 * E);
    gi8_tensor *absmax = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 3 * E);
    gi8_tensor *w = gi8_new_tensor_2d(ctx, GI8_TYPE_F16, E, E);
    gi8_tensor *k_cache = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, D, C, H, S);
    gi8_tensor *v_cache = gi8_new_tensor_4d(ctx, GI8_TYPE_F16, D, C, H, S);
    gi8_tensor *h = gi8_layer_norm(ctx, x, gain, bias, 1e-5f);
    gi8_tensor *qkv = gi8_mul_mat_int8_mixed(ctx, codes, absmax, NULL, h, NULL);
    const size_t head = D * sizeof(float);
    const size_t token = 3 * E * sizeof(float);
    gi8_tensor *q = gi8_view_3d(ctx, qkv, D, H, n_tokens, 3 * head, token, 0);
    gi8_tensor *k = gi8_view_3d(ctx, qkv, D, H, n_tokens, 3 * head, token, head);
    gi8_tensor *v = gi8_view_3d(ctx, qkv, D, H, n_tokens, 3 * head, token, 2 * head);
    q = gi8_rope(ctx, q, positions, &rope);
    k = gi8_rope(ctx, k, positions, &rope);
    gi8_tensor *keys = gi8_kv_store(ctx, k_cache, k, positions, sequences);
    gi8_tensor *values = gi8_kv_store(ctx, v_cache, v, positions, sequences);
    gi8_tensor *a = gi8_attention(ctx, q, keys, values, positions, sequences, 0.35f);
    a = gi8_reshape_2d(ctx, a, E, n_tokens);
    gi8_tensor *y = gi8_mul_mat(ctx, w, a);
    y = gi8_gelu(ctx, gi8_scale(ctx, gi8_mul(ctx, y, gain), 0.5f));
    y = gi8_soft_max(ctx, gi8_add(ctx, y, x), NULL, 1.0f);
    y = gi8_cont(ctx, gi8_transpose(ctx, gi8_permute(ctx, y, 1, 0, 2, 3)));
    return gi8_cpy(ctx, y, gi8_new_tensor_2d(ctx, GI8_TYPE_F32, E, n_tokens));
}

/* Such layers, one behind the other, behind get_rows. */
static inline gi8_tensor *build_model(gi8_context *ctx, int n_layers, int64_t n_tokens) {
    gi8_tensor *table = gi8_new_tensor_2d(ctx, GI8_TYPE_BF16, 32, 100);
    gi8_tensor *ids = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, n_tokens);
    gi8_tensor *positions = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, n_tokens);
    gi8_tensor *sequences = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, n_tokens);
    gi8_tensor *x = gi8_get_rows(ctx, table, ids);
    for (int i = 0; i < n_layers; i++) {
        x = build_layer(ctx, x, positions, sequences, n_tokens);
    }
    return x;
}

/* Text that a dump or the like appends to; freed by the test. */
typedef struct text_sink {
    char *text;
    size_t size;
} text_sink;

static inline void sink_write(void *user, const char *text, size_t size) {
    text_sink *sink = user;
    sink->text = realloc(sink->text, sink->size + size + 1);
    assert_non_null(sink->text);
    memcpy(sink->text + sink->size, text, size);
    sink->size += size;
    sink->text[sink->size] = '\0';
}

#endif
