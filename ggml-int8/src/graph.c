/* graph.c - from outputs to a list of nodes: a depth-first walk without recursion.
 *
 * Tensors are never written to, since graphs of several threads may share them: what has been seen
 * is kept in a hash set (open addressing, at most half full), and the path from the output to the
 * tensor at hand on a stack. All of it lies in the context's arena. The order depends on the graph
 * alone: sources are visited in the order of src[], then view_src, and each tensor is listed when
 * everything that it needs has been. */
#include "graph.h"

#include <string.h>

#include "context.h"

typedef struct gi8i_graph_slot {
    const gi8_tensor *tensor; /* NULL: free */
    int64_t index;            /* in the list of nodes or of leaves */
    bool is_leaf;
    bool is_output;
} gi8i_graph_slot;

/* A tensor on the way from the output down, and which of its sources comes next. */
typedef struct gi8i_graph_frame {
    gi8_tensor *tensor;
    int next; /* an index of src[]; GI8_MAX_SRC: view_src */
} gi8i_graph_frame;

/* ---- the set of tensors ---------------------------------------------------------------------- */

/* The slot of t, or the free one where it belongs. */
static gi8i_graph_slot *probe(const gi8_graph *graph, const gi8_tensor *t) {
    const size_t mask = graph->n_slots - 1;
    uint64_t hash = (uint64_t)(uintptr_t)t * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(hash >> 32) & mask;
    while (graph->slots[at].tensor != NULL && graph->slots[at].tensor != t) {
        at = (at + 1) & mask;
    }
    return &graph->slots[at];
}

static gi8i_graph_slot *find(const gi8_graph *graph, const gi8_tensor *t) {
    if (graph->n_slots == 0 || t == NULL) {
        return NULL;
    }
    gi8i_graph_slot *slot = probe(graph, t);
    return slot->tensor == t ? slot : NULL;
}

/* Makes the set hold exactly what the lists do. */
static void fill_slots(gi8_graph *graph) {
    for (int64_t i = 0; i < graph->nodes.n; i++) {
        *probe(graph, graph->nodes.at[i]) = (gi8i_graph_slot){graph->nodes.at[i], i, false, false};
    }
    for (int64_t i = 0; i < graph->leaves.n; i++) {
        *probe(graph, graph->leaves.at[i]) = (gi8i_graph_slot){graph->leaves.at[i], i, true, false};
    }
    for (int64_t i = 0; i < graph->outputs.n; i++) {
        probe(graph, graph->outputs.at[i])->is_output = true;
    }
}

static bool reserve_slot(gi8_graph *graph) {
    const size_t n_used = (size_t)graph->nodes.n + (size_t)graph->leaves.n;
    if (2 * (n_used + 1) <= graph->n_slots) {
        return true;
    }
    const size_t n_slots = graph->n_slots == 0 ? 32 : 2 * graph->n_slots;
    gi8i_graph_slot *slots = gi8i_arena_alloc(graph->ctx, n_slots, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    graph->slots = slots;
    graph->n_slots = n_slots;
    fill_slots(graph);
    return true;
}

/* ---- lists and the stack --------------------------------------------------------------------- */

static bool append(gi8_context *ctx, gi8i_tensor_list *list, gi8_tensor *t) {
    if (list->n == list->capacity) {
        const int64_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        gi8_tensor **at = gi8i_arena_alloc(ctx, (size_t)capacity, sizeof *at);
        if (at == NULL) {
            return false;
        }
        if (list->n > 0) {
            memcpy(at, list->at, (size_t)list->n * sizeof *at);
        }
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->n++] = t;
    return true;
}

static bool push(gi8_graph *graph, size_t *depth, gi8_tensor *t) {
    if (*depth == graph->stack_capacity) {
        const size_t capacity = *depth == 0 ? 16 : 2 * *depth;
        gi8i_graph_frame *stack = gi8i_arena_alloc(graph->ctx, capacity, sizeof *stack);
        if (stack == NULL) {
            return false;
        }
        if (*depth > 0) {
            memcpy(stack, graph->stack, *depth * sizeof *stack);
        }
        graph->stack = stack;
        graph->stack_capacity = capacity;
    }
    graph->stack[(*depth)++] = (gi8i_graph_frame){t, 0};
    return true;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* What a tensor needs, one at a time; NULL behind the last. A view's view_src can be reached
 * through src[0] as well; it is asked for here so that no planner has to rely on that. */
static gi8_tensor *next_needed(gi8i_graph_frame *frame) {
    while (frame->next <= GI8_MAX_SRC) {
        const int i = frame->next++;
        gi8_tensor *t = i < GI8_MAX_SRC ? frame->tensor->src[i] : frame->tensor->view_src;
        if (t != NULL) {
            return t;
        }
    }
    return NULL;
}

static bool list_tensor(gi8_graph *graph, gi8_tensor *t) {
    const bool is_leaf = t->op == GI8_OP_NONE;
    gi8i_tensor_list *list = is_leaf ? &graph->leaves : &graph->nodes;
    if (!reserve_slot(graph) || !append(graph->ctx, list, t)) {
        return false;
    }
    *probe(graph, t) = (gi8i_graph_slot){t, list->n - 1, is_leaf, false};
    return true;
}

static bool visit(gi8_graph *graph, gi8_tensor *output) {
    size_t depth = 0;
    if (find(graph, output) == NULL && !push(graph, &depth, output)) {
        return false;
    }
    while (depth > 0) {
        gi8i_graph_frame *top = &graph->stack[depth - 1];
        gi8_tensor *needed = next_needed(top);
        if (needed == NULL) {
            if (!list_tensor(graph, top->tensor)) {
                return false;
            }
            depth--;
        } else if (find(graph, needed) == NULL && !push(graph, &depth, needed)) {
            return false;
        }
    }
    return true;
}

static bool list_output(gi8_graph *graph, gi8_tensor *output) {
    gi8i_graph_slot *slot = find(graph, output);
    if (!slot->is_output) {
        if (!append(graph->ctx, &graph->outputs, output)) {
            return false;
        }
        slot->is_output = true;
    }
    return true;
}

gi8_graph *gi8_graph_create(gi8_context *ctx) {
    if (!gi8i_context_ok(ctx)) {
        return NULL;
    }
    gi8_graph *graph = gi8i_arena_alloc(ctx, 1, sizeof *graph);
    if (graph != NULL) {
        *graph = (gi8_graph){.ctx = ctx};
    }
    return graph;
}

gi8_status gi8_graph_add_output(gi8_graph *graph, gi8_tensor *output) {
    if (graph == NULL) {
        return GI8_ERR_ARGUMENT;
    }
    gi8_context *ctx = graph->ctx;
    if (!gi8i_context_ok(ctx)) {
        return gi8_context_status(ctx);
    }
    if (output == NULL) {
        return gi8i_context_fail(ctx, GI8_ERR_ARGUMENT, "graph_add_output: output is NULL");
    }
    const gi8_graph before = *graph;
    const gi8i_arena_mark mark = gi8i_arena_get_mark(ctx);
    if (visit(graph, output) && list_output(graph, output)) {
        return GI8_OK;
    }
    /* As if it had never been asked for. Arrays from before lie before the mark, and what was
     * appended to them lies behind their n. */
    gi8i_arena_release(ctx, mark);
    *graph = before;
    if (graph->n_slots > 0) {
        memset(graph->slots, 0, graph->n_slots * sizeof *graph->slots);
        fill_slots(graph);
    }
    return gi8_context_status(ctx);
}

/* ---- reading --------------------------------------------------------------------------------- */

static gi8_tensor *get(const gi8i_tensor_list *list, int64_t index) {
    return index >= 0 && index < list->n ? list->at[index] : NULL;
}

int64_t gi8_graph_n_nodes(const gi8_graph *graph) {
    return graph == NULL ? 0 : graph->nodes.n;
}

gi8_tensor *gi8_graph_node(const gi8_graph *graph, int64_t index) {
    return graph == NULL ? NULL : get(&graph->nodes, index);
}

int64_t gi8_graph_n_leaves(const gi8_graph *graph) {
    return graph == NULL ? 0 : graph->leaves.n;
}

gi8_tensor *gi8_graph_leaf(const gi8_graph *graph, int64_t index) {
    return graph == NULL ? NULL : get(&graph->leaves, index);
}

int64_t gi8_graph_n_outputs(const gi8_graph *graph) {
    return graph == NULL ? 0 : graph->outputs.n;
}

gi8_tensor *gi8_graph_output(const gi8_graph *graph, int64_t index) {
    return graph == NULL ? NULL : get(&graph->outputs, index);
}

int64_t gi8i_graph_index(const gi8_graph *graph, const gi8_tensor *t) {
    const gi8i_graph_slot *slot = find(graph, t);
    if (slot == NULL) {
        return -1;
    }
    return slot->is_leaf ? graph->nodes.n + slot->index : slot->index;
}

bool gi8i_graph_is_output(const gi8_graph *graph, const gi8_tensor *t) {
    const gi8i_graph_slot *slot = find(graph, t);
    return slot != NULL && slot->is_output;
}
