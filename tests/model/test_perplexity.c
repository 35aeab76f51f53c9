/* test_perplexity.c - what int8 costs the bundled model on text that it was not trained on.
 *
 * Non-overlapping windows of WINDOW tokens, every token but a window's first scored.
 * GI8_TEST_TOKENS scores fewer tokens, for slow builds.
 */
#include "model_fixture.h"

#include <math.h>

#define WINDOW 256

/* The most that the perplexity with int8 weights may differ from that with f32 weights. */
static const double BOUND_INT8 = 0.005;

static gi8_backend *backend;
static int32_t *ids;
static size_t n_ids;
static size_t n_bytes;

static int set_up(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    backend = fixture_backend(0);
    gptneox_tokenizer *tokenizer =
        gptneox_tokenizer_load(GPTNEOX_DEMO_DIR "/tokenizer.json", &error);
    assert_ok(error.status, error);
    char *text = fixture_read(GPTNEOX_DEMO_DIR "/heldout.txt", &n_bytes);
    assert_ok(gptneox_tokenize(tokenizer, text, n_bytes, 0, &ids, &n_ids, &error), error);
    gptneox_tokenizer_free(tokenizer);
    free(text);
    const char *limit = getenv("GI8_TEST_TOKENS");
    if (limit != NULL && strtoul(limit, NULL, 10) < n_ids) {
        /* for the bits per byte, about right */
        n_bytes = n_bytes * strtoul(limit, NULL, 10) / n_ids;
        n_ids = strtoul(limit, NULL, 10);
    }
    assert_true(n_ids > 1000);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    gptneox_ids_free(ids);
    gi8_backend_free(backend);
    return 0;
}

/* -log2 of the probability that the logits give to `token`. */
static double bits_of(const float *logits, int32_t n, int32_t token) {
    float best = logits[0];
    for (int32_t i = 1; i < n; i++) {
        best = logits[i] > best ? logits[i] : best;
    }
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += exp((double)logits[i] - (double)best);
    }
    return (log(sum) - ((double)logits[token] - (double)best)) / log(2);
}

static double perplexity(gptneox_weight_type weights, gi8_outliers outliers, bool quantize_head,
                         const char *name) {
    gi8_error error = GI8_ERROR_INIT;
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.weights = weights;
    params.outliers = outliers;
    params.quantize_head = quantize_head;
    gptneox_model *model = gptneox_model_load(GPTNEOX_DEMO_DIR, backend, &params, &error);
    assert_ok(error.status, error);
    gptneox_session *session = fixture_session(model, WINDOW, 1, 0, GI8_TYPE_F16);
    int32_t vocab = gptneox_model_config(model)->vocab_size;
    bool all[WINDOW];
    memset(all, true, sizeof all);
    double bits = 0;
    size_t scored = 0;
    for (size_t first = 0; first + 1 < n_ids; first += WINDOW) {
        size_t left = n_ids - first;
        int32_t n = left < WINDOW ? (int32_t)left : WINDOW;
        gptneox_batch batch = {.n_tokens = n, .tokens = ids + first, .wants_logits = all};
        assert_ok(gptneox_session_truncate(session, 0, 0, &error), error);
        assert_ok(gptneox_eval(session, &batch, &error), error);
        for (int32_t i = 0; i + 1 < n; i++) {
            bits += bits_of(gptneox_logits(session, i), vocab, ids[first + (size_t)i + 1]);
            scored++;
        }
    }
    double result = exp2(bits / (double)scored);
    printf("%-28s perplexity %.4f a token, %.4f bits a byte (%zu tokens)\n", name, result,
           bits / (double)scored * (double)n_ids / (double)n_bytes, scored);
    gptneox_session_free(session);
    gptneox_model_free(model);
    return result;
}

static void test_int8_against_f32(void **state) {
    (void)state;
    double f32 = perplexity(GPTNEOX_WEIGHTS_F32, GI8_OUTLIERS_COLUMN, false, "f32");
    double column = perplexity(GPTNEOX_WEIGHTS_INT8, GI8_OUTLIERS_COLUMN, false, "int8");
    double token =
        perplexity(GPTNEOX_WEIGHTS_INT8, GI8_OUTLIERS_PER_TOKEN, false, "int8, per token");
    double head = perplexity(GPTNEOX_WEIGHTS_INT8, GI8_OUTLIERS_COLUMN, true, "int8, head too");
    assert_true(fabs(column / f32 - 1) <= BOUND_INT8);
    assert_true(fabs(token / f32 - 1) <= BOUND_INT8);
    assert_true(fabs(head / f32 - 1) <= BOUND_INT8);
    assert_true(f32 > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_int8_against_f32)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
