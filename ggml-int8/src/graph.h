/* graph.h - what the planner and the dumps see of a graph. */
#ifndef GI8_GRAPH_H
#define GI8_GRAPH_H

#include "ggml-int8/gi8.h"

/* A growing array of tensors in the context's arena. */
typedef struct gi8i_tensor_list {
    gi8_tensor **at;
    int64_t n;
    int64_t capacity;
} gi8i_tensor_list;

struct gi8i_graph_slot;
struct gi8i_graph_frame;

struct gi8_graph {
    gi8_context *ctx;
    gi8i_tensor_list nodes;   /* topological order: each behind its sources and its view_src */
    gi8i_tensor_list leaves;  /* in the order in which the walk met them */
    gi8i_tensor_list outputs; /* each once, in the order of gi8_graph_add_output() */

    struct gi8i_graph_slot *slots; /* hash set of all nodes and leaves; private to graph.c */
    size_t n_slots;                /* a power of two, or 0 */
    struct gi8i_graph_frame *stack; /* of the walk; kept for the next one; private to graph.c */
    size_t stack_capacity;
};

/* A number for each tensor of the graph, without gaps, to index side tables with: node i has number
 * i, and leaf i has number nodes.n + i. -1 for a tensor that is not in the graph, and for NULL. The
 * numbers hold until the next gi8_graph_add_output(). Constant time. */
int64_t gi8i_graph_index(const gi8_graph *graph, const gi8_tensor *t);

/* True for a tensor that gi8_graph_add_output() was called with. Constant time. */
bool gi8i_graph_is_output(const gi8_graph *graph, const gi8_tensor *t);

#endif
