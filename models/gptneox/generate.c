/* generate.c - a prompt, and the text that the model continues it with. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What one call of gptneox_generate() works with. */
typedef struct run {
    gptneox_session *session;
    gptneox_sampler *sampler;
    gptneox_generate_params params;
    int32_t *sequences; /* [n_prompt] the sequence of each token of a batch */
    gptneox_stream stream;
    char *text;   /* room for what the stream returns at once; NULL where no text is wanted */
    size_t room;
    float *masked; /* [n_tokens] logits without the end-of-text token; NULL where that may come */
} run;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static gi8_status eval(run *r, const int32_t *tokens, int32_t n, gi8_error *error) {
    gptneox_batch batch = {.n_tokens = n, .tokens = tokens, .sequences = r->sequences};
    return gptneox_eval(r->session, &batch, error);
}

/* Chooses the token that follows the last one computed, token `index` of the last batch. */
static gi8_status choose(run *r, int32_t index, int32_t *token, gi8_error *error) {
    const gptneox_model *model = r->session->model;
    int32_t n = gptneox_n_tokens(model);
    const float *logits = gptneox_logits(r->session, index);
    if (r->masked != NULL) {
        memcpy(r->masked, logits, (size_t)n * sizeof(float));
        r->masked[model->config.eos_token_id] = -INFINITY;
        logits = r->masked;
    }
    return gptneox_sampler_sample(r->sampler, logits, n, token, error);
}

/* Hands the caller a token and the text that it completes. False: the caller wants no more. */
static bool emit(run *r, int32_t token) {
    const gptneox_generate_params *p = &r->params;
    if (p->on_token != NULL && !p->on_token(p->user, token)) {
        return false;
    }
    size_t size = 0;
    if (r->text != NULL) {
        gptneox_stream_push(&r->stream, token, r->text, r->room, &size, NULL);
    }
    return size == 0 || p->on_text(p->user, r->text, size);
}

static gi8_status generate(run *r, const int32_t *prompt, int32_t n_prompt,
                           gptneox_generate_result *result, gi8_error *error) {
    const gptneox_config *config = &r->session->model->config;
    double start = now();
    gi8_status status = eval(r, prompt, n_prompt, error);
    double prompt_end = now();
    result->prompt_seconds = prompt_end - start;
    if (status != GI8_OK) { /* the prompt is not in the sequence: the sampler must not know of it */
        return status;
    }
    result->n_prompt = n_prompt;
    for (int32_t i = 0; i < n_prompt; i++) {
        gptneox_sampler_accept(r->sampler, prompt[i]);
    }

    int32_t last = n_prompt - 1;
    result->stop = GPTNEOX_STOP_LENGTH;
    while (status == GI8_OK &&
           (r->params.max_tokens < 0 || result->n_generated < r->params.max_tokens)) {
        int32_t token = 0;
        status = choose(r, last, &token, error);
        if (status != GI8_OK) {
            break;
        }
        result->pending_token = token;
        if (token == config->eos_token_id) {
            result->stop = GPTNEOX_STOP_EOS;
            break;
        }
        gptneox_sampler_accept(r->sampler, token);
        result->n_generated++;
        if (!emit(r, token)) {
            result->stop = GPTNEOX_STOP_CALLER;
            break;
        }
        if (result->n_generated == r->params.max_tokens) {
            break;
        }
        if (gptneox_session_length(r->session, r->params.sequence) == r->session->params.n_ctx) {
            result->stop = GPTNEOX_STOP_CONTEXT;
            break;
        }
        status = eval(r, &token, 1, error);
        if (status == GI8_OK) {
            result->pending_token = -1;
        }
        last = 0;
    }
    result->generate_seconds = now() - prompt_end;
    if (r->text != NULL && result->stop != GPTNEOX_STOP_CALLER) {
        size_t size = 0;
        gptneox_stream_flush(&r->stream, r->text, r->room, &size, NULL);
        if (size > 0) {
            r->params.on_text(r->params.user, r->text, size);
        }
    }
    return status;
}

gi8_status gptneox_generate(gptneox_session *session, gptneox_sampler *sampler,
                            const int32_t *prompt, int32_t n_prompt,
                            const gptneox_generate_params *params,
                            gptneox_generate_result *result, gi8_error *error) {
    gptneox_generate_result unwanted;
    result = result != NULL ? result : &unwanted;
    *result = (gptneox_generate_result){.pending_token = -1};
    if (session == NULL || sampler == NULL || prompt == NULL || n_prompt < 1) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "generate: needs a session, a sampler and a prompt of at least one "
                             "token");
    }
    run r = {.session = session, .sampler = sampler, .params = GPTNEOX_GENERATE_PARAMS_DEFAULT};
    if (params != NULL) {
        r.params = *params;
    }
    int32_t length = gptneox_session_length(session, r.params.sequence);
    if (n_prompt > session->params.n_ctx - length) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "the prompt has %d tokens, the context of %d has room for %d",
                             n_prompt, session->params.n_ctx, session->params.n_ctx - length);
    }
    const gptneox_model *model = session->model;
    gi8_status status = GI8_OK;
    if (r.params.on_text != NULL) {
        if (model->tokenizer == NULL) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 "generate: text is wanted, but the model has no tokenizer");
        }
        status = gptneox_stream_init(&r.stream, model->tokenizer, 0, error);
        r.room = gptneox_stream_capacity(model->tokenizer);
        r.text = malloc(r.room);
    }
    int32_t eos = model->config.eos_token_id;
    bool mask = r.params.ignore_eos && eos >= 0 && eos < gptneox_n_tokens(model);
    if (mask) {
        r.masked = malloc((size_t)gptneox_n_tokens(model) * sizeof(float));
    }
    r.sequences = malloc((size_t)n_prompt * sizeof(int32_t));
    if (r.sequences == NULL || (r.params.on_text != NULL && r.text == NULL) ||
        (mask && r.masked == NULL)) {
        status = gi8_error_set(error, GI8_ERR_MEMORY,
                               "generate: no memory for a prompt of %d tokens", n_prompt);
    }
    if (status == GI8_OK) {
        for (int32_t i = 0; i < n_prompt; i++) {
            r.sequences[i] = r.params.sequence;
        }
        status = generate(&r, prompt, n_prompt, result, error);
    }
    free(r.sequences);
    free(r.text);
    free(r.masked);
    return status;
}
