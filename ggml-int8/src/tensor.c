/* tensor.c - facts about a tensor's layout, and leaves. */
#include "tensor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "context.h"
#include "ggml-int8/gi8_panels.h"

/* ---- layouts --------------------------------------------------------------------------------- */

bool gi8i_contiguous_strides(gi8_type type, const int64_t ne[GI8_MAX_DIMS],
                             size_t nb[GI8_MAX_DIMS]) {
    size_t bytes = gi8_type_size(type);
    for (int i = 0; i < GI8_MAX_DIMS; i++) {
        if (ne[i] < 0 || (uint64_t)ne[i] > GI8I_SIZE_LIMIT) {
            return false;
        }
        nb[i] = bytes;
        if (!gi8i_mul_size(bytes, ne[i] == 0 ? 1 : (size_t)ne[i], &bytes)) {
            return false;
        }
    }
    return true;
}

bool gi8i_extent(gi8_type type, const int64_t ne[GI8_MAX_DIMS], const size_t nb[GI8_MAX_DIMS],
                 size_t *extent) {
    for (int i = 0; i < GI8_MAX_DIMS; i++) {
        if (ne[i] == 0) {
            *extent = 0;
            return true;
        }
    }
    size_t last = 0; /* where the last element starts */
    for (int i = 0; i < GI8_MAX_DIMS; i++) {
        size_t span = 0;
        if (!gi8i_mul_size((size_t)(ne[i] - 1), nb[i], &span) ||
            !gi8i_add_size(last, span, &last)) {
            return false;
        }
    }
    return gi8i_add_size(last, gi8_type_size(type), extent);
}

bool gi8i_is_injective(const gi8_tensor *t) {
    if (gi8_nelements(t) == 0) {
        return true;
    }
    /* In the order of their strides, each dimension must step over what the smaller ones cover. */
    size_t covered = gi8_type_size(t->type);
    bool done[GI8_MAX_DIMS] = {false};
    for (int n = 0; n < GI8_MAX_DIMS; n++) {
        int least = -1;
        for (int i = 0; i < GI8_MAX_DIMS; i++) {
            if (!done[i] && (least < 0 || t->nb[i] < t->nb[least])) {
                least = i;
            }
        }
        done[least] = true;
        if (t->ne[least] > 1) {
            if (t->nb[least] < covered) {
                return false;
            }
            covered += (size_t)(t->ne[least] - 1) * t->nb[least];
        }
    }
    return true;
}

const char *gi8i_shape_text(const int64_t ne[GI8_MAX_DIMS], char text[GI8I_SHAPE_TEXT]) {
    int n_dims = GI8_MAX_DIMS;
    while (n_dims > 1 && ne[n_dims - 1] == 1) {
        n_dims--;
    }
    int at = 0;
    for (int i = 0; i < n_dims; i++) {
        at += snprintf(text + at, GI8I_SHAPE_TEXT - (size_t)at, "%s%" PRId64, i == 0 ? "[" : ", ",
                       ne[i]);
    }
    snprintf(text + at, GI8I_SHAPE_TEXT - (size_t)at, "]");
    return text;
}

/* ---- facts ----------------------------------------------------------------------------------- */

int64_t gi8_nelements(const gi8_tensor *t) {
    return t == NULL ? 0 : t->ne[0] * gi8_nrows(t);
}

int64_t gi8_nrows(const gi8_tensor *t) {
    return t == NULL ? 0 : t->ne[1] * t->ne[2] * t->ne[3];
}

size_t gi8_nbytes(const gi8_tensor *t) {
    size_t bytes = 0;
    if (t != NULL && t->layout == GI8_LAYOUT_PANELS) {
        return gi8_panels_size(t->ne[0], t->ne[1]);
    }
    if (t == NULL || !gi8i_extent(t->type, t->ne, t->nb, &bytes)) {
        return 0;
    }
    return bytes;
}

bool gi8_is_contiguous(const gi8_tensor *t) {
    if (t == NULL || t->layout != GI8_LAYOUT_STRIDED) {
        return false;
    }
    if (gi8_nelements(t) == 0) {
        return true;
    }
    size_t stride = gi8_type_size(t->type);
    for (int i = 0; i < GI8_MAX_DIMS; i++) {
        if (t->ne[i] != 1 && t->nb[i] != stride) {
            return false;
        }
        stride *= (size_t)t->ne[i];
    }
    return true;
}

bool gi8_has_contiguous_rows(const gi8_tensor *t) {
    return t != NULL && t->layout == GI8_LAYOUT_STRIDED &&
           (t->ne[0] <= 1 || t->nb[0] == gi8_type_size(t->type));
}

bool gi8_same_shape(const gi8_tensor *a, const gi8_tensor *b) {
    return a != NULL && b != NULL && memcmp(a->ne, b->ne, sizeof a->ne) == 0;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

gi8_tensor *gi8_new_tensor(gi8_context *ctx, gi8_type type, int n_dims, const int64_t *ne) {
    if (!gi8i_context_ok(ctx)) {
        return NULL;
    }
    if (n_dims < 1 || n_dims > GI8_MAX_DIMS || ne == NULL) {
        gi8i_context_fail(ctx, GI8_ERR_ARGUMENT,
                          "new_tensor: n_dims is %d, expected 1 to %d%s", n_dims, GI8_MAX_DIMS,
                          ne == NULL ? "; ne is NULL" : "");
        return NULL;
    }
    if (gi8_type_size(type) == 0) {
        gi8i_context_fail(ctx, GI8_ERR_TYPE, "new_tensor: %d is not an element type", (int)type);
        return NULL;
    }
    gi8_tensor made = {.type = type, .op = GI8_OP_NONE, .ne = {1, 1, 1, 1}};
    memcpy(made.ne, ne, (size_t)n_dims * sizeof ne[0]);
    if (!gi8i_contiguous_strides(type, made.ne, made.nb)) {
        char shape[GI8I_SHAPE_TEXT];
        gi8i_context_fail(ctx, GI8_ERR_SHAPE,
                          "new_tensor: %s %s has a negative dimension or more than %zu bytes",
                          gi8_type_name(type), gi8i_shape_text(made.ne, shape), GI8I_SIZE_LIMIT);
        return NULL;
    }
    gi8_tensor *t = gi8i_arena_alloc(ctx, 1, sizeof *t);
    if (t != NULL) {
        *t = made;
    }
    return t;
}

gi8_tensor *gi8_new_tensor_1d(gi8_context *ctx, gi8_type type, int64_t ne0) {
    return gi8_new_tensor(ctx, type, 1, &ne0);
}

gi8_tensor *gi8_new_tensor_2d(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1) {
    return gi8_new_tensor(ctx, type, 2, (const int64_t[]){ne0, ne1});
}

gi8_tensor *gi8_new_tensor_3d(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1,
                              int64_t ne2) {
    return gi8_new_tensor(ctx, type, 3, (const int64_t[]){ne0, ne1, ne2});
}

gi8_tensor *gi8_new_tensor_4d(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1,
                              int64_t ne2, int64_t ne3) {
    return gi8_new_tensor(ctx, type, 4, (const int64_t[]){ne0, ne1, ne2, ne3});
}

gi8_tensor *gi8_new_codes(gi8_context *ctx, int64_t k, int64_t n, gi8_layout layout) {
    if (!gi8i_context_ok(ctx)) {
        return NULL;
    }
    if (layout != GI8_LAYOUT_STRIDED && layout != GI8_LAYOUT_PANELS) {
        gi8i_context_fail(ctx, GI8_ERR_ARGUMENT, "new_codes: %d is not a layout", (int)layout);
        return NULL;
    }
    if (layout == GI8_LAYOUT_PANELS && k > 0 && n > 0 && gi8_panels_size(k, n) == 0) {
        gi8i_context_fail(ctx, GI8_ERR_SHAPE,
                          "new_codes: panels of [%" PRId64 ", %" PRId64 "] exceed %zu bytes", k, n,
                          GI8I_SIZE_LIMIT);
        return NULL;
    }
    gi8_tensor *t = gi8_new_tensor_2d(ctx, GI8_TYPE_I8, k, n);
    if (t != NULL) {
        t->layout = layout;
    }
    return t;
}

gi8_tensor *gi8_set_name(gi8_tensor *t, const char *format, ...) {
    if (t != NULL) {
        va_list args;
        va_start(args, format);
        if (vsnprintf(t->name, sizeof t->name, format, args) < 0) {
            t->name[0] = '\0';
        }
        va_end(args);
    }
    return t;
}

gi8_status gi8_tensor_set_data(gi8_tensor *t, void *data) {
    if (t == NULL || t->op != GI8_OP_NONE) {
        return GI8_ERR_ARGUMENT;
    }
    t->data = data;
    t->buffer = NULL;
    return GI8_OK;
}
