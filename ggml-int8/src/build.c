/* build.c - the common part of all builders: checking sources, recording the node. */
#include "build.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "context.h"
#include "tensor.h"

/* ---- sentences ------------------------------------------------------------------------------- */

static const char *op_name(const gi8i_build *b) {
    return b->name != NULL ? b->name : gi8_op_get_info(b->op)->name;
}

gi8_tensor *gi8i_refuse(const gi8i_build *b, gi8_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    gi8i_context_failv(b->ctx, status, op_name(b), format, args);
    va_end(args);
    return NULL;
}

/* "codes 'h.0.qkv' have": the subject of a sentence. */
#define SUBJECT_TEXT 128
static const char *subject(const gi8i_build *b, int s, char text[SUBJECT_TEXT]) {
    const gi8i_source *source = &b->sources[s];
    const char *verb = (source->flags & GI8I_PLURAL) != 0 ? "have" : "has";
    if (source->t->name[0] != '\0') {
        snprintf(text, SUBJECT_TEXT, "%s '%s' %s", source->name, source->t->name, verb);
    } else {
        snprintf(text, SUBJECT_TEXT, "%s %s", source->name, verb);
    }
    return text;
}

/* "F32, F16 or BF16" */
#define TYPES_TEXT 64
static const char *types_text(unsigned types, char text[TYPES_TEXT]) {
    int at = 0;
    for (int type = 0; type < GI8_TYPE_COUNT; type++) {
        if ((types >> type & 1u) != 0) {
            const bool last = types >> (type + 1) == 0;
            at += snprintf(text + at, TYPES_TEXT - (size_t)at, "%s%s",
                           at == 0 ? "" : (last ? " or " : ", "), gi8_type_name((gi8_type)type));
        }
    }
    return text;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool check_source(const gi8i_build *b, int s) {
    const gi8i_source *source = &b->sources[s];
    const gi8_tensor *t = source->t;
    if (t == NULL) {
        return true;
    }
    char who[SUBJECT_TEXT];
    if ((source->types >> t->type & 1u) == 0) {
        char types[TYPES_TEXT];
        gi8i_refuse(b, GI8_ERR_TYPE, "%s type %s, expected %s", subject(b, s, who),
                    gi8_type_name(t->type), types_text(source->types, types));
        return false;
    }
    if (t->layout == GI8_LAYOUT_PANELS) {
        if ((source->flags & GI8I_PANELS) == 0) {
            gi8i_refuse(b, GI8_ERR_SHAPE, "%s panel layout, which only mul_mat_int8_mixed takes",
                        subject(b, s, who));
        }
        return (source->flags & GI8I_PANELS) != 0;
    }
    if ((source->flags & GI8I_ROWS) != 0 && !gi8_has_contiguous_rows(t)) {
        gi8i_refuse(b, GI8_ERR_SHAPE,
                    "%s rows that are not contiguous (nb[0] = %zu, expected %zu); gi8_cont() makes "
                    "them so", subject(b, s, who), t->nb[0], gi8_type_size(t->type));
        return false;
    }
    if ((source->flags & GI8I_CONTIGUOUS) != 0 && !gi8_is_contiguous(t)) {
        gi8i_refuse(b, GI8_ERR_SHAPE,
                    "%s strides [%zu, %zu, %zu, %zu], expected a contiguous tensor",
                    subject(b, s, who), t->nb[0], t->nb[1], t->nb[2], t->nb[3]);
        return false;
    }
    return true;
}

bool gi8i_build_begin(const gi8i_build *b) {
    if (!gi8i_context_ok(b->ctx)) {
        return false;
    }
    for (int s = 0; s < b->n_sources; s++) {
        const gi8i_source *source = &b->sources[s];
        if (source->t == NULL && (source->flags & GI8I_OPTIONAL) == 0) {
            gi8i_refuse(b, GI8_ERR_ARGUMENT, "%s %s NULL", source->name,
                        (source->flags & GI8I_PLURAL) != 0 ? "are" : "is");
            return false;
        }
    }
    for (int s = 0; s < b->n_sources; s++) {
        if (!check_source(b, s)) {
            return false;
        }
    }
    return true;
}

bool gi8i_check_equal(const gi8i_build *b, int s, int dim, int other_s, int other_dim) {
    const gi8_tensor *t = b->sources[s].t;
    const gi8_tensor *other = b->sources[other_s].t;
    if (t == NULL || other == NULL || t->ne[dim] == other->ne[other_dim]) {
        return true;
    }
    char who[SUBJECT_TEXT];
    char other_who[SUBJECT_TEXT];
    gi8i_refuse(b, GI8_ERR_SHAPE, "%s ne[%d] = %" PRId64 ", %s ne[%d] = %" PRId64,
                subject(b, s, who), dim, t->ne[dim], subject(b, other_s, other_who), other_dim,
                other->ne[other_dim]);
    return false;
}

/* "x has shape [3], <relation> y has shape [4]" */
static bool refuse_shapes(const gi8i_build *b, int s, const char *relation, int other_s) {
    char who[SUBJECT_TEXT];
    char other_who[SUBJECT_TEXT];
    char shape[GI8I_SHAPE_TEXT];
    char other_shape[GI8I_SHAPE_TEXT];
    gi8i_refuse(b, GI8_ERR_SHAPE, "%s shape %s, %s; %s shape %s", subject(b, s, who),
                gi8i_shape_text(b->sources[s].t->ne, shape), relation,
                subject(b, other_s, other_who),
                gi8i_shape_text(b->sources[other_s].t->ne, other_shape));
    return false;
}

bool gi8i_check_same_shape(const gi8i_build *b, int s, int other_s) {
    return gi8_same_shape(b->sources[s].t, b->sources[other_s].t) ||
           refuse_shapes(b, s, "expected equal shapes", other_s);
}

bool gi8i_check_repeats(const gi8i_build *b, int s, int other_s) {
    const gi8_tensor *t = b->sources[s].t;
    const gi8_tensor *other = b->sources[other_s].t;
    for (int i = 0; t != NULL && i < GI8_MAX_DIMS; i++) {
        if (t->ne[i] != 1 && t->ne[i] != other->ne[i]) {
            return refuse_shapes(b, s, "expected each dimension to be equal or 1", other_s);
        }
    }
    return true;
}

bool gi8i_check_max_dims(const gi8i_build *b, int s, int n_dims) {
    const gi8_tensor *t = b->sources[s].t;
    for (int i = n_dims; t != NULL && i < GI8_MAX_DIMS; i++) {
        if (t->ne[i] != 1) {
            char who[SUBJECT_TEXT];
            char shape[GI8I_SHAPE_TEXT];
            gi8i_refuse(b, GI8_ERR_SHAPE, "%s shape %s, expected at most %d dimension%s",
                        subject(b, s, who), gi8i_shape_text(t->ne, shape), n_dims,
                        n_dims == 1 ? "" : "s");
            return false;
        }
    }
    return true;
}

bool gi8i_check_finite(const gi8i_build *b, const char *what, float value) {
    if (isfinite(value)) {
        return true;
    }
    gi8i_refuse(b, GI8_ERR_ARGUMENT, "%s is %g, expected a finite number", what, (double)value);
    return false;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Copies `made` with its parameters into the arena as one object: there is all of it or nothing. */
static gi8_tensor *record(const gi8i_build *b, gi8_tensor made, const void *params) {
    static const gi8_no_params no_params = {0};
    const gi8_op_info *info = gi8_op_get_info(b->op);
    assert(b->n_sources <= info->max_src);
    const size_t params_at = gi8i_round_up(sizeof made, GI8I_ARENA_ALIGNMENT);
    const size_t params_size = params == NULL ? 0 : info->params_size;
    unsigned char *memory = gi8i_arena_alloc(b->ctx, 1, params_at + params_size);
    if (memory == NULL) {
        return NULL;
    }
    made.op = b->op;
    for (int s = 0; s < b->n_sources; s++) {
        made.src[s] = b->sources[s].t;
    }
    if (params == NULL) {
        made.params = &no_params;
    } else {
        made.params = memcpy(memory + params_at, params, params_size);
    }
    return memcpy(memory, &made, sizeof made);
}

gi8_tensor *gi8i_build_node(const gi8i_build *b, gi8_type type, const int64_t ne[GI8_MAX_DIMS],
                            const void *params) {
    gi8_tensor made = {.type = type};
    memcpy(made.ne, ne, sizeof made.ne);
    if (!gi8i_contiguous_strides(type, ne, made.nb)) {
        char shape[GI8I_SHAPE_TEXT];
        return gi8i_refuse(b, GI8_ERR_SHAPE, "the result %s %s has more than %zu bytes",
                           gi8_type_name(type), gi8i_shape_text(ne, shape), GI8I_SIZE_LIMIT);
    }
    return record(b, made, params);
}

gi8_tensor *gi8i_build_view(const gi8i_build *b, const int64_t ne[GI8_MAX_DIMS],
                            const size_t nb[GI8_MAX_DIMS], size_t offset, const void *params) {
    gi8_tensor *a = b->sources[0].t;
    char shape[GI8I_SHAPE_TEXT];
    char who[SUBJECT_TEXT];
    size_t natural[GI8_MAX_DIMS];
    size_t extent = 0;
    size_t end = 0;
    if (!gi8i_contiguous_strides(a->type, ne, natural) ||
        !gi8i_extent(a->type, ne, nb, &extent) || !gi8i_add_size(offset, extent, &end)) {
        return gi8i_refuse(b, GI8_ERR_SHAPE,
                           "a view of shape %s has a negative dimension or more than %zu bytes",
                           gi8i_shape_text(ne, shape), GI8I_SIZE_LIMIT);
    }
    if (end > gi8_nbytes(a)) {
        return gi8i_refuse(b, GI8_ERR_SHAPE,
                           "a view of shape %s ends at byte %zu, %s %zu bytes",
                           gi8i_shape_text(ne, shape), end, subject(b, 0, who), gi8_nbytes(a));
    }
    gi8_tensor made = {.type = a->type};
    memcpy(made.ne, ne, sizeof made.ne);
    memcpy(made.nb, nb, sizeof made.nb);
    made.view_src = a->view_src != NULL ? a->view_src : a;
    made.view_offset = a->view_offset + offset;
    return record(b, made, params);
}

gi8_tensor *gi8i_build_elementwise(gi8_context *ctx, gi8_op op, gi8_tensor *a, gi8_tensor *b) {
    enum { A, B };
    const gi8i_source sources[] = {
        [A] = {"a", a, GI8I_F32, GI8I_ROWS},
        [B] = {"b", b, GI8I_F32, GI8I_ROWS},
    };
    const gi8i_build build = {ctx, op, NULL, sources, 2};
    if (!gi8i_build_begin(&build) || !gi8i_check_repeats(&build, B, A)) {
        return NULL;
    }
    return gi8i_build_node(&build, GI8_TYPE_F32, a->ne, NULL);
}
