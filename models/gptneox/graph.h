/* graph.h - the forward pass as a graph. */
#ifndef GPTNEOXI_GRAPH_H
#define GPTNEOXI_GRAPH_H

#include "kv_cache.h"
#include "model.h"

/* The graph's inputs and its output; all but the graph's shape is data, so that one plan serves
 * every call with as many tokens. */
typedef struct gptneoxi_graph {
    gi8_graph *graph;
    gi8_tensor *tokens;    /* [n_tokens] I32 */
    gi8_tensor *positions; /* [n_tokens] I32 */
    gi8_tensor *sequences; /* [n_tokens] I32 */
    gi8_tensor *rows;      /* [n_rows] I32: tokens whose logits are wanted; NULL: n_rows is 0 */
    gi8_tensor *logits;    /* [vocab, n_rows] F32; NULL where n_rows is 0 */
} gptneoxi_graph;

/* Builds the forward pass of `n_tokens` tokens in `ctx`, of which `n_rows` give logits (0: the
 * cache is filled and nothing else). GI8_OK, or the context's error. */
gi8_status gptneoxi_graph_build(gptneoxi_graph *out, gi8_context *ctx, const gptneox_model *model,
                                const gptneoxi_kv_cache *cache, int64_t n_tokens, int64_t n_rows,
                                gi8_error *error);

#endif
