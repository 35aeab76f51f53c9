/* test_demo.c - the bundled model: its logits and its greedy text against transformers. */
#include "model_fixture.h"

#include <math.h>

#define MAX_IDS 128

/* Greedy texts, and tokens of each, that are compared. The emulation is slow. */
#ifdef GI8_CUDA_EMULATION
enum { N_TEXTS = 1, MAX_GREEDY = 8 };
#else
enum { N_TEXTS = 3, MAX_GREEDY = MAX_IDS };
#endif

static gi8_backend *backend;

static int set_up(void **state) {
    (void)state;
    backend = fixture_backend(2);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    gi8_backend_free(backend);
    return 0;
}

static void test_logits(void **state) {
    (void)state;
    size_t size = 0;
    int32_t *tokens = fixture_read(MODEL_REFERENCE_DIR "/demo-tokens.i32", &size);
    int32_t n_tokens = (int32_t)(size / sizeof(int32_t));
    float *expected = fixture_read(MODEL_REFERENCE_DIR "/demo-logits.f32", &size);

    gptneox_model *model =
        fixture_model(GPTNEOX_DEMO_DIR, backend, GPTNEOX_WEIGHTS_F32, GI8_OUTLIERS_COLUMN);
    int32_t vocab = gptneox_model_config(model)->vocab_size;
    int32_t n_rows = (int32_t)(size / sizeof(float)) / vocab; /* those of the last positions */
    assert_true(n_rows > 0 && n_tokens <= MAX_IDS);
    bool wants[MAX_IDS] = {false};
    for (int32_t i = n_tokens - n_rows; i < n_tokens; i++) {
        wants[i] = true;
    }
    gptneox_session *session = fixture_session(model, 64, 1, 0, GI8_TYPE_F32);
    gptneox_batch batch = {.n_tokens = n_tokens, .tokens = tokens, .wants_logits = wants};
    gi8_error error = GI8_ERROR_INIT;
    assert_ok(gptneox_eval(session, &batch, &error), error);
    for (int32_t row = 0; row < n_rows; row++) {
        const float *logits = gptneox_logits(session, n_tokens - n_rows + row);
        for (int32_t i = 0; i < vocab; i++) {
            assert_true(fabsf(logits[i] - expected[row * vocab + i]) <= 1e-4f);
        }
    }
    gptneox_session_free(session);
    gptneox_model_free(model);
    free(tokens);
    free(expected);
}

/* "1 2 3" after `key`; returns how many. */
static size_t read_ids(const char *block, const char *key, int32_t *ids) {
    const char *at = strstr(block, key);
    assert_non_null(at);
    at += strlen(key);
    size_t n = 0;
    while (*at == ' ') {
        char *end = NULL;
        assert_true(n < MAX_IDS);
        ids[n++] = (int32_t)strtol(at, &end, 10);
        assert_ptr_not_equal(end, at + 1);
        at = end;
    }
    return n;
}

typedef struct collected {
    int32_t ids[MAX_IDS];
    size_t n_ids;
    char text[4096];
    size_t size;
} collected;

static bool collect_token(void *user, int32_t token) {
    collected *c = user;
    assert_true(c->n_ids < MAX_IDS);
    c->ids[c->n_ids++] = token;
    return true;
}

static bool collect_text(void *user, const char *text, size_t size) {
    collected *c = user;
    assert_true(c->size + size < sizeof c->text);
    memcpy(c->text + c->size, text, size);
    c->size += size;
    return true;
}

/* Tokenizes the prompt, continues it greedily, and compares both with transformers. */
static void check_greedy(const gptneox_model *model, const char *block) {
    gi8_error error = GI8_ERROR_INIT;
    int32_t prompt_ids[MAX_IDS];
    int32_t greedy_ids[MAX_IDS];
    size_t n_prompt = read_ids(block, "\nprompt_ids", prompt_ids);
    size_t n_greedy = read_ids(block, "\ngreedy_ids", greedy_ids);
    n_greedy = n_greedy < MAX_GREEDY ? n_greedy : MAX_GREEDY;
    const char *prompt = block + strlen("prompt ");

    int32_t *ids = NULL;
    size_t n_ids = 0;
    assert_ok(gptneox_tokenize(gptneox_model_tokenizer(model), prompt, strcspn(prompt, "\n"), 0,
                               &ids, &n_ids, &error),
              error);
    assert_int_equal(n_ids, n_prompt);
    assert_memory_equal(ids, prompt_ids, n_ids * sizeof *ids);

    gptneox_session *session = fixture_session(model, 128, 1, 0, GI8_TYPE_F16);
    gptneox_sampler_params greedy = GPTNEOX_SAMPLER_PARAMS_DEFAULT;
    greedy.temperature = 0;
    gptneox_sampler *sampler = gptneox_sampler_create(&greedy, NULL);
    collected c = {.n_ids = 0};
    gptneox_generate_params params = {0, (int32_t)n_greedy, false, collect_text, collect_token, &c};
    assert_ok(gptneox_generate(session, sampler, ids, (int32_t)n_ids, &params, NULL, &error),
              error);
    assert_int_equal(c.n_ids, n_greedy);
    assert_memory_equal(c.ids, greedy_ids, n_greedy * sizeof *greedy_ids);

    /* What was streamed is what the ids decode to. */
    char *text = NULL;
    size_t size = 0;
    assert_ok(gptneox_detokenize(gptneox_model_tokenizer(model), c.ids, c.n_ids, 0, &text, &size,
                                 &error),
              error);
    assert_int_equal(c.size, size);
    assert_memory_equal(c.text, text, size);
    gptneox_text_free(text);
    gptneox_ids_free(ids);
    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
}

static void check_all_greedy(gptneox_weight_type weights, gi8_outliers outliers) {
    size_t size = 0;
    char *file = fixture_read(MODEL_REFERENCE_DIR "/demo-greedy.txt", &size);
    gptneox_model *model = fixture_model(GPTNEOX_DEMO_DIR, backend, weights, outliers);
    int n = 0;
    for (char *block = file; block != NULL && n < N_TEXTS; n++) {
        char *next = strstr(block, "\n\n");
        if (next != NULL) {
            *next = '\0';
        }
        check_greedy(model, block);
        block = next != NULL ? next + 2 : NULL;
    }
    assert_int_equal(n, N_TEXTS);
    gptneox_model_free(model);
    free(file);
}

static void test_greedy_f32(void **state) {
    (void)state;
    check_all_greedy(GPTNEOX_WEIGHTS_F32, GI8_OUTLIERS_COLUMN);
}

static void test_greedy_f16(void **state) {
    (void)state;
    check_all_greedy(GPTNEOX_WEIGHTS_F16, GI8_OUTLIERS_COLUMN);
}

static void test_greedy_bf16(void **state) {
    (void)state;
    check_all_greedy(GPTNEOX_WEIGHTS_BF16, GI8_OUTLIERS_COLUMN);
}

/* The prompts were chosen for their wide margins: int8 says the same. */
static void test_greedy_int8(void **state) {
    (void)state;
    check_all_greedy(GPTNEOX_WEIGHTS_INT8, GI8_OUTLIERS_COLUMN);
    check_all_greedy(GPTNEOX_WEIGHTS_INT8, GI8_OUTLIERS_PER_TOKEN);
}

/* Stops after some tokens, or after some texts; neither is told of anything then. */
typedef struct stopper {
    int n_tokens;
    int n_texts;
    int max_tokens;
    int max_texts;
} stopper;

static bool stop_at_text(void *user, const char *text, size_t size) {
    stopper *s = user;
    assert_true(size > 0 && text != NULL);
    assert_true(s->n_tokens < s->max_tokens && s->n_texts < s->max_texts);
    return ++s->n_texts < s->max_texts;
}

static bool stop_at_token(void *user, int32_t token) {
    stopper *s = user;
    (void)token;
    assert_true(s->n_tokens < s->max_tokens && s->n_texts < s->max_texts);
    return ++s->n_tokens < s->max_tokens;
}

static void test_stops(void **state) {
    (void)state;
    gptneox_model *model =
        fixture_model(GPTNEOX_DEMO_DIR, backend, GPTNEOX_WEIGHTS_INT8, GI8_OUTLIERS_COLUMN);
    gptneox_session *session = fixture_session(model, 64, 1, 0, GI8_TYPE_F16);
    gptneox_sampler *sampler = gptneox_sampler_create(NULL, NULL);
    assert_non_null(sampler);
    for (int by_text = 0; by_text < 2; by_text++) {
        gi8_error error = GI8_ERROR_INIT;
        stopper s = {.max_tokens = by_text ? 1000 : 3, .max_texts = by_text ? 3 : 1000};
        gptneox_generate_params params = {0, 20, true, stop_at_text, stop_at_token, &s};
        gptneox_generate_result result;
        const int32_t prompt[2] = {20, 30};
        assert_ok(gptneox_session_truncate(session, 0, 0, &error), error);
        assert_ok(gptneox_generate(session, sampler, prompt, 2, &params, &result, &error), error);
        assert_int_equal(result.stop, GPTNEOX_STOP_CALLER);
        assert_int_equal(result.n_generated, s.n_tokens);
        assert_int_equal(by_text ? s.n_texts : s.n_tokens, 3);
    }
    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
    gptneox_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),      cmocka_unit_test(test_greedy_f32),
        cmocka_unit_test(test_greedy_f16),  cmocka_unit_test(test_greedy_bf16),
        cmocka_unit_test(test_greedy_int8), cmocka_unit_test(test_stops),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
