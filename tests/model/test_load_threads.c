/* test_load_threads.c - loading with several threads: the same model, the same sentences. */
#include "checkpoint_fixture.h"
#include "gi8_cpu.h"
#include "model.h"
#include "test_seed.h"

#include <math.h>
#include <pthread.h>

/* A model with layers of many tiles: hidden 8, intermediate 40000. */
enum { WIDE = 40000 };
#define WIDE_CONFIG                                                                 \
    "{\"vocab_size\": 20, \"hidden_size\": 8, \"num_attention_heads\": 2, "         \
    "\"num_hidden_layers\": 2, \"intermediate_size\": 40000, \"rotary_pct\": 0.5}"

static fixture_checkpoint *wide_checkpoint(void) {
    fixture_checkpoint *c = tiny_checkpoint();
    test_rng rng = test_rng_seeded(41);
    for (int i = 0; i < c->n; i++) {
        fixture_tensor *t = &c->tensors[i];
        const bool up = strstr(t->name, "dense_h_to_4h") != NULL;
        if (!up && strstr(t->name, "dense_4h_to_h.weight") == NULL) {
            continue;
        }
        t->shape[up ? 0 : 1] = WIDE;
        const size_t n = (size_t)WIDE * (t->n_dims == 1 ? 1 : TINY_HIDDEN);
        free(t->data);
        t->size = n * sizeof(float);
        t->data = malloc(t->size);
        assert_non_null(t->data);
        for (size_t j = 0; j < n; j++) {
            const float value = test_rng_normal(&rng) * 0.05f;
            memcpy(t->data + j * sizeof value, &value, sizeof value);
        }
    }
    return c;
}

static temp_dir wide_write(const fixture_checkpoint *c) {
    temp_dir dir = temp_dir_create();
    temp_write_text(&dir, "config.json", WIDE_CONFIG);
    safetensors_write(&dir, "model.safetensors", c, 0, c->n);
    return dir;
}

static gi8_backend *backend_new(int n_threads) {
    const gi8_cpu_params params = {.n_threads = n_threads};
    gi8_backend *backend = gi8_cpu_backend_create(&params, NULL);
    assert_non_null(backend);
    return backend;
}

static void assert_same_linear(const gptneoxi_linear *a, const gptneoxi_linear *b) {
    assert_int_equal(a->int8 != NULL, b->int8 != NULL);
    const gi8_tensor *x = a->int8 != NULL ? gi8_linear_int8_codes(a->int8) : a->weight;
    const gi8_tensor *y = b->int8 != NULL ? gi8_linear_int8_codes(b->int8) : b->weight;
    assert_int_equal(gi8_nbytes(x), gi8_nbytes(y));
    assert_memory_equal(x->data, y->data, gi8_nbytes(x));
    x = a->int8 != NULL ? gi8_linear_int8_bias(a->int8) : a->bias;
    y = b->int8 != NULL ? gi8_linear_int8_bias(b->int8) : b->bias;
    assert_memory_equal(x->data, y->data, gi8_nbytes(x));
}

typedef struct seen {
    pthread_t caller;
    uint64_t done;
    uint64_t total;
    int calls;
    int stop_after; /* calls; 0: never */
} seen;

static bool watch(void *user, uint64_t done, uint64_t total) {
    seen *s = user;
    assert_true(pthread_equal(pthread_self(), s->caller));
    assert_true(done > s->done && done <= total);
    s->done = done;
    s->total = total;
    return ++s->calls != s->stop_after;
}

static void same_model(void **state) {
    (void)state;
    fixture_checkpoint *c = wide_checkpoint();
    temp_dir dir = wide_write(c);
    for (int type = GPTNEOX_WEIGHTS_INT8; type <= GPTNEOX_WEIGHTS_F32; type++) {
        gi8_backend *one = backend_new(1);
        gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
        params.weights = (gptneox_weight_type)type;
        gptneox_model *expected = gptneox_model_load(dir.path, one, &params, NULL);
        assert_non_null(expected);
        for (int n_threads = 2; n_threads <= 4; n_threads++) {
            gi8_backend *several = backend_new(n_threads);
            seen s = {.caller = pthread_self()};
            params.progress = watch;
            params.user = &s;
            gptneox_model *model = gptneox_model_load(dir.path, several, &params, NULL);
            assert_non_null(model);
            assert_true(s.done == s.total && s.calls >= c->n);
            for (int i = 0; i < TINY_LAYERS; i++) {
                const gptneoxi_layer *a = &model->weights.layers[i];
                const gptneoxi_layer *b = &expected->weights.layers[i];
                assert_same_linear(&a->query_key_value, &b->query_key_value);
                assert_same_linear(&a->dense, &b->dense);
                assert_same_linear(&a->dense_h_to_4h, &b->dense_h_to_4h);
                assert_same_linear(&a->dense_4h_to_h, &b->dense_4h_to_h);
            }
            gptneox_model_free(model);
            gi8_backend_free(several);
        }
        gptneox_model_free(expected);
        gi8_backend_free(one);
    }
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* Faults in several tiles: whoever meets one first, the sentence is the same. */
static void same_sentences(void **state) {
    (void)state;
    fixture_checkpoint *c = wide_checkpoint();
    fixture_tensor *t = tiny_find(c, "gpt_neox.layers.1.mlp.dense_h_to_4h.weight");
    const float nan = NAN;
    for (size_t row = 5000; row < WIDE; row += 5000) {
        memcpy(t->data + row * TINY_HIDDEN * sizeof nan, &nan, sizeof nan);
    }
    const float large[] = {7e4f, 8e4f, 9e4f}; /* for F16 */
    fixture_tensor *early = tiny_find(c, "gpt_neox.layers.0.mlp.dense_h_to_4h.weight");
    for (size_t i = 0; i < 3; i++) {
        memcpy(early->data + (i * 12000 + 100) * TINY_HIDDEN * sizeof nan, &large[i], sizeof nan);
    }
    temp_dir dir = wide_write(c);
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        gi8_backend *backend = backend_new(n_threads);
        for (int round = 0; round < 10; round++) {
            gi8_error error = GI8_ERROR_INIT;
            assert_null(gptneox_model_load(dir.path, backend, NULL, &error));
            assert_int_equal(error.status, GI8_ERR_NOT_FINITE);
            assert_non_null(
                strstr(error.message, "layers.1.mlp.dense_h_to_4h.weight: 7 of 320000"));
            gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
            params.weights = GPTNEOX_WEIGHTS_F16;
            assert_null(gptneox_model_load(dir.path, backend, &params, &error));
            assert_int_equal(error.status, GI8_ERR_NOT_FINITE);
            assert_non_null(strstr(error.message, "layers.0.mlp.dense_h_to_4h.weight: 70000 is"));
        }
        gi8_backend_free(backend);
    }
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

static void cancelled(void **state) {
    (void)state;
    fixture_checkpoint *c = wide_checkpoint();
    temp_dir dir = wide_write(c);
    gi8_backend *backend = backend_new(3);
    for (int calls = 1; calls <= 25; calls += 3) {
        seen s = {.caller = pthread_self(), .stop_after = calls};
        gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
        params.progress = watch;
        params.user = &s;
        gi8_error error = GI8_ERROR_INIT;
        assert_null(gptneox_model_load(dir.path, backend, &params, &error));
        assert_int_equal(error.status, GI8_ERR_CANCELLED);
        assert_int_equal(s.calls, calls); /* and not again */
    }
    gi8_backend_free(backend);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

/* Two models on one backend at the same time: one has its threads, the other does without. */
static void *load_some(void *arg) {
    void *const *args = arg;
    for (int i = 0; i < 5; i++) {
        gptneox_model *model = gptneox_model_load(args[0], args[1], NULL, NULL);
        if (model == NULL) {
            return NULL;
        }
        gptneox_model_free(model);
    }
    return arg;
}

static void at_the_same_time(void **state) {
    (void)state;
    fixture_checkpoint *c = wide_checkpoint();
    temp_dir dir = wide_write(c);
    gi8_backend *backend = backend_new(2);
    void *args[] = {dir.path, backend};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, load_some, args), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    gi8_backend_free(backend);
    temp_dir_remove(&dir);
    tiny_checkpoint_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_model),
        cmocka_unit_test(same_sentences),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
