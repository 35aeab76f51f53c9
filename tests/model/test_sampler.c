/* test_sampler.c - each filter by itself, the distribution that comes out, and bad input. */
#include "model_fixture.h"
#include "test_seed.h"

#include <math.h>

static const gptneox_sampler_params PLAIN = {1.0f, 0, 1.0f, 0.0f, 1.0f, 64, 0};

static gptneox_sampler *make(const gptneox_sampler_params *params) {
    gi8_error error = GI8_ERROR_INIT;
    gptneox_sampler *sampler = gptneox_sampler_create(params, &error);
    assert_ok(error.status, error);
    return sampler;
}

static int32_t sample(gptneox_sampler *sampler, const float *logits, int32_t n) {
    gi8_error error = GI8_ERROR_INIT;
    int32_t token = -1;
    assert_ok(gptneox_sampler_sample(sampler, logits, n, &token, &error), error);
    assert_in_range(token, 0, n - 1);
    return token;
}

/* Draws often and counts; compares with the expected probabilities within five standard
 * deviations. */
static void check_distribution(gptneox_sampler_params params, const float *logits,
                               const double *expected, int32_t n) {
    enum { DRAWS = 40000 };
    test_rng rng = test_rng_seeded(11);
    params.seed = test_rng_next(&rng);
    gptneox_sampler *sampler = make(&params);
    int counts[16] = {0};
    assert_true(n <= 16);
    for (int i = 0; i < DRAWS; i++) {
        counts[sample(sampler, logits, n)]++;
    }
    for (int32_t i = 0; i < n; i++) {
        double deviation = sqrt(DRAWS * expected[i] * (1 - expected[i]));
        assert_true(fabs(counts[i] - DRAWS * expected[i]) <= 5 * deviation);
    }
    gptneox_sampler_free(sampler);
}

static const float LOGITS[5] = {0.0f, 2.0f, 1.0f, -1.0f, 1.5f};

static void softmax_of(const float *logits, const bool *keep, double temperature, double *p) {
    double sum = 0;
    for (int i = 0; i < 5; i++) {
        p[i] = keep[i] ? exp((double)logits[i] / temperature) : 0;
        sum += p[i];
    }
    for (int i = 0; i < 5; i++) {
        p[i] /= sum;
    }
}

static void test_distributions(void **state) {
    (void)state;
    double p[5];
    gptneox_sampler_params params = PLAIN;
    softmax_of(LOGITS, (bool[]){1, 1, 1, 1, 1}, 1, p);
    check_distribution(params, LOGITS, p, 5);

    params.temperature = 0.5f;
    softmax_of(LOGITS, (bool[]){1, 1, 1, 1, 1}, 0.5, p);
    check_distribution(params, LOGITS, p, 5);

    params = PLAIN;
    params.top_k = 2;
    softmax_of(LOGITS, (bool[]){0, 1, 0, 0, 1}, 1, p);
    check_distribution(params, LOGITS, p, 5);

    /* Probabilities are .46 .28 .17 .06 .02: two reach 0.7, three are needed for 0.8. */
    params = PLAIN;
    params.top_p = 0.7f;
    check_distribution(params, LOGITS, p, 5);
    params.top_p = 0.8f;
    softmax_of(LOGITS, (bool[]){0, 1, 1, 0, 1}, 1, p);
    check_distribution(params, LOGITS, p, 5);

    /* Against the best: 1, .61, .37, .14, .05. */
    params = PLAIN;
    params.min_p = 0.3f;
    check_distribution(params, LOGITS, p, 5);

    /* The penalty comes before top_k: token 1 falls from 2 to 1, token 3 from -1 to -2. */
    params = PLAIN;
    params.repeat_penalty = 2.0f;
    params.seed = 5;
    gptneox_sampler *sampler = make(&params);
    gptneox_sampler_accept(sampler, 1);
    gptneox_sampler_accept(sampler, 1);
    gptneox_sampler_accept(sampler, 3);
    gptneox_sampler_accept(sampler, 1000000); /* not a logit of ours: no effect */
    softmax_of((float[]){0.0f, 1.0f, 1.0f, -2.0f, 1.5f}, (bool[]){1, 1, 1, 1, 1}, 1, p);
    int counts[5] = {0};
    for (int i = 0; i < 40000; i++) {
        counts[sample(sampler, LOGITS, 5)]++;
    }
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(counts[i] - 40000 * p[i]) <= 5 * sqrt(40000 * p[i] * (1 - p[i])));
    }
    gptneox_sampler_free(sampler);
}

/* top_k over many logits, ties included, against sorting. */
static void test_top_k_of_many(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(3);
    enum { N = 3000 };
    float *logits = malloc(N * sizeof *logits);
    assert_non_null(logits);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < N; i++) {
            logits[i] = (float)test_rng_int(&rng, -60, 60) / 4;
        }
        int32_t k = (int32_t)test_rng_int(&rng, 1, 200);
        gptneox_sampler_params params = PLAIN;
        params.temperature = 50.0f; /* nearly even among the k */
        params.top_k = k;
        params.seed = test_rng_next(&rng);
        gptneox_sampler *sampler = make(&params);
        for (int draw = 0; draw < 50; draw++) {
            int32_t token = sample(sampler, logits, N);
            int32_t before = 0; /* tokens that come before it in the order of likelihood */
            for (int32_t i = 0; i < N; i++) {
                before += logits[i] > logits[token] || (logits[i] == logits[token] && i < token);
            }
            assert_true(before < k);
        }
        gptneox_sampler_free(sampler);
    }
    free(logits);
}

static void test_greedy(void **state) {
    (void)state;
    gptneox_sampler_params params = PLAIN;
    params.temperature = 0;
    gptneox_sampler *sampler = make(&params);
    assert_int_equal(sample(sampler, LOGITS, 5), 1);
    assert_int_equal(sample(sampler, LOGITS, 1), 0);
    const float ties[6] = {-INFINITY, 3, 7, 7, 1, 7};
    assert_int_equal(sample(sampler, ties, 6), 2);
    gptneox_sampler_free(sampler);
}

static void test_seed_repeats(void **state) {
    (void)state;
    gptneox_sampler_params params = PLAIN;
    params.seed = 42;
    gptneox_sampler *a = make(&params);
    gptneox_sampler *b = make(&params);
    params.seed = 43;
    gptneox_sampler *c = make(&params);
    bool differs = false;
    for (int i = 0; i < 200; i++) {
        int32_t token = sample(a, LOGITS, 5);
        assert_int_equal(token, sample(b, LOGITS, 5));
        differs = differs || token != sample(c, LOGITS, 5);
    }
    assert_true(differs);
    gptneox_sampler_free(a);
    gptneox_sampler_free(b);
    gptneox_sampler_free(c);
}

static void refuse(gptneox_sampler_params params, const char *what) {
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gptneox_sampler_create(&params, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    assert_non_null(strstr(error.message, what));
}

static void test_bad_input(void **state) {
    (void)state;
    /* temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed */
    refuse((gptneox_sampler_params){-1.0f, 0, 1.0f, 0, 1.0f, 64, 0}, "temperature");
    refuse((gptneox_sampler_params){NAN, 0, 1.0f, 0, 1.0f, 64, 0}, "temperature");
    refuse((gptneox_sampler_params){1.0f, -1, 1.0f, 0, 1.0f, 64, 0}, "top_k");
    refuse((gptneox_sampler_params){1.0f, 0, 0, 0, 1.0f, 64, 0}, "top_p");
    refuse((gptneox_sampler_params){1.0f, 0, 1.5f, 0, 1.0f, 64, 0}, "top_p");
    refuse((gptneox_sampler_params){1.0f, 0, 1.0f, -0.1f, 1.0f, 64, 0}, "min_p");
    refuse((gptneox_sampler_params){1.0f, 0, 1.0f, 0, 0, 64, 0}, "repeat_penalty");
    refuse((gptneox_sampler_params){1.0f, 0, 1.0f, 0, 1.0f, -1, 0}, "repeat_last_n");

    gptneox_sampler *sampler = make(NULL);
    gi8_error error = GI8_ERROR_INIT;
    int32_t token = 77;
    const float with_nan[3] = {0, NAN, 1};
    assert_int_equal(gptneox_sampler_sample(sampler, with_nan, 3, &token, &error),
                     GI8_ERR_NOT_FINITE);
    assert_non_null(strstr(error.message, "token 1 is NaN"));
    const float nothing[2] = {-INFINITY, -INFINITY};
    assert_int_equal(gptneox_sampler_sample(sampler, nothing, 2, &token, &error),
                     GI8_ERR_NOT_FINITE);
    const float infinite[2] = {0, INFINITY};
    assert_int_equal(gptneox_sampler_sample(sampler, infinite, 2, &token, NULL),
                     GI8_ERR_NOT_FINITE);
    assert_int_equal(gptneox_sampler_sample(sampler, nothing, 0, &token, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_sampler_sample(NULL, nothing, 2, &token, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(token, 77);
    gptneox_sampler_accept(NULL, 1);
    gptneox_sampler_free(sampler);
    gptneox_sampler_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions), cmocka_unit_test(test_top_k_of_many),
        cmocka_unit_test(test_greedy),        cmocka_unit_test(test_seed_repeats),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
