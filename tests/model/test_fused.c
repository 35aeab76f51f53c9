/* test_fused.c - logits have the same bits whether products compute what follows them or not; on a
 * GPU, where float products are cuBLASLt's, nearly the same. */
#include <math.h>

#include "model_fixture.h"

#include "ggml-int8/gi8_backend_impl.h"

static const gi8_backend_vtable *cpu; /* of the backend in use */
static int64_t n_fused;

static bool count_fused(const gi8_backend *backend, const gi8_tensor *first,
                        const gi8_tensor *next) {
    bool fuses = cpu->can_fuse(backend, first, next);
    n_fused += fuses;
    return fuses;
}

/* All logits of the reference's tokens in one call, *n of them; freed with free(). */
static float *logits_of(const char *name, gptneox_weight_type weights, bool fuse, size_t *n) {
    gi8_backend *backend = fixture_backend(2);
    cpu = backend->vtable;
    gi8_backend_vtable vtable = *cpu;
    vtable.can_fuse = fuse ? count_fused : NULL;
    backend->vtable = &vtable;
    n_fused = 0;

    fixture f = fixture_load(name);
    gptneox_model *model = fixture_model(f.dir, backend, weights, GI8_OUTLIERS_COLUMN);
    gptneox_session *session = fixture_session(model, 64, 1, 0, GI8_TYPE_F16);
    bool all[64];
    memset(all, true, sizeof all);
    assert_true(f.n_tokens <= 64);
    gptneox_batch batch = {.n_tokens = f.n_tokens, .tokens = f.tokens, .wants_logits = all};
    gi8_error error = GI8_ERROR_INIT;
    assert_ok(gptneox_eval(session, &batch, &error), error);
    const gptneox_config *config = gptneox_model_config(model);
    /* The activation and both sums of each layer, and biases where they are sums of their own. */
    assert_true(fuse ? n_fused >= 3 * config->num_hidden_layers : n_fused == 0);
    *n = (size_t)f.n_tokens * (size_t)config->vocab_size;
    float *logits = malloc(*n * sizeof *logits);
    assert_non_null(logits);
    memcpy(logits, gptneox_logits(session, 0), *n * sizeof *logits);

    gptneox_session_free(session);
    gptneox_model_free(model);
    backend->vtable = cpu;
    gi8_backend_free(backend);
    fixture_free(&f);
    return logits;
}

/* On a GPU cuBLASLt may add the bias, and choose another algorithm then, so that sums differ in
 * their last bits. What is rounded to steps after it, x of the next product, may then differ by one
 * step in single entries: 2^-11 of an entry with F16 weights, 1 / 127 of the row's largest with
 * int8, below 0.01. A bound through all layers would allow anything; this is an estimate: one step
 * of the coarsest in the logits, relative to their largest. */
static void compare(const float *fused, const float *apart, size_t n) {
#if defined GI8_TEST_CUDA && !defined GI8_CUDA_EMULATION
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++) {
        largest = fmaxf(largest, fabsf(apart[i]));
    }
    for (size_t i = 0; i < n; i++) {
        assert_true(fabsf(fused[i] - apart[i]) <= 0.01f * largest);
    }
#else
    assert_memory_equal(fused, apart, n * sizeof *fused);
#endif
}

static void test_same_bits(void **state) {
    (void)state;
    static const char *const names[] = {"parallel-f32", "sequential-head80-f16", "tied-silu-bf16"};
    static const gptneox_weight_type weights[] = {GPTNEOX_WEIGHTS_F32, GPTNEOX_WEIGHTS_F16,
                                                  GPTNEOX_WEIGHTS_INT8};
    for (int name = 0; name < 3; name++) {
        for (int w = 0; w < 3; w++) {
            size_t n = 0;
            float *fused = logits_of(names[name], weights[w], true, &n);
            float *apart = logits_of(names[name], weights[w], false, &n);
            compare(fused, apart, n);
            free(fused);
            free(apart);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
