/* session.c - evaluating batches of tokens over a KV cache. */
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void pass_free(gptneoxi_pass *pass) {
    gi8_plan_free(pass->plan);
    gi8_context_free(pass->ctx);
    memset(pass, 0, sizeof *pass);
}

gptneox_session *gptneox_session_create(const gptneox_model *model,
                                        const gptneox_session_params *params, gi8_error *error) {
    if (model == NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "session: the model is NULL");
        return NULL;
    }
    gptneox_session_params p = GPTNEOX_SESSION_PARAMS_DEFAULT;
    if (params != NULL) {
        p = *params;
    }
    p.n_ctx = p.n_ctx == 0 ? model->config.max_position_embeddings : p.n_ctx;
    p.n_sequences = p.n_sequences == 0 ? 1 : p.n_sequences;
    p.n_batch = p.n_batch == 0 ? 512 : p.n_batch;
    p.backend = p.backend == NULL ? model->backend : p.backend;
    if (p.n_ctx < 1 || p.n_sequences < 1 || p.n_batch < 1) {
        gi8_error_set(error, GI8_ERR_ARGUMENT,
                      "session: n_ctx = %d, n_sequences = %d, n_batch = %d, each must be at least "
                      "1", p.n_ctx, p.n_sequences, p.n_batch);
        return NULL;
    }
    if (p.kv_type != GI8_TYPE_F16 && p.kv_type != GI8_TYPE_F32) {
        gi8_error_set(error, GI8_ERR_TYPE, "session: the KV cache holds F16 or F32, not %s",
                      gi8_type_name(p.kv_type));
        return NULL;
    }
    gptneox_session *session = calloc(1, sizeof *session);
    int32_t *next = calloc((size_t)p.n_sequences, sizeof(int32_t));
    if (session == NULL || next == NULL) {
        free(session);
        free(next);
        gi8_error_set(error, GI8_ERR_MEMORY, "session: no memory for its description");
        return NULL;
    }
    session->model = model;
    session->backend = p.backend;
    session->params = p;
    session->next = next;
    if (gptneoxi_kv_cache_create(&session->cache, &model->config, p.backend, p.kv_type, p.n_ctx,
                                 p.n_sequences, error) != GI8_OK) {
        gptneox_session_free(session);
        return NULL;
    }
    return session;
}

void gptneox_session_free(gptneox_session *session) {
    if (session == NULL) {
        return;
    }
    for (int i = 0; i < GPTNEOXI_MAX_PLANS; i++) {
        pass_free(&session->passes[i]);
    }
    gptneoxi_kv_cache_free(&session->cache);
    free(session->next);
    free(session->positions);
    free(session->sequences);
    free(session->rows);
    free(session->row_of);
    free(session->logits);
    free(session);
}

int32_t gptneox_session_n_ctx(const gptneox_session *session) {
    return session != NULL ? session->params.n_ctx : 0;
}

int32_t gptneox_session_n_sequences(const gptneox_session *session) {
    return session != NULL ? session->params.n_sequences : 0;
}

uint64_t gptneox_session_kv_bytes(const gptneox_session *session) {
    return session != NULL ? gi8_buffer_size(session->cache.buffer) : 0;
}

int32_t gptneox_session_length(const gptneox_session *session, int32_t sequence) {
    if (session == NULL || sequence < 0 || sequence >= session->params.n_sequences) {
        return 0;
    }
    return session->cache.length[sequence];
}

gi8_status gptneox_session_truncate(gptneox_session *session, int32_t sequence, int32_t length,
                                    gi8_error *error) {
    if (session == NULL || sequence < 0 || sequence >= session->params.n_sequences) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "truncate: there is no sequence %d",
                             sequence);
    }
    if (length < 0 || length > session->cache.length[sequence]) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "truncate: sequence %d holds %d tokens, cannot keep %d", sequence,
                             session->cache.length[sequence], length);
    }
    session->cache.length[sequence] = length;
    return GI8_OK;
}

gi8_outlier_stats gptneox_session_outliers(const gptneox_session *session) {
    return session != NULL ? session->outliers : (gi8_outlier_stats){0, 0};
}

/* ---- batches --------------------------------------------------------------------------------- */

static bool grow(int32_t **array, int32_t n) {
    int32_t *bigger = realloc(*array, (size_t)n * sizeof(int32_t));
    *array = bigger != NULL ? bigger : *array;
    return bigger != NULL;
}

static gi8_status reserve(gptneox_session *session, int32_t n_tokens, size_t n_rows,
                          gi8_error *error) {
    if (n_tokens > session->batch_capacity) {
        if (!grow(&session->positions, n_tokens) || !grow(&session->sequences, n_tokens) ||
            !grow(&session->rows, n_tokens) || !grow(&session->row_of, n_tokens)) {
            return gi8_error_set(error, GI8_ERR_MEMORY, "eval: no memory for %d tokens", n_tokens);
        }
        session->batch_capacity = n_tokens;
    }
    size_t vocab = (size_t)session->model->config.vocab_size;
    if (n_rows > SIZE_MAX / sizeof(float) / vocab) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "eval: logits of %zu tokens are too many",
                             n_rows);
    }
    if (n_rows * vocab > session->logits_capacity) {
        float *bigger = realloc(session->logits, n_rows * vocab * sizeof(float));
        if (bigger == NULL) {
            return gi8_error_set(error, GI8_ERR_MEMORY,
                                 "eval: no memory for the logits of %zu tokens", n_rows);
        }
        session->logits = bigger;
        session->logits_capacity = n_rows * vocab;
    }
    return GI8_OK;
}

/* Checks the batch and fills in what it leaves open. */
static gi8_status complete_batch(gptneox_session *session, const gptneox_batch *batch,
                                 gi8_error *error) {
    const gptneoxi_kv_cache *cache = &session->cache;
    memcpy(session->next, cache->length, (size_t)cache->n_sequences * sizeof(int32_t));
    for (int32_t i = 0; i < batch->n_tokens; i++) {
        int32_t token = batch->tokens[i];
        if (token < 0 || token >= session->model->config.vocab_size) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 "eval: token %d is %d, the vocabulary has %d", i, token,
                                 session->model->config.vocab_size);
        }
        int32_t sequence = batch->sequences != NULL ? batch->sequences[i] : 0;
        if (sequence < 0 || sequence >= cache->n_sequences) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 "eval: token %d is for sequence %d, the session has %d", i,
                                 sequence, cache->n_sequences);
        }
        int32_t position = session->next[sequence];
        if (position >= cache->n_ctx) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 "eval: token %d would be number %d of sequence %d, the context "
                                 "holds %d", i, position + 1, sequence, cache->n_ctx);
        }
        if (batch->positions != NULL && batch->positions[i] != position) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 "eval: token %d has position %d, the next of sequence %d is %d", i,
                                 batch->positions[i], sequence, position);
        }
        session->sequences[i] = sequence;
        session->positions[i] = position;
        session->next[sequence]++;
    }
    return GI8_OK;
}

/* The pass for this shape: one that is ready, or a new one in the place of the oldest. */
static gi8_status find_pass(gptneox_session *session, int64_t n_tokens, int64_t n_rows,
                            gptneoxi_pass **out, gi8_error *error) {
    gptneoxi_pass *oldest = &session->passes[0];
    session->clock++;
    for (int i = 0; i < GPTNEOXI_MAX_PLANS; i++) {
        gptneoxi_pass *pass = &session->passes[i];
        if (pass->plan != NULL && pass->n_tokens == n_tokens && pass->n_rows == n_rows) {
            pass->last_used = session->clock;
            *out = pass;
            return GI8_OK;
        }
        oldest = pass->last_used < oldest->last_used ? pass : oldest;
    }
    pass_free(oldest);
    gptneoxi_pass fresh = {.n_tokens = n_tokens, .n_rows = n_rows, .last_used = session->clock};
    fresh.ctx = gi8_context_create(NULL, error);
    if (fresh.ctx == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_error inner = GI8_ERROR_INIT;
    gi8_status status = gptneoxi_graph_build(&fresh.graph, fresh.ctx, session->model,
                                             &session->cache, n_tokens, n_rows, &inner);
    if (status == GI8_OK) {
        gi8_plan_params params = {.should_cancel = session->params.should_cancel,
                                  .user = session->params.user};
        fresh.plan = gi8_plan_create(session->backend, fresh.graph.graph, &params, &inner);
        status = inner.status;
    }
    if (fresh.plan == NULL) {
        gi8_context_free(fresh.ctx);
        return gi8_error_set(error, status, "%s", inner.message);
    }
    *oldest = fresh;
    *out = oldest;
    return GI8_OK;
}

static gi8_status write_input(gptneoxi_pass *pass, const gi8_tensor *input, const int32_t *values,
                              int64_t n, gi8_error *error) {
    return gi8_plan_write(pass->plan, input, 0, values, (size_t)n * sizeof(int32_t), error);
}

/* Computes tokens [first, first + n) of the batch; their logits go to row `logits_row` and on. */
static gi8_status eval_chunk(gptneox_session *session, const gptneox_batch *batch, int32_t first,
                             int32_t n, int32_t n_rows, int32_t logits_row, gi8_error *error) {
    gptneoxi_pass *pass = NULL;
    gi8_status status = find_pass(session, n, n_rows, &pass, error);
    if (status != GI8_OK) {
        return status;
    }
    const gptneoxi_graph *g = &pass->graph;
    const int32_t *positions = session->positions + first;
    const int32_t *sequences = session->sequences + first;
    if ((status = write_input(pass, g->tokens, batch->tokens + first, n, error)) != GI8_OK ||
        (status = write_input(pass, g->positions, positions, n, error)) != GI8_OK ||
        (status = write_input(pass, g->sequences, sequences, n, error)) != GI8_OK ||
        (n_rows > 0 &&
         (status = write_input(pass, g->rows, session->rows, n_rows, error)) != GI8_OK) ||
        (status = gi8_plan_execute(pass->plan, error)) != GI8_OK) {
        return status;
    }
    gi8_outlier_stats seen = gi8_plan_get_outlier_stats(pass->plan);
    session->outliers.columns += seen.columns;
    session->outliers.outlier_columns += seen.outlier_columns;
    if (n_rows == 0) {
        return GI8_OK;
    }
    size_t vocab = (size_t)session->model->config.vocab_size;
    float *logits = session->logits + (size_t)logits_row * vocab;
    size_t count = (size_t)n_rows * vocab;
    status = gi8_plan_read(pass->plan, g->logits, 0, logits, count * sizeof(float), error);
    if (status != GI8_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (isnan(logits[i])) {
            return gi8_error_set(error, GI8_ERR_NOT_FINITE,
                                 "eval: the logits of token %d are NaN: the weights are damaged or "
                                 "overflow the chosen weight type",
                                 first + session->rows[i / vocab]);
        }
    }
    return GI8_OK;
}

static bool wants_logits(const gptneox_batch *batch, int32_t i) {
    return batch->wants_logits != NULL ? batch->wants_logits[i] : i == batch->n_tokens - 1;
}

gi8_status gptneox_eval(gptneox_session *session, const gptneox_batch *batch, gi8_error *error) {
    if (session == NULL || batch == NULL || batch->n_tokens < 0 ||
        (batch->n_tokens > 0 && batch->tokens == NULL)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "eval: the session or the batch is missing");
    }
    if (batch->n_tokens == 0) {
        return GI8_OK;
    }
    session->n_tokens = 0; /* logits of the batch before are gone, whatever happens now */
    size_t n_rows = 0;
    for (int32_t i = 0; i < batch->n_tokens; i++) {
        n_rows += wants_logits(batch, i) ? 1 : 0;
    }
    gi8_status status = reserve(session, batch->n_tokens, n_rows, error);
    if (status != GI8_OK || (status = complete_batch(session, batch, error)) != GI8_OK) {
        return status;
    }
    int32_t done_rows = 0;
    for (int32_t first = 0; first < batch->n_tokens; first += session->params.n_batch) {
        int32_t left = batch->n_tokens - first;
        int32_t n = left < session->params.n_batch ? left : session->params.n_batch;
        int32_t chunk_rows = 0;
        for (int32_t i = 0; i < n; i++) {
            session->row_of[first + i] = -1;
            if (wants_logits(batch, first + i)) {
                session->row_of[first + i] = done_rows + chunk_rows;
                session->rows[chunk_rows++] = i;
            }
        }
        status = eval_chunk(session, batch, first, n, chunk_rows, done_rows, error);
        if (status != GI8_OK) {
            return status;
        }
        done_rows += chunk_rows;
        if (left <= n) {
            break; /* first + n_batch might overflow */
        }
    }
    memcpy(session->cache.length, session->next,
           (size_t)session->cache.n_sequences * sizeof(int32_t));
    session->n_tokens = batch->n_tokens;
    return GI8_OK;
}

const float *gptneox_logits(const gptneox_session *session, int32_t index) {
    if (session == NULL || index < 0 || index >= session->n_tokens || session->row_of[index] < 0) {
        return NULL;
    }
    const size_t vocab = (size_t)session->model->config.vocab_size;
    return session->logits + (size_t)session->row_of[index] * vocab;
}
