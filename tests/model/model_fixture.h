/* model_fixture.h - loading the reference checkpoints and their expected values. */
#ifndef MODEL_FIXTURE_H
#define MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gi8_cpu.h"
#include "gptneox.h"
#ifdef GI8_TEST_CUDA
#include "test_device.h"
#endif

#define MODEL_REFERENCE_DIR GI8_TEST_REFERENCE_DIR "/model"

/* Fails the running test with the library's own sentence. */
#define assert_ok(call, err)                                                        \
    do {                                                                            \
        if ((call) != GI8_OK) {                                                     \
            fail_msg("%s: %s", gi8_status_name((err).status), (err).message);       \
        }                                                                           \
    } while (0)

/* The whole file; *size gets its bytes. Freed with free(). */
static inline void *fixture_read(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long length = ftell(file);
    assert_true(length >= 0);
    rewind(file);
    char *data = malloc((size_t)length + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)length, file), (size_t)length);
    data[length] = '\0';
    fclose(file);
    *size = (size_t)length;
    return data;
}

/* tokens.i32 and logits.f32 of a reference checkpoint (little-endian, as this machine). */
typedef struct fixture {
    char dir[512];
    int32_t n_tokens;
    int32_t *tokens;
    float *logits; /* [n_tokens][vocab] */
} fixture;

static inline fixture fixture_load(const char *name) {
    fixture f;
    char path[600];
    size_t size = 0;
    snprintf(f.dir, sizeof f.dir, "%s/%s", MODEL_REFERENCE_DIR, name);
    snprintf(path, sizeof path, "%s/tokens.i32", f.dir);
    f.tokens = fixture_read(path, &size);
    f.n_tokens = (int32_t)(size / sizeof(int32_t));
    snprintf(path, sizeof path, "%s/logits.f32", f.dir);
    f.logits = fixture_read(path, &size);
    return f;
}

static inline void fixture_free(fixture *f) {
    free(f->tokens);
    free(f->logits);
}

/* The CPU backend, or the device that the tests are built for. */
static inline gi8_backend *fixture_backend(int n_threads) {
#ifdef GI8_TEST_CUDA
    (void)n_threads;
    return test_device_create();
#else
    gi8_error error = GI8_ERROR_INIT;
    gi8_cpu_params params = {.n_threads = n_threads};
    gi8_backend *backend = gi8_cpu_backend_create(&params, &error);
    assert_ok(error.status, error);
    return backend;
#endif
}

static inline gptneox_model *fixture_model(const char *dir, gi8_backend *backend,
                                           gptneox_weight_type weights, gi8_outliers outliers) {
    gi8_error error = GI8_ERROR_INIT;
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.weights = weights;
    params.outliers = outliers;
    gptneox_model *model = gptneox_model_load(dir, backend, &params, &error);
    assert_ok(error.status, error);
    return model;
}

static inline gptneox_session *fixture_session(const gptneox_model *model, int32_t n_ctx,
                                               int32_t n_sequences, int32_t n_batch,
                                               gi8_type kv_type) {
    gi8_error error = GI8_ERROR_INIT;
    gptneox_session_params params = {n_ctx, n_sequences, n_batch, kv_type, NULL, NULL, NULL};
    gptneox_session *session = gptneox_session_create(model, &params, &error);
    assert_ok(error.status, error);
    return session;
}

/* What the tests of one small int8 model use, made and freed by cmocka's group functions. */
typedef struct small_model {
    gi8_backend *backend;
    gptneox_model *model;
    fixture reference;
} small_model;

static inline void small_model_load(small_model *m) {
    m->backend = fixture_backend(1);
    m->reference = fixture_load("parallel-f32");
    m->model = fixture_model(m->reference.dir, m->backend, GPTNEOX_WEIGHTS_INT8,
                             GI8_OUTLIERS_COLUMN);
}

static inline void small_model_free(small_model *m) {
    gptneox_model_free(m->model);
    gi8_backend_free(m->backend);
    fixture_free(&m->reference);
}

#endif
