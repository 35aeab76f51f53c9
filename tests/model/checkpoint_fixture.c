/* checkpoint_fixture.c - writing small safetensors files by hand. */
#define _XOPEN_SOURCE 700 /* mkdtemp, opendir */
#include "checkpoint_fixture.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test_seed.h"

/* ---- a temporary directory ------------------------------------------------------------------- */

temp_dir temp_dir_create(void) {
    temp_dir dir;
    const char *base = getenv("TMPDIR");
    snprintf(dir.path, sizeof dir.path, "%s/gi8-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(dir.path));
    return dir;
}

void temp_dir_remove(temp_dir *dir) {
    DIR *stream = opendir(dir->path);
    assert_non_null(stream);
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            assert_int_equal(remove(temp_path(dir, entry->d_name)), 0);
        }
    }
    closedir(stream);
    assert_int_equal(rmdir(dir->path), 0);
}

const char *temp_path(temp_dir *dir, const char *name) {
    snprintf(dir->joined, sizeof dir->joined, "%s/%s", dir->path, name);
    return dir->joined;
}

void temp_write(temp_dir *dir, const char *name, const void *data, size_t size) {
    remove(temp_path(dir, name)); /* overwriting would make some file systems write to the disk */
    FILE *file = fopen(temp_path(dir, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void temp_write_text(temp_dir *dir, const char *name, const char *text) {
    temp_write(dir, name, text, strlen(text));
}

/* ---- a checkpoint ---------------------------------------------------------------------------- */

fixture_tensor *tiny_add(fixture_checkpoint *c, const char *name, const char *dtype, int n_dims,
                         const int64_t *shape, const void *data, size_t size) {
    assert_true(c->n < FIXTURE_MAX_TENSORS);
    fixture_tensor *t = &c->tensors[c->n++];
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->dtype = dtype;
    t->n_dims = n_dims;
    for (int i = 0; i < n_dims; i++) {
        t->shape[i] = shape[i];
    }
    t->size = size;
    t->data = malloc(size + 1);
    assert_non_null(t->data);
    if (data != NULL) {
        memcpy(t->data, data, size);
    }
    return t;
}

/* An F32 tensor of random values; cols 0: a vector. */
static void add_random(fixture_checkpoint *c, test_rng *rng, const char *name, int64_t rows,
                       int64_t cols) {
    const int64_t shape[2] = {rows, cols};
    const size_t n = (size_t)(rows * (cols > 0 ? cols : 1));
    fixture_tensor *t = tiny_add(c, name, "F32", cols > 0 ? 2 : 1, shape, NULL, n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        const float value = test_rng_float(rng, -1.0f, 1.0f);
        memcpy(t->data + i * sizeof value, &value, sizeof value);
    }
}

static void add_pair(fixture_checkpoint *c, test_rng *rng, const char *stem, int64_t rows,
                     int64_t cols) {
    char name[96];
    snprintf(name, sizeof name, "gpt_neox.%s.weight", stem);
    add_random(c, rng, name, rows, cols);
    snprintf(name, sizeof name, "gpt_neox.%s.bias", stem);
    add_random(c, rng, name, rows, 0);
}

fixture_checkpoint *tiny_checkpoint(void) {
    static const struct {
        const char *stem;
        int64_t rows;
        int64_t cols;
    } parts[] = {
        {"input_layernorm", TINY_HIDDEN, 0},
        {"post_attention_layernorm", TINY_HIDDEN, 0},
        {"attention.query_key_value", 3 * TINY_HIDDEN, TINY_HIDDEN},
        {"attention.dense", TINY_HIDDEN, TINY_HIDDEN},
        {"mlp.dense_h_to_4h", TINY_WIDE, TINY_HIDDEN},
        {"mlp.dense_4h_to_h", TINY_HIDDEN, TINY_WIDE},
    };
    fixture_checkpoint *c = calloc(1, sizeof *c);
    assert_non_null(c);
    test_rng rng = {7};
    add_random(c, &rng, "gpt_neox.embed_in.weight", TINY_VOCAB, TINY_HIDDEN);
    for (int layer = 0; layer < TINY_LAYERS; layer++) {
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            char stem[80];
            snprintf(stem, sizeof stem, "layers.%d.%s", layer, parts[i].stem);
            add_pair(c, &rng, stem, parts[i].rows, parts[i].cols);
        }
    }
    add_pair(c, &rng, "final_layer_norm", TINY_HIDDEN, 0);
    add_random(c, &rng, "embed_out.weight", TINY_VOCAB, TINY_HIDDEN);
    return c;
}

void tiny_checkpoint_free(fixture_checkpoint *c) {
    for (int i = 0; i < c->n; i++) {
        free(c->tensors[i].data);
    }
    free(c);
}

fixture_tensor *tiny_find(fixture_checkpoint *c, const char *name) {
    for (int i = 0; i < c->n; i++) {
        if (strcmp(c->tensors[i].name, name) == 0) {
            return &c->tensors[i];
        }
    }
    fail_msg("the tiny checkpoint has no %s", name);
    return NULL;
}

void tiny_convert(fixture_tensor *t, gi8_type type) {
    const int64_t n = (int64_t)(t->size / sizeof(float));
    uint8_t *data = malloc((size_t)n * gi8_type_size(type));
    assert_non_null(data);
    assert_int_equal(gi8_convert_from_fp32(type, (const float *)(const void *)t->data, n, data),
                     GI8_OK);
    free(t->data);
    t->data = data;
    t->dtype = gi8_type_name(type);
    t->size = (size_t)n * gi8_type_size(type);
}

/* ---- files ----------------------------------------------------------------------------------- */

uint8_t *safetensors_of_header(const char *header, size_t data_size, size_t *size) {
    const uint64_t length = strlen(header);
    *size = 8 + (size_t)length + data_size;
    uint8_t *bytes = calloc(1, *size);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(length >> (8 * i));
    }
    memcpy(bytes + 8, header, (size_t)length);
    return bytes;
}

uint8_t *safetensors_bytes(const fixture_checkpoint *c, int first, int n, size_t *size) {
    char header[FIXTURE_MAX_TENSORS * 192];
    size_t used =
        (size_t)snprintf(header, sizeof header, "{\"__metadata__\": {\"format\": \"pt\"}");
    size_t offset = 0;
    for (int i = first; i < first + n; i++) {
        const fixture_tensor *t = &c->tensors[i];
        if (t->n_dims < 0) {
            continue;
        }
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 ", \"%s\": {\"dtype\": \"%s\", \"shape\": [", t->name, t->dtype);
        for (int d = 0; d < t->n_dims; d++) {
            used += (size_t)snprintf(header + used, sizeof header - used, "%s%" PRId64,
                                     d > 0 ? ", " : "", t->shape[d]);
        }
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "], \"data_offsets\": [%zu, %zu]}", offset, offset + t->size);
        offset += t->size;
    }
    snprintf(header + used, sizeof header - used, "}  "); /* padded, as the Rust library does */
    uint8_t *bytes = safetensors_of_header(header, offset, size);
    uint8_t *data = bytes + *size - offset;
    for (int i = first; i < first + n; i++) {
        if (c->tensors[i].n_dims >= 0) {
            memcpy(data, c->tensors[i].data, c->tensors[i].size);
            data += c->tensors[i].size;
        }
    }
    return bytes;
}

void safetensors_write(temp_dir *dir, const char *name, const fixture_checkpoint *c, int first,
                       int n) {
    size_t size = 0;
    uint8_t *bytes = safetensors_bytes(c, first, n, &size);
    temp_write(dir, name, bytes, size);
    free(bytes);
}

temp_dir tiny_write(const fixture_checkpoint *c, const char *extra) {
    temp_dir dir = temp_dir_create();
    char config[1024];
    snprintf(config, sizeof config, TINY_CONFIG, extra);
    temp_write_text(&dir, "config.json", config);
    safetensors_write(&dir, "model.safetensors", c, 0, c->n);
    return dir;
}

/* ---- a backend that only has memory ---------------------------------------------------------- */

static void backend_free(gi8_backend *backend) {
    (void)backend;
}

static const char *backend_name(const gi8_backend *backend) {
    (void)backend;
    return "memory";
}

static bool backend_supports(const gi8_backend *backend, const gi8_tensor *node,
                             gi8_error *reason) {
    (void)backend;
    (void)node;
    gi8_error_set(reason, GI8_ERR_UNSUPPORTED, "this backend only has memory");
    return false;
}

/* Counts one call. */
static gi8_status next_call(memory_backend *m, gi8_error *error) {
    if (m->fail_after == 0) {
        return gi8_error_set(error, m->failure, "a failure that the test asked for");
    }
    m->fail_after -= m->fail_after > 0;
    return GI8_OK;
}

static void *memory_alloc(gi8_backend *backend, size_t size, gi8_error *error) {
    memory_backend *m = (memory_backend *)backend;
    if (next_call(m, error) != GI8_OK) {
        return NULL;
    }
    const size_t space = (size + 63) / 64 * 64;
    void *memory = aligned_alloc(64, space);
    assert_non_null(memory);
    memset(memory, 0, space);
    m->n_live++;
    m->live_bytes += size;
    return memory;
}

static void memory_free(gi8_backend *backend, void *memory, size_t size) {
    memory_backend *m = (memory_backend *)backend;
    m->n_live--;
    m->live_bytes -= size;
    free(memory);
}

static gi8_status memory_copy(gi8_backend *backend, void *dst, const void *src, size_t size,
                              gi8_error *error) {
    gi8_status status = next_call((memory_backend *)backend, error);
    if (status == GI8_OK) {
        memcpy(dst, src, size);
    }
    return status;
}

memory_backend memory_backend_init(void) {
    static const gi8_backend_vtable vtable = {
        .free = backend_free,
        .name = backend_name,
        .is_host = true,
        .supports = backend_supports,
        .memory_alloc = memory_alloc,
        .memory_free = memory_free,
        .memory_write = memory_copy,
        .memory_read = memory_copy,
    };
    return (memory_backend){.base = {&vtable}, .fail_after = -1};
}

void expect_load_error(const char *dir, const gptneox_model_params *params, gi8_status status,
                       ...) {
    memory_backend backend = memory_backend_init();
    gi8_error error = GI8_ERROR_INIT;
    gptneox_model *model = gptneox_model_load(dir, &backend.base, params, &error);
    assert_null(model);
    assert_int_equal(backend.n_live, 0);
    if (error.status != status) {
        fail_msg("expected the status %s, found %s: %s", gi8_status_name(status),
                 gi8_status_name(error.status), error.message);
    }
    va_list texts;
    va_start(texts, status);
    for (const char *text; (text = va_arg(texts, const char *)) != NULL;) {
        if (strstr(error.message, text) == NULL) {
            fail_msg("expected \"%s\" in: %s", text, error.message);
        }
    }
    va_end(texts);
}
