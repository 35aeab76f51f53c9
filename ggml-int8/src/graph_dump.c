/* graph_dump.c - a graph as text, and as a Graphviz digraph.
 *
 *   graph: 1 nodes, 2 leaves, 1 outputs
 *   leaf 0: F32 [64, 3] "w" with memory
 *   leaf 1: F32 [64, 7] "x" input
 *   node 0: mul_mat F32 [3, 7] "" of (leaf 0, leaf 1) output
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "graph.h"
#include "tensor.h"

typedef struct writer {
    gi8_write_fn write;
    void *user;
    bool escape; /* inside a quoted label: each backslash and quote gets a backslash */
} writer;

static void put(const writer *w, const char *text) {
    size_t start = 0;
    size_t at = 0;
    for (; text[at] != '\0'; at++) {
        if (w->escape && (text[at] == '\\' || text[at] == '"')) {
            w->write(w->user, text + start, at - start);
            w->write(w->user, "\\", 1);
            start = at;
        }
    }
    w->write(w->user, text + start, at - start);
}

/* For numbers and words of bounded length; names go through put_name(). */
static void putf(const writer *w, const char *format, ...) GI8_PRINTF(2, 3);
static void putf(const writer *w, const char *format, ...) {
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(w, text);
}

/* The name in quotes, on one line and without ambiguity: \", \\, \x0a for control characters. */
static void put_name(const writer *w, const char *name) {
    put(w, "\"");
    for (; *name != '\0'; name++) {
        const unsigned char c = (unsigned char)*name;
        if (c < 0x20 || c == 0x7f) {
            putf(w, "\\x%02x", c);
        } else {
            const char text[] = {'\\', (char)c, '\0'};
            put(w, c == '"' || c == '\\' ? text : text + 1);
        }
    }
    put(w, "\"");
}

static void put_ref(const writer *w, const gi8_graph *graph, const gi8_tensor *t) {
    const int64_t index = gi8i_graph_index(graph, t);
    if (t == NULL) {
        put(w, "-");
    } else if (index < graph->nodes.n) {
        putf(w, "node %" PRId64, index);
    } else {
        putf(w, "leaf %" PRId64, index - graph->nodes.n);
    }
}

static const char *activation_name(gi8_activation_kind kind) {
    switch (kind) {
    case GI8_ACTIVATION_RELU: return "relu";
    case GI8_ACTIVATION_SILU: return "silu";
    case GI8_ACTIVATION_GELU: return "gelu";
    case GI8_ACTIVATION_GELU_TANH: return "gelu_tanh";
    }
    return "unknown";
}

/* Floats with nine digits, which tell any two apart. */
static void put_params(const writer *w, const gi8_tensor *t) {
    switch (t->op) {
    case GI8_OP_PERMUTE: {
        const gi8_permute_params *p = t->params;
        putf(w, " axes=%d,%d,%d,%d", p->axis[0], p->axis[1], p->axis[2], p->axis[3]);
        break;
    }
    case GI8_OP_LAYER_NORM: {
        const gi8_layer_norm_params *p = t->params;
        putf(w, " eps=%.9g", (double)p->eps);
        break;
    }
    case GI8_OP_MUL_MAT_INT8_MIXED: {
        const gi8_int8_params *p = t->params;
        putf(w, " threshold=%.9g outliers=%s", (double)p->threshold,
             p->outliers == GI8_OUTLIERS_COLUMN ? "column" : "per_token");
        break;
    }
    case GI8_OP_SCALE: {
        const gi8_scale_params *p = t->params;
        putf(w, " factor=%.9g", (double)p->factor);
        break;
    }
    case GI8_OP_ACTIVATION: {
        const gi8_activation_params *p = t->params;
        putf(w, " kind=%s", activation_name(p->kind));
        break;
    }
    case GI8_OP_ROPE: {
        const gi8_rope_params *p = t->params;
        putf(w, " n_rot=%" PRId32 " base=%.9g freq_scale=%.9g", p->n_rot, (double)p->base,
             (double)p->freq_scale);
        break;
    }
    case GI8_OP_ATTENTION: {
        const gi8_attention_params *p = t->params;
        putf(w, " scale=%.9g", (double)p->scale);
        break;
    }
    case GI8_OP_SOFT_MAX: {
        const gi8_soft_max_params *p = t->params;
        putf(w, " scale=%.9g", (double)p->scale);
        break;
    }
    case GI8_OP_NONE:
    case GI8_OP_VIEW:
    case GI8_OP_RESHAPE:
    case GI8_OP_TRANSPOSE:
    case GI8_OP_GET_ROWS:
    case GI8_OP_MUL_MAT:
    case GI8_OP_ADD:
    case GI8_OP_MUL:
    case GI8_OP_KV_STORE:
    case GI8_OP_CONT:
    case GI8_OP_CPY:
    case GI8_OP_COUNT:
        break;
    }
}

/* "F32 [64, 7] strides [4, 512, 3584, 3584]" */
static void put_layout(const writer *w, const gi8_tensor *t) {
    char shape[GI8I_SHAPE_TEXT];
    putf(w, "%s %s", gi8_type_name(t->type), gi8i_shape_text(t->ne, shape));
    if (t->layout == GI8_LAYOUT_PANELS) {
        put(w, " panels");
    } else if (!gi8_is_contiguous(t)) {
        putf(w, " strides [%zu, %zu, %zu, %zu]", t->nb[0], t->nb[1], t->nb[2], t->nb[3]);
    }
}

static const char *memory_of_leaf(const gi8_tensor *leaf) {
    return leaf->data != NULL ? "with memory" : "input";
}

/* ---- text ------------------------------------------------------------------------------------ */

static void dump_tensor(const writer *w, const gi8_graph *graph, const gi8_tensor *t) {
    put_ref(w, graph, t);
    put(w, ": ");
    if (t->op != GI8_OP_NONE) {
        putf(w, "%s ", gi8_op_get_info(t->op)->name);
    }
    put_layout(w, t);
    put(w, " ");
    put_name(w, t->name);
    if (t->op == GI8_OP_NONE) {
        putf(w, " %s", memory_of_leaf(t));
    } else {
        const int max_src = gi8_op_get_info(t->op)->max_src;
        for (int i = 0; i < max_src; i++) {
            put(w, i == 0 ? " of (" : ", ");
            put_ref(w, graph, t->src[i]);
        }
        put(w, ")");
    }
    put_params(w, t);
    if (t->view_src != NULL) {
        put(w, " view of ");
        put_ref(w, graph, t->view_src);
        putf(w, " at byte %zu", t->view_offset);
    }
    put(w, gi8i_graph_is_output(graph, t) ? " output\n" : "\n");
}

void gi8_graph_dump_text(const gi8_graph *graph, gi8_write_fn write, void *user) {
    if (graph == NULL) {
        return;
    }
    const writer w = {write, user, false};
    putf(&w, "graph: %" PRId64 " nodes, %" PRId64 " leaves, %" PRId64 " outputs\n", graph->nodes.n,
         graph->leaves.n, graph->outputs.n);
    for (int64_t i = 0; i < graph->leaves.n; i++) {
        dump_tensor(&w, graph, graph->leaves.at[i]);
    }
    for (int64_t i = 0; i < graph->nodes.n; i++) {
        dump_tensor(&w, graph, graph->nodes.at[i]);
    }
}

/* ---- dot ------------------------------------------------------------------------------------- */

/* A box of up to three lines: operation with parameters, name, layout. Views are dashed, leaves are
 * rounded, outputs have two borders. */
static void dump_box(const writer *w, const gi8_graph *graph, const gi8_tensor *t) {
    const writer label = {w->write, w->user, true};
    const gi8_op_info *info = gi8_op_get_info(t->op);
    putf(w, "  t%" PRId64 " [label=\"", gi8i_graph_index(graph, t));
    put(&label, t->op == GI8_OP_NONE ? memory_of_leaf(t) : info->name);
    put_params(&label, t);
    if (t->name[0] != '\0') {
        put(w, "\\n");
        put_name(&label, t->name);
    }
    put(w, "\\n");
    put_layout(&label, t);
    put(w, "\"");
    if (t->op == GI8_OP_NONE) {
        put(w, ", style=rounded");
    } else if ((info->flags & GI8_OP_IS_VIEW) != 0) {
        put(w, ", style=dashed");
    }
    put(w, gi8i_graph_is_output(graph, t) ? ", peripheries=2];\n" : "];\n");
}

static void dump_edges(const writer *w, const gi8_graph *graph, const gi8_tensor *t) {
    for (int i = 0; i < GI8_MAX_SRC; i++) {
        if (t->src[i] != NULL) {
            putf(w, "  t%" PRId64 " -> t%" PRId64 " [label=\"%d\"];\n",
                 gi8i_graph_index(graph, t->src[i]), gi8i_graph_index(graph, t), i);
        }
    }
}

void gi8_graph_dump_dot(const gi8_graph *graph, gi8_write_fn write, void *user) {
    if (graph == NULL) {
        return;
    }
    const writer w = {write, user, false};
    put(&w, "digraph gi8 {\n  node [shape=box];\n");
    for (int64_t i = 0; i < graph->leaves.n; i++) {
        dump_box(&w, graph, graph->leaves.at[i]);
    }
    for (int64_t i = 0; i < graph->nodes.n; i++) {
        dump_box(&w, graph, graph->nodes.at[i]);
        dump_edges(&w, graph, graph->nodes.at[i]);
    }
    put(&w, "}\n");
}
