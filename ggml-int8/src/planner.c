/* planner.c - lays out the memory of a graph's inputs and results.
 *
 * Lifetimes belong to roots: who reads a view reads its root, and a node that writes into a view
 * (kv_store, cpy) uses the root as a reader does. Inputs keep their memory throughout, since their
 * values last from one execution to the next; outputs keep theirs from the step that writes them to
 * the end; any other result gives it up after its last reader.
 *
 * Offsets: best fit in the order of execution. Steps are walked once with a list of free ranges,
 * sorted by offset and merged; a result takes the low end of the smallest range that holds it (of
 * equal ones the lowest), and memory grows only where none does. A step looks at each free range
 * once, and there is at most one more of them than there are places in use: planning a long graph
 * takes time proportional to its length.
 */
#include "planner.h"

#include <assert.h>
#include <string.h>

#include "allocator.h"
#include "checked.h"
#include "graph.h"

/* ---- free ranges ----------------------------------------------------------------------------- */

typedef struct free_range {
    size_t offset, size;
} free_range;

typedef struct free_list {
    free_range *ranges; /* by ascending offset; no two touch */
    int64_t n;
    size_t end; /* of the memory handed out so far */
} free_list;

static void remove_range(free_list *list, int64_t i) {
    list->n--;
    memmove(list->ranges + i, list->ranges + i + 1, (size_t)(list->n - i) * sizeof *list->ranges);
}

/* Takes `size` bytes; false where the end would overflow. */
static bool take(free_list *list, size_t size, size_t *offset) {
    int64_t best = -1;
    for (int64_t i = 0; i < list->n; i++) {
        size_t found = list->ranges[i].size;
        if (found >= size && (best < 0 || found < list->ranges[best].size)) {
            best = i;
        }
    }
    if (best >= 0) {
        free_range *range = &list->ranges[best];
        *offset = range->offset;
        range->offset += size;
        range->size -= size;
        if (range->size == 0) {
            remove_range(list, best);
        }
        return true;
    }
    /* Grow, beginning with the range at the end if there is one. */
    const free_range *last = list->n > 0 ? &list->ranges[list->n - 1] : NULL;
    bool at_end = last != NULL && last->offset + last->size == list->end;
    size_t start = at_end ? last->offset : list->end;
    if (!gi8i_add_size(start, size, &list->end)) {
        return false;
    }
    list->n -= at_end;
    *offset = start;
    return true;
}

/* Takes back what take() gave. */
static void give(free_list *list, size_t offset, size_t size) {
    if (size == 0) {
        return;
    }
    int64_t low = 0, high = list->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (list->ranges[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    free_range *next = list->ranges + low; /* the first range behind `offset` */
    bool joins_next = low < list->n && offset + size == next->offset;
    bool joins_previous = low > 0 && next[-1].offset + next[-1].size == offset;
    if (joins_previous && joins_next) {
        next[-1].size += size + next->size;
        remove_range(list, low);
    } else if (joins_previous) {
        next[-1].size += size;
    } else if (joins_next) {
        next->offset = offset;
        next->size += size;
    } else {
        memmove(next + 1, next, (size_t)(list->n - low) * sizeof *next);
        *next = (free_range){offset, size};
        list->n++;
    }
}

/* ---- lifetimes ------------------------------------------------------------------------------- */

typedef struct layout_work {
    gi8i_layout *layout;
    const gi8_graph *graph;
    gi8i_layout_params params;
    /* Of each root: the step of its last reader; n_steps where the memory is kept to the end, as
     * it is for leaves and outputs; -1 once it is given away. */
    int64_t *last_use;
    free_list free;
    size_t in_use; /* bytes of results */
} layout_work;

static int64_t index_of_root(const layout_work *w, const gi8_tensor *t) {
    int64_t index = gi8i_graph_index(w->graph, gi8i_root(t));
    assert(index >= 0);
    return index;
}

static void find_last_uses(layout_work *w) {
    for (int64_t number = 0; number < w->layout->n_steps; number++) {
        const gi8_step *step = &w->layout->steps[number];
        w->last_use[gi8i_graph_index(w->graph, gi8i_step_result(step))] = number;
        for (int i = 0; i < GI8I_STEP_SOURCES; i++) {
            const gi8_tensor *source = gi8i_step_source(step, i);
            if (source != NULL) {
                w->last_use[index_of_root(w, source)] = number;
            }
        }
    }
    for (int64_t i = 0; i < w->graph->outputs.n; i++) {
        w->last_use[index_of_root(w, w->graph->outputs.at[i])] = w->layout->n_steps;
    }
    for (int64_t i = 0; i < w->graph->leaves.n; i++) {
        w->last_use[w->graph->nodes.n + i] = w->layout->n_steps;
    }
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Bytes that a tensor takes, without guards. No tensor has more than PTRDIFF_MAX bytes. */
static size_t aligned_bytes(const gi8_tensor *t) {
    return gi8i_round_up(gi8_nbytes(t), GI8I_ALIGNMENT);
}

static size_t guard_bytes(const layout_work *w) {
    return w->params.guard ? GI8I_GUARD_BYTES : 0;
}

/* A place for node or leaf `index`, which is `t`. */
static gi8_status new_place(layout_work *w, int64_t index, const gi8_tensor *t, gi8_error *error) {
    gi8i_layout *layout = w->layout;
    gi8i_place *place = &layout->places[layout->n_places];
    *place = (gi8i_place){0, gi8_nbytes(t)};
    if (!take(&w->free, aligned_bytes(t) + guard_bytes(w), &place->offset)) {
        return gi8_error_set(error, GI8_ERR_MEMORY,
                             "plan: inputs and results up to \"%s\" take more than %td bytes",
                             t->name, PTRDIFF_MAX);
    }
    layout->place_of[index] = layout->n_places++;
    return GI8_OK;
}

static gi8_status place_inputs(layout_work *w, gi8_error *error) {
    gi8i_layout *layout = w->layout;
    for (int64_t i = 0; i < w->graph->leaves.n; i++) {
        const gi8_tensor *leaf = w->graph->leaves.at[i];
        int64_t index = w->graph->nodes.n + i;
        layout->place_of[index] = -1;
        if (leaf->data == NULL) {
            gi8_status status = new_place(w, index, leaf, error);
            if (status != GI8_OK) {
                return status;
            }
            layout->input_bytes += aligned_bytes(leaf);
        }
    }
    return GI8_OK;
}

/* True where the result of a step may take the memory of source `i` of it: the first one of an
 * operation that works in place, or what a fused node adds. That source must look at a whole result
 * whose last use is this step (no input, weight or output), and no other source may look at that
 * result, unless it is the very same tensor, read in the same way: by the node, or by what is fused
 * with it, which comes when the node has read its sources. */
static bool may_take_source(const layout_work *w, int64_t number, int i) {
    const gi8_step *step = &w->layout->steps[number];
    const gi8_tensor *source = gi8i_step_source(step, i);
    const gi8_tensor *result = gi8i_step_result(step);
    bool of_node = i < GI8_MAX_SRC;
    if (w->params.no_reuse || source == NULL) {
        return false;
    }
    if (of_node && (i > 0 || (gi8_op_get_info(step->node->op)->flags & GI8_OP_IN_PLACE) == 0)) {
        return false;
    }
    const gi8_tensor *root = gi8i_root(source);
    if (w->last_use[index_of_root(w, source)] != number) {
        return false;
    }
    if (source->type != result->type || !gi8_same_shape(source, result) ||
        !gi8_is_contiguous(source) || gi8_nbytes(source) != gi8_nbytes(root)) {
        return false;
    }
    for (int j = 0; j < GI8I_STEP_SOURCES; j++) {
        const gi8_tensor *other = gi8i_step_source(step, j);
        bool same_way = other == source && (j < GI8_MAX_SRC) == of_node;
        if (other != NULL && !same_way && gi8i_root(other) == root) {
            return false;
        }
    }
    return true;
}

/* A place for the result of a step. */
static gi8_status place_result(layout_work *w, int64_t number, gi8_error *error) {
    gi8i_layout *layout = w->layout;
    const gi8_tensor *result = gi8i_step_result(&layout->steps[number]);
    int64_t index = gi8i_graph_index(w->graph, result);
    for (int i = 0; i < GI8I_STEP_SOURCES; i++) {
        if (may_take_source(w, number, i)) {
            int64_t source = index_of_root(w, gi8i_step_source(&layout->steps[number], i));
            layout->place_of[index] = layout->place_of[source];
            layout->n_in_place++;
            w->last_use[source] = -1; /* the memory is no longer the source's to give back */
            return GI8_OK;
        }
    }
    gi8_status status = new_place(w, index, result, error);
    if (status == GI8_OK) {
        w->in_use += aligned_bytes(result);
        layout->peak_bytes = w->in_use > layout->peak_bytes ? w->in_use : layout->peak_bytes;
    }
    return status;
}

/* One place for all nodes of a step. */
static gi8_status place_step(layout_work *w, int64_t number, gi8_error *error) {
    gi8i_layout *layout = w->layout;
    const gi8_step *step = &layout->steps[number];
    if (step->node->view_src != NULL) {
        return GI8_OK; /* it writes into memory that is there already */
    }
    for (int i = 0; i <= step->n_fused; i++) { /* without reuse each would have its own */
        if (!gi8i_add_size(layout->total_bytes, aligned_bytes(step->node), &layout->total_bytes)) {
            layout->total_bytes = SIZE_MAX; /* what no memory could hold; reuse may still fit */
        }
    }
    gi8_status status = place_result(w, number, error);
    if (status != GI8_OK) {
        return status;
    }
    int64_t place = layout->place_of[gi8i_graph_index(w->graph, gi8i_step_result(step))];
    layout->place_of[gi8i_graph_index(w->graph, step->node)] = place;
    for (int i = 0; i < step->n_fused; i++) {
        layout->place_of[gi8i_graph_index(w->graph, step->fused[i].node)] = place;
    }
    layout->n_fused += step->n_fused;
    return GI8_OK;
}

/* Gives back the memory of `t`'s root if it is a result whose last use was `step`. */
static void release(layout_work *w, const gi8_tensor *t, int64_t step) {
    int64_t index = index_of_root(w, t);
    if (w->params.no_reuse || w->last_use[index] != step) {
        return;
    }
    const gi8i_place *place = &w->layout->places[w->layout->place_of[index]];
    size_t bytes = aligned_bytes(gi8i_root(t));
    give(&w->free, place->offset, bytes + guard_bytes(w));
    w->in_use -= bytes;
    w->last_use[index] = -1; /* once, also where the step reads it twice */
}

static gi8_status place_results(layout_work *w, gi8_error *error) {
    for (int64_t number = 0; number < w->layout->n_steps; number++) {
        gi8_status status = place_step(w, number, error);
        if (status != GI8_OK) {
            return status;
        }
        const gi8_step *step = &w->layout->steps[number];
        for (int i = 0; i < GI8I_STEP_SOURCES; i++) {
            const gi8_tensor *source = gi8i_step_source(step, i);
            if (source != NULL) {
                release(w, source, number);
            }
        }
        release(w, gi8i_step_result(step), number);
    }
    return GI8_OK;
}

static gi8_status lay_out(layout_work *w, gi8_error *error) {
    gi8i_layout *layout = w->layout;
    const gi8_backend *backend = w->params.no_reuse ? NULL : w->params.backend;
    gi8_status status = gi8i_list_steps(w->graph, backend, &layout->allocator, layout->steps,
                                        &layout->n_steps, error);
    if (status != GI8_OK) {
        return status;
    }
    find_last_uses(w);
    w->free.end = guard_bytes(w);
    status = place_inputs(w, error);
    if (status != GI8_OK) {
        return status;
    }
    size_t inputs_end = w->free.end;
    status = place_results(w, error);
    if (status != GI8_OK) {
        return status;
    }
    for (int64_t i = 0; i < w->graph->nodes.n; i++) { /* views, and nodes that write into one */
        layout->place_of[i] = layout->place_of[index_of_root(w, w->graph->nodes.at[i])];
    }
    layout->size = w->free.end;
    layout->memory_bytes = w->free.end - inputs_end;
    return GI8_OK;
}

/* ---- the layout ------------------------------------------------------------------------------ */

gi8_status gi8i_layout_create(gi8i_layout *layout, const gi8_graph *graph,
                              const gi8i_layout_params *params, const gi8_allocator *allocator,
                              gi8_error *error) {
    size_t n = (size_t)graph->nodes.n + (size_t)graph->leaves.n; /* no array is longer */
    *layout = (gi8i_layout){.allocator = *allocator, .capacity = n};
    layout->place_of = gi8i_alloc_array(allocator, n, sizeof *layout->place_of);
    layout->steps = gi8i_alloc_array(allocator, n, sizeof *layout->steps);
    layout->places = gi8i_alloc_array(allocator, n, sizeof *layout->places);

    layout_work w = {.layout = layout, .graph = graph, .params = *params};
    w.last_use = gi8i_alloc_array(allocator, n, sizeof *w.last_use);
    w.free.ranges = gi8i_alloc_array(allocator, n, sizeof *w.free.ranges);

    gi8_status status;
    if (layout->place_of == NULL || layout->steps == NULL || layout->places == NULL ||
        w.last_use == NULL || w.free.ranges == NULL) {
        status = gi8_error_set(error, GI8_ERR_MEMORY,
                               "plan: no memory for the layout of %zu tensors", n);
    } else {
        status = lay_out(&w, error);
    }
    gi8i_free_array(allocator, w.last_use, n, sizeof *w.last_use);
    gi8i_free_array(allocator, w.free.ranges, n, sizeof *w.free.ranges);
    if (status != GI8_OK) {
        gi8i_layout_free(layout);
    }
    return status;
}

void gi8i_layout_free(gi8i_layout *layout) {
    size_t n = layout->capacity;
    gi8i_free_array(&layout->allocator, layout->place_of, n, sizeof *layout->place_of);
    gi8i_free_array(&layout->allocator, layout->steps, n, sizeof *layout->steps);
    gi8i_free_array(&layout->allocator, layout->places, n, sizeof *layout->places);
    *layout = (gi8i_layout){0};
}
