/* test_load.c - checkpoints that load: every value in its place, in every type. */
#include "checkpoint_fixture.h"
#include "ggml-int8/gi8_quantize.h"
#include "model.h"

#define REFERENCE_DIR GI8_TEST_REFERENCE_DIR "/model"

static gptneox_model *load(const char *dir, memory_backend *backend, gptneox_weight_type weights,
                           bool quantize_head) {
    *backend = memory_backend_init();
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.weights = weights;
    params.quantize_head = quantize_head;
    gi8_error error = GI8_ERROR_INIT;
    gptneox_model *model = gptneox_model_load(dir, &backend->base, &params, &error);
    if (model == NULL) {
        fail_msg("%s: %s", dir, error.message);
    }
    return model;
}

static void unload(gptneox_model *model, const memory_backend *backend) {
    gptneox_model_free(model);
    assert_int_equal(backend->n_live, 0);
    assert_int_equal(backend->live_bytes, 0);
}

/* The values of a tensor of the file, as F32. */
static float *values_of(const fixture_tensor *t, int64_t *n) {
    static const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(t->dtype, gi8_type_name(types[i])) == 0) {
            *n = (int64_t)(t->size / gi8_type_size(types[i]));
            float *values = malloc((size_t)*n * sizeof(float));
            assert_non_null(values);
            assert_int_equal(gi8_convert_to_fp32(types[i], t->data, *n, values), GI8_OK);
            return values;
        }
    }
    fail_msg("%s: not a float type", t->name);
    return NULL;
}

/* A leaf has the type, the shape (reversed) and the values, rounded to the type, of the file. */
static void check_leaf(const gi8_tensor *leaf, fixture_checkpoint *c, const char *name,
                       gi8_type type) {
    const fixture_tensor *t = tiny_find(c, name);
    int64_t n = 0;
    float *values = values_of(t, &n);
    assert_non_null(leaf);
    assert_int_equal(leaf->type, type);
    assert_int_equal(leaf->ne[0], t->shape[t->n_dims - 1]);
    assert_int_equal(leaf->ne[1], t->n_dims == 2 ? t->shape[0] : 1);
    const size_t size = (size_t)n * gi8_type_size(type);
    uint8_t *expected = malloc(size);
    uint8_t *found = malloc(size);
    assert_non_null(expected);
    assert_non_null(found);
    assert_int_equal(gi8_convert_from_fp32(type, values, n, expected), GI8_OK);
    assert_int_equal(gi8_tensor_read(leaf, 0, found, size, NULL), GI8_OK);
    assert_memory_equal(found, expected, size);
    free(expected);
    free(found);
    free(values);
}

/* A quantized layer stands for exactly the values of the quantizer's codes. */
static void check_int8(const gi8_linear_int8 *linear, fixture_checkpoint *c, const char *weight,
                       const char *bias) {
    const fixture_tensor *t = tiny_find(c, weight);
    const int64_t k = t->shape[1];
    const int64_t rows = t->shape[0];
    int64_t n = 0;
    float *values = values_of(t, &n);
    int8_t *codes = malloc((size_t)n);
    float *absmax = malloc((size_t)rows * sizeof(float));
    float *expected = malloc((size_t)n * sizeof(float));
    float *found = malloc((size_t)n * sizeof(float));
    assert_true(codes != NULL && absmax != NULL && expected != NULL && found != NULL);
    assert_int_equal(
        gi8_int8_quantize_weight_rows(GI8_TYPE_F32, values, k, rows, codes, absmax, NULL), GI8_OK);
    assert_int_equal(gi8_int8_dequantize_weight_rows(codes, absmax, k, rows, expected), GI8_OK);
    assert_non_null(linear);
    assert_int_equal(gi8_linear_int8_dequantize(linear, 0, rows, found, NULL), GI8_OK);
    assert_memory_equal(found, expected, (size_t)n * sizeof(float));
    assert_int_equal(gi8_tensor_read(gi8_linear_int8_absmax(linear), 0, found,
                                     (size_t)rows * sizeof(float), NULL),
                     GI8_OK);
    assert_memory_equal(found, absmax, (size_t)rows * sizeof(float));
    if (bias != NULL) {
        check_leaf(gi8_linear_int8_bias(linear), c, bias, GI8_TYPE_F32);
    } else {
        assert_null(gi8_linear_int8_bias(linear));
    }
    free(values);
    free(codes);
    free(absmax);
    free(expected);
    free(found);
}

/* One linear layer of block `layer`, as loaded with `weights`. */
static void check_linear(const gptneoxi_linear *linear, fixture_checkpoint *c, int layer,
                         const char *stem, bool has_bias, gptneox_weight_type weights) {
    static const gi8_type types[] = {GI8_TYPE_I8, GI8_TYPE_F16, GI8_TYPE_BF16, GI8_TYPE_F32};
    char weight[96];
    char bias[96];
    snprintf(weight, sizeof weight, "gpt_neox.layers.%d.%s.weight", layer, stem);
    snprintf(bias, sizeof bias, "gpt_neox.layers.%d.%s.bias", layer, stem);
    if (weights == GPTNEOX_WEIGHTS_INT8) {
        assert_null(linear->weight);
        assert_null(linear->bias);
        check_int8(linear->int8, c, weight, has_bias ? bias : NULL);
        return;
    }
    assert_null(linear->int8);
    check_leaf(linear->weight, c, weight, types[weights]);
    if (has_bias) {
        check_leaf(linear->bias, c, bias, GI8_TYPE_F32);
    } else {
        assert_null(linear->bias);
    }
}

static void check_norm(const gptneoxi_norm *norm, fixture_checkpoint *c, const char *stem) {
    char name[96];
    snprintf(name, sizeof name, "gpt_neox.%s.weight", stem);
    check_leaf(norm->gain, c, name, GI8_TYPE_F32);
    snprintf(name, sizeof name, "gpt_neox.%s.bias", stem);
    check_leaf(norm->bias, c, name, GI8_TYPE_F32);
}

/* All of a tiny model but its embedding and head. */
static void check_blocks(const gptneox_model *model, fixture_checkpoint *c,
                         gptneox_weight_type weights) {
    const bool has_bias = model->config.attention_bias;
    for (int i = 0; i < TINY_LAYERS; i++) {
        const gptneoxi_layer *layer = &model->weights.layers[i];
        char stem[80];
        snprintf(stem, sizeof stem, "layers.%d.input_layernorm", i);
        check_norm(&layer->input_layernorm, c, stem);
        snprintf(stem, sizeof stem, "layers.%d.post_attention_layernorm", i);
        check_norm(&layer->post_attention_layernorm, c, stem);
        check_linear(&layer->query_key_value, c, i, "attention.query_key_value", has_bias, weights);
        check_linear(&layer->dense, c, i, "attention.dense", has_bias, weights);
        check_linear(&layer->dense_h_to_4h, c, i, "mlp.dense_h_to_4h", true, weights);
        check_linear(&layer->dense_4h_to_h, c, i, "mlp.dense_4h_to_h", true, weights);
    }
    check_norm(&model->weights.final_layer_norm, c, "final_layer_norm");
}

/* Parameters of the tiny model without its head. */
enum {
    TINY_BLOCK_WEIGHTS =
        TINY_LAYERS * (4 * TINY_HIDDEN * TINY_HIDDEN + 2 * TINY_HIDDEN * TINY_WIDE),
    TINY_BLOCK_ROWS = TINY_LAYERS * (5 * TINY_HIDDEN + TINY_WIDE),
    TINY_NORMS = (2 * TINY_LAYERS + 1) * 2 * TINY_HIDDEN,
    TINY_VECTORS = TINY_BLOCK_ROWS + TINY_NORMS,
    TINY_TABLE = TINY_VOCAB * TINY_HIDDEN
};

/* The int8 layers of all blocks: about a byte a weight, and absmax and bias for each row. */
static size_t int8_bytes(const gptneox_model *model) {
    size_t bytes = 0;
    for (int i = 0; i < TINY_LAYERS; i++) {
        const gptneoxi_layer *layer = &model->weights.layers[i];
        bytes += gi8_linear_int8_footprint(layer->query_key_value.int8);
        bytes += gi8_linear_int8_footprint(layer->dense.int8);
        bytes += gi8_linear_int8_footprint(layer->dense_h_to_4h.int8);
        bytes += gi8_linear_int8_footprint(layer->dense_4h_to_h.int8);
    }
    assert_true(bytes >= TINY_BLOCK_WEIGHTS + 8 * TINY_BLOCK_ROWS);
    return bytes;
}

/* Every type of file to every type in memory. */
static void all_types(void **state) {
    (void)state;
    static const gi8_type file_types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};
    for (size_t f = 0; f < 3; f++) {
        fixture_checkpoint *c = tiny_checkpoint();
        for (int i = 0; i < c->n; i++) {
            tiny_convert(&c->tensors[i], file_types[f]);
        }
        temp_dir dir = tiny_write(c, "");
        for (int w = GPTNEOX_WEIGHTS_INT8; w <= GPTNEOX_WEIGHTS_F32; w++) {
            static const gi8_type kept[] = {GI8_TYPE_I8, GI8_TYPE_F16, GI8_TYPE_BF16, GI8_TYPE_F32};
            const gptneox_weight_type weights = (gptneox_weight_type)w;
            const gi8_type table_type = w == GPTNEOX_WEIGHTS_INT8 ? file_types[f] : kept[w];
            memory_backend backend;
            gptneox_model *model = load(dir.path, &backend, weights, false);
            check_blocks(model, c, weights);
            check_leaf(model->weights.embed_in, c, "gpt_neox.embed_in.weight", table_type);
            check_leaf(model->weights.embed_out.weight, c, "embed_out.weight", table_type);
            assert_null(model->weights.embed_out.bias);
            assert_null(model->weights.embed_out.int8);

            const gptneox_footprint footprint = gptneox_model_footprint(model);
            const size_t n = TINY_BLOCK_WEIGHTS + TINY_VECTORS + 2 * TINY_TABLE;
            assert_int_equal(footprint.n_parameters, n);
            assert_int_equal(footprint.fp16_bytes, 2 * n);
            size_t bytes = 4 * TINY_NORMS + 2 * TINY_TABLE * gi8_type_size(table_type);
            bytes += w == GPTNEOX_WEIGHTS_INT8
                         ? int8_bytes(model)
                         : TINY_BLOCK_WEIGHTS * gi8_type_size(kept[w]) + 4 * TINY_BLOCK_ROWS;
            assert_int_equal(footprint.weight_bytes, bytes);

            assert_int_equal(gptneox_model_config(model)->hidden_size, TINY_HIDDEN);
            assert_null(gptneox_model_tokenizer(model));
            assert_int_equal(gptneox_n_tokens(model), TINY_VOCAB);
            unload(model, &backend);
        }
        temp_dir_remove(&dir);
        tiny_checkpoint_free(c);
    }
}

static void mixed_types(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    tiny_convert(tiny_find(c, "gpt_neox.embed_in.weight"), GI8_TYPE_BF16);
    tiny_convert(tiny_find(c, "gpt_neox.layers.0.attention.dense.weight"), GI8_TYPE_F16);
    tiny_convert(tiny_find(c, "gpt_neox.layers.1.attention.dense.bias"), GI8_TYPE_BF16);
    tiny_convert(tiny_find(c, "gpt_neox.final_layer_norm.weight"), GI8_TYPE_F16);
    temp_dir dir = tiny_write(c, "");
    memory_backend backend;
    gptneox_model *model = load(dir.path, &backend, GPTNEOX_WEIGHTS_INT8, false);
    check_blocks(model, c, GPTNEOX_WEIGHTS_INT8);
    check_leaf(model->weights.embed_in, c, "gpt_neox.embed_in.weight", GI8_TYPE_BF16);
    check_leaf(model->weights.embed_out.weight, c, "embed_out.weight", GI8_TYPE_F32);
    unload(model, &backend);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void heads(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    memory_backend backend;
    gptneox_model *model = load(dir.path, &backend, GPTNEOX_WEIGHTS_INT8, true);
    check_int8(model->weights.embed_out.int8, c, "embed_out.weight", NULL);
    assert_null(model->weights.embed_out.weight);
    unload(model, &backend);
    model = load(dir.path, &backend, GPTNEOX_WEIGHTS_F32, true); /* int8 only */
    check_leaf(model->weights.embed_out.weight, c, "embed_out.weight", GI8_TYPE_F32);
    unload(model, &backend);
    temp_dir_remove(&dir);

    tiny_find(c, "embed_out.weight")->n_dims = -1;
    dir = tiny_write(c, ", \"tie_word_embeddings\": true");
    model = load(dir.path, &backend, GPTNEOX_WEIGHTS_INT8, false);
    assert_ptr_equal(model->weights.embed_out.weight, model->weights.embed_in);
    assert_int_equal(gptneox_model_footprint(model).n_parameters,
                     TINY_BLOCK_WEIGHTS + TINY_VECTORS + TINY_TABLE);
    const uint64_t bytes = gptneox_model_footprint(model).weight_bytes;
    unload(model, &backend);
    model = load(dir.path, &backend, GPTNEOX_WEIGHTS_INT8, true);
    check_int8(model->weights.embed_out.int8, c, "gpt_neox.embed_in.weight", NULL);
    check_leaf(model->weights.embed_in, c, "gpt_neox.embed_in.weight", GI8_TYPE_F32);
    assert_int_equal(gptneox_model_footprint(model).n_parameters,
                     TINY_BLOCK_WEIGHTS + TINY_VECTORS + TINY_TABLE);
    assert_int_equal(gptneox_model_footprint(model).weight_bytes,
                     bytes + gi8_linear_int8_footprint(model->weights.embed_out.int8));
    unload(model, &backend);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void no_attention_bias(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    for (int i = 0; i < c->n; i++) {
        const char *name = c->tensors[i].name;
        if (strstr(name, "attention.") != NULL && strstr(name, ".bias") != NULL) {
            c->tensors[i].n_dims = -1;
        }
    }
    temp_dir dir = tiny_write(c, ", \"attention_bias\": false");
    for (int w = GPTNEOX_WEIGHTS_INT8; w <= GPTNEOX_WEIGHTS_F32; w++) {
        memory_backend backend;
        gptneox_model *model = load(dir.path, &backend, (gptneox_weight_type)w, false);
        check_blocks(model, c, (gptneox_weight_type)w);
        unload(model, &backend);
    }
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* Buffers of old files, and anything else that the model does not need, whatever its type. */
static void extra_tensors(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    const int64_t mask_shape[4] = {1, 1, 4, 4};
    const int64_t freq_shape[1] = {2};
    const uint8_t bytes[64] = {0};
    tiny_add(c, "gpt_neox.layers.0.attention.bias", "BOOL", 4, mask_shape, bytes, 16);
    tiny_add(c, "gpt_neox.layers.0.attention.masked_bias", "F16", 0, NULL, bytes, 2);
    tiny_add(c, "gpt_neox.layers.0.attention.rotary_emb.inv_freq", "F32", 1, freq_shape, bytes, 8);
    tiny_add(c, "something.else", "F64", 4, mask_shape, bytes, 0);
    c->tensors[c->n - 1].shape[0] = 0;
    temp_dir dir = tiny_write(c, "");
    memory_backend backend;
    gptneox_model *model = load(dir.path, &backend, GPTNEOX_WEIGHTS_F32, false);
    check_blocks(model, c, GPTNEOX_WEIGHTS_F32);
    unload(model, &backend);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* Three shards, one of them with a stale copy of a tensor that the index gives to another. */
static void shards(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    char index[4096];
    size_t used = (size_t)snprintf(index, sizeof index,
                                   "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (int i = 0; i < c->n; i++) {
        used += (size_t)snprintf(index + used, sizeof index - used, "%s\"%s\": \"part-%d\"",
                                 i > 0 ? ", " : "", c->tensors[i].name, i % 27 / 10);
    }
    snprintf(index + used, sizeof index - used, "}}");
    temp_write_text(&dir, "model.safetensors.index.json", index);
    assert_int_equal(remove(temp_path(&dir, "model.safetensors")), 0);
    safetensors_write(&dir, "part-1", c, 10, 10);
    safetensors_write(&dir, "part-2", c, 20, 7);
    fixture_checkpoint first = *c; /* part-0 also has the last tensor */
    first.tensors[9 + 1] = c->tensors[c->n - 1];
    first.tensors[9 + 2] = c->tensors[15];
    float stale[3 * TINY_HIDDEN * TINY_HIDDEN] = {0};
    assert_true(c->tensors[15].size <= sizeof stale);
    first.tensors[9 + 2].data = (uint8_t *)stale;
    safetensors_write(&dir, "part-0", &first, 0, 12);
    assert_int_equal(c->n, 28);
    memory_backend backend;
    gptneox_model *model = load(dir.path, &backend, GPTNEOX_WEIGHTS_F32, false);
    check_blocks(model, c, GPTNEOX_WEIGHTS_F32);
    check_leaf(model->weights.embed_out.weight, c, "embed_out.weight", GI8_TYPE_F32);
    unload(model, &backend);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* A checkpoint that bitsandbytes quantized: codes and absmax as they are, or widened again. */
static void int8_checkpoint(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();      /* what goes to disk */
    fixture_checkpoint *plain = tiny_checkpoint();  /* what it was made from */
    fixture_checkpoint *widened = tiny_checkpoint(); /* what the codes stand for */
    const int n = c->n;
    for (int i = 0; i < n; i++) {
        fixture_tensor *t = &c->tensors[i];
        if (t->n_dims != 2 || strcmp(t->name, "gpt_neox.embed_in.weight") == 0) {
            continue;
        }
        const int64_t rows = t->shape[0];
        const int64_t k = t->shape[1];
        int8_t codes[3 * TINY_WIDE * TINY_WIDE];
        float absmax[3 * TINY_WIDE];
        assert_int_equal(
            gi8_int8_quantize_weight_rows(GI8_TYPE_F32, t->data, k, rows, codes, absmax, NULL),
            GI8_OK);
        assert_int_equal(gi8_int8_dequantize_weight_rows(
                             codes, absmax, k, rows, (float *)(void *)widened->tensors[i].data),
                         GI8_OK);
        t->dtype = "I8";
        t->size = (size_t)(rows * k);
        memcpy(t->data, codes, t->size);
        char name[96];
        const int stem = (int)(strlen(t->name) - strlen("weight"));
        snprintf(name, sizeof name, "%.*sSCB", stem, t->name);
        tiny_add(c, name, "F32", 1, &rows, absmax, (size_t)rows * sizeof(float));
        if (i % 2 == 0) { /* older versions do not write it */
            snprintf(name, sizeof name, "%.*sweight_format", stem, t->name);
            tiny_add(c, name, "U8", 0, NULL, "", 1);
        }
    }
    temp_dir dir = tiny_write(c, ", \"quantization_config\": {\"quant_method\": \"bitsandbytes\","
                                 " \"load_in_8bit\": true}");
    memory_backend backend;
    gptneox_model *model = load(dir.path, &backend, GPTNEOX_WEIGHTS_INT8, false);
    check_blocks(model, plain, GPTNEOX_WEIGHTS_INT8);
    check_int8(model->weights.embed_out.int8, plain, "embed_out.weight", NULL);
    check_leaf(model->weights.embed_in, plain, "gpt_neox.embed_in.weight", GI8_TYPE_F32);
    unload(model, &backend);
    for (int w = GPTNEOX_WEIGHTS_F16; w <= GPTNEOX_WEIGHTS_F32; w++) {
        model = load(dir.path, &backend, (gptneox_weight_type)w, true);
        check_blocks(model, widened, (gptneox_weight_type)w);
        unload(model, &backend);
    }
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
    tiny_checkpoint_free(plain);
    tiny_checkpoint_free(widened);
}

typedef struct seen {
    uint64_t done;
    uint64_t total;
    int calls;
} seen;

static bool watch(void *user, uint64_t done, uint64_t total) {
    seen *s = user;
    assert_true(done > s->done && done <= total);
    assert_true(s->calls == 0 || total == s->total);
    *s = (seen){done, total, s->calls + 1};
    return true;
}

/* A layer of more than one tile: rows keep their places, and progress is told on the way. */
static void several_tiles(void **state) {
    (void)state;
    enum { WIDE = 132001 };
    fixture_checkpoint *c = tiny_checkpoint();
    static const char *const stems[] = {"dense_h_to_4h.weight", "dense_h_to_4h.bias",
                                        "dense_4h_to_h.weight"};
    uint64_t total = 0;
    for (int i = 0; i < c->n; i++) {
        fixture_tensor *t = &c->tensors[i];
        for (size_t s = 0; s < 3; s++) {
            if (strstr(t->name, stems[s]) == NULL) {
                continue;
            }
            t->shape[s == 2 ? 1 : 0] = WIDE;
            const size_t n = (size_t)WIDE * (s == 1 ? 1 : TINY_HIDDEN);
            free(t->data);
            t->size = n * sizeof(float);
            t->data = malloc(t->size);
            assert_non_null(t->data);
            for (size_t j = 0; j < n; j++) {
                const float value = (float)((j * 7919 + (size_t)i) % 10007) * 1e-4f;
                memcpy(t->data + j * sizeof value, &value, sizeof value);
            }
        }
        total += t->size;
    }
    temp_dir dir = temp_dir_create();
    temp_write_text(&dir, "config.json",
                    "{\"vocab_size\": 20, \"hidden_size\": 8, \"num_attention_heads\": 2, "
                    "\"num_hidden_layers\": 2, \"intermediate_size\": 132001, "
                    "\"rotary_pct\": 0.5}");
    safetensors_write(&dir, "model.safetensors", c, 0, c->n);
    seen s = {0};
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.weights = GPTNEOX_WEIGHTS_BF16;
    params.progress = watch;
    params.user = &s;
    memory_backend backend = memory_backend_init();
    gi8_error error = GI8_ERROR_INIT;
    gptneox_model *model = gptneox_model_load(dir.path, &backend.base, &params, &error);
    assert_non_null(model);
    assert_true(s.calls > c->n && s.done == total && s.total == total);
    check_blocks(model, c, GPTNEOX_WEIGHTS_BF16);
    unload(model, &backend);

    model = load(dir.path, &backend, GPTNEOX_WEIGHTS_INT8, false);
    check_blocks(model, c, GPTNEOX_WEIGHTS_INT8);
    unload(model, &backend);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* The checkpoints that transformers wrote load in every type, and have all their parameters. */
static void reference_checkpoints(void **state) {
    (void)state;
    static const char *const names[] = {
        "parallel-f32",  "sequential-head80-f16", "head96-bf16",       "head64-pct35-f16",
        "tied-silu-bf16", "nobias-f16",           "sharded-f32",       "legacy-f16",
        "unprefixed-f16", "rope-linear-v4-f16",   "rope-linear-v5-f16", "mixed-types",
        "head50-pct58-f16",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char dir[512];
        snprintf(dir, sizeof dir, "%s/%s", REFERENCE_DIR, names[i]);
        for (int w = GPTNEOX_WEIGHTS_INT8; w <= GPTNEOX_WEIGHTS_F32; w++) {
            memory_backend backend;
            gptneox_model *model = load(dir, &backend, (gptneox_weight_type)w, w % 2 == 0);
            const gptneox_config *c = gptneox_model_config(model);
            const int64_t h = c->hidden_size;
            const int64_t f = c->intermediate_size;
            const int64_t layer =
                4 * h * h + 2 * h * f + 5 * h + f + (c->attention_bias ? 4 * h : 0);
            const int64_t n = (c->tie_word_embeddings ? 1 : 2) * (int64_t)c->vocab_size * h +
                              c->num_hidden_layers * layer + 2 * h;
            assert_int_equal(gptneox_model_footprint(model).n_parameters, n);
            unload(model, &backend);
        }
    }
}

static void nothing_of_nothing(void **state) {
    (void)state;
    assert_null(gptneox_model_config(NULL));
    assert_null(gptneox_model_tokenizer(NULL));
    assert_int_equal(gptneox_model_footprint(NULL).weight_bytes, 0);
    assert_int_equal(gptneox_n_tokens(NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_types),
        cmocka_unit_test(mixed_types),
        cmocka_unit_test(heads),
        cmocka_unit_test(no_attention_bias),
        cmocka_unit_test(extra_tensors),
        cmocka_unit_test(shards),
        cmocka_unit_test(int8_checkpoint),
        cmocka_unit_test(several_tiles),
        cmocka_unit_test(reference_checkpoints),
        cmocka_unit_test(nothing_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
