/* planner.h - where a plan puts inputs and results: a graph becomes a layout. Of the backend it
 * asks only what can be fused. */
#ifndef GI8_PLANNER_H
#define GI8_PLANNER_H

#include "steps.h"

#define GI8I_ALIGNMENT ((size_t)64)
#define GI8I_GUARD_BYTES ((size_t)64)

typedef struct gi8i_layout_params {
    const gi8_backend *backend;
    bool no_reuse; /* every result has memory of its own until the end; so nothing is fused */
    bool guard;    /* leave GI8I_GUARD_BYTES before the first place and behind each */
} gi8i_layout_params;

/* Memory of one input, or of the results that use it one after the other in place. */
typedef struct gi8i_place {
    size_t offset; /* a multiple of GI8I_ALIGNMENT */
    size_t bytes;  /* of the tensor; the place takes the next multiple of GI8I_ALIGNMENT */
} gi8i_place;

typedef struct gi8i_layout {
    /* The place of the root of each node and leaf, by gi8i_graph_index(); -1 where the root is a
     * leaf with memory of its own. All nodes of a step have the place of its result. */
    int64_t *place_of;

    gi8_step *steps; /* in the order of execution; without addresses, which the plan adds */
    int64_t n_steps;

    gi8i_place *places;
    int64_t n_places;

    size_t size; /* bytes of all memory: inputs, results, gaps and guards */

    /* For gi8_plan_stats. Guards count in memory_bytes only. */
    int64_t n_fused, n_in_place;
    size_t input_bytes, peak_bytes, total_bytes, memory_bytes;

    gi8_allocator allocator;
    size_t capacity; /* elements of place_of, steps and places */
} gi8i_layout;

/* Lays out the memory of `graph`. Deterministic: equal graphs get equal layouts.
 * GI8_OK; GI8_ERR_MEMORY: the allocator has no room for the layout, or a size overflows. On failure
 * there is nothing to free. */
gi8_status gi8i_layout_create(gi8i_layout *layout, const gi8_graph *graph,
                              const gi8i_layout_params *params, const gi8_allocator *allocator,
                              gi8_error *error);

/* Frees the layout's arrays and zeroes it; a zeroed layout is allowed. */
void gi8i_layout_free(gi8i_layout *layout);

#endif
