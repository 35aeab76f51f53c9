/* build.h - the common part of all builders: checking sources, recording the node.
 *
 * A builder lists its sources with what it takes of each, lets gi8i_build_begin() check them,
 * checks how their shapes fit, and makes the node:
 *
 *     const gi8i_source sources[] = {{"x", x, GI8I_F32, GI8I_ROWS}, ...};
 *     const gi8i_build b = {ctx, GI8_OP_..., NULL, sources, 2};
 *     if (!gi8i_build_begin(&b) || !gi8i_check_...(&b, ...)) {
 *         return NULL;
 *     }
 *     return gi8i_build_node(&b, GI8_TYPE_F32, x->ne, &params);
 *
 * The node's src[] is that list. Its order is the order of the builder's arguments, but for cpy.
 * Sources are named by their index in the list; checks pass where an optional source is absent.
 */
#ifndef GI8_BUILD_H
#define GI8_BUILD_H

#include "ggml-int8/gi8.h"

/* Element types that a source may have. */
enum {
    GI8I_F32 = 1 << GI8_TYPE_F32,
    GI8I_F16 = 1 << GI8_TYPE_F16,
    GI8I_BF16 = 1 << GI8_TYPE_BF16,
    GI8I_I8 = 1 << GI8_TYPE_I8,
    GI8I_I32 = 1 << GI8_TYPE_I32,
    GI8I_FLOATS = GI8I_F32 | GI8I_F16 | GI8I_BF16,
    GI8I_ANY_TYPE = GI8I_FLOATS | GI8I_I8 | GI8I_I32
};

/* What else is asked of a source. */
enum {
    GI8I_OPTIONAL = 1,    /* may be NULL */
    GI8I_ROWS = 2,        /* contiguous rows */
    GI8I_CONTIGUOUS = 4,  /* contiguous altogether */
    GI8I_PLURAL = 8,      /* its name is a plural, for the sentences */
    GI8I_PANELS = 16      /* may be in panels */
};

typedef struct gi8i_source {
    const char *name; /* the builder's argument */
    gi8_tensor *t;
    unsigned types; /* GI8I_F32 | ... */
    unsigned flags; /* GI8I_OPTIONAL | ... */
} gi8i_source;

typedef struct gi8i_build {
    gi8_context *ctx;
    gi8_op op;
    const char *name; /* for the sentences; NULL: the op's */
    const gi8i_source *sources;
    int n_sources;
} gi8i_build;

/* True where the context is usable and every source is there, of a type and layout that its entry
 * allows. */
bool gi8i_build_begin(const gi8i_build *b);

/* Records an error whose sentence starts with the op's name. Returns NULL, for builders. */
gi8_tensor *gi8i_refuse(const gi8i_build *b, gi8_status status, const char *format, ...)
    GI8_PRINTF(3, 4);

/* Each returns true, or refuses with GI8_ERR_SHAPE. */
bool gi8i_check_equal(const gi8i_build *b, int s, int dim, int other_s, int other_dim);
bool gi8i_check_same_shape(const gi8i_build *b, int s, int other_s);
bool gi8i_check_repeats(const gi8i_build *b, int s, int other_s); /* each ne as the other's, or 1 */
bool gi8i_check_max_dims(const gi8i_build *b, int s, int n_dims); /* ne is 1 from n_dims on */

/* Refuses NaN and Inf with GI8_ERR_ARGUMENT. */
bool gi8i_check_finite(const gi8i_build *b, const char *what, float value);

/* GI8_OK, or the status and sentence for what mul_mat_int8_mixed does not take: GI8_ERR_ARGUMENT
 * (a threshold of NaN, an unknown gi8_outliers), GI8_ERR_TYPE (an out_type that is no float). */
gi8_status gi8i_check_int8_params(const gi8_int8_params *params, gi8_error *error);

/* A contiguous result without memory. `params` is copied; NULL for gi8_no_params. */
gi8_tensor *gi8i_build_node(const gi8i_build *b, gi8_type type, const int64_t ne[GI8_MAX_DIMS],
                            const void *params);

/* A result that looks at source 0's memory, `offset` bytes behind its first one. Refuses with
 * GI8_ERR_SHAPE what would leave source 0. */
gi8_tensor *gi8i_build_view(const gi8i_build *b, const int64_t ne[GI8_MAX_DIMS],
                            const size_t nb[GI8_MAX_DIMS], size_t offset, const void *params);

/* add and mul: a [..], b with each ne as a's or 1  ->  shape of a, all F32. */
gi8_tensor *gi8i_build_elementwise(gi8_context *ctx, gi8_op op, gi8_tensor *a, gi8_tensor *b);

#endif
