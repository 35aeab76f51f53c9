/* session.h - what a gptneox_session is made of. */
#ifndef GPTNEOXI_SESSION_H
#define GPTNEOXI_SESSION_H

#include "graph.h"

/* Plans that a session keeps: one for decoding, some for prompts and their remainders. */
#define GPTNEOXI_MAX_PLANS 4

/* A forward pass of one shape, ready to run. Unused where `plan` is NULL. */
typedef struct gptneoxi_pass {
    int64_t n_tokens;
    int64_t n_rows;
    uint64_t last_used; /* counts evaluations: the oldest makes room */
    gi8_context *ctx;
    gptneoxi_graph graph;
    gi8_plan *plan;
} gptneoxi_pass;

struct gptneox_session {
    const gptneox_model *model;
    gi8_backend *backend;
    gptneox_session_params params; /* with the defaults filled in */
    gptneoxi_kv_cache cache;
    gptneoxi_pass passes[GPTNEOXI_MAX_PLANS];
    uint64_t clock;
    gi8_outlier_stats outliers;

    int32_t *next;      /* [n_sequences] lengths as they will be after the batch */
    int32_t *positions; /* [batch_capacity] and so on: the batch with its defaults filled in */
    int32_t *sequences;
    int32_t *rows;      /* tokens of the chunk at hand whose logits are wanted */
    int32_t *row_of;    /* row of a token in `logits`, or -1 */
    int32_t batch_capacity;
    int32_t n_tokens;   /* of the last batch */
    float *logits;      /* [n_rows][vocab_size] */
    size_t logits_capacity;
};

#endif
