/* save.c - writing a model with int8 weights as transformers and bitsandbytes write it. */
#define _POSIX_C_SOURCE 200809L
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "config.h"
#include "file.h"
#include "json.h"
#include "model.h"
#include "output.h"
#include "safetensors_write.h"

#define CONFIG "config.json"
#define WEIGHTS "model.safetensors"
#define WEIGHTS_INDEX "model.safetensors.index.json"
#define BUFFER_BYTES ((size_t)1 << 20)

/* What lies beside the weights and is copied as it is. */
static const char *const copied[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json",     "merges.txt",            "chat_template.jinja",     "generation_config.json",
};
enum { N_COPIED = sizeof copied / sizeof *copied };

/* ---- the tensors ----------------------------------------------------------------------------- */

/* A tensor of the file and where its bytes come from. */
typedef struct item {
    char name[GI8_MAX_NAME + 32];
    const gi8_tensor *leaf;        /* a leaf; NULL for the others */
    const gi8_linear_int8 *linear; /* codes; both NULL: weight_format, one byte of 0 */
    gi8_type type;                 /* in the file; GI8_TYPE_COUNT for weight_format */
    int n_dims;
} item;

typedef struct items {
    item *list;
    size_t n;
    gi8_type vector_type; /* of the embedding: transformers wants norms and biases of the same */
} items;

enum { PER_LINEAR = 4, PER_LAYER = 4 + 4 * PER_LINEAR, OUTSIDE_LAYERS = 3 + PER_LINEAR };

static void add(items *all, const char *prefix, const char *stem, const char *suffix, item it) {
    snprintf(it.name, sizeof it.name, "%s%s.%s", prefix, stem, suffix);
    all->list[all->n++] = it;
}

/* Elements of a vector that are converted at a time. */
enum { CHUNK = 1024 };

/* Whether the values of an F32 vector survive in another type. */
static bool fits(const gi8_tensor *vector, gi8_type type) {
    float values[CHUNK];
    float back[CHUNK];
    uint16_t narrow[CHUNK];
    for (int64_t i = 0; type != GI8_TYPE_F32 && i < vector->ne[0]; i += CHUNK) {
        const int64_t n = vector->ne[0] - i < CHUNK ? vector->ne[0] - i : CHUNK;
        const size_t size = (size_t)n * sizeof(float);
        if (gi8_tensor_read(vector, (size_t)i * sizeof(float), values, size, NULL) != GI8_OK) {
            return false; /* writing it will say why */
        }
        gi8_convert_from_fp32(type, values, n, narrow);
        gi8_convert_to_fp32(type, narrow, n, back);
        if (memcmp(values, back, size) != 0) {
            return false;
        }
    }
    return true;
}

/* A norm's gain or bias, or a layer's bias; NULL where it has none. */
static void add_vector(items *all, const char *prefix, const char *stem, const char *suffix,
                       const gi8_tensor *leaf) {
    if (leaf != NULL) {
        const gi8_type type = fits(leaf, all->vector_type) ? all->vector_type : GI8_TYPE_F32;
        add(all, prefix, stem, suffix, (item){.leaf = leaf, .type = type, .n_dims = 1});
    }
}

static void add_matrix(items *all, const char *prefix, const char *stem, const gi8_tensor *leaf) {
    add(all, prefix, stem, "weight", (item){.leaf = leaf, .type = leaf->type, .n_dims = 2});
}

static void add_norm(items *all, const char *prefix, const char *stem, const gptneoxi_norm *norm) {
    add_vector(all, prefix, stem, "weight", norm->gain);
    add_vector(all, prefix, stem, "bias", norm->bias);
}

static void add_int8(items *all, const char *prefix, const char *stem,
                     const gi8_linear_int8 *linear) {
    add(all, prefix, stem, "weight", (item){.linear = linear, .type = GI8_TYPE_I8, .n_dims = 2});
    add(all, prefix, stem, "weight_format", (item){.type = GI8_TYPE_COUNT});
    add(all, prefix, stem, "SCB",
        (item){.leaf = gi8_linear_int8_absmax(linear), .type = GI8_TYPE_F32, .n_dims = 1});
    add_vector(all, prefix, stem, "bias", gi8_linear_int8_bias(linear));
}

static size_t element_size(const item *it) {
    return it->type == GI8_TYPE_COUNT ? 1 : gi8_type_size(it->type);
}

static int by_element_size(const void *a, const void *b) {
    const item *x = a;
    const item *y = b;
    if (element_size(x) != element_size(y)) {
        return element_size(x) > element_size(y) ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

/* Everything, larger elements first: so each tensor of the file is aligned to its type. */
static gi8_status list_items(const gptneox_model *model, items *all, gi8_error *error) {
    const gptneoxi_weights *w = &model->weights;
    const int32_t n_layers = model->config.num_hidden_layers;
    const size_t most = (size_t)n_layers * PER_LAYER + OUTSIDE_LAYERS;
    *all = (items){calloc(most, sizeof(item)), 0, w->embed_in->type};
    if (all->list == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for a list of %d layers", n_layers);
    }
    add_matrix(all, "gpt_neox.", "embed_in", w->embed_in);
    for (int32_t i = 0; i < n_layers; i++) {
        const gptneoxi_layer *layer = &w->layers[i];
        char prefix[32];
        snprintf(prefix, sizeof prefix, "gpt_neox.layers.%d.", i);
        add_norm(all, prefix, "input_layernorm", &layer->input_layernorm);
        add_norm(all, prefix, "post_attention_layernorm", &layer->post_attention_layernorm);
        add_int8(all, prefix, "attention.query_key_value", layer->query_key_value.int8);
        add_int8(all, prefix, "attention.dense", layer->dense.int8);
        add_int8(all, prefix, "mlp.dense_h_to_4h", layer->dense_h_to_4h.int8);
        add_int8(all, prefix, "mlp.dense_4h_to_h", layer->dense_4h_to_h.int8);
    }
    add_norm(all, "gpt_neox.", "final_layer_norm", &w->final_layer_norm);
    if (w->embed_out.int8 != NULL) {
        add_int8(all, "", "embed_out", w->embed_out.int8);
    } else if (w->embed_out.weight != w->embed_in) {
        add_matrix(all, "", "embed_out", w->embed_out.weight);
    }
    qsort(all->list, all->n, sizeof all->list[0], by_element_size);
    return GI8_OK;
}

static gptneoxi_tensor_entry entry_of(const item *it) {
    gptneoxi_tensor_entry entry = {.name = it->name, .dtype = "U8", .size = 1};
    const gi8_tensor *t = it->linear != NULL ? gi8_linear_int8_codes(it->linear) : it->leaf;
    if (t != NULL) {
        entry.dtype = gi8_type_name(it->type);
        entry.n_dims = it->n_dims;
        entry.shape[it->n_dims - 1] = (uint64_t)t->ne[0];
        if (it->n_dims == 2) {
            entry.shape[0] = (uint64_t)t->ne[1];
        }
        entry.size = (uint64_t)(t->ne[0] * t->ne[1]) * gi8_type_size(it->type);
    }
    return entry;
}

static gi8_status write_leaf(gptneoxi_output *out, const gi8_tensor *leaf, void *buffer,
                             gi8_error *error) {
    const size_t size = gi8_nbytes(leaf);
    gi8_status status = GI8_OK;
    for (size_t done = 0; status == GI8_OK && done < size; done += BUFFER_BYTES) {
        const size_t n = size - done < BUFFER_BYTES ? size - done : BUFFER_BYTES;
        status = gi8_tensor_read(leaf, done, buffer, n, error);
        if (status == GI8_OK) {
            status = gptneoxi_output_write(out, buffer, n, error);
        }
    }
    return status;
}

/* An F32 vector in a 16-bit type. */
static gi8_status write_narrow(gptneoxi_output *out, const gi8_tensor *vector, gi8_type type,
                               gi8_error *error) {
    float values[CHUNK];
    uint16_t narrow[CHUNK];
    gi8_status status = GI8_OK;
    for (int64_t i = 0; status == GI8_OK && i < vector->ne[0]; i += CHUNK) {
        const int64_t n = vector->ne[0] - i < CHUNK ? vector->ne[0] - i : CHUNK;
        status = gi8_tensor_read(vector, (size_t)i * sizeof(float), values,
                                 (size_t)n * sizeof(float), error);
        if (status == GI8_OK) {
            gi8_convert_from_fp32(type, values, n, narrow);
            status = gptneoxi_output_write(out, narrow, (size_t)n * sizeof *narrow, error);
        }
    }
    return status;
}

/* Codes in rows, whatever their layout in memory. */
static gi8_status write_codes(gptneoxi_output *out, const gi8_linear_int8 *linear, void *buffer,
                              gi8_error *error) {
    const gi8_tensor *codes = gi8_linear_int8_codes(linear);
    const size_t k = (size_t)codes->ne[0];
    const int64_t rows = (int64_t)(BUFFER_BYTES / (k + sizeof(float)));
    gi8_status status = GI8_OK;
    for (int64_t first = 0; status == GI8_OK && first < codes->ne[1]; first += rows) {
        const int64_t left = codes->ne[1] - first;
        const int64_t n = left < rows ? left : rows;
        float *absmax = buffer;
        int8_t *values = (int8_t *)(absmax + n);
        status = gi8_linear_int8_read_codes(linear, first, n, values, absmax, error);
        if (status == GI8_OK) {
            status = gptneoxi_output_write(out, values, (size_t)n * k, error);
        }
    }
    return status;
}

static gi8_status write_items(gptneoxi_output *out, const items *all, gi8_error *error) {
    gptneoxi_tensor_entry *entries = calloc(all->n, sizeof *entries);
    void *buffer = malloc(BUFFER_BYTES);
    char *header = NULL;
    gi8_status status = GI8_ERR_MEMORY;
    if (entries == NULL || buffer == NULL) {
        gi8_error_set(error, status, "no memory for a table of %zu tensors", all->n);
    } else {
        size_t size = 0;
        for (size_t i = 0; i < all->n; i++) {
            entries[i] = entry_of(&all->list[i]);
        }
        header = gptneoxi_safetensors_header(entries, all->n, &size, error);
        if (header != NULL) {
            status = gptneoxi_output_write(out, header, size, error);
        }
    }
    for (size_t i = 0; status == GI8_OK && i < all->n; i++) {
        const item *it = &all->list[i];
        if (it->linear != NULL) {
            status = write_codes(out, it->linear, buffer, error);
        } else if (it->leaf == NULL) {
            status = gptneoxi_output_write(out, "", 1, error);
        } else if (it->type != it->leaf->type) {
            status = write_narrow(out, it->leaf, it->type, error);
        } else {
            status = write_leaf(out, it->leaf, buffer, error);
        }
    }
    free(header);
    free(buffer);
    free(entries);
    return status;
}

static gi8_status write_weights(const gptneox_model *model, const char *dir, gi8_error *error) {
    items all;
    gi8_status status = list_items(model, &all, error);
    gptneoxi_output out;
    if (status == GI8_OK) {
        status = gptneoxi_output_open(&out, dir, WEIGHTS, error);
    }
    if (status == GI8_OK) {
        status = gptneoxi_output_close(&out, write_items(&out, &all, error), error);
    }
    free(all.list);
    return status;
}

/* ---- config.json ----------------------------------------------------------------------------- */

/* Beside the keys that mean something here, those that transformers writes too. A list of modules
 * to skip that is null leaves the output head alone, an empty one does not. */
static json_t *quantization_config(const gptneox_model *model) {
    json_t *skipped = model->weights.embed_out.int8 != NULL ? json_array() : json_null();
    return json_pack("{s:b, s:b, s:s, s:s, s:s, s:b, s:b, s:b, s:o, s:f, s:b, s:b, s:s}", //
                     "_load_in_4bit", 0, "_load_in_8bit", 1,                              //
                     "bnb_4bit_compute_dtype", "float32", "bnb_4bit_quant_storage", "uint8",
                     "bnb_4bit_quant_type", "fp4", "bnb_4bit_use_double_quant", 0,
                     "llm_int8_enable_fp32_cpu_offload", 0, "llm_int8_has_fp16_weight", 0,
                     "llm_int8_skip_modules", skipped, //
                     "llm_int8_threshold", (double)model->threshold, "load_in_4bit", 0,
                     "load_in_8bit", 1, "quant_method", "bitsandbytes");
}

/* The text of `root`, with no more digits than it takes to read the same numbers again: 1e-5, not
 * 1.0000000000000001e-5. NULL: no memory. */
static char *dump(const json_t *root) {
    char *text = NULL;
    for (size_t digits = 15; digits <= 17; digits++) {
        free(text);
        text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(digits));
        json_t *again = text != NULL ? json_loads(text, 0, NULL) : NULL;
        const bool same = again != NULL && json_equal(again, root);
        json_decref(again);
        if (same) {
            break;
        }
    }
    return text;
}

/* The model's own config.json with what was done to it; freed with free(). */
static char *config_text(const gptneox_model *model, gi8_error *error) {
    char *path = gptneoxi_path_join(model->dir, CONFIG, error);
    json_t *root =
        path != NULL ? gptneoxi_json_load(path, GPTNEOXI_MAX_CONFIG_SIZE, error) : NULL;
    char *text = NULL;
    if (root != NULL && !json_is_object(root)) {
        gi8_error_set(error, GI8_ERR_FORMAT, "%s: expected an object, found %s", path,
                      gptneoxi_json_kind(root));
    } else if (root != NULL) {
        const bool own_head = model->weights.embed_out.int8 != NULL;
        bool ok = json_object_set_new(root, "quantization_config", quantization_config(model)) == 0;
        if (ok && own_head && model->config.tie_word_embeddings) { /* it is no longer embed_in */
            ok = json_object_set_new(root, "tie_word_embeddings", json_false()) == 0;
        }
        text = ok ? dump(root) : NULL;
        if (text == NULL) {
            gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory to change it", path);
        }
    }
    json_decref(root);
    free(path);
    return text;
}

static gi8_status write_config(const char *text, const char *dir, gi8_error *error) {
    gptneoxi_output out;
    gi8_status status = gptneoxi_output_open(&out, dir, CONFIG, error);
    if (status != GI8_OK) {
        return status;
    }
    status = gptneoxi_output_write(&out, text, strlen(text), error);
    if (status == GI8_OK) {
        status = gptneoxi_output_write(&out, "\n", 1, error);
    }
    return gptneoxi_output_close(&out, status, error);
}

/* ---- the directory --------------------------------------------------------------------------- */

/* Refuses the directory that the model came from. */
static gi8_status check_other_dir(const gptneox_model *model, const char *dir, gi8_error *error) {
    struct stat from;
    struct stat to;
    if (stat(model->dir, &from) == 0 && stat(dir, &to) == 0 && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "%s: expected another directory than the model was loaded from", dir);
    }
    return GI8_OK;
}

/* What makes a directory a checkpoint. */
static const char *const parts[] = {CONFIG, WEIGHTS_INDEX, WEIGHTS};
enum { N_PARTS = sizeof parts / sizeof *parts };

static gi8_status check_no_checkpoint(const char *dir, gi8_error *error) {
    for (int i = 0; i < N_PARTS; i++) {
        char *path = gptneoxi_path_join(dir, parts[i], error);
        if (path == NULL) {
            return GI8_ERR_MEMORY;
        }
        const bool exists = gptneoxi_path_exists(path);
        free(path);
        if (exists) {
            return gi8_error_set(error, GI8_ERR_IO,
                                 "%s: expected a directory without a checkpoint, found %s", dir,
                                 parts[i]);
        }
    }
    return GI8_OK;
}

/* Its config.json first; the shards while the index still names them. */
static gi8_status remove_checkpoint(const char *dir, gi8_error *error) {
    gi8_status status = gptneoxi_file_remove(dir, CONFIG, error);
    if (status == GI8_OK) {
        status = gptneoxi_checkpoint_remove_shards(dir, error);
    }
    for (int i = 0; status == GI8_OK && i < N_PARTS; i++) {
        status = gptneoxi_file_remove(dir, parts[i], error);
    }
    for (int i = 0; status == GI8_OK && i < N_COPIED; i++) {
        status = gptneoxi_file_remove(dir, copied[i], error);
    }
    return status;
}

/* config.json comes last: without it nothing is a checkpoint. */
static gi8_status save(const gptneox_model *model, const char *dir, bool overwrite,
                       const char *config, gi8_error *error) {
    gi8_status status = gptneoxi_dir_make(dir, error);
    if (status == GI8_OK) {
        status = check_other_dir(model, dir, error);
    }
    if (status == GI8_OK) {
        status = overwrite ? remove_checkpoint(dir, error) : check_no_checkpoint(dir, error);
    }
    for (int i = 0; status == GI8_OK && i < N_COPIED; i++) {
        status = gptneoxi_file_copy(model->dir, dir, copied[i], error);
    }
    if (status == GI8_OK) {
        status = write_weights(model, dir, error);
    }
    if (status == GI8_OK) {
        status = gptneoxi_dir_sync(dir, error);
    }
    if (status == GI8_OK) {
        status = write_config(config, dir, error);
    }
    return status == GI8_OK ? gptneoxi_dir_sync(dir, error) : status;
}

gi8_status gptneox_model_save(const gptneox_model *model, const char *dir, bool overwrite,
                              gi8_error *error) {
    if (model == NULL || dir == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_model_save: the %s is NULL",
                             model == NULL ? "model" : "directory");
    }
    if (model->weights.layers[0].query_key_value.int8 == NULL) {
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                             "%s: the weights are not int8: load the model with "
                             "GPTNEOX_WEIGHTS_INT8 to save it", dir);
    }
    gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
    char *config = config_text(model, &failure);
    if (config == NULL) {
        return gi8_error_set(error, failure.status, "%s", failure.message);
    }
    gi8_status status = save(model, dir, overwrite, config, error);
    free(config);
    return status;
}
