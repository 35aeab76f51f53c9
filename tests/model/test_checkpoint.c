/* test_checkpoint.c - directories that cannot be loaded: a sentence for each, nothing kept. */
#define _XOPEN_SOURCE 700 /* mkfifo, symlink, chmod */
#include "checkpoint_fixture.h"
#include "test_seed.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX "model.safetensors.index.json"

/* ---- directories ----------------------------------------------------------------------------- */

static void bad_arguments(void **state) {
    (void)state;
    memory_backend backend = memory_backend_init();
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gptneox_model_load(NULL, &backend.base, NULL, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    assert_null(gptneox_model_load(".", NULL, NULL, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    assert_null(gptneox_model_load(NULL, NULL, NULL, NULL));
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.weights = (gptneox_weight_type)9;
    expect_load_error(".", &params, GI8_ERR_ARGUMENT, "weights: ", "found 9", NULL);
    static const float thresholds[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++) {
        params = (gptneox_model_params)GPTNEOX_MODEL_PARAMS_DEFAULT;
        params.threshold = thresholds[i];
        expect_load_error(".", &params, GI8_ERR_ARGUMENT, "threshold: expected a finite", NULL);
    }
    params = (gptneox_model_params)GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.outliers = (gi8_outliers)2;
    expect_load_error(".", &params, GI8_ERR_ARGUMENT, "outliers: ", "found 2", NULL);
    gptneox_model_free(NULL);
}

static void bad_directories(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    expect_load_error("/nonexistent/model", NULL, GI8_ERR_IO, "/nonexistent/model",
                      "No such file or directory", NULL);
    expect_load_error("", NULL, GI8_ERR_IO, "No such file or directory", NULL);
    expect_load_error(temp_path(&dir, "config.json"), NULL, GI8_ERR_IO, "config.json",
                      "expected a directory", NULL);
    assert_int_equal(remove(temp_path(&dir, "config.json")), 0);
    expect_load_error(dir.path, NULL, GI8_ERR_IO, "config.json", "No such file", NULL);
    assert_int_equal(mkdir(temp_path(&dir, "config.json"), 0700), 0);
    expect_load_error(dir.path, NULL, GI8_ERR_IO, "config.json", "found a directory", NULL);
    assert_int_equal(rmdir(temp_path(&dir, "config.json")), 0);
    assert_int_equal(mkfifo(temp_path(&dir, "config.json"), 0600), 0);
    expect_load_error(dir.path, NULL, GI8_ERR_IO, "config.json", "a regular file", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void unreadable(void **state) {
    (void)state;
    if (geteuid() == 0) {
        skip(); /* root reads everything */
    }
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    assert_int_equal(chmod(temp_path(&dir, "model.safetensors"), 0), 0);
    expect_load_error(dir.path, NULL, GI8_ERR_IO, "model.safetensors", "Permission denied", NULL);
    assert_int_equal(chmod(dir.path, 0), 0);
    expect_load_error(dir.path, NULL, GI8_ERR_IO, "Permission denied", NULL);
    assert_int_equal(chmod(dir.path, 0700), 0);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void no_safetensors(void **state) {
    (void)state;
    static const char *const others[] = {"pytorch_model.bin", "model.pt", "consolidated.00.pth"};
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    assert_int_equal(remove(temp_path(&dir, "model.safetensors")), 0);
    expect_load_error(dir.path, NULL, GI8_ERR_IO, "model.safetensors", "found neither", NULL);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        temp_write_text(&dir, others[i], "PK");
        expect_load_error(dir.path, NULL, GI8_ERR_UNSUPPORTED, others[i], "convert", NULL);
        assert_int_equal(remove(temp_path(&dir, others[i])), 0);
    }
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void tokenizer_beyond_vocab(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    temp_write_text(&dir, "tokenizer.json", "{\"version\": ");
    expect_load_error(dir.path, NULL, GI8_ERR_FORMAT, "tokenizer.json", NULL);
    /* The 256 bytes of the alphabet do not fit the 20 rows of the embedding. */
    char text[16384];
    size_t used =
        (size_t)snprintf(text, sizeof text,
                         "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, "
                         "\"added_tokens\": [], \"normalizer\": {\"type\": \"NFC\"}, "
                         "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": "
                         "false, \"trim_offsets\": true}, \"post_processor\": null, "
                         "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                         "\"trim_offsets\": true}, \"model\": {\"type\": \"BPE\", "
                         "\"dropout\": null, \"unk_token\": null, "
                         "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
                         "\"fuse_unk\": false, \"merges\": [], \"vocab\": {");
    int extra = 256; /* GPT-2's alphabet: printable bytes as they are, the others from U+0100 on */
    for (int byte = 0; byte < 256; byte++) {
        const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        const int code = printable ? byte : extra++;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\"\\u%04x\": %d",
                                 byte > 0 ? ", " : "", (unsigned)code, byte);
    }
    snprintf(text + used, sizeof text - used, "}}}");
    temp_write_text(&dir, "tokenizer.json", text);
    expect_load_error(dir.path, NULL, GI8_ERR_FORMAT, "tokenizer.json", "vocab_size 20", "id 255",
                      NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* A file that is there but cannot be reached is not the same as none. */
static void links_to_nowhere(void **state) {
    (void)state;
    static const char *const names[] = {"tokenizer.json", "model.safetensors", INDEX};
    fixture_checkpoint *c = tiny_checkpoint();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        temp_dir dir = tiny_write(c, "");
        if (i > 0) {
            assert_int_equal(remove(temp_path(&dir, "model.safetensors")), 0);
        }
        assert_int_equal(symlink("nowhere", temp_path(&dir, names[i])), 0);
        expect_load_error(dir.path, NULL, GI8_ERR_IO, names[i], "No such file", NULL);
        assert_int_equal(remove(temp_path(&dir, names[i])), 0);
        assert_int_equal(symlink(names[i], temp_path(&dir, names[i])), 0); /* to itself */
        expect_load_error(dir.path, NULL, GI8_ERR_IO, names[i], "symbolic links", NULL);
        temp_dir_remove(&dir);
    }
    tiny_checkpoint_free(c);
}

/* ---- shards ---------------------------------------------------------------------------------- */

static void expect_bad_index(temp_dir *dir, const char *index, gi8_status status,
                             const char *says) {
    temp_write_text(dir, INDEX, index);
    expect_load_error(dir->path, NULL, status, says, NULL);
}

static void bad_shards(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    assert_int_equal(remove(temp_path(&dir, "model.safetensors")), 0);
    safetensors_write(&dir, "a.safetensors", c, 0, c->n);
    expect_bad_index(&dir, "{", GI8_ERR_FORMAT, "not valid JSON");
    expect_bad_index(&dir, "[]", GI8_ERR_FORMAT, "weight_map: expected an object, found nothing");
    expect_bad_index(&dir, "{\"weight_map\": []}", GI8_ERR_FORMAT, "found an array");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": 1}}", GI8_ERR_FORMAT, "found an integer");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": \"\"}}", GI8_ERR_FORMAT,
                     "in the same directory");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": \"..\"}}", GI8_ERR_FORMAT,
                     "in the same directory");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": \"../a.safetensors\"}}", GI8_ERR_FORMAT,
                     "found \"../a.safetensors\"");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": \"/etc/passwd\"}}", GI8_ERR_FORMAT,
                     "found \"/etc/passwd\"");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": \".\"}}", GI8_ERR_IO, "found a directory");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": \"b.safetensors\"}}", GI8_ERR_IO,
                     "b.safetensors: cannot open the file: No such file");
    expect_bad_index(&dir, "{\"weight_map\": {\"x\": \"config.json\"}}", GI8_ERR_FORMAT,
                     "not a safetensors file");
    /* What the index does not list is not there. */
    expect_bad_index(&dir, "{\"weight_map\": {\"embed_out.weight\": \"a.safetensors\"}}",
                     GI8_ERR_SHAPE, "embed_in.weight: expected [20, 8], missing");
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static void missing_and_misshapen(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    tiny_find(c, "gpt_neox.layers.0.attention.dense.bias")->n_dims = -1;
    tiny_find(c, "embed_out.weight")->n_dims = -1;
    fixture_tensor *t = tiny_find(c, "gpt_neox.layers.1.mlp.dense_4h_to_h.weight");
    t->shape[0] = TINY_WIDE;
    t->shape[1] = TINY_HIDDEN;
    t = tiny_find(c, "gpt_neox.final_layer_norm.weight");
    t->n_dims = 2;
    t->shape[0] = 1;
    t->shape[1] = TINY_HIDDEN;
    temp_dir dir = tiny_write(c, "");
    expect_load_error(dir.path, NULL, GI8_ERR_SHAPE, dir.path, "4 tensors are not",
                      "layers.0.attention.dense.bias: expected [8], missing",
                      "layers.1.mlp.dense_4h_to_h.weight: expected [8, 12], found [12, 8]",
                      "final_layer_norm.weight: expected [8], found [1, 8]",
                      "embed_out.weight: expected [20, 8], missing", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void everything_missing(void **state) {
    (void)state;
    fixture_checkpoint c = {.n = 0};
    temp_dir dir = tiny_write(&c, "");
    expect_load_error(dir.path, NULL, GI8_ERR_SHAPE, "28 tensors are not", "embed_in.weight",
                      "and ", " more", NULL);
    temp_dir_remove(&dir);
}

static void wrong_types(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    tiny_find(c, "gpt_neox.embed_in.weight")->dtype = "I32";
    tiny_find(c, "gpt_neox.layers.0.input_layernorm.bias")->dtype = "U32";
    temp_dir dir = tiny_write(c, "");
    expect_load_error(dir.path, NULL, GI8_ERR_UNSUPPORTED, "2 tensors",
                      "embed_in.weight: expected F32, F16 or BF16, found I32",
                      "layers.0.input_layernorm.bias: expected F32, F16 or BF16, found U32", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void both_prefixes(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    const fixture_tensor t = *tiny_find(c, "gpt_neox.embed_in.weight");
    tiny_add(c, "embed_in.weight", t.dtype, t.n_dims, t.shape, t.data, t.size);
    temp_dir dir = tiny_write(c, "");
    expect_load_error(dir.path, NULL, GI8_ERR_FORMAT, "embed_in.weight", "found twice", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* A mask by the name of a bias is not the bias; a bias by a similar name is none of the masks. */
static void masks_are_no_biases(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    tiny_find(c, "gpt_neox.layers.0.attention.dense.bias")->n_dims = -1;
    const int64_t shape[4] = {1, 1, 4, 4};
    const uint8_t mask[16] = {0};
    tiny_add(c, "gpt_neox.layers.0.attention.bias", "BOOL", 4, shape, mask, sizeof mask);
    temp_dir dir = tiny_write(c, "");
    expect_load_error(dir.path, NULL, GI8_ERR_SHAPE, "1 tensor is not",
                      "layers.0.attention.dense.bias: expected [8], missing", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void set_value(fixture_tensor *t, size_t index, float value) {
    memcpy(t->data + index * sizeof value, &value, sizeof value);
}

static void not_finite_weights(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    fixture_tensor *t = tiny_find(c, "gpt_neox.layers.1.attention.dense.weight");
    set_value(t, 3, NAN);
    set_value(t, 20, INFINITY);
    set_value(t, 63, -INFINITY);
    temp_dir dir = tiny_write(c, "");
    expect_load_error(dir.path, NULL, GI8_ERR_NOT_FINITE, "layers.1.attention.dense.weight",
                      "3 of 64 values", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void too_large_for_f16(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    set_value(tiny_find(c, "gpt_neox.layers.0.attention.dense.weight"), 3, -70000.0f);
    temp_dir dir = tiny_write(c, "");
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.weights = GPTNEOX_WEIGHTS_F16;
    expect_load_error(dir.path, &params, GI8_ERR_NOT_FINITE, "layers.0.attention.dense.weight",
                      "-70000 is too large for F16", "BF16 or F32", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void bad_int8_checkpoints(void **state) {
    (void)state;
    static const char weight[] = "gpt_neox.layers.0.attention.dense.weight";
    const int64_t shape[2] = {TINY_HIDDEN, TINY_HIDDEN};
    const int64_t short_shape[1] = {TINY_HIDDEN - 1};
    float absmax[TINY_HIDDEN];
    int8_t codes[TINY_HIDDEN * TINY_HIDDEN];
    memset(codes, 5, sizeof codes);
    for (int i = 0; i < TINY_HIDDEN; i++) {
        absmax[i] = 0.5f;
    }
    for (int i = 0; i < 8; i++) {
        fixture_checkpoint *c = tiny_checkpoint();
        tiny_find(c, weight)->n_dims = -1;
        codes[9] = i == 4 ? -128 : 5;
        tiny_add(c, weight, "I8", 2, shape, codes, sizeof codes);
        if (i == 1) {
            tiny_add(c, "gpt_neox.layers.0.attention.dense.SCB", "F32", 1, short_shape, absmax,
                     sizeof absmax - 4);
        } else if (i >= 2) {
            absmax[2] = i == 5 ? NAN : i == 6 ? INFINITY : i == 7 ? -0.5f : 0.5f;
            tiny_add(c, "gpt_neox.layers.0.attention.dense.SCB", "F32", 1, shape, absmax,
                     sizeof absmax);
        }
        if (i == 2 || i == 3) {
            const uint8_t format[4] = {i == 2 ? 2 : 0, 0, 0, 0};
            tiny_add(c, "gpt_neox.layers.0.attention.dense.weight_format", i == 2 ? "U8" : "I32", 0,
                     NULL, format, i == 2 ? 1 : 4);
        }
        temp_dir dir = tiny_write(c, "");
        static const gi8_status statuses[] = {GI8_ERR_SHAPE,       GI8_ERR_SHAPE,
                                              GI8_ERR_UNSUPPORTED, GI8_ERR_UNSUPPORTED,
                                              GI8_ERR_FORMAT,      GI8_ERR_FORMAT,
                                              GI8_ERR_FORMAT,      GI8_ERR_FORMAT};
        static const char *const says[] = {
            "dense.SCB: expected F32 [8] beside an I8 weight, missing",
            "dense.SCB: expected F32 [8] beside an I8 weight, found another",
            "dense.weight_format: expected 0 (row), found col_turing",
            "dense.weight_format: expected 0 (row)",
            "layers.0.attention.dense.weight: row 1: expected codes in [-127, 127], found -128",
            "layers.0.attention.dense.weight: absmax (SCB) of row 2: expected a finite",
            "found inf",
            "found -0.5",
        };
        for (int w = GPTNEOX_WEIGHTS_INT8; w <= GPTNEOX_WEIGHTS_F32; w++) {
            gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
            params.weights = (gptneox_weight_type)w;
            expect_load_error(dir.path, &params, statuses[i], says[i], NULL);
        }
        temp_dir_remove(&dir);
        tiny_checkpoint_free(c);
    }
}

/* ---- interruptions --------------------------------------------------------------------------- */

typedef struct cut {
    int calls_left;
    const char *truncate; /* a file to cut at the last call, instead of stopping */
} cut;

static bool stop_or_cut(void *user, uint64_t done, uint64_t total) {
    cut *c = user;
    assert_true(done > 0 && done <= total);
    if (--c->calls_left > 0) {
        return true;
    }
    return c->truncate != NULL && truncate(c->truncate, 5000) == 0;
}

static void cancelled(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    for (int calls = 1; calls <= 28; calls += 3) {
        cut user = {calls, NULL};
        gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
        params.progress = stop_or_cut;
        params.user = &user;
        expect_load_error(dir.path, &params, GI8_ERR_CANCELLED, "cancelled", NULL);
    }
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void cut_while_loading(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path(&dir, "model.safetensors"));
    cut user = {1, path};
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.progress = stop_or_cut;
    params.user = &user;
    expect_load_error(dir.path, &params, GI8_ERR_IO, "model.safetensors", "the file ends at", NULL);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* Every allocation and every write of the backend fails once. */
static void backend_failures(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    for (int type = GPTNEOX_WEIGHTS_INT8; type <= GPTNEOX_WEIGHTS_F32; type++) {
        gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
        params.weights = (gptneox_weight_type)type;
        int64_t n = 0;
        for (gptneox_model *model = NULL; model == NULL; n++) {
            assert_true(n < 1000);
            memory_backend backend = memory_backend_init();
            backend.fail_after = n;
            backend.failure = n % 2 == 0 ? GI8_ERR_MEMORY : GI8_ERR_DEVICE;
            gi8_error error = GI8_ERROR_INIT;
            model = gptneox_model_load(dir.path, &backend.base, &params, &error);
            if (model == NULL) {
                assert_int_equal(error.status, backend.failure);
            }
            gptneox_model_free(model);
            assert_int_equal(backend.n_live, 0);
        }
        assert_true(n > 10);
    }
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* ---- mutations ------------------------------------------------------------------------------- */

/* Random bytes of the three files are changed: a model, or a sentence. */
static void mutations(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(21);
    fixture_checkpoint *c = tiny_checkpoint();
    temp_dir dir = tiny_write(c, "");
    char index[4096];
    size_t used = (size_t)snprintf(index, sizeof index, "{\"weight_map\": {");
    for (int i = 0; i < c->n; i++) {
        used += (size_t)snprintf(index + used, sizeof index - used, "%s\"%s\": \"a.safetensors\"",
                                 i > 0 ? ", " : "", c->tensors[i].name);
    }
    used += (size_t)snprintf(index + used, sizeof index - used, "}}");
    char config[512];
    const size_t config_size = (size_t)snprintf(config, sizeof config, TINY_CONFIG, "");
    size_t file_size = 0;
    uint8_t *file = safetensors_bytes(c, 0, c->n, &file_size);
    const size_t header_size = 8 + (size_t)file[0] + ((size_t)file[1] << 8);
    assert_int_equal(remove(temp_path(&dir, "model.safetensors")), 0);
    const struct {
        const char *name;
        const void *bytes;
        size_t size;
        size_t changeable;
    } files[] = {{"config.json", config, config_size, config_size},
                 {INDEX, index, used, used},
                 {"a.safetensors", file, file_size, header_size}};
    uint8_t *changed = malloc(file_size + sizeof index);
    assert_non_null(changed);
    for (int i = 0; i < 3; i++) {
        temp_write(&dir, files[i].name, files[i].bytes, files[i].size);
    }
    int n_good = 0;
    for (int i = 0; i < 3000; i++) {
        const int which = i % 3;
        memcpy(changed, files[which].bytes, files[which].size);
        const size_t at = (size_t)test_rng_int(&rng, 0, (int64_t)files[which].changeable - 1);
        const bool digit = changed[at] >= '0' && changed[at] <= '9';
        changed[at] = digit ? (uint8_t)test_rng_int(&rng, '0', '9')
                            : (uint8_t)test_rng_int(&rng, 0, 255);
        temp_write(&dir, files[which].name, changed, files[which].size);
        memory_backend backend = memory_backend_init();
        gi8_error error = GI8_ERROR_INIT;
        gptneox_model *model = gptneox_model_load(dir.path, &backend.base, NULL, &error);
        assert_true(model != NULL || (error.status != GI8_OK && error.message[0] != '\0'));
        n_good += model != NULL;
        gptneox_model_free(model);
        assert_int_equal(backend.n_live, 0);
        temp_write(&dir, files[which].name, files[which].bytes, files[which].size);
    }
    assert_true(n_good > 10 && n_good < 2900);
    temp_dir_remove(&dir);
    free(changed);
    free(file);
    tiny_checkpoint_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(bad_directories),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(no_safetensors),
        cmocka_unit_test(tokenizer_beyond_vocab),
        cmocka_unit_test(links_to_nowhere),
        cmocka_unit_test(bad_shards),
        cmocka_unit_test(missing_and_misshapen),
        cmocka_unit_test(everything_missing),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(both_prefixes),
        cmocka_unit_test(masks_are_no_biases),
        cmocka_unit_test(not_finite_weights),
        cmocka_unit_test(too_large_for_f16),
        cmocka_unit_test(bad_int8_checkpoints),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(cut_while_loading),
        cmocka_unit_test(backend_failures),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
