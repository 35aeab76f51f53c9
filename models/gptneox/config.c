/* config.c - config.json as transformers 4 and 5 write it. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"

/* Far above any model of the family, and low enough that no product of them leaves 64 bits. */
#define MAX_VOCAB (1 << 24)
#define MAX_LAYERS 1024
#define MAX_HEADS (1 << 16)
#define MAX_POSITIONS (1 << 30)
#define MAX_ROPE_THETA 1e30
#define MAX_ROPE_FACTOR 1e6

/* One file being read: the getters below keep the first error and then do nothing. */
typedef struct reader {
    const json_t *root;
    const char *path;
    gi8_error *error;
    gi8_status status;
} reader;

static void read_int(reader *r, const char *key, int64_t high, int32_t *value) {
    int64_t number = *value;
    if (r->status == GI8_OK) {
        r->status = gptneoxi_json_get_int(r->root, r->path, key, 1, high, &number, r->error);
    }
    *value = (int32_t)number;
}

static void read_number(reader *r, const json_t *object, const char *key, double low, double high,
                        double *value) {
    if (r->status == GI8_OK) {
        r->status = gptneoxi_json_get_number(object, r->path, key, low, high, value, r->error);
    }
}

static void read_bool(reader *r, const char *key, bool *value) {
    if (r->status == GI8_OK) {
        r->status = gptneoxi_json_get_bool(r->root, r->path, key, value, r->error);
    }
}

static void read_string(reader *r, const json_t *object, const char *key, const char **value) {
    if (r->status == GI8_OK) {
        r->status = gptneoxi_json_get_string(object, r->path, key, value, r->error);
    }
}

static void read_object(reader *r, const char *key, const json_t **value) {
    if (r->status == GI8_OK) {
        r->status = gptneoxi_json_get_object(r->root, r->path, key, value, r->error);
    }
}

/* bos_token_id or eos_token_id: an id, several of them (the first counts), or null for none. */
static void read_token_id(reader *r, const char *key, int32_t vocab_size, int32_t *id) {
    const json_t *found = json_object_get(r->root, key);
    if (json_is_array(found)) {
        found = json_array_get(found, 0);
    }
    if (r->status != GI8_OK || found == NULL || json_is_null(found)) {
        return;
    }
    if (!json_is_integer(found)) {
        r->status = gi8_error_set(r->error, GI8_ERR_FORMAT,
                                  "%s: %s: expected an integer, a list of them or null, found %s",
                                  r->path, key, gptneoxi_json_kind(found));
    } else if (json_integer_value(found) < -1 || json_integer_value(found) >= vocab_size) {
        r->status = gi8_error_set(r->error, GI8_ERR_FORMAT,
                                  "%s: %s: expected an id below vocab_size %d, found %lld", r->path,
                                  key, vocab_size, (long long)json_integer_value(found));
    } else {
        *id = (int32_t)json_integer_value(found);
    }
}

static void check_model_type(reader *r) {
    const char *type = "gpt_neox";
    read_string(r, r->root, "model_type", &type);
    if (r->status == GI8_OK && strcmp(type, "gpt_neox") != 0) {
        r->status = gi8_error_set(r->error, GI8_ERR_UNSUPPORTED,
                                  "%s: model_type: expected \"gpt_neox\", found \"%.64s\"", r->path,
                                  type);
    }
}

/* Of quantized checkpoints, those of bitsandbytes' LLM.int8() can be read. */
static void check_quantization(reader *r) {
    const json_t *quantization = NULL;
    read_object(r, "quantization_config", &quantization);
    const char *method = "bitsandbytes";
    read_string(r, quantization, "quant_method", &method);
    bool four_bit = false;
    if (r->status == GI8_OK) {
        r->status =
            gptneoxi_json_get_bool(quantization, r->path, "load_in_4bit", &four_bit, r->error);
    }
    if (r->status == GI8_OK && strcmp(method, "bitsandbytes") != 0) {
        r->status = gi8_error_set(r->error, GI8_ERR_UNSUPPORTED,
                                  "%s: quantization_config: expected quant_method \"bitsandbytes\" "
                                  "with 8 bits, found \"%.64s\"", r->path, method);
    } else if (r->status == GI8_OK && four_bit) {
        r->status = gi8_error_set(r->error, GI8_ERR_UNSUPPORTED,
                                  "%s: quantization_config: load_in_4bit is true, expected a "
                                  "checkpoint of 8 or more bits", r->path);
    }
}

static void read_hidden_act(reader *r, gi8_activation_kind *kind) {
    static const struct {
        const char *name;
        gi8_activation_kind kind;
    } table[] = {
        {"gelu", GI8_ACTIVATION_GELU},
        {"gelu_fast", GI8_ACTIVATION_GELU_TANH},
        {"gelu_new", GI8_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", GI8_ACTIVATION_GELU_TANH},
        {"relu", GI8_ACTIVATION_RELU},
        {"silu", GI8_ACTIVATION_SILU},
    };
    const char *name = "gelu";
    read_string(r, r->root, "hidden_act", &name);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(name, table[i].name) == 0) {
            *kind = table[i].kind;
            return;
        }
    }
    if (r->status == GI8_OK) {
        r->status = gi8_error_set(r->error, GI8_ERR_UNSUPPORTED,
                                  "%s: hidden_act: expected gelu, gelu_fast, gelu_new, "
                                  "gelu_pytorch_tanh, relu or silu, found \"%.64s\"",
                                  r->path, name);
    }
}

/* transformers 4 has rotary_pct, rotary_emb_base and perhaps rope_scaling; 5 puts all of them into
 * rope_parameters. As in transformers 5, rope_scaling stands for rope_parameters where both are
 * there, and what is absent inside falls back to the old keys. Needs head_dim. */
static void read_rotary(reader *r, gptneox_config *config) {
    double pct = 0.25;
    double theta = 10000.0;
    double factor = 1.0;
    const double tiny = 1e-30; /* theta and factor are divided by */
    read_number(r, r->root, "rotary_pct", 0.0, 1.0, &pct);
    read_number(r, r->root, "rotary_emb_base", tiny, MAX_ROPE_THETA, &theta);

    const char *key = "rope_scaling";
    const json_t *rope = NULL;
    read_object(r, key, &rope);
    if (json_object_size(rope) == 0) {
        key = "rope_parameters";
        read_object(r, key, &rope);
    }
    read_number(r, rope, "partial_rotary_factor", 0.0, 1.0, &pct);
    read_number(r, rope, "rope_theta", tiny, MAX_ROPE_THETA, &theta);
    const char *type = "default";
    read_string(r, rope, "type", &type);
    read_string(r, rope, "rope_type", &type);
    if (r->status == GI8_OK && strcmp(type, "linear") == 0) {
        if (json_object_get(rope, "factor") == NULL) {
            r->status = gi8_error_set(r->error, GI8_ERR_FORMAT,
                                      "%s: %s: linear scaling needs a factor, found none", r->path,
                                      key);
        }
        read_number(r, rope, "factor", 1.0 / MAX_ROPE_FACTOR, MAX_ROPE_FACTOR, &factor);
    } else if (r->status == GI8_OK && strcmp(type, "default") != 0) {
        r->status = gi8_error_set(r->error, GI8_ERR_UNSUPPORTED,
                                  "%s: %s: expected the type default or linear, found \"%.64s\"",
                                  r->path, key, type);
    }
    if (r->status != GI8_OK) {
        return;
    }
    config->rope_theta = (float)theta;
    config->rope_freq_scale = (float)(1.0 / factor);
    config->rotary_dim = (int32_t)(config->head_dim * pct); /* cut, not rounded */
    if (config->rotary_dim % 2 != 0) {
        r->status = gi8_error_set(r->error, GI8_ERR_FORMAT,
                                  "%s: %g of head size %d rotates, expected an even number of "
                                  "dimensions, found %d", r->path, pct, config->head_dim,
                                  config->rotary_dim);
    }
}

static void read_config(reader *r, gptneox_config *config) {
    check_model_type(r);
    check_quantization(r);
    read_int(r, "vocab_size", MAX_VOCAB, &config->vocab_size);
    read_int(r, "hidden_size", GI8_INT8_MAX_K, &config->hidden_size);
    read_int(r, "num_hidden_layers", MAX_LAYERS, &config->num_hidden_layers);
    read_int(r, "num_attention_heads", MAX_HEADS, &config->num_attention_heads);
    read_int(r, "intermediate_size", GI8_INT8_MAX_K, &config->intermediate_size);
    read_int(r, "max_position_embeddings", MAX_POSITIONS, &config->max_position_embeddings);
    if (r->status == GI8_OK && config->hidden_size % config->num_attention_heads != 0) {
        r->status = gi8_error_set(r->error, GI8_ERR_FORMAT,
                                  "%s: hidden_size: expected a multiple of num_attention_heads %d, "
                                  "found %d", r->path, config->num_attention_heads,
                                  config->hidden_size);
    }
    if (r->status != GI8_OK) {
        return;
    }
    config->head_dim = config->hidden_size / config->num_attention_heads;
    read_rotary(r, config);
    double eps = 1e-5;
    read_number(r, r->root, "layer_norm_eps", 0.0, 1.0, &eps);
    config->layer_norm_eps = (float)eps;
    read_hidden_act(r, &config->hidden_act);
    read_bool(r, "use_parallel_residual", &config->use_parallel_residual);
    read_bool(r, "attention_bias", &config->attention_bias);
    read_bool(r, "tie_word_embeddings", &config->tie_word_embeddings);
    read_token_id(r, "bos_token_id", config->vocab_size, &config->bos_token_id);
    read_token_id(r, "eos_token_id", config->vocab_size, &config->eos_token_id);
}

gi8_status gptneoxi_config_load(gptneox_config *config, const char *dir, gi8_error *error) {
    char *path = gptneoxi_path_join(dir, "config.json", error);
    if (path == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
    json_t *root = gptneoxi_json_load(path, GPTNEOXI_MAX_CONFIG_SIZE, &failure);
    reader r = {root, path, &failure, failure.status};
    /* The defaults of transformers' GPTNeoXConfig. */
    gptneox_config result = {
        .vocab_size = 50432,
        .hidden_size = 6144,
        .num_hidden_layers = 44,
        .num_attention_heads = 64,
        .intermediate_size = 24576,
        .max_position_embeddings = 2048,
        .use_parallel_residual = true,
        .attention_bias = true,
        .bos_token_id = -1,
        .eos_token_id = -1,
    };
    if (r.status == GI8_OK && !json_is_object(root)) {
        r.status = gi8_error_set(&failure, GI8_ERR_FORMAT, "%s: expected an object, found %s", path,
                                 gptneoxi_json_kind(root));
    }
    if (r.status == GI8_OK) {
        read_config(&r, &result);
    }
    if (r.status == GI8_OK) {
        *config = result;
    } else if (error != NULL) {
        *error = failure;
    }
    json_decref(root);
    free(path);
    return r.status;
}
