/* steps.c - lists the steps of a graph, and lets a step compute what follows its node.
 *
 * An elementwise node B joins the step that ends with A where nobody else wants A's result: B is
 * its only reader, and it is no output. The step stays where A is, so that whatever else B reads
 * must be there by then, and must not be written to between A and B. Of the two sources of a sum
 * that is the one computed last.
 */
#include "steps.h"

#include "allocator.h"
#include "graph.h"

/* What is known of a node or leaf while the nodes are walked. */
typedef struct tensor_info {
    int64_t n_reads; /* by all nodes of the graph, views included */
    int64_t written; /* of a root: the last step so far that wrote to its memory; -1: none */
    int64_t step;    /* the step that leaves it as its result; -1: none */
} tensor_info;

typedef struct step_list {
    const gi8_graph *graph;
    const gi8_backend *backend;
    tensor_info *info; /* by gi8i_graph_index() */
    gi8_step *steps;
    int64_t n;
} step_list;

static tensor_info *info_of(const step_list *list, const gi8_tensor *t) {
    return &list->info[gi8i_graph_index(list->graph, t)];
}

static void count_reads(step_list *list) {
    for (int64_t i = 0; i < list->graph->nodes.n + list->graph->leaves.n; i++) {
        list->info[i] = (tensor_info){0, -1, -1};
    }
    for (int64_t i = 0; i < list->graph->nodes.n; i++) {
        for (int s = 0; s < GI8_MAX_SRC; s++) {
            const gi8_tensor *source = list->graph->nodes.at[i]->src[s];
            if (source != NULL) {
                info_of(list, source)->n_reads++;
            }
        }
    }
}

/* True where `other` may be added, element by element or a row to every row, to a result of the
 * shape of `sum` in a step at number `step`. */
static bool may_be_added(const step_list *list, const gi8_tensor *other, const gi8_tensor *sum,
                         int64_t step) {
    bool is_row = other->ne[0] == sum->ne[0] && gi8_nelements(other) == other->ne[0];
    return (is_row || gi8_same_shape(other, sum)) &&
           info_of(list, gi8i_root(other))->written < step;
}

/* True where `node` may join the step that leaves its source `s`. */
static bool may_join(const step_list *list, const gi8_tensor *node, int s) {
    const gi8_tensor *source = node->src[s];
    const tensor_info *info = info_of(list, source);
    if (info->step < 0 || info->n_reads != 1 || gi8i_graph_is_output(list->graph, source)) {
        return false;
    }
    if (!gi8_same_shape(source, node)) {
        return false;
    }
    if (node->op == GI8_OP_ADD && !may_be_added(list, node->src[1 - s], node, info->step)) {
        return false;
    }
    const gi8_step *step = &list->steps[info->step];
    return step->n_fused < GI8_MAX_FUSED &&
           list->backend->vtable->can_fuse(list->backend, step->node, node);
}

/* Adds `node` to an earlier step if it may join one. What activations and sums read and give is F32
 * with contiguous rows: the builders see to it. */
static bool join(step_list *list, const gi8_tensor *node) {
    bool can_fuse = list->backend != NULL && list->backend->vtable->can_fuse != NULL;
    int n_src = node->op == GI8_OP_ACTIVATION ? 1 : node->op == GI8_OP_ADD ? 2 : 0;
    for (int s = 0; can_fuse && s < n_src; s++) {
        if (may_join(list, node, s)) {
            int64_t number = info_of(list, node->src[s])->step;
            gi8_step *step = &list->steps[number];
            const gi8_tensor *other = n_src == 2 ? node->src[1 - s] : NULL;
            step->fused[step->n_fused++] = (gi8_fused){.node = node, .other = other};
            *info_of(list, node) = (tensor_info){info_of(list, node)->n_reads, number, number};
            return true;
        }
    }
    return false;
}

static void add_nodes(step_list *list) {
    for (int64_t i = 0; i < list->graph->nodes.n; i++) {
        const gi8_tensor *node = list->graph->nodes.at[i];
        if (!gi8i_is_computed(node) || join(list, node)) {
            continue;
        }
        info_of(list, gi8i_root(node))->written = list->n;
        if (node->view_src == NULL) {
            info_of(list, node)->step = list->n;
        }
        list->steps[list->n++] = (gi8_step){.node = node};
    }
}

gi8_status gi8i_list_steps(const gi8_graph *graph, const gi8_backend *backend,
                           const gi8_allocator *allocator, gi8_step *steps, int64_t *n_steps,
                           gi8_error *error) {
    size_t n = (size_t)graph->nodes.n + (size_t)graph->leaves.n;
    step_list list = {.graph = graph, .backend = backend, .steps = steps};
    list.info = gi8i_alloc_array(allocator, n, sizeof *list.info);
    if (list.info == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY,
                             "plan: no memory to list the steps of %zu tensors", n);
    }
    count_reads(&list);
    add_nodes(&list);
    *n_steps = list.n;
    gi8i_free_array(allocator, list.info, n, sizeof *list.info);
    return GI8_OK;
}
