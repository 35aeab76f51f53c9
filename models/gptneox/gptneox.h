/* gptneox.h - GPT-NeoX models (Pythia, GPT-NeoX-20B, dolly-v2, RedPajama-INCITE, ...) on ggml-int8.
 *
 * A program needs four things:
 *
 *   gi8_backend      what computes                              gi8_cpu_backend_create()
 *   gptneox_model    weights and tokenizer, immutable           gptneox_model_load()
 *   gptneox_session  a KV cache with one or more sequences      gptneox_session_create()
 *   gptneox_sampler  turns logits into the next token           gptneox_sampler_create()
 *
 * and then either gptneox_generate(), which runs a prompt and streams text, or gptneox_eval() and
 * gptneox_logits() for everything else (serving, scoring, embedding one model in another program).
 *
 * Ownership: what a _create or _load function returns belongs to the caller and goes to its _free,
 * sessions before their model, models before their backend. _free(NULL) does nothing.
 *
 * Threads: a model may be used by any number of threads at once. A session, and a sampler, belong
 * to one thread at a time. Sessions that share a backend take turns on it.
 *
 * Errors: a gi8_status, or NULL, and one sentence in *error (which may be NULL). Nothing here
 * aborts, exits or prints.
 */
#ifndef GPTNEOX_H
#define GPTNEOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ggml-int8/gi8_backend.h"
#include "gptneox_tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- model ----------------------------------------------------------------------------------- */

/* config.json, checked. Names as there. */
typedef struct gptneox_config {
    int32_t vocab_size;              /* rows of the embedding; at least the tokenizer's */
    int32_t hidden_size;
    int32_t num_hidden_layers;
    int32_t num_attention_heads;     /* divides hidden_size */
    int32_t intermediate_size;
    int32_t max_position_embeddings; /* what the model was trained for; not a limit of the code */
    int32_t head_dim;                /* hidden_size / num_attention_heads */
    int32_t rotary_dim;              /* leading dimensions of a head that rotate: even; 0: none */
    float rope_theta;                /* 10000 */
    float rope_freq_scale;           /* 1, or 1/factor for linear rope scaling */
    float layer_norm_eps;
    gi8_activation_kind hidden_act;
    bool use_parallel_residual;
    bool attention_bias;
    bool tie_word_embeddings;
    int32_t bos_token_id;            /* -1 where the file gives none */
    int32_t eos_token_id;            /* -1 where the file gives none */
} gptneox_config;

/* How the weights of the linear layers are kept in memory. */
typedef enum gptneox_weight_type {
    GPTNEOX_WEIGHTS_INT8 = 0, /* LLM.int8(), quantized while loading */
    GPTNEOX_WEIGHTS_F16 = 1,
    GPTNEOX_WEIGHTS_BF16 = 2,
    GPTNEOX_WEIGHTS_F32 = 3   /* the reference */
} gptneox_weight_type;

typedef struct gptneox_model_params {
    gptneox_weight_type weights; /* of the four linear layers of every block */
    float threshold;             /* int8 only: |x| >= threshold bypasses int8; <= 0: nothing does */
    gi8_outliers outliers;       /* int8 only */
    bool quantize_head;          /* int8 only: the output head too; else it keeps the file's type */
    /* Called as loading goes on, with bytes of the checkpoint; false stops it with
     * GI8_ERR_CANCELLED. May be NULL. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
} gptneox_model_params;

#define GPTNEOX_MODEL_PARAMS_DEFAULT \
    {GPTNEOX_WEIGHTS_INT8, GI8_DEFAULT_THRESHOLD, GI8_OUTLIERS_COLUMN, false, NULL, NULL}

typedef struct gptneox_model gptneox_model;

/* Loads a Hugging Face checkpoint directory as it is: config.json, tokenizer.json (optional),
 * model.safetensors or model.safetensors.index.json with its shards; F32, F16 or BF16, also mixed,
 * or int8 as transformers and bitsandbytes write it. Norms and biases become F32. With int8 weights
 * the embedding and the head keep the file's type, else they get the type of the linear layers.
 * Memory beyond the finished model stays below 32 MiB: weights are read and quantized tile by tile,
 * by the threads of the backend. The progress callback is called by the caller's thread only.
 *
 * `params` may be NULL (defaults). `backend` computes for the model's sessions and must outlive it.
 * NULL on failure:
 *   GI8_ERR_ARGUMENT     dir or backend NULL; a threshold that is NaN or Inf; weights or outliers
 *                        that are none of their enum
 *   GI8_ERR_IO           a file or directory that is missing or cannot be read
 *   GI8_ERR_FORMAT       a file that breaks its format; a config value that is missing or absurd
 *   GI8_ERR_SHAPE        tensors missing or misshapen: one sentence lists them all, each with the
 *                        shape that was expected and the one that was found
 *   GI8_ERR_NOT_FINITE   NaN or Inf in a weight that is quantized
 *   GI8_ERR_UNSUPPORTED  well-formed, but of a kind that this version lacks
 *   GI8_ERR_MEMORY, GI8_ERR_CANCELLED, GI8_ERR_DEVICE */
GI8_API gptneox_model *gptneox_model_load(const char *dir, gi8_backend *backend,
                                          const gptneox_model_params *params, gi8_error *error);
GI8_API void gptneox_model_free(gptneox_model *model);

/* Writes a model with int8 weights as transformers with bitsandbytes writes it: model.safetensors
 * with codes (P.weight), their row maxima (P.SCB) and weight_format 0; embedding and head as they
 * are kept; norms and biases in the embedding's type, or in F32 where they do not fit it exactly;
 * config.json as it was, with a quantization_config; the files of the tokenizer and
 * generation_config.json, copied. gptneox_model_load() then takes the codes as they are, without
 * quantizing and from half as many bytes: the same model to the last bit, if it gets the same
 * threshold and outliers, which it takes from its parameters and not from the file. The directory
 * that the model was loaded from must still be there.
 *
 * `dir` is made if it is absent, its parent is not. Each file gets its name when it is complete and
 * on the disk, config.json last: what an interrupted call leaves is no checkpoint. With `overwrite`
 * a checkpoint in `dir` is removed first, with the *.safetensors that its index names.
 *   GI8_ERR_ARGUMENT     model or dir NULL; `dir` is where the model was loaded from
 *   GI8_ERR_UNSUPPORTED  the model was not loaded with GPTNEOX_WEIGHTS_INT8
 *   GI8_ERR_IO           a file that cannot be read or written: no space, no permission, ...;
 *                        `dir` holds a checkpoint and `overwrite` is false
 *   GI8_ERR_FORMAT       config.json was changed meanwhile
 *   GI8_ERR_MEMORY, GI8_ERR_DEVICE
 * Any number of threads may use the model meanwhile. */
GI8_API gi8_status gptneox_model_save(const gptneox_model *model, const char *dir, bool overwrite,
                                      gi8_error *error);

/* The model's configuration, and its tokenizer (NULL where the directory has none). They live as
 * long as the model. NULL for NULL. */
GI8_API const gptneox_config *gptneox_model_config(const gptneox_model *model);
GI8_API const gptneox_tokenizer *gptneox_model_tokenizer(const gptneox_model *model);

/* Bytes of weights in memory as they are kept, what they would be in fp16, and their number. Zeros
 * for NULL. */
typedef struct gptneox_footprint {
    uint64_t weight_bytes;
    uint64_t fp16_bytes;
    uint64_t n_parameters;
} gptneox_footprint;
GI8_API gptneox_footprint gptneox_model_footprint(const gptneox_model *model);

/* ---- sessions -------------------------------------------------------------------------------- */

typedef struct gptneox_session gptneox_session;

typedef struct gptneox_session_params {
    int32_t n_ctx;        /* positions per sequence; 0: max_position_embeddings */
    int32_t n_sequences;  /* independent sequences in the cache; 0: 1 */
    int32_t n_batch;      /* the most tokens computed at once; longer batches are cut; 0: 512 */
    gi8_type kv_type;     /* GI8_TYPE_F16 or GI8_TYPE_F32 */
    gi8_backend *backend; /* NULL: the model's. A host backend may serve a model loaded with another
                             one, e.g. to run two sessions at the same time. */
    /* Called between the nodes of the graph; true stops gptneox_eval() with GI8_ERR_CANCELLED. The
     * session has its turn on the backend meanwhile: the callback must not evaluate a session of
     * the same backend, which would wait for that turn forever. May be NULL. */
    bool (*should_cancel)(void *user);
    void *user;
} gptneox_session_params;

#define GPTNEOX_SESSION_PARAMS_DEFAULT {0, 1, 512, GI8_TYPE_F16, NULL, NULL, NULL}

/* Makes a session with an empty cache of num_hidden_layers * 2 * n_sequences * n_ctx * hidden_size
 * elements. `params` may be NULL. The model must outlive it. NULL: GI8_ERR_ARGUMENT, GI8_ERR_TYPE
 * (kv_type), GI8_ERR_MEMORY (the sentence gives the bytes), GI8_ERR_UNSUPPORTED. */
GI8_API gptneox_session *gptneox_session_create(const gptneox_model *model,
                                                const gptneox_session_params *params,
                                                gi8_error *error);
GI8_API void gptneox_session_free(gptneox_session *session);

/* Positions per sequence, and sequences. 0 for NULL. */
GI8_API int32_t gptneox_session_n_ctx(const gptneox_session *session);
GI8_API int32_t gptneox_session_n_sequences(const gptneox_session *session);

/* Bytes of the KV cache. 0 for NULL. */
GI8_API uint64_t gptneox_session_kv_bytes(const gptneox_session *session);

/* Tokens that a sequence holds. 0 for NULL or a sequence out of range. */
GI8_API int32_t gptneox_session_length(const gptneox_session *session, int32_t sequence);

/* Forgets the tokens of a sequence from position `length` on; 0 empties it. GI8_ERR_ARGUMENT where
 * the sequence does not exist or holds fewer tokens. */
GI8_API gi8_status gptneox_session_truncate(gptneox_session *session, int32_t sequence,
                                            int32_t length, gi8_error *error);

/* Tokens to compute in one call. They may belong to several sequences, in any order; those of one
 * sequence stand in the order of their positions. */
typedef struct gptneox_batch {
    int32_t n_tokens;
    const int32_t *tokens;      /* ids in [0, vocab_size) */
    const int32_t *sequences;   /* NULL: all 0 */
    const int32_t *positions;   /* NULL: each continues its sequence. If given, a position must be
                                   the next one of its sequence: it is a check, not a choice. */
    const bool *wants_logits;   /* NULL: the last token only */
} gptneox_batch;

/* Computes a batch and appends it to its sequences. n_tokens = 0 is fine and does nothing: the
 * logits of the batch before stay. On failure the sequences are as before, without logits.
 *   GI8_ERR_ARGUMENT     a token, sequence or position out of range; a sequence that would exceed
 *                        n_ctx
 *   GI8_ERR_NOT_FINITE   the logits hold NaN
 *   GI8_ERR_MEMORY, GI8_ERR_CANCELLED, GI8_ERR_DEVICE */
GI8_API gi8_status gptneox_eval(gptneox_session *session, const gptneox_batch *batch,
                                gi8_error *error);

/* Logits of token `index` of the last batch, vocab_size floats, if it wanted them; else NULL. Valid
 * until the next gptneox_eval(). Ids that the tokenizer lacks are padding of the embedding: they
 * count when scoring; samplers never choose them. */
GI8_API const float *gptneox_logits(const gptneox_session *session, int32_t index);

/* What mul_mat_int8_mixed met in all evaluations so far: columns of activations, and how many of
 * them held an outlier. */
GI8_API gi8_outlier_stats gptneox_session_outliers(const gptneox_session *session);

/* ---- sampling -------------------------------------------------------------------------------- */

typedef struct gptneox_sampler gptneox_sampler;

/* Applied in this order: repeat_penalty, top_k, temperature, top_p, min_p. */
typedef struct gptneox_sampler_params {
    float temperature;     /* divides the logits; 0: greedy (the first of the largest) */
    int32_t top_k;         /* keep the k most likely; 0: all */
    float top_p;           /* keep the smallest set whose probabilities reach p (Holtzman et al.
                              2019); 1: all */
    float min_p;           /* keep what reaches p times the best's probability; 0: all */
    float repeat_penalty;  /* divides positive and multiplies negative logits of recent tokens
                              (Keskar et al. 2019); 1: off */
    int32_t repeat_last_n; /* how many tokens are recent */
    uint64_t seed;         /* the same seed gives the same choices */
} gptneox_sampler_params;

#define GPTNEOX_SAMPLER_PARAMS_DEFAULT {0.8f, 40, 0.95f, 0.0f, 1.0f, 64, 0}

/* `params` may be NULL (defaults). NULL: GI8_ERR_ARGUMENT (a parameter that is not finite or out of
 * range), GI8_ERR_MEMORY. */
GI8_API gptneox_sampler *gptneox_sampler_create(const gptneox_sampler_params *params,
                                                gi8_error *error);
GI8_API void gptneox_sampler_free(gptneox_sampler *sampler);

/* Tells the sampler of a token that now stands in the text (of the prompt, or chosen), for the
 * repeat penalty. */
GI8_API void gptneox_sampler_accept(gptneox_sampler *sampler, int32_t token);

/* Chooses a token from `n` logits into *token: give the number of ids that may come out, e.g.
 * gptneox_n_tokens(model), to leave the padding rows aside. The logits are not changed.
 * GI8_ERR_ARGUMENT, GI8_ERR_NOT_FINITE (NaN, or nothing but -Inf), GI8_ERR_MEMORY. */
GI8_API gi8_status gptneox_sampler_sample(gptneox_sampler *sampler, const float *logits, int32_t n,
                                          int32_t *token, gi8_error *error);

/* Ids that may come out of sampling: those below it have a token; the rest of the vocabulary is
 * padding. vocab_size where the model has no tokenizer. 0 for NULL. */
GI8_API int32_t gptneox_n_tokens(const gptneox_model *model);

/* ---- generation ------------------------------------------------------------------------------ */

typedef enum gptneox_stop {
    GPTNEOX_STOP_LENGTH = 0,  /* max_tokens were generated */
    GPTNEOX_STOP_EOS = 1,     /* the end-of-text token was chosen */
    GPTNEOX_STOP_CONTEXT = 2, /* the sequence is full */
    GPTNEOX_STOP_CALLER = 3   /* a callback returned false */
} gptneox_stop;

typedef struct gptneox_generate_params {
    int32_t sequence;
    int32_t max_tokens; /* < 0: until the context is full */
    bool ignore_eos;    /* never choose the end-of-text token */
    /* Called with the generated text, piece by piece, whole UTF-8 characters (a character's bytes
     * are held back until it is complete, or until generating ends). False stops: neither callback
     * is called again. May be NULL. */
    bool (*on_text)(void *user, const char *text, size_t size);
    /* Called with each generated token id, before its text. False stops: neither callback is called
     * again, so the text of this token is not given. May be NULL. */
    bool (*on_token)(void *user, int32_t token);
    void *user;
} gptneox_generate_params;

#define GPTNEOX_GENERATE_PARAMS_DEFAULT {0, 128, false, NULL, NULL, NULL}

typedef struct gptneox_generate_result {
    gptneox_stop stop;
    int32_t n_prompt;        /* tokens of the prompt that are in the sequence: all, or 0 */
    int32_t n_generated;     /* tokens chosen, the end-of-text token not counted */
    int32_t pending_token;   /* chosen, but not in the sequence yet: to go on, put it in front of
                                the next prompt; -1: none */
    double prompt_seconds;   /* computing the prompt */
    double generate_seconds; /* computing and sampling the rest */
} gptneox_generate_result;

/* Appends `prompt` (n_prompt >= 1 ids) to a sequence and generates. What was generated is in the
 * sequence afterwards, except the last token, since nothing was computed behind it: that one is
 * result->pending_token. `params` and `result` may be NULL. Statuses: those of gptneox_eval() and
 * gptneox_sampler_sample(); then *result tells what was generated before, and the sequence holds
 * the whole prompt or nothing of it. */
GI8_API gi8_status gptneox_generate(gptneox_session *session, gptneox_sampler *sampler,
                                    const int32_t *prompt, int32_t n_prompt,
                                    const gptneox_generate_params *params,
                                    gptneox_generate_result *result, gi8_error *error);

#ifdef __cplusplus
}
#endif

#endif
