/* test_cuda_rope_store.c - rope and kv_store of queries, keys and values: what one launch computes
 * has the CPU's bits, is one launch, and is several where it must be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_fixture.h"
#include "gi8_cpu.h"

#ifdef GI8_CUDA_EMULATION
#include "emulator.h"
#endif

static gi8_backend *cpu, *graphs, *step_by_step;

/* Kernels launched so far, also into a graph; 0 on a device. */
static unsigned long n_launches(void) {
#ifdef GI8_CUDA_EMULATION
    return gi8emu_calls("cudaLaunchKernelExC");
#else
    return 0;
#endif
}

static void expect_launches(const char *what, unsigned long before, unsigned long expected) {
#ifdef GI8_CUDA_EMULATION
    if (n_launches() - before != expected) {
        fail_msg("%s: %lu launches, expected %lu", what, n_launches() - before, expected);
    }
#else
    (void)what;
    (void)before;
    (void)expected;
#endif
}

/* ---- graphs ---------------------------------------------------------------------------------- */

enum { MAX_TOKENS = 40, MAX_RESULTS = 6, MAX_VALUES = 100000 };

typedef enum twist {
    PLAIN,
    KEYS_ARE_OUTPUT, /* the turned keys */
    KEYS_READ_LATER, /* by a step behind all others */
    KEYS_TWICE,      /* turned twice */
    KEYS_BY_VIEW,    /* stored by way of a view of what was turned */
    KEYS_STORED_TWICE,
    OTHER_POSITIONS, /* of the queries */
    OTHER_SEQUENCES, /* of the values */
    OTHER_BASE,      /* of the queries */
    OTHER_TYPE,      /* of the cache of the values */
    OTHER_SIZE,      /* of the heads of the values */
    SAME_CACHE,
    EMPTY_CACHE, /* of the values */
    FOURTH           /* one more tensor that is turned */
} twist;

typedef struct store_case {
    const char *what;
    bool queries_first;
    int64_t d, n_rot, heads, kv_heads, n_tokens;
    gi8_type type;
    twist twist;
    unsigned long launches; /* of rope and kv_store */
    unsigned long others;
} store_case;

typedef struct run {
    gi8_backend *backend;
    gi8_context *ctx;
    gi8_graph *graph;
    gi8_plan *plan;
    gi8_tensor *qkv, *positions, *others, *sequences;
    gi8_tensor *k_cache, *v_cache, *second_cache;
    gi8_buffer *buffers[3];
    gi8_tensor *results[MAX_RESULTS]; /* outputs of the plan */
    int n_results;
} run;

static void must(gi8_status status, const gi8_error *error) {
    if (status != GI8_OK) {
        fail_msg("%s", error->message);
    }
}

static gi8_tensor *make_cache(run *r, int number, gi8_type type, int64_t d, int64_t heads,
                              int64_t n_positions) {
    gi8_error error = GI8_ERROR_INIT;
    gi8_tensor *t = gi8_new_tensor_4d(r->ctx, type, d, n_positions, heads, 2);
    r->buffers[number] = gi8_buffer_create(r->backend, gi8_buffer_space(t), &error);
    must(error.status, &error);
    must(gi8_buffer_bind(r->buffers[number], t, 0, &error), &error);
    return t;
}

static void add_output(run *r, gi8_tensor *t) {
    if (t == NULL) {
        fail_msg("%s", gi8_context_message(r->ctx));
    }
    assert_int_equal(gi8_graph_add_output(r->graph, t), GI8_OK);
    if (t->op != GI8_OP_KV_STORE) {
        assert_true(r->n_results < MAX_RESULTS);
        r->results[r->n_results++] = t;
    }
}

/* The tensors as a fused projection leaves them: of each token [head][q, k, v]; with fewer heads of
 * keys and values those of the first ones. */
static void build(run *r, const store_case *c) {
    gi8_context *ctx = r->ctx;
    const size_t part = (size_t)c->d * sizeof(float);
    const size_t row = 3 * part * (size_t)c->heads;
    const int64_t v_d = c->twist == OTHER_SIZE ? c->d - 1 : c->d;
    r->qkv = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 3 * c->d * c->heads, c->n_tokens);
    r->positions = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, c->n_tokens);
    r->others = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, c->n_tokens);
    r->sequences = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, c->n_tokens);
    r->k_cache = make_cache(r, 0, c->type, c->d, c->kv_heads, MAX_TOKENS);
    r->second_cache = make_cache(r, 1, c->type, c->d, c->kv_heads, MAX_TOKENS);
    const gi8_type other = c->type == GI8_TYPE_F16 ? GI8_TYPE_F32 : GI8_TYPE_F16;
    r->v_cache = c->twist == SAME_CACHE
                     ? r->k_cache
                     : make_cache(r, 2, c->twist == OTHER_TYPE ? other : c->type, v_d,
                                  c->kv_heads, c->twist == EMPTY_CACHE ? 0 : MAX_TOKENS);

    /* One more operation before, so that the memory of qkv is a result's. */
    gi8_tensor *qkv = gi8_scale(ctx, r->qkv, 1.0f);
    gi8_tensor *q = gi8_view_3d(ctx, qkv, c->d, c->heads, c->n_tokens, 3 * part, row, 0);
    gi8_tensor *k = gi8_view_3d(ctx, qkv, c->d, c->kv_heads, c->n_tokens, 3 * part, row, part);
    gi8_tensor *v = gi8_view_3d(ctx, qkv, v_d, c->kv_heads, c->n_tokens, 3 * part, row, 2 * part);

    const gi8_rope_params params = {(int32_t)c->n_rot, 10000.0f, 1.0f};
    const gi8_rope_params q_params = {(int32_t)c->n_rot,
                                      c->twist == OTHER_BASE ? 500.0f : 10000.0f, 1.0f};
    gi8_tensor *turned = c->n_rot > 0 ? gi8_rope(ctx, k, r->positions, &params) : k;
    if (c->twist == KEYS_TWICE) {
        turned = gi8_rope(ctx, turned, r->positions, &params);
    }
    gi8_tensor *stored = c->twist == KEYS_BY_VIEW
                             ? gi8_view_3d(ctx, turned, c->d, c->kv_heads, c->n_tokens,
                                           turned->nb[1], turned->nb[2], 0)
                             : turned;
    gi8_tensor *k_done = gi8_kv_store(ctx, r->k_cache, stored, r->positions, r->sequences);
    gi8_tensor *v_done = gi8_kv_store(ctx, r->v_cache, v, r->positions,
                                      c->twist == OTHER_SEQUENCES ? r->others : r->sequences);
    gi8_tensor *q_done = q;
    if (c->n_rot > 0) {
        q_done = gi8_rope(ctx, q, c->twist == OTHER_POSITIONS ? r->others : r->positions,
                          &q_params);
    }
    if (c->queries_first && c->n_rot > 0) {
        add_output(r, q_done);
    }
    if (c->twist == KEYS_ARE_OUTPUT) {
        add_output(r, turned);
    }
    add_output(r, k_done);
    if (c->twist == KEYS_STORED_TWICE) {
        add_output(r, gi8_kv_store(ctx, r->second_cache, turned, r->positions, r->sequences));
    }
    add_output(r, v_done);
    if (!c->queries_first && c->n_rot > 0) {
        add_output(r, q_done);
    }
    if (c->twist == FOURTH) {
        add_output(r, gi8_rope(ctx, v, r->positions, &params));
    }
    /* Takes the memory of the turned keys where nobody needs them. */
    add_output(r, gi8_cont(ctx, c->twist == KEYS_READ_LATER ? turned : q));
}

static void random_floats(test_rng *rng, float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = test_rng_float(rng, -4.0f, 4.0f);
    }
}

/* Writes inputs and caches: the same for each backend. */
static void write(run *r, const store_case *c, uint64_t seed) {
    static float values[MAX_VALUES];
    gi8_error error = GI8_ERROR_INIT;
    test_rng rng = {seed};
    assert_true(gi8_nelements(r->qkv) <= MAX_VALUES);
    random_floats(&rng, values, gi8_nelements(r->qkv));
    must(gi8_plan_write(r->plan, r->qkv, 0, values, gi8_nbytes(r->qkv), &error), &error);

    int32_t positions[MAX_TOKENS];
    int32_t others[MAX_TOKENS];
    int32_t sequences[MAX_TOKENS];
    for (int32_t t = 0; t < c->n_tokens; t++) { /* some out of range, no two at the same place */
        int64_t dice = test_rng_int(&rng, 0, 9);
        positions[t] = dice == 0 ? -1 : dice == 1 ? MAX_TOKENS + t : t;
        sequences[t] = dice == 2 ? -1 : dice == 3 ? 2 : (int32_t)test_rng_int(&rng, 0, 1);
        others[t] = (int32_t)test_rng_int(&rng, 0, 1);
    }
    const size_t size = (size_t)c->n_tokens * sizeof(int32_t);
    must(gi8_plan_write(r->plan, r->positions, 0, positions, size, &error), &error);
    if (c->twist == OTHER_POSITIONS || c->twist == OTHER_SEQUENCES) {
        must(gi8_plan_write(r->plan, r->others, 0, others, size, &error), &error);
    }
    must(gi8_plan_write(r->plan, r->sequences, 0, sequences, size, &error), &error);
    gi8_tensor *const caches[] = {r->k_cache, r->second_cache, r->v_cache};
    for (int i = 0; i < 3; i++) {
        const size_t bytes = gi8_nbytes(caches[i]);
        assert_true(bytes <= sizeof values);
        memset(values, 17, bytes);
        must(gi8_tensor_write(caches[i], 0, values, bytes, &error), &error);
    }
}

static run start(gi8_backend *backend, const store_case *c, bool no_reuse) {
    gi8_error error = GI8_ERROR_INIT;
    run r = {.backend = backend, .ctx = gi8_context_create(NULL, NULL)};
    r.graph = gi8_graph_create(r.ctx);
    build(&r, c);
    const gi8_plan_params params = {.no_reuse = no_reuse};
    r.plan = gi8_plan_create(backend, r.graph, &params, &error);
    must(error.status, &error);
    return r;
}

static void stop(run *r) {
    gi8_plan_free(r->plan);
    for (int i = 0; i < 3; i++) {
        gi8_buffer_free(r->buffers[i]);
    }
    gi8_context_free(r->ctx);
}

/* Fails unless all results and caches have the same bytes. */
static void compare(const run *a, const run *b, const char *what) {
    static char bytes[2][MAX_VALUES * sizeof(float)];
    gi8_error error = GI8_ERROR_INIT;
    for (int i = 0; i < a->n_results; i++) {
        const size_t size = gi8_nbytes(a->results[i]);
        must(gi8_plan_read(a->plan, a->results[i], 0, bytes[0], size, &error), &error);
        must(gi8_plan_read(b->plan, b->results[i], 0, bytes[1], size, &error), &error);
        if (memcmp(bytes[0], bytes[1], size) != 0) {
            fail_msg("%s: result %d differs", what, i);
        }
    }
    gi8_tensor *const of_a[] = {a->k_cache, a->second_cache, a->v_cache};
    gi8_tensor *const of_b[] = {b->k_cache, b->second_cache, b->v_cache};
    for (int i = 0; i < 3; i++) {
        const size_t size = gi8_nbytes(of_a[i]);
        must(gi8_tensor_read(of_a[i], 0, bytes[0], size, &error), &error);
        must(gi8_tensor_read(of_b[i], 0, bytes[1], size, &error), &error);
        if (memcmp(bytes[0], bytes[1], size) != 0) {
            fail_msg("%s: cache %d differs", what, i);
        }
    }
}

static void check(const store_case *c, uint64_t seed) {
    gi8_error error = GI8_ERROR_INIT;
    run expected = start(cpu, c, false);
    write(&expected, c, seed);
    must(gi8_plan_execute(expected.plan, &error), &error);
    for (int no_reuse = 0; no_reuse < 2; no_reuse++) {
        const unsigned long before = n_launches();
        run r = start(graphs, c, no_reuse == 1);
        expect_launches(c->what, before, c->launches + c->others);
        for (int i = 0; i < 2; i++) {
            write(&r, c, seed);
            must(gi8_plan_execute(r.plan, &error), &error);
            compare(&expected, &r, c->what);
        }
        stop(&r);
    }
    stop(&expected);
}

/* ---- tests ----------------------------------------------------------------------------------- */

#define F16 GI8_TYPE_F16
#define F32 GI8_TYPE_F32

static const store_case cases[] = {
    /* what, queries first, d, n_rot, heads, of k and v, tokens, type, twist, launches, others */
    {"one token", true, 64, 16, 12, 12, 1, F16, PLAIN, 1, 2},
    {"one token, keys first", false, 64, 16, 12, 12, 1, F16, PLAIN, 1, 2},
    {"a prompt", true, 32, 8, 5, 5, 33, F16, PLAIN, 1, 2},
    {"a prompt, keys first", false, 32, 8, 5, 5, 33, F32, PLAIN, 1, 2},
    {"all dimensions", true, 80, 80, 3, 3, 9, F16, PLAIN, 1, 2},
    {"odd sizes", false, 13, 6, 3, 3, 7, F16, PLAIN, 1, 2},
    {"fewer heads of keys", true, 64, 32, 8, 2, 5, F16, PLAIN, 1, 2},
    {"no rotary", true, 64, 0, 4, 4, 6, F16, PLAIN, 1, 2},
    {"no rotary, one token", true, 96, 0, 3, 3, 1, F32, PLAIN, 1, 2},
    {"keys are an output", true, 32, 8, 4, 4, 6, F16, KEYS_ARE_OUTPUT, 1, 2},
    {"keys are an output, keys first", false, 32, 8, 4, 4, 6, F16, KEYS_ARE_OUTPUT, 1, 2},
    {"keys are read later", true, 32, 8, 4, 4, 6, F16, KEYS_READ_LATER, 1, 2},
    {"keys are read later, keys first", false, 32, 8, 4, 4, 6, F16, KEYS_READ_LATER, 1, 2},
    /* q k | k k_cache v */
    {"keys are turned twice", true, 32, 8, 4, 4, 6, F16, KEYS_TWICE, 2, 2},
    /* q k | k_cache v */
    {"keys by way of a view", true, 32, 8, 4, 4, 6, F16, KEYS_BY_VIEW, 2, 2},
    /* q k k_cache | k_cache v */
    {"keys are stored twice", true, 32, 8, 4, 4, 6, F16, KEYS_STORED_TWICE, 2, 2},
    {"other positions", true, 32, 8, 4, 4, 6, F16, OTHER_POSITIONS, 2, 2},
    {"other positions, keys first", false, 32, 8, 4, 4, 6, F16, OTHER_POSITIONS, 2, 2},
    {"other sequences", true, 32, 8, 4, 4, 6, F16, OTHER_SEQUENCES, 2, 2},
    {"other base", true, 32, 8, 4, 4, 6, F16, OTHER_BASE, 2, 2},
    {"other type", true, 32, 8, 4, 4, 6, F16, OTHER_TYPE, 2, 2},
    {"other size", true, 32, 8, 4, 4, 6, F16, OTHER_SIZE, 2, 2},
    {"the same cache", true, 32, 8, 4, 4, 6, F16, SAME_CACHE, 2, 2},
    {"an empty cache", true, 32, 8, 4, 4, 6, F16, EMPTY_CACHE, 1, 2},
    {"a fourth tensor", false, 32, 8, 4, 4, 6, F16, FOURTH, 2, 2},
    /* each turned in two launches */
    {"many pairs", true, 520, 518, 2, 2, 3, F32, PLAIN, 5, 2},
};

static void test_cases(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(721);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&cases[i], test_rng_next(&rng));
    }
}

/* Cancelled before each step in turn; then it runs on as if nothing had been. */
typedef struct cancel_at {
    int64_t calls, at, reported;
} cancel_at;

static bool should_cancel(void *user) {
    cancel_at *c = user;
    return c->calls++ == c->at;
}

static void progress(void *user, int64_t done, int64_t total) {
    cancel_at *c = user;
    (void)total;
    c->reported = done;
}

static void test_cancel(void **state) {
    (void)state;
    const store_case *c = &cases[0];
    gi8_error error = GI8_ERROR_INIT;
    run expected = start(cpu, c, false);
    write(&expected, c, 5);
    must(gi8_plan_execute(expected.plan, &error), &error);
    gi8_backend *const backends[] = {graphs, step_by_step};
    for (int b = 0; b < 2; b++) {
        run r = start(backends[b], c, false);
        gi8_plan_free(r.plan);
        cancel_at when = {0};
        const gi8_plan_params params = {
            .should_cancel = should_cancel, .progress = progress, .user = &when};
        r.plan = gi8_plan_create(r.backend, r.graph, &params, &error);
        assert_non_null(r.plan);
        const int64_t n_steps = gi8_plan_get_stats(r.plan).n_steps;
        assert_int_equal(n_steps, 6);
        write(&r, c, 5);
        for (int64_t at = 0; at < n_steps; at++) {
            when = (cancel_at){.at = at, .reported = -1};
            assert_int_equal(gi8_plan_execute(r.plan, &error), GI8_ERR_CANCELLED);
            assert_int_equal(when.reported, at - 1);
        }
        when = (cancel_at){.at = -1};
        gi8_error none = GI8_ERROR_INIT;
        write(&r, c, 5);
        must(gi8_plan_execute(r.plan, &none), &none);
        assert_int_equal(when.reported, n_steps - 1);
        compare(&expected, &r, "after it was cancelled");
        stop(&r);
    }
    stop(&expected);
}

static int create(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    cpu = gi8_cpu_backend_create(&(gi8_cpu_params){.n_threads = 1}, &error);
    graphs = gi8_cuda_backend_create(NULL, &error);
    step_by_step = gi8_cuda_backend_create(&(gi8_cuda_params){.no_graphs = true}, &error);
    if (cpu == NULL || graphs == NULL || step_by_step == NULL) {
        printf("%s\n", error.message);
        return -1;
    }
    return 0;
}

static int destroy(void **state) {
    (void)state;
    gi8_backend_free(cpu);
    gi8_backend_free(graphs);
    gi8_backend_free(step_by_step);
    return 0;
}

int main(void) {
    test_device_require();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, create, destroy);
}
