/* steps.h - which nodes of a graph a plan computes, in which order, and which of them together. */
#ifndef GI8_STEPS_H
#define GI8_STEPS_H

#include "ggml-int8/gi8_backend_impl.h"

/* What a step reads: the sources of its node, then the other sources of what is fused with it. */
enum { GI8I_STEP_SOURCES = GI8_MAX_SRC + GI8_MAX_FUSED };

/* Source `i` of a step; NULL where it has no such source. */
static inline const gi8_tensor *gi8i_step_source(const gi8_step *step, int i) {
    return i < GI8_MAX_SRC ? step->node->src[i] : step->fused[i - GI8_MAX_SRC].other;
}

/* The node whose result a step leaves: the last one that it computes. */
static inline const gi8_tensor *gi8i_step_result(const gi8_step *step) {
    return step->n_fused > 0 ? step->fused[step->n_fused - 1].node : step->node;
}

/* The tensor whose memory `t` looks at: itself where it is no view. */
static inline const gi8_tensor *gi8i_root(const gi8_tensor *t) {
    return t->view_src != NULL ? t->view_src : t;
}

/* True where a backend computes `t`: it is neither a leaf nor a mere view. */
static inline bool gi8i_is_computed(const gi8_tensor *t) {
    return t->op != GI8_OP_NONE && (gi8_op_get_info(t->op)->flags & GI8_OP_IS_VIEW) == 0;
}

/* Writes the steps of `graph` to `steps`, which has room for each of its nodes, without addresses,
 * and their number to *n_steps. `backend` says what may be fused; NULL: nothing is. GI8_OK;
 * GI8_ERR_MEMORY: the allocator has no room to work. */
gi8_status gi8i_list_steps(const gi8_graph *graph, const gi8_backend *backend,
                           const gi8_allocator *allocator, gi8_step *steps, int64_t *n_steps,
                           gi8_error *error);

#endif
