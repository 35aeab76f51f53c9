/* weights.c - from a checkpoint to parameters in memory: list, check, allocate, read. */
#include "weights.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights_read.h"

/* What a parameter is, which decides its type in memory. */
typedef enum parameter_role {
    ROLE_VECTOR, /* norms and biases: F32 */
    ROLE_TABLE,  /* the embedding */
    ROLE_HEAD,   /* the output head */
    ROLE_WEIGHT  /* of the linear layers */
} parameter_role;

/* A parameter: what the checkpoint must have, and where it goes. */
typedef struct parameter {
    char name[GI8_MAX_NAME]; /* in the checkpoint, without "gpt_neox." */
    parameter_role role;
    gptneoxi_matrix matrix;
    bool repeated;           /* made from another parameter's tensor, which counts for both */
    bool has_bias;           /* ROLE_WEIGHT */
    gptneoxi_linear *linear; /* the layer it belongs to; NULL for norms and the embedding */
    gi8_tensor **leaf;       /* where the leaf goes, if the layer is not int8 */
} parameter;

/* Tensors of a layer and outside the layers. */
enum { PER_LAYER = 4 + 4 * 2, OUTSIDE_LAYERS = 4 };

typedef struct loader {
    gptneoxi_weights *weights;
    const char *dir;
    const gptneox_config *config;
    gi8_backend *backend;
    const gptneox_model_params *params;
    gi8_error *error;
    gptneoxi_checkpoint checkpoint;
    parameter *list;
    size_t n_list;
} loader;

/* ---- the list -------------------------------------------------------------------------------- */

/* `layer` < 0: outside the layers. `suffix`: "weight" or "bias". */
static parameter *add(loader *l, parameter_role role, gi8_tensor **leaf, int64_t rows, int64_t cols,
                      int32_t layer, const char *stem, const char *suffix) {
    parameter *p = &l->list[l->n_list++];
    *p = (parameter){.role = role, .matrix = {.rows = rows, .cols = cols}, .leaf = leaf};
    if (layer < 0) {
        snprintf(p->name, sizeof p->name, "%s.%s", stem, suffix);
    } else {
        snprintf(p->name, sizeof p->name, "layers.%" PRId32 ".%s.%s", layer, stem, suffix);
    }
    return p;
}

static void add_norm(loader *l, gptneoxi_norm *norm, int32_t layer, const char *stem) {
    add(l, ROLE_VECTOR, &norm->gain, 1, l->config->hidden_size, layer, stem, "weight");
    add(l, ROLE_VECTOR, &norm->bias, 1, l->config->hidden_size, layer, stem, "bias");
}

static void add_linear(loader *l, gptneoxi_linear *linear, int64_t in, int64_t out, bool has_bias,
                       int32_t layer, const char *stem) {
    parameter *weight = add(l, ROLE_WEIGHT, &linear->weight, out, in, layer, stem, "weight");
    weight->linear = linear;
    weight->has_bias = has_bias;
    if (has_bias) {
        add(l, ROLE_VECTOR, &linear->bias, 1, out, layer, stem, "bias")->linear = linear;
    }
}

static void add_layer(loader *l, int32_t i) {
    const gptneox_config *c = l->config;
    gptneoxi_layer *layer = &l->weights->layers[i];
    const int64_t hidden = c->hidden_size;
    const int64_t wide = c->intermediate_size;
    const bool bias = c->attention_bias;
    add_norm(l, &layer->input_layernorm, i, "input_layernorm");
    add_norm(l, &layer->post_attention_layernorm, i, "post_attention_layernorm");
    add_linear(l, &layer->query_key_value, hidden, 3 * hidden, bias, i,
               "attention.query_key_value");
    add_linear(l, &layer->dense, hidden, hidden, bias, i, "attention.dense");
    add_linear(l, &layer->dense_h_to_4h, hidden, wide, true, i, "mlp.dense_h_to_4h");
    add_linear(l, &layer->dense_4h_to_h, wide, hidden, true, i, "mlp.dense_4h_to_h");
}

/* Everything the model needs. A tied head that is quantized is made from the embedding's tensor;
 * one that is not is the embedding itself and no parameter of its own. */
static void add_all(loader *l) {
    const gptneox_config *c = l->config;
    gptneoxi_weights *w = l->weights;
    const int64_t vocab = c->vocab_size;
    add(l, ROLE_TABLE, &w->embed_in, vocab, c->hidden_size, -1, "embed_in", "weight");
    for (int32_t i = 0; i < c->num_hidden_layers; i++) {
        add_layer(l, i);
    }
    add_norm(l, &w->final_layer_norm, -1, "final_layer_norm");
    const bool quantize_head =
        l->params->weights == GPTNEOX_WEIGHTS_INT8 && l->params->quantize_head;
    if (!c->tie_word_embeddings || quantize_head) {
        parameter *head = add(l, ROLE_HEAD, &w->embed_out.weight, vocab, c->hidden_size, -1,
                              c->tie_word_embeddings ? "embed_in" : "embed_out", "weight");
        head->linear = &w->embed_out;
        head->repeated = c->tie_word_embeddings;
    }
}

/* ---- checking -------------------------------------------------------------------------------- */

/* One sentence for all that is wrong, as far as there is room. */
typedef struct problems {
    char text[GI8_ERROR_MESSAGE_SIZE - 512]; /* the rest: directory, introduction, "and N more" */
    size_t used;
    size_t n;
    size_t n_left_out;
    bool only_types; /* nothing is missing or misshapen */
} problems;

static void GI8_PRINTF(2, 3) report(problems *all, const char *format, ...) {
    char text[GI8_MAX_NAME + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t length = strlen(text);
    const size_t room = sizeof all->text - all->used;
    all->n++;
    if (all->n_left_out > 0 || length + 3 > room) {
        all->n_left_out++;
        return;
    }
    all->used +=
        (size_t)snprintf(all->text + all->used, room, "%s%s", all->n > 1 ? "; " : "", text);
}

static bool has_shape(const gptneoxi_source *source, const uint64_t *shape, int n_dims) {
    return source->info->n_dims == n_dims &&
           memcmp(source->info->shape, shape, (size_t)n_dims * sizeof shape[0]) == 0;
}

/* Finds absmax of a weight that is int8 in the file, as bitsandbytes stores it. */
static gi8_status find_absmax(loader *l, parameter *p, problems *all) {
    char name[GI8_MAX_NAME + 16];
    const int stem = (int)(strlen(p->name) - strlen("weight"));
    const uint64_t rows = (uint64_t)p->matrix.rows;
    snprintf(name, sizeof name, "%.*sSCB", stem, p->name);
    const gptneoxi_source *absmax = gptneoxi_checkpoint_find(&l->checkpoint, name);
    if (absmax == NULL || !has_shape(absmax, &rows, 1) || strcmp(absmax->info->dtype, "F32") != 0) {
        all->only_types = false;
        report(all, "%s: expected F32 [%" PRIu64 "] beside an I8 weight, %s", name, rows,
               absmax == NULL ? "missing" : "found another shape or type");
        return GI8_OK;
    }
    p->matrix.absmax = absmax;
    /* The order of the codes: absent or 0 for rows; the others belong to old GPU kernels. */
    snprintf(name, sizeof name, "%.*sweight_format", stem, p->name);
    const gptneoxi_source *format = gptneoxi_checkpoint_find(&l->checkpoint, name);
    if (format == NULL) {
        return GI8_OK;
    }
    if (strcmp(format->info->dtype, "U8") != 0 || format->info->size != 1) {
        report(all, "%s: expected 0 (row) as one U8, found another shape or type", name);
        return GI8_OK;
    }
    uint8_t code = 0;
    gi8_status status =
        gptneoxi_file_read(format->file, format->info->offset, &code, 1, l->error);
    if (status == GI8_OK && code != 0) {
        static const char *const names[] = {"row", "col32", "col_turing", "col_ampere"};
        report(all, "%s: expected 0 (row), found %s", name,
               code < 4 ? names[code] : "an unknown one");
    }
    return status;
}

/* Finds a parameter in the checkpoint and compares. What differs is reported; a status other than
 * GI8_OK means that the file could not be read. */
static gi8_status check(loader *l, parameter *p, problems *all) {
    gptneoxi_matrix *m = &p->matrix;
    const bool is_vector = p->role == ROLE_VECTOR;
    const uint64_t shape[2] = {(uint64_t)(is_vector ? m->cols : m->rows), (uint64_t)m->cols};
    const int n_dims = is_vector ? 1 : 2;
    char expected[64];
    char found[128];
    gptneoxi_shape_text(expected, sizeof expected, shape, n_dims);
    m->values = gptneoxi_checkpoint_find(&l->checkpoint, p->name);
    if (p->repeated) {
        return GI8_OK;
    }
    gi8_type type;
    if (m->values == NULL) {
        all->only_types = false;
        report(all, "%s: expected %s, missing", p->name, expected);
    } else if (!has_shape(m->values, shape, n_dims)) {
        const gptneoxi_tensor_info *info = m->values->info;
        all->only_types = false;
        report(all, "%s: expected %s, found %s", p->name, expected,
               gptneoxi_shape_text(found, sizeof found, info->shape, info->n_dims));
    } else if (!gptneoxi_source_type(m->values, &type) ||
               (type == GI8_TYPE_I8 && p->role != ROLE_WEIGHT && p->role != ROLE_HEAD)) {
        report(all, "%s: expected F32, F16 or BF16, found %s", p->name, m->values->info->dtype);
    } else if (type == GI8_TYPE_I8) {
        return find_absmax(l, p, all);
    }
    return GI8_OK;
}

static gi8_status check_all(loader *l) {
    problems all = {.only_types = true};
    for (size_t i = 0; i < l->n_list; i++) {
        gi8_status status = check(l, &l->list[i], &all);
        if (status != GI8_OK) {
            return status;
        }
    }
    if (all.n == 0) {
        return GI8_OK;
    }
    char more[32] = "";
    if (all.n_left_out > 0) {
        snprintf(more, sizeof more, "; and %zu more", all.n_left_out);
    }
    return gi8_error_set(l->error, all.only_types ? GI8_ERR_UNSUPPORTED : GI8_ERR_SHAPE,
                         "%.384s: %zu tensor%s not as config.json has %s: %s%s", l->dir, all.n,
                         all.n == 1 ? " is" : "s are", all.n == 1 ? "it" : "them", all.text, more);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Whether a parameter is the weight of a layer that is int8 in memory. */
static bool is_int8_weight(const loader *l, const parameter *p) {
    if (l->params->weights != GPTNEOX_WEIGHTS_INT8) {
        return false;
    }
    return p->role == ROLE_WEIGHT ||
           (p->role == ROLE_HEAD && (l->params->quantize_head || p->matrix.absmax != NULL));
}

/* The type of a leaf. */
static gi8_type leaf_type(const loader *l, const parameter *p) {
    gi8_type type = GI8_TYPE_F32;
    if (p->role == ROLE_VECTOR) {
        return type;
    }
    switch (l->params->weights) {
    case GPTNEOX_WEIGHTS_INT8: gptneoxi_source_type(p->matrix.values, &type); break;
    case GPTNEOX_WEIGHTS_F16: type = GI8_TYPE_F16; break;
    case GPTNEOX_WEIGHTS_BF16: type = GI8_TYPE_BF16; break;
    case GPTNEOX_WEIGHTS_F32: break;
    }
    return type;
}

static gi8_status create_int8(loader *l, const parameter *p) {
    char name[GI8_MAX_NAME];
    snprintf(name, sizeof name, "%.*s", (int)(strlen(p->name) - strlen(".weight")), p->name);
    gi8_linear_int8_params params = {
        .in_features = p->matrix.cols,
        .out_features = p->matrix.rows,
        .has_bias = p->has_bias,
        .op = {l->params->threshold, l->params->outliers, GI8_TYPE_F32},
        .name = p->role == ROLE_HEAD ? "embed_out" : name,
    };
    gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
    p->linear->int8 = gi8_linear_int8_create(l->backend, &params, &failure);
    if (p->linear->int8 == NULL) {
        return gi8_error_set(l->error, failure.status, "%s", failure.message);
    }
    l->weights->bytes += gi8_linear_int8_footprint(p->linear->int8);
    return GI8_OK;
}

static gi8_status create_leaf(loader *l, const parameter *p) {
    gi8_context *ctx = l->weights->ctx;
    const gi8_type type = leaf_type(l, p);
    gi8_tensor *leaf = p->role == ROLE_VECTOR
                           ? gi8_new_tensor_1d(ctx, type, p->matrix.cols)
                           : gi8_new_tensor_2d(ctx, type, p->matrix.cols, p->matrix.rows);
    *p->leaf = gi8_set_name(leaf, "%s", p->name);
    if (leaf == NULL) {
        return gi8_error_set(l->error, gi8_context_status(ctx), "%s: %s", p->name,
                             gi8_context_message(ctx));
    }
    l->weights->bytes += gi8_nbytes(leaf);
    return GI8_OK;
}

/* Gives all leaves their places in one buffer. */
static gi8_status create_buffer(loader *l) {
    size_t size = 0;
    for (size_t i = 0; i < l->n_list; i++) {
        const gi8_tensor *leaf = *l->list[i].leaf;
        size += leaf != NULL ? gi8_buffer_space(leaf) : 0;
    }
    gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
    l->weights->buffer = gi8_buffer_create(l->backend, size, &failure);
    if (l->weights->buffer == NULL) {
        return gi8_error_set(l->error, failure.status, "%s", failure.message);
    }
    size_t offset = 0;
    for (size_t i = 0; i < l->n_list; i++) {
        gi8_tensor *leaf = *l->list[i].leaf;
        if (leaf != NULL) {
            gi8_status status = gi8_buffer_bind(l->weights->buffer, leaf, offset, l->error);
            if (status != GI8_OK) {
                return status;
            }
            offset += gi8_buffer_space(leaf);
        }
    }
    return GI8_OK;
}

/* Layers and leaves, all still zero. */
static gi8_status create_all(loader *l) {
    gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
    l->weights->ctx = gi8_context_create(NULL, &failure);
    if (l->weights->ctx == NULL) {
        return gi8_error_set(l->error, failure.status, "%s", failure.message);
    }
    for (size_t i = 0; i < l->n_list; i++) {
        const parameter *p = &l->list[i];
        gi8_status status = GI8_OK;
        if (is_int8_weight(l, p)) {
            status = create_int8(l, p);
        } else if (p->linear == NULL || p->linear->int8 == NULL) { /* else: the layer's bias */
            status = create_leaf(l, p);
        }
        if (status != GI8_OK) {
            return status;
        }
        if (!p->repeated) {
            l->weights->n_parameters += (uint64_t)(p->matrix.rows * p->matrix.cols);
        }
    }
    if (l->weights->embed_out.int8 == NULL && l->weights->embed_out.weight == NULL) {
        l->weights->embed_out.weight = l->weights->embed_in;
    }
    return create_buffer(l);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b) {
    const gptneoxi_source *x = ((const parameter *)a)->matrix.values;
    const gptneoxi_source *y = ((const parameter *)b)->matrix.values;
    if (x->file != y->file) {
        return x->file < y->file ? -1 : 1;
    }
    return x->info->offset < y->info->offset ? -1 : x->info->offset > y->info->offset;
}

/* Reads in the order of the files, which is what disks like. */
static gi8_status read_all(loader *l) {
    uint64_t total = 0;
    for (size_t i = 0; i < l->n_list; i++) {
        total += l->list[i].matrix.values->info->size;
    }
    gptneoxi_tile_reader reader = {.backend = l->backend, .total = total, .params = l->params};
    gi8_status status = GI8_OK;
    qsort(l->list, l->n_list, sizeof l->list[0], by_place);
    for (size_t i = 0; status == GI8_OK && i < l->n_list; i++) {
        const parameter *p = &l->list[i];
        if (p->linear == NULL || p->linear->int8 == NULL) {
            status = gptneoxi_read_leaf(&reader, &p->matrix, *p->leaf, l->error);
        } else if (p->role == ROLE_VECTOR) {
            status = gptneoxi_read_int8_bias(&reader, &p->matrix, p->linear->int8, l->error);
        } else {
            status = gptneoxi_read_int8_weight(&reader, &p->matrix, p->linear->int8, l->error);
        }
    }
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static gi8_status load(loader *l) {
    const size_t n_layers = (size_t)l->config->num_hidden_layers;
    l->weights->layers = calloc(n_layers, sizeof l->weights->layers[0]);
    l->list = calloc(n_layers * PER_LAYER + OUTSIDE_LAYERS, sizeof l->list[0]);
    if (l->weights->layers == NULL || l->list == NULL) {
        return gi8_error_set(l->error, GI8_ERR_MEMORY, "no memory for a list of %zu layers",
                             n_layers);
    }
    add_all(l);
    gi8_status status = gptneoxi_checkpoint_open(&l->checkpoint, l->dir, l->error);
    if (status == GI8_OK) {
        status = check_all(l);
    }
    if (status == GI8_OK) {
        status = create_all(l);
    }
    return status == GI8_OK ? read_all(l) : status;
}

gi8_status gptneoxi_weights_load(gptneoxi_weights *weights, const char *dir,
                                 const gptneox_config *config, gi8_backend *backend,
                                 const gptneox_model_params *params, gi8_error *error) {
    *weights = (gptneoxi_weights){0};
    loader l = {
        .weights = weights,
        .dir = dir,
        .config = config,
        .backend = backend,
        .params = params,
        .error = error,
    };
    gi8_status status = load(&l);
    gptneoxi_checkpoint_close(&l.checkpoint);
    free(l.list);
    if (status != GI8_OK) {
        gptneoxi_weights_free(weights, config);
    }
    return status;
}

void gptneoxi_weights_free(gptneoxi_weights *weights, const gptneox_config *config) {
    for (int32_t i = 0; weights->layers != NULL && i < config->num_hidden_layers; i++) {
        gi8_linear_int8_free(weights->layers[i].query_key_value.int8);
        gi8_linear_int8_free(weights->layers[i].dense.int8);
        gi8_linear_int8_free(weights->layers[i].dense_h_to_4h.int8);
        gi8_linear_int8_free(weights->layers[i].dense_4h_to_h.int8);
    }
    gi8_linear_int8_free(weights->embed_out.int8);
    free(weights->layers);
    gi8_context_free(weights->ctx);
    gi8_buffer_free(weights->buffer);
    *weights = (gptneoxi_weights){0};
}
