/* test_generate.c - gptneox_generate() against the same steps done by hand, and why it stops. */
#include "model_fixture.h"

#define MAX_TOKENS 64

static small_model small;

static int set_up(void **state) {
    (void)state;
    small_model_load(&small);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    small_model_free(&small);
    return 0;
}

/* Collects tokens; asks to stop after `stop_after` of them. */
typedef struct collected {
    int32_t tokens[MAX_TOKENS];
    int32_t n;
    int32_t stop_after;
} collected;

static bool collect(void *user, int32_t token) {
    collected *c = user;
    assert_true(c->n < MAX_TOKENS);
    c->tokens[c->n++] = token;
    return c->n != c->stop_after;
}

static gptneox_sampler *greedy(void) {
    gi8_error error = GI8_ERROR_INIT;
    gptneox_sampler_params params = GPTNEOX_SAMPLER_PARAMS_DEFAULT;
    params.temperature = 0;
    gptneox_sampler *sampler = gptneox_sampler_create(&params, &error);
    assert_ok(error.status, error);
    return sampler;
}

static int32_t argmax(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

static void test_equals_steps_by_hand(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    enum { PROMPT = 5, N = 20 };
    int32_t vocab = gptneox_model_config(small.model)->vocab_size;
    int32_t eos = gptneox_model_config(small.model)->eos_token_id;

    gptneox_session *by_hand = fixture_session(small.model, 40, 1, 0, GI8_TYPE_F16);
    gptneox_batch batch = {.n_tokens = PROMPT, .tokens = small.reference.tokens};
    assert_ok(gptneox_eval(by_hand, &batch, &error), error);
    int32_t expected[N];
    for (int i = 0; i < N; i++) {
        float *logits = malloc((size_t)vocab * sizeof(float));
        assert_non_null(logits);
        memcpy(logits, gptneox_logits(by_hand, batch.n_tokens - 1), (size_t)vocab * sizeof(float));
        if (eos >= 0) {
            logits[eos] = -1e30f;
        }
        expected[i] = argmax(logits, vocab);
        free(logits);
        batch = (gptneox_batch){.n_tokens = 1, .tokens = &expected[i]};
        assert_ok(gptneox_eval(by_hand, &batch, &error), error);
    }

    gptneox_session *session = fixture_session(small.model, 40, 2, 0, GI8_TYPE_F16);
    gptneox_sampler *sampler = greedy();
    collected c = {.stop_after = -1};
    gptneox_generate_params params = {1, N, true, NULL, collect, &c};
    gptneox_generate_result result;
    assert_ok(gptneox_generate(session, sampler, small.reference.tokens, PROMPT, &params, &result,
                               &error),
              error);
    assert_int_equal(c.n, N);
    assert_memory_equal(c.tokens, expected, sizeof expected);
    assert_int_equal(result.stop, GPTNEOX_STOP_LENGTH);
    assert_int_equal(result.n_prompt, PROMPT);
    assert_int_equal(result.n_generated, N);
    assert_true(result.prompt_seconds > 0 && result.generate_seconds > 0);
    /* The last token has not been computed: nothing followed it. */
    assert_int_equal(result.pending_token, expected[N - 1]);
    assert_int_equal(gptneox_session_length(session, 1), PROMPT + N - 1);
    assert_int_equal(gptneox_session_length(session, 0), 0);

    /* The next call goes on from there, given that token. */
    c = (collected){.stop_after = 3};
    assert_ok(gptneox_session_truncate(session, 1, PROMPT, &error), error);
    assert_ok(gptneox_generate(session, sampler, expected, 4, &params, &result, &error), error);
    assert_int_equal(result.stop, GPTNEOX_STOP_CALLER);
    assert_int_equal(c.n, 3);
    assert_memory_equal(c.tokens, expected + 4, 3 * sizeof(int32_t));

    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
    gptneox_session_free(by_hand);
}

static void test_context_full(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    gptneox_session *session = fixture_session(small.model, 10, 1, 0, GI8_TYPE_F16);
    gptneox_sampler *sampler = greedy();
    collected c = {.stop_after = -1};
    gptneox_generate_params params = {0, -1, true, NULL, collect, &c};
    gptneox_generate_result result;
    assert_ok(gptneox_generate(session, sampler, small.reference.tokens, 6, &params, &result,
                               &error),
              error);
    assert_int_equal(result.stop, GPTNEOX_STOP_CONTEXT);
    /* Four fit behind the prompt, and one more is known without being computed. */
    assert_int_equal(result.n_generated, 5);
    assert_int_equal(gptneox_session_length(session, 0), 10);

    /* A prompt that does not fit is refused before anything is computed. */
    assert_ok(gptneox_session_truncate(session, 0, 4, &error), error);
    assert_int_equal(gptneox_generate(session, sampler, small.reference.tokens, 7, &params, &result,
                                      &error),
                     GI8_ERR_ARGUMENT);
    assert_non_null(
        strstr(error.message, "the prompt has 7 tokens, the context of 10 has room for 6"));
    assert_int_equal(gptneox_session_length(session, 0), 4);
    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
}

static void test_nothing_to_generate(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    gptneox_session *session = fixture_session(small.model, 10, 1, 0, GI8_TYPE_F16);
    gptneox_sampler *sampler = greedy();
    gptneox_generate_params params = GPTNEOX_GENERATE_PARAMS_DEFAULT;
    params.max_tokens = 0;
    gptneox_generate_result result;
    assert_ok(gptneox_generate(session, sampler, small.reference.tokens, 6, &params, &result,
                               &error),
              error);
    assert_int_equal(result.n_generated, 0);
    assert_int_equal(result.pending_token, -1);
    assert_int_equal(gptneox_session_length(session, 0), 6);
    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
}

static bool cancel(void *user) {
    (void)user;
    return true;
}

/* A prompt that could not be computed stands in no text: the sampler does not hear of it. */
static void test_failed_prompt(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    gptneox_session_params session_params = GPTNEOX_SESSION_PARAMS_DEFAULT;
    session_params.should_cancel = cancel;
    gptneox_session *session = gptneox_session_create(small.model, &session_params, &error);
    assert_ok(error.status, error);
    gptneox_sampler_params sampler_params = GPTNEOX_SAMPLER_PARAMS_DEFAULT;
    sampler_params.temperature = 0;
    sampler_params.repeat_penalty = 10;
    gptneox_sampler *sampler = gptneox_sampler_create(&sampler_params, &error);
    assert_ok(error.status, error);
    const int32_t prompt = 0;
    gptneox_generate_result result;
    assert_int_equal(gptneox_generate(session, sampler, &prompt, 1, NULL, &result, &error),
                     GI8_ERR_CANCELLED);
    assert_int_equal(result.n_prompt, 0);
    assert_int_equal(result.n_generated, 0);
    assert_int_equal(result.pending_token, -1);
    assert_int_equal(gptneox_session_length(session, 0), 0);
    const float logits[2] = {1.0f, 0.9f}; /* a penalty would make token 0 the lesser one */
    int32_t token = -1;
    assert_ok(gptneox_sampler_sample(sampler, logits, 2, &token, &error), error);
    assert_int_equal(token, 0);
    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
}

static bool any_text(void *user, const char *text, size_t size) {
    (void)user;
    (void)text;
    (void)size;
    return true;
}

static void test_bad_arguments(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    gptneox_session *session = fixture_session(small.model, 10, 1, 0, GI8_TYPE_F16);
    gptneox_sampler *sampler = greedy();
    gptneox_generate_params params = GPTNEOX_GENERATE_PARAMS_DEFAULT;
    const int32_t *tokens = small.reference.tokens;
    assert_int_equal(gptneox_generate(NULL, sampler, tokens, 1, &params, NULL, &error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_generate(session, NULL, tokens, 1, &params, NULL, &error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_generate(session, sampler, NULL, 1, &params, NULL, &error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_generate(session, sampler, tokens, 0, &params, NULL, &error),
                     GI8_ERR_ARGUMENT);
    params.sequence = 1;
    assert_int_equal(gptneox_generate(session, sampler, tokens, 1, &params, NULL, &error),
                     GI8_ERR_ARGUMENT);
    params.sequence = 0;
    params.on_text = any_text; /* this checkpoint has no tokenizer */
    assert_int_equal(gptneox_generate(session, sampler, tokens, 1, &params, NULL, &error),
                     GI8_ERR_ARGUMENT);
    assert_non_null(strstr(error.message, "no tokenizer"));
    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_steps_by_hand), cmocka_unit_test(test_context_full),
        cmocka_unit_test(test_nothing_to_generate),  cmocka_unit_test(test_failed_prompt),
        cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
