/* test_save.c - saved int8 models: the same bits when they are loaded again, and nothing that
 * passes for a checkpoint where saving failed. */
#define _XOPEN_SOURCE 700
#include "checkpoint_fixture.h"
#include "gi8_cpu.h"
#include "model.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define REFERENCE_DIR GI8_TEST_REFERENCE_DIR "/model"
enum { N_TOKENS = 20 };

static gi8_backend *backend_new(int n_threads) {
    const gi8_cpu_params params = {.n_threads = n_threads};
    gi8_backend *backend = gi8_cpu_backend_create(&params, NULL);
    assert_non_null(backend);
    return backend;
}

static gptneox_model *load(const char *dir, gi8_backend *backend, bool quantize_head) {
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.quantize_head = quantize_head;
    gi8_error error = GI8_ERROR_INIT;
    gptneox_model *model = gptneox_model_load(dir, backend, &params, &error);
    if (model == NULL) {
        fail_msg("%s", error.message);
    }
    return model;
}

static void save(const gptneox_model *model, const char *dir, bool overwrite) {
    gi8_error error = GI8_ERROR_INIT;
    if (gptneox_model_save(model, dir, overwrite, &error) != GI8_OK) {
        fail_msg("%s", error.message);
    }
}

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long length = ftell(file);
    rewind(file);
    char *data = malloc((size_t)length + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)length, file), length);
    data[length] = '\0';
    fclose(file);
    *size = (size_t)length;
    return data;
}

static void assert_same_file(const char *a, const char *b) {
    size_t a_size = 0;
    size_t b_size = 0;
    void *a_data = read_file(a, &a_size);
    void *b_data = read_file(b, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a_data, b_data, a_size);
    free(a_data);
    free(b_data);
}

/* Logits of some tokens, freed with free(). */
static float *logits_of(const gptneox_model *model, size_t *n) {
    gptneox_session_params params = GPTNEOX_SESSION_PARAMS_DEFAULT;
    params.n_ctx = N_TOKENS;
    gptneox_session *session = gptneox_session_create(model, &params, NULL);
    assert_non_null(session);
    const int32_t vocab = gptneox_model_config(model)->vocab_size;
    int32_t tokens[N_TOKENS];
    bool wants[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++) {
        tokens[i] = (int32_t)(i * 37 + 11) % vocab;
        wants[i] = true;
    }
    const gptneox_batch batch = {N_TOKENS, tokens, NULL, NULL, wants};
    assert_int_equal(gptneox_eval(session, &batch, NULL), GI8_OK);
    *n = (size_t)vocab * N_TOKENS;
    float *logits = malloc(*n * sizeof *logits);
    assert_non_null(logits);
    memcpy(logits, gptneox_logits(session, 0), *n * sizeof *logits);
    gptneox_session_free(session);
    return logits;
}

static void assert_same_model(const gptneox_model *a, const gptneox_model *b) {
    size_t a_n = 0;
    size_t b_n = 0;
    float *x = logits_of(a, &a_n);
    float *y = logits_of(b, &b_n);
    assert_int_equal(a_n, b_n);
    assert_memory_equal(x, y, a_n * sizeof *x);
    assert_int_equal(gptneox_model_footprint(a).weight_bytes,
                     gptneox_model_footprint(b).weight_bytes);
    free(x);
    free(y);
}

/* ---- round trips ----------------------------------------------------------------------------- */

/* Saved, loaded and saved again: the same logits, the same files. */
static void check_round_trip(const char *source, bool quantize_head) {
    temp_dir first = temp_dir_create();
    temp_dir second = temp_dir_create();
    gi8_backend *backend = backend_new(2);
    gptneox_model *model = load(source, backend, quantize_head);
    save(model, first.path, false);
    gptneox_model *again = load(first.path, backend, false); /* the file says what is quantized */
    assert_int_equal(again->weights.embed_out.int8 != NULL, quantize_head);
    assert_same_model(model, again);
    save(again, second.path, false);
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path(&first, "model.safetensors"));
    assert_same_file(path, temp_path(&second, "model.safetensors"));
    snprintf(path, sizeof path, "%s", temp_path(&first, "config.json"));
    assert_same_file(path, temp_path(&second, "config.json"));
    gptneox_model_free(model);
    gptneox_model_free(again);
    gi8_backend_free(backend);
    temp_dir_remove(&first);
    temp_dir_remove(&second);
}

static void reference_checkpoints(void **state) {
    (void)state;
    static const char *const names[] = {
        "parallel-f32",  "sequential-head80-f16", "head96-bf16",        "head64-pct35-f16",
        "tied-silu-bf16", "nobias-f16",           "sharded-f32",        "legacy-f16",
        "unprefixed-f16", "rope-linear-v4-f16",   "rope-linear-v5-f16", "mixed-types",
        "head50-pct58-f16",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char dir[512];
        snprintf(dir, sizeof dir, "%s/%s", REFERENCE_DIR, names[i]);
        for (int head = 0; head < 2; head++) {
            check_round_trip(dir, head == 1);
        }
    }
}

/* One thread or several, one instruction set or another: the same file. */
static void every_backend(void **state) {
    (void)state;
    static const char dir[] = REFERENCE_DIR "/head96-bf16";
    temp_dir expected = temp_dir_create();
    gi8_backend *one = backend_new(1);
    gptneox_model *model = load(dir, one, true);
    save(model, expected.path, false);
    gptneox_model_free(model);
    gi8_backend_free(one);
    for (int isa = 0; isa < GI8_CPU_ISA_COUNT; isa++) {
        if (!gi8_cpu_isa_available((gi8_cpu_isa)isa)) {
            continue;
        }
        const gi8_cpu_params params = {
            .n_threads = 3, .isa = (gi8_cpu_isa)isa, .limit_isa = true};
        gi8_backend *backend = gi8_cpu_backend_create(&params, NULL);
        assert_non_null(backend);
        temp_dir out = temp_dir_create();
        model = load(dir, backend, true);
        save(model, out.path, false);
        char path[512];
        snprintf(path, sizeof path, "%s", temp_path(&out, "model.safetensors"));
        assert_same_file(path, temp_path(&expected, "model.safetensors"));
        gptneox_model_free(model);
        gi8_backend_free(backend);
        temp_dir_remove(&out);
    }
    /* A backend whose codes lie in rows. */
    memory_backend rows = memory_backend_init();
    temp_dir out = temp_dir_create();
    model = load(dir, &rows.base, true);
    save(model, out.path, false);
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path(&out, "model.safetensors"));
    assert_same_file(path, temp_path(&expected, "model.safetensors"));
    gptneox_model_free(model);
    temp_dir_remove(&out);
    temp_dir_remove(&expected);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void expect_text(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("expected %s in: %s", part, text);
    }
}

static void files(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    for (int i = 0; i < c->n; i++) { /* a model of F16, but for one bias that F16 cannot hold */
        if (strstr(c->tensors[i].name, "layers.1.attention.dense.bias") == NULL) {
            tiny_convert(&c->tensors[i], GI8_TYPE_F16);
        }
    }
    temp_dir source = tiny_write(c, ", \"layer_norm_eps\": 1e-05, \"note\": [\"\\u00e9\", 0.1, 7]");
    temp_write_text(&source, "generation_config.json", "{ \"a\" :  1 }\n");
    temp_write_text(&source, "tokenizer_config.json", "not even JSON");
    temp_write_text(&source, "README.md", "not copied");
    temp_dir parent = temp_dir_create();
    temp_dir out = parent;
    snprintf(out.path, sizeof out.path, "%s", temp_path(&parent, "new"));

    memory_backend backend = memory_backend_init();
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.threshold = 4.5f;
    gptneox_model *model = gptneox_model_load(source.path, &backend.base, &params, NULL);
    assert_non_null(model);
    save(model, out.path, false); /* makes the directory */

    size_t size = 0;
    char *config = read_file(temp_path(&out, "config.json"), &size);
    expect_text(config, "\"layer_norm_eps\": 1e-5,");
    expect_text(config, "\"vocab_size\": 20,");
    expect_text(config, "0.1");
    expect_text(config, "\xc3\xa9");
    expect_text(config, "\"quant_method\": \"bitsandbytes\"");
    expect_text(config, "\"load_in_8bit\": true");
    expect_text(config, "\"llm_int8_threshold\": 4.5");
    expect_text(config, "\"llm_int8_skip_modules\": null");
    free(config);
    char path[512];
    static const char *const same[] = {"generation_config.json", "tokenizer_config.json"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s", temp_path(&source, same[i]));
        assert_same_file(path, temp_path(&out, same[i]));
    }
    assert_int_not_equal(access(temp_path(&out, "README.md"), F_OK), 0);
    assert_int_not_equal(access(temp_path(&out, "model.safetensors.tmp"), F_OK), 0);

    char *header = (char *)read_file(temp_path(&out, "model.safetensors"), &size);
    const char *text = header + 8;
    assert_int_equal((unsigned char)header[0] % 8, 0); /* padded */
    header[8 + (unsigned char)header[0] + 256 * (unsigned char)header[1]] = '\0';
#define LAYER "\"gpt_neox.layers."
    expect_text(text, "\"__metadata__\":{\"format\":\"pt\"}");
    expect_text(text, LAYER "1.attention.dense.weight\":{\"dtype\":\"I8\",\"shape\":[8,8]");
    expect_text(text, LAYER "0.mlp.dense_4h_to_h.SCB\":{\"dtype\":\"F32\",\"shape\":[8]");
    expect_text(text,
                LAYER "0.mlp.dense_4h_to_h.weight_format\":{\"dtype\":\"U8\",\"shape\":[]");
    expect_text(text, LAYER "0.attention.dense.bias\":{\"dtype\":\"F16\",\"shape\":[8]");
    expect_text(text, LAYER "1.attention.dense.bias\":{\"dtype\":\"F32\",\"shape\":[8]");
    expect_text(text, "\"gpt_neox.final_layer_norm.weight\":{\"dtype\":\"F16\",\"shape\":[8]");
    expect_text(text, "\"embed_out.weight\":{\"dtype\":\"F16\",\"shape\":[20,8]");
#undef LAYER
    free(header);

    gptneox_model_free(model);
    temp_dir_remove(&out);
    temp_dir_remove(&parent);
    temp_dir_remove(&source);
    tiny_checkpoint_free(c);
}

/* ---- refusals and failures ------------------------------------------------------------------- */

typedef struct small {
    fixture_checkpoint *checkpoint;
    temp_dir source;
    memory_backend backend;
    gptneox_model *model;
} small;

static void small_open(small *s) {
    s->checkpoint = tiny_checkpoint();
    s->source = tiny_write(s->checkpoint, "");
    s->backend = memory_backend_init();
    s->model = gptneox_model_load(s->source.path, &s->backend.base, NULL, NULL);
    assert_non_null(s->model);
}

static void small_close(small *s) {
    gptneox_model_free(s->model);
    temp_dir_remove(&s->source);
    tiny_checkpoint_free(s->checkpoint);
}

static void expect_save_error(const gptneox_model *model, const char *dir, bool overwrite,
                              gi8_status status, const char *text) {
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gptneox_model_save(model, dir, overwrite, NULL), status);
    assert_int_equal(gptneox_model_save(model, dir, overwrite, &error), status);
    assert_int_equal(error.status, status);
    expect_text(error.message, text);
}

static bool exists(temp_dir *dir, const char *name) {
    return access(temp_path(dir, name), F_OK) == 0;
}

static void refusals(void **state) {
    (void)state;
    small s;
    small_open(&s);
    temp_dir out = temp_dir_create();
    char path[600];
    expect_save_error(NULL, out.path, false, GI8_ERR_ARGUMENT, "the model is NULL");
    expect_save_error(s.model, NULL, false, GI8_ERR_ARGUMENT, "the directory is NULL");
    snprintf(path, sizeof path, "%s/a/b", out.path);
    expect_save_error(s.model, path, false, GI8_ERR_IO, "No such file");
    expect_save_error(s.model, "", false, GI8_ERR_IO, "No such file");
    temp_write_text(&out, "file", "");
    snprintf(path, sizeof path, "%s/file", out.path);
    expect_save_error(s.model, path, false, GI8_ERR_IO, "expected a directory");

    /* Where it came from, by whatever name, overwriting or not. */
    expect_save_error(s.model, s.source.path, true, GI8_ERR_ARGUMENT, "another directory");
    snprintf(path, sizeof path, "%s/link", out.path);
    assert_int_equal(symlink(s.source.path, path), 0);
    expect_save_error(s.model, path, true, GI8_ERR_ARGUMENT, "another directory");
    assert_true(exists(&s.source, "config.json") && exists(&s.source, "model.safetensors"));

    /* Over a checkpoint, or a part of one. */
    static const char *const parts[] = {"config.json", "model.safetensors",
                                        "model.safetensors.index.json"};
    for (int i = 0; i < 3; i++) {
        temp_write_text(&out, parts[i], "old");
        expect_save_error(s.model, out.path, false, GI8_ERR_IO, parts[i]);
        size_t size = 0;
        char *old = read_file(temp_path(&out, parts[i]), &size);
        assert_string_equal(old, "old");
        free(old);
        save(s.model, out.path, true);
        assert_false(exists(&out, "model.safetensors.index.json"));
        gptneox_model *again = gptneox_model_load(out.path, &s.backend.base, NULL, NULL);
        assert_non_null(again);
        gptneox_model_free(again);
        assert_int_equal(remove(temp_path(&out, "config.json")), 0);
        assert_int_equal(remove(temp_path(&out, "model.safetensors")), 0);
    }
    /* The shards go with their index, and nothing else that it names. */
    static const char *const kept[] = {"notes.txt", "other.safetensors"};
    temp_write_text(&out, "model-1-of-2.safetensors", "old");
    temp_write_text(&out, "model-2-of-2.safetensors", "old");
    temp_write_text(&out, kept[0], "not a shard");
    temp_write_text(&out, kept[1], "not in the index");
    temp_write_text(&s.source, "beside.safetensors", "elsewhere");
    char index[1024];
    snprintf(index, sizeof index,
             "{\"weight_map\": {\"a\": \"model-1-of-2.safetensors\", "
             "\"b\": \"model-2-of-2.safetensors\", \"c\": \"model-1-of-2.safetensors\", "
             "\"d\": \"%s\", \"e\": \"%s/beside.safetensors\", \"f\": 7, \"g\": \"..\"}}",
             kept[0], s.source.path);
    temp_write_text(&out, "model.safetensors.index.json", index);
    save(s.model, out.path, true);
    assert_false(exists(&out, "model-1-of-2.safetensors"));
    assert_false(exists(&out, "model-2-of-2.safetensors"));
    assert_false(exists(&out, "model.safetensors.index.json"));
    assert_true(exists(&out, kept[0]) && exists(&out, kept[1]));
    assert_true(exists(&s.source, "beside.safetensors"));

    /* A tokenizer that the new model does not have must not stay. */
    temp_write_text(&out, "tokenizer.json", "old");
    save(s.model, out.path, true);
    assert_false(exists(&out, "tokenizer.json"));

    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.weights = GPTNEOX_WEIGHTS_F16;
    gptneox_model *wide = gptneox_model_load(s.source.path, &s.backend.base, &params, NULL);
    assert_non_null(wide);
    expect_save_error(wide, out.path, true, GI8_ERR_UNSUPPORTED, "not int8");
    assert_true(exists(&out, "config.json"));
    gptneox_model_free(wide);

    /* The source has gone, or changed. */
    temp_dir late = temp_dir_create();
    temp_write_text(&s.source, "config.json", "[1]");
    expect_save_error(s.model, late.path, false, GI8_ERR_FORMAT, "config.json");
    assert_int_equal(remove(temp_path(&s.source, "config.json")), 0);
    expect_save_error(s.model, late.path, false, GI8_ERR_IO, "config.json");
    assert_int_equal(rmdir(late.path), 0); /* nothing was written */
    temp_dir_remove(&out);
    small_close(&s);
}

/* No space after any number of bytes: an error, no config.json, no half file under its name. */
static void no_space(void **state) {
    (void)state;
    small s;
    small_open(&s);
    temp_write_text(&s.source, "tokenizer_config.json", "{\"some\": \"bytes to copy\"}");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    int failures = 0;
    for (rlim_t limit = 0;; limit = limit < 16 ? limit + 8 : limit * 3 / 2) {
        temp_dir out = temp_dir_create();
        const struct rlimit now = {limit, before.rlim_max};
        gi8_error error = GI8_ERROR_INIT;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
        gi8_status status = gptneox_model_save(s.model, out.path, false, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_false(exists(&out, "model.safetensors.tmp"));
        assert_false(exists(&out, "config.json.tmp"));
        assert_int_equal(exists(&out, "config.json"), status == GI8_OK);
        if (status != GI8_OK) {
            failures++;
            assert_int_equal(status, GI8_ERR_IO);
            expect_text(error.message, "cannot write the file");
            assert_null(gptneox_model_load(out.path, &s.backend.base, NULL, NULL));
        }
        temp_dir_remove(&out);
        if (status == GI8_OK) {
            break;
        }
    }
    assert_true(failures > 8);
    small_close(&s);
}

static void obstacles(void **state) {
    (void)state;
    small s;
    small_open(&s);
    temp_dir out = temp_dir_create();
    /* A directory where the file is to be written first. */
    assert_int_equal(mkdir(temp_path(&out, "model.safetensors.tmp"), 0700), 0);
    expect_save_error(s.model, out.path, false, GI8_ERR_IO, "model.safetensors.tmp");
    assert_int_equal(rmdir(temp_path(&out, "model.safetensors.tmp")), 0);
    /* A link in its place is not followed. */
    temp_write_text(&s.source, "victim", "precious");
    char victim[600];
    snprintf(victim, sizeof victim, "%s", temp_path(&s.source, "victim"));
    assert_int_equal(symlink(victim, temp_path(&out, "config.json.tmp")), 0);
    expect_save_error(s.model, out.path, true, GI8_ERR_IO, "config.json.tmp");
    size_t size = 0;
    char *text = read_file(victim, &size);
    assert_string_equal(text, "precious");
    free(text);
    assert_false(exists(&out, "config.json"));
    assert_int_equal(remove(temp_path(&out, "config.json.tmp")), 0);
    /* What an interrupted call left is in nobody's way. */
    temp_write_text(&out, "model.safetensors.tmp", "half a file, long");
    save(s.model, out.path, true);
    assert_false(exists(&out, "model.safetensors.tmp"));
    temp_dir_remove(&out);

    if (geteuid() != 0) { /* root writes everywhere */
        out = temp_dir_create();
        assert_int_equal(chmod(out.path, 0500), 0);
        expect_save_error(s.model, out.path, false, GI8_ERR_IO, "Permission denied");
        assert_int_equal(rmdir(out.path), 0);
    }
    small_close(&s);
}

/* A device that stops answering while it is read. */
static void device_failures(void **state) {
    (void)state;
    small s;
    small_open(&s);
    int64_t n = 0;
    for (gi8_status status = GI8_ERR_DEVICE; status != GI8_OK; n++) {
        assert_true(n < 1000);
        temp_dir out = temp_dir_create();
        s.backend.fail_after = n;
        s.backend.failure = GI8_ERR_DEVICE;
        status = gptneox_model_save(s.model, out.path, false, NULL);
        s.backend.fail_after = -1;
        assert_true(status == GI8_OK || status == GI8_ERR_DEVICE);
        assert_int_equal(exists(&out, "config.json"), status == GI8_OK);
        assert_false(exists(&out, "model.safetensors.tmp"));
        temp_dir_remove(&out);
    }
    assert_true(n > 10);
    small_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_checkpoints),
        cmocka_unit_test(every_backend),
        cmocka_unit_test(files),
        cmocka_unit_test(refusals),
        cmocka_unit_test(no_space),
        cmocka_unit_test(obstacles),
        cmocka_unit_test(device_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
