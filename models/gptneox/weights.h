/* weights.h - the parameters of a model in memory, as the graph uses them. */
#ifndef GPTNEOXI_WEIGHTS_H
#define GPTNEOXI_WEIGHTS_H

#include "ggml-int8/gi8_linear.h"
#include "gptneox.h"

/* A linear layer, int8 or not. */
typedef struct gptneoxi_linear {
    gi8_linear_int8 *int8; /* set: the layer is this, bias included, and the others are NULL */
    gi8_tensor *weight;    /* [in, out] F32, F16 or BF16 */
    gi8_tensor *bias;      /* [out] F32, or NULL */
} gptneoxi_linear;

/* A LayerNorm, both [hidden_size] F32. */
typedef struct gptneoxi_norm {
    gi8_tensor *gain;
    gi8_tensor *bias;
} gptneoxi_norm;

typedef struct gptneoxi_layer {
    gptneoxi_norm input_layernorm;
    gptneoxi_norm post_attention_layernorm;
    gptneoxi_linear query_key_value; /* [hidden, 3 * hidden]: per head q, k, v */
    gptneoxi_linear dense;           /* [hidden, hidden] */
    gptneoxi_linear dense_h_to_4h;   /* [hidden, intermediate] */
    gptneoxi_linear dense_4h_to_h;   /* [intermediate, hidden] */
} gptneoxi_layer;

typedef struct gptneoxi_weights {
    gi8_tensor *embed_in; /* [hidden, vocab] F32, F16 or BF16 */
    gptneoxi_layer *layers;
    gptneoxi_norm final_layer_norm;
    gptneoxi_linear embed_out; /* [hidden, vocab]; weight is embed_in where the two are tied */
    gi8_context *ctx;          /* of every leaf that is not in a gi8_linear_int8 */
    gi8_buffer *buffer;        /* and their memory */
    uint64_t bytes;            /* of all parameters as kept */
    uint64_t n_parameters;
} gptneoxi_weights;

/* Reads the checkpoint in `dir` into memory of `backend`. GI8_OK, or *weights is left empty. */
gi8_status gptneoxi_weights_load(gptneoxi_weights *weights, const char *dir,
                                 const gptneox_config *config, gi8_backend *backend,
                                 const gptneox_model_params *params, gi8_error *error);
void gptneoxi_weights_free(gptneoxi_weights *weights, const gptneox_config *config);

#endif
