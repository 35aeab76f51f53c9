/* test_session.c - what sessions refuse, and that a refusal changes nothing. */
#include "model_fixture.h"

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

static void refuse(gptneox_session *session, gptneox_batch batch, gi8_status status,
                   const char *sentence) {
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gptneox_eval(session, &batch, &error), status);
    assert_int_equal(error.status, status);
    if (strstr(error.message, sentence) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.message, sentence);
    }
    assert_null(gptneox_logits(session, 0));
}

static void test_bad_batches(void **state) {
    (void)state;
    gptneox_session *session = fixture_session(small.model, 6, 2, 0, GI8_TYPE_F16);
    gi8_error error = GI8_ERROR_INIT;
    const int32_t *tokens = small.reference.tokens;
    int32_t vocab = gptneox_model_config(small.model)->vocab_size;

    gptneox_batch first = {.n_tokens = 4, .tokens = tokens};
    assert_ok(gptneox_eval(session, &first, &error), error);
    assert_int_equal(gptneox_session_length(session, 0), 4);
    assert_int_equal(gptneox_session_length(session, 1), 0);
    assert_null(gptneox_logits(session, 0));
    assert_non_null(gptneox_logits(session, 3));
    assert_null(gptneox_logits(session, 4));
    assert_null(gptneox_logits(session, -1));

    int32_t wrong[2] = {tokens[0], vocab};
    refuse(session, (gptneox_batch){.n_tokens = 2, .tokens = wrong}, GI8_ERR_ARGUMENT,
           "token 1 is ");
    wrong[1] = -1;
    refuse(session, (gptneox_batch){.n_tokens = 2, .tokens = wrong}, GI8_ERR_ARGUMENT,
           "token 1 is -1");
    int32_t sequences[3] = {1, 0, 2};
    refuse(session, (gptneox_batch){.n_tokens = 3, .tokens = tokens, .sequences = sequences},
           GI8_ERR_ARGUMENT, "sequence 2, the session has 2");
    refuse(session, (gptneox_batch){.n_tokens = 3, .tokens = tokens}, GI8_ERR_ARGUMENT,
           "number 7 of sequence 0, the context holds 6");
    int32_t positions[2] = {4, 6};
    refuse(session, (gptneox_batch){.n_tokens = 2, .tokens = tokens, .positions = positions},
           GI8_ERR_ARGUMENT, "position 6, the next of sequence 0 is 5");
    refuse(session, (gptneox_batch){.n_tokens = -1, .tokens = tokens}, GI8_ERR_ARGUMENT, "");
    refuse(session, (gptneox_batch){.n_tokens = 1, .tokens = NULL}, GI8_ERR_ARGUMENT, "");
    assert_int_equal(gptneox_eval(NULL, &first, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_session_length(session, 0), 4);

    /* Exactly full is fine, and so are positions that agree. An empty batch does nothing. */
    positions[1] = 5;
    gptneox_batch rest = {.n_tokens = 2, .tokens = tokens + 4, .positions = positions};
    assert_ok(gptneox_eval(session, &rest, &error), error);
    gptneox_batch empty = {0};
    assert_ok(gptneox_eval(session, &empty, &error), error);
    assert_non_null(gptneox_logits(session, 1));
    assert_int_equal(gptneox_session_length(session, 0), 6);

    assert_int_equal(gptneox_session_truncate(session, 0, 7, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_session_truncate(session, 0, -1, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_session_truncate(session, 2, 0, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_session_truncate(NULL, 0, 0, &error), GI8_ERR_ARGUMENT);
    gptneox_session_free(session);
}

static void test_bad_parameters(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    gptneox_session_params p = GPTNEOX_SESSION_PARAMS_DEFAULT;
    assert_null(gptneox_session_create(NULL, &p, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    p.n_ctx = -1;
    assert_null(gptneox_session_create(small.model, &p, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    p.n_ctx = 8;
    p.kv_type = GI8_TYPE_BF16;
    assert_null(gptneox_session_create(small.model, &p, &error));
    assert_int_equal(error.status, GI8_ERR_TYPE);
    p.kv_type = GI8_TYPE_F32;
    p.n_ctx = INT32_MAX;
    p.n_sequences = INT32_MAX;
    assert_null(gptneox_session_create(small.model, &p, &error));
    assert_int_equal(error.status, GI8_ERR_MEMORY);
    assert_true(strlen(error.message) > 0);
    gptneox_session_free(NULL);
    assert_int_equal(gptneox_session_n_ctx(NULL), 0);
    assert_int_equal(gptneox_session_length(NULL, 0), 0);
}

static void test_sizes(void **state) {
    (void)state;
    const gptneox_config *c = gptneox_model_config(small.model);
    gptneox_session *session = fixture_session(small.model, 10, 3, 0, GI8_TYPE_F32);
    uint64_t expected = (uint64_t)c->num_hidden_layers * 2 * 3 * 10 * (uint64_t)c->hidden_size * 4;
    assert_int_equal(gptneox_session_n_ctx(session), 10);
    assert_int_equal(gptneox_session_n_sequences(session), 3);
    assert_true(gptneox_session_kv_bytes(session) >= expected);
    assert_true(gptneox_session_kv_bytes(session) <=
                expected + 64u * 2 * (uint64_t)c->num_hidden_layers);
    gptneox_session_free(session);

    session = gptneox_session_create(small.model, NULL, NULL);
    assert_int_equal(gptneox_session_n_ctx(session), c->max_position_embeddings);
    gptneox_session_free(session);
}

/* Cancelling at every node leaves the session as it was, and the next try gives the right
 * logits. */
static int countdown;
static bool cancel_at_zero(void *user) {
    (void)user;
    return countdown-- == 0;
}

static void test_cancel(void **state) {
    (void)state;
    gptneox_session *plain = fixture_session(small.model, 16, 1, 0, GI8_TYPE_F16);
    gi8_error error = GI8_ERROR_INIT;
    gptneox_session_params p = {16, 1, 0, GI8_TYPE_F16, NULL, cancel_at_zero, NULL};
    gptneox_session *session = gptneox_session_create(small.model, &p, &error);
    assert_ok(error.status, error);
    gptneox_batch batch = {.n_tokens = 8, .tokens = small.reference.tokens};
    int cancelled = 0;
    for (int at = 0;; at++) {
        countdown = at;
        gi8_status status = gptneox_eval(session, &batch, &error);
        if (status == GI8_OK) {
            break;
        }
        assert_int_equal(status, GI8_ERR_CANCELLED);
        assert_int_equal(gptneox_session_length(session, 0), 0);
        cancelled++;
    }
    assert_true(cancelled > 10);
    error = (gi8_error)GI8_ERROR_INIT;
    assert_ok(gptneox_eval(plain, &batch, &error), error);
    assert_memory_equal(gptneox_logits(session, 7), gptneox_logits(plain, 7),
                        (size_t)gptneox_model_config(small.model)->vocab_size * sizeof(float));
    gptneox_session_free(session);
    gptneox_session_free(plain);
}

/* More shapes of batches than a session keeps plans for. */
static void test_many_shapes(void **state) {
    (void)state;
    gptneox_session *session = fixture_session(small.model, 24, 1, 0, GI8_TYPE_F16);
    gi8_error error = GI8_ERROR_INIT;
    size_t row = (size_t)gptneox_model_config(small.model)->vocab_size * sizeof(float);
    float *first = malloc(row);
    assert_non_null(first);
    for (int round = 0; round < 2; round++) {
        for (int32_t n = 1; n <= 9; n++) {
            assert_ok(gptneox_session_truncate(session, 0, 0, &error), error);
            gptneox_batch batch = {.n_tokens = n, .tokens = small.reference.tokens};
            assert_ok(gptneox_eval(session, &batch, &error), error);
            if (n == 5 && round == 0) {
                memcpy(first, gptneox_logits(session, n - 1), row);
            } else if (n == 5) {
                assert_memory_equal(gptneox_logits(session, n - 1), first, row);
            }
        }
    }
    free(first);
    gptneox_session_free(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_batches), cmocka_unit_test(test_bad_parameters),
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_many_shapes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
