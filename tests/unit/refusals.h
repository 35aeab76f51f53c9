/* refusals.h - what tests of builders check of a call that must fail, and tensors to fail with. */
#ifndef REFUSALS_H
#define REFUSALS_H

#include "graph_fixture.h"

/* What a builder refused: the sentence starts with the operation, and the arena is as before. */
typedef struct refusals {
    gi8_context *ctx;
    size_t used;
} refusals;

static inline refusals refusals_from(gi8_context *ctx) {
    assert_ctx_ok(ctx);
    return (refusals){ctx, gi8_context_used(ctx)};
}

static inline void refused(const refusals *r, const gi8_tensor *t, gi8_status status,
                           const char *op, const char *part) {
    assert_null(t);
    const char *message = gi8_context_message(r->ctx);
    const size_t length = strlen(op);
    if (gi8_context_status(r->ctx) != status || strncmp(message, op, length) != 0 ||
        strncmp(message + length, ": ", 2) != 0 || strstr(message, part) == NULL) {
        fail_msg("expected %s, \"%s: ... %s\"; found %s, \"%s\"", gi8_status_name(status), op, part,
                 gi8_status_name(gi8_context_status(r->ctx)), message);
    }
    assert_int_equal(gi8_context_used(r->ctx), r->used);
    gi8_context_clear_error(r->ctx);
}

static inline void assert_node(const gi8_tensor *t, gi8_op op, gi8_type type) {
    assert_non_null(t);
    assert_int_equal(t->op, op);
    assert_int_equal(t->type, type);
    assert_true(gi8_is_contiguous(t));
    assert_null(t->view_src);
    assert_null(t->data);
    assert_non_null(t->params);
    assert_string_equal(t->name, "");
}

/* Tensors that the tests refuse: rows that are not contiguous, and wrong types. */
static inline gi8_tensor *strided(gi8_context *ctx, int64_t ne0, int64_t ne1, int64_t ne2,
                                  int64_t ne3) {
    return gi8_transpose(ctx, f32(ctx, ne1, ne0, ne2, ne3));
}

/* A vector with a gap behind each element, so a matrix of one column. */
static inline gi8_tensor *gappy_i32(gi8_context *ctx, int64_t n) {
    return gi8_transpose(
        ctx, gi8_view_2d(ctx, gi8_new_tensor_2d(ctx, GI8_TYPE_I32, 2, n), 1, n, 8, 0));
}

static inline gi8_tensor *gappy_f32(gi8_context *ctx, int64_t n) {
    return gi8_transpose(ctx, gi8_view_2d(ctx, f32(ctx, 2, n, 1, 1), 1, n, 8, 0));
}

#endif
