/* test_context.c - the arena and the sticky error. */
#include "graph_fixture.h"

/* ---- creating -------------------------------------------------------------------------------- */

static void test_defaults(void **state) {
    (void)state;
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    assert_non_null(ctx);
    assert_int_equal(gi8_context_status(ctx), GI8_OK);
    assert_string_equal(gi8_context_message(ctx), "");
    assert_int_equal(gi8_context_size(ctx), 64 * 1024);
    assert_in_range(gi8_context_used(ctx), 1, 2048);
    gi8_context_free(ctx);
}

static void test_null_context(void **state) {
    (void)state;
    gi8_context_free(NULL);
    gi8_context_reset(NULL);
    gi8_context_clear_error(NULL);
    assert_int_equal(gi8_context_status(NULL), GI8_ERR_ARGUMENT);
    assert_string_equal(gi8_context_message(NULL), "");
    assert_int_equal(gi8_context_used(NULL), 0);
    assert_int_equal(gi8_context_size(NULL), 0);
    assert_null(gi8_new_tensor_1d(NULL, GI8_TYPE_F32, 1));
    assert_null(gi8_graph_create(NULL));
}

/* Bytes of an arena that holds the context and nothing else. */
static size_t smallest_size(void) {
    gi8_context *ctx = new_context();
    const size_t used = gi8_context_used(ctx);
    gi8_context_free(ctx);
    return used;
}

static void test_size_below_the_context(void **state) {
    (void)state;
    const size_t smallest = smallest_size();
    for (size_t size = 1; size < smallest; size++) {
        gi8_error error = GI8_ERROR_INIT;
        assert_null(gi8_context_create(&(gi8_context_params){.size = size}, &error));
        assert_int_equal(error.status, GI8_ERR_ARGUMENT);
        assert_non_null(strstr(error.message, "context: size is "));
        assert_null(gi8_context_create(&(gi8_context_params){.size = size}, NULL));
    }
    gi8_context *ctx = gi8_context_create(&(gi8_context_params){.size = smallest}, NULL);
    assert_non_null(ctx);
    assert_non_null(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1)); /* it grows */
    gi8_context_free(ctx);
}

static void test_refused_params(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    char buffer[16];
    assert_null(gi8_context_create(&(gi8_context_params){.buffer = buffer}, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);

    counting_allocator counting;
    counting_init(&counting, 0);
    gi8_context_params params = {.allocator = &counting.functions};
    error.status = GI8_OK;
    assert_null(gi8_context_create(&params, &error));
    assert_int_equal(error.status, GI8_ERR_MEMORY);
    assert_non_null(strstr(error.message, "65536"));

    const gi8_allocator half = {counting_alloc, NULL, &counting};
    params.allocator = &half;
    assert_null(gi8_context_create(&params, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);

    error.status = GI8_OK;
    assert_null(gi8_context_create(&(gi8_context_params){.size = SIZE_MAX}, &error));
    assert_int_equal(error.status, GI8_ERR_MEMORY);
}

/* ---- the arena ------------------------------------------------------------------------------- */

static void test_objects_do_not_overlap(void **state) {
    (void)state;
    enum { N = 5000 };
    gi8_context *ctx = gi8_context_create(&(gi8_context_params){.size = 2048}, NULL);
    gi8_tensor **tensors = calloc(N, sizeof *tensors);
    assert_non_null(tensors);
    for (int i = 0; i < N; i++) {
        tensors[i] = gi8_set_name(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, i), "tensor %d", i);
        assert_non_null(tensors[i]);
        assert_int_equal((uintptr_t)tensors[i] % 16, 0);
    }
    for (int i = 0; i < N; i++) {
        char name[GI8_MAX_NAME];
        snprintf(name, sizeof name, "tensor %d", i);
        assert_string_equal(tensors[i]->name, name);
        assert_int_equal(tensors[i]->ne[0], i);
    }
    assert_true(gi8_context_used(ctx) >= N * sizeof(gi8_tensor));
    assert_true(gi8_context_size(ctx) >= gi8_context_used(ctx));
    assert_true(gi8_context_size(ctx) <= 3 * gi8_context_used(ctx));
    free(tensors);
    gi8_context_free(ctx);
}

static void test_reset_reuses_memory(void **state) {
    (void)state;
    enum { N = 2000 };
    counting_allocator counting;
    counting_init(&counting, SIZE_MAX);
    const gi8_context_params params = {.size = 2048, .allocator = &counting.functions};
    gi8_context *ctx = gi8_context_create(&params, NULL);
    const size_t used_at_first = gi8_context_used(ctx);
    gi8_tensor *first = NULL;
    gi8_tensor *last = NULL;
    for (int i = 0; i < N; i++) {
        last = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1);
        first = first == NULL ? last : first;
    }
    const size_t n_allocs = counting.n_allocs;
    const size_t used = gi8_context_used(ctx);
    const size_t size = gi8_context_size(ctx);
    assert_int_equal(counting.live_bytes, size);
    for (int round = 0; round < 3; round++) {
        gi8_context_reset(ctx);
        assert_int_equal(gi8_context_used(ctx), used_at_first);
        assert_int_equal(gi8_context_size(ctx), size);
        gi8_tensor *t = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1);
        assert_ptr_equal(t, first);
        assert_string_equal(t->name, "");
        gi8_set_name(t, "left from before the reset");
        for (int i = 1; i < N; i++) {
            t = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1);
        }
        assert_ptr_equal(t, last);
        assert_int_equal(gi8_context_used(ctx), used);
    }
    assert_int_equal(counting.n_allocs, n_allocs);
    gi8_context_free(ctx);
    assert_int_equal(counting.live_bytes, 0);
}

static void test_fixed_arena_runs_full(void **state) {
    (void)state;
    gi8_context *ctx =
        gi8_context_create(&(gi8_context_params){.size = 4096, .fixed = true}, NULL);
    int n = 0;
    while (gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1) != NULL) {
        n++;
    }
    assert_in_range(n, 5, 4096 / (int)sizeof(gi8_tensor));
    assert_int_equal(gi8_context_status(ctx), GI8_ERR_ARENA_FULL);
    const size_t used = gi8_context_used(ctx);
    char expected[128];
    snprintf(expected, sizeof expected, "%zu bytes are needed, %zu of the arena's 4096 are free",
             (sizeof(gi8_tensor) + 15) / 16 * 16, 4096 - used);
    assert_non_null(strstr(gi8_context_message(ctx), expected));

    gi8_context_clear_error(ctx);
    assert_int_equal(gi8_context_status(ctx), GI8_OK);
    assert_string_equal(gi8_context_message(ctx), "");
    assert_null(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1));
    assert_int_equal(gi8_context_status(ctx), GI8_ERR_ARENA_FULL);
    assert_int_equal(gi8_context_used(ctx), used);

    gi8_context_reset(ctx);
    assert_int_equal(gi8_context_status(ctx), GI8_OK);
    for (int i = 0; i < n; i++) {
        assert_non_null(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1));
    }
    assert_null(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1));
    assert_int_equal(gi8_context_size(ctx), 4096);
    gi8_context_free(ctx);
}

static void test_callers_buffer(void **state) {
    (void)state;
    counting_allocator counting;
    counting_init(&counting, 0);
    const size_t size = smallest_size() + 1000;
    /* From malloc and of that very size, so that a sanitizer sees any byte too many. */
    for (size_t skip = 0; skip < 17; skip++) {
        unsigned char *memory = malloc(skip + size);
        assert_non_null(memory);
        memset(memory, 0xee, skip + size);
        const gi8_context_params params = {
            .size = size, .buffer = memory + skip, .allocator = &counting.functions};
        gi8_context *ctx = gi8_context_create(&params, NULL);
        assert_non_null(ctx);
        for (int round = 0; round < 2; round++) {
            int n = 0;
            for (gi8_tensor *t; (t = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1)) != NULL; n++) {
                assert_int_equal((uintptr_t)t % 16, 0);
                assert_true((unsigned char *)t >= memory + skip);
                assert_true((unsigned char *)(t + 1) <= memory + skip + size);
            }
            assert_in_range(n, 3, 4);
            assert_int_equal(gi8_context_status(ctx), GI8_ERR_ARENA_FULL);
            gi8_context_reset(ctx);
        }
        for (size_t i = 0; i < skip; i++) {
            assert_int_equal(memory[i], 0xee);
        }
        gi8_context_free(ctx);
        free(memory);
    }
    assert_int_equal(counting.n_allocs, 0);
}

static void test_allocator_runs_dry(void **state) {
    (void)state;
    int n_failures = 0;
    for (size_t n = 1;; n++) {
        counting_allocator counting;
        counting_init(&counting, n);
        const gi8_context_params params = {.size = 1500, .allocator = &counting.functions};
        gi8_context *ctx = gi8_context_create(&params, NULL);
        assert_non_null(ctx);
        gi8_graph *graph = gi8_graph_create(ctx);
        gi8_tensor *y = build_model(ctx, 3, 5);
        const bool done = gi8_graph_add_output(graph, y) == GI8_OK;
        if (!done) {
            n_failures++;
            assert_int_equal(gi8_context_status(ctx), GI8_ERR_MEMORY);
            assert_non_null(strstr(gi8_context_message(ctx), "no memory"));
            /* What is there already is enough for something small. */
            gi8_context_reset(ctx);
            counting.fail_after = SIZE_MAX;
            assert_non_null(build_model(ctx, 3, 5));
            assert_ctx_ok(ctx);
        }
        gi8_context_free(ctx);
        assert_int_equal(counting.live_bytes, 0);
        if (done) {
            break;
        }
    }
    assert_in_range(n_failures, 3, 20);
}

/* ---- the error ------------------------------------------------------------------------------- */

static void test_first_error_stays(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *x = gi8_set_name(f32(ctx, 4, 3, 1, 1), "x");
    gi8_tensor *w = f32(ctx, 5, 3, 1, 1);
    assert_null(gi8_mul_mat(ctx, w, x));
    assert_int_equal(gi8_context_status(ctx), GI8_ERR_SHAPE);
    char first[GI8_ERROR_MESSAGE_SIZE];
    strcpy(first, gi8_context_message(ctx));
    assert_string_equal(first, "mul_mat: w has ne[0] = 5, x 'x' has ne[0] = 4");

    /* Everything is refused now, and nothing replaces the sentence. */
    const size_t used = gi8_context_used(ctx);
    assert_null(gi8_relu(ctx, x));
    assert_null(gi8_relu(ctx, NULL));
    assert_null(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, -1));
    assert_null(gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 1));
    assert_null(gi8_view_1d(ctx, x, 1, 0));
    assert_null(gi8_graph_create(ctx));
    assert_string_equal(gi8_context_message(ctx), first);
    assert_int_equal(gi8_context_status(ctx), GI8_ERR_SHAPE);
    assert_int_equal(gi8_context_used(ctx), used);

    gi8_context_clear_error(ctx);
    assert_non_null(gi8_relu(ctx, x));
    assert_ctx_ok(ctx);
    gi8_context_free(ctx);
}

static void test_null_source_is_an_error_of_its_own(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    assert_null(gi8_relu(ctx, NULL));
    assert_int_equal(gi8_context_status(ctx), GI8_ERR_ARGUMENT);
    assert_string_equal(gi8_context_message(ctx), "relu: x is NULL");
    gi8_context_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_null_context),
        cmocka_unit_test(test_size_below_the_context),
        cmocka_unit_test(test_refused_params),
        cmocka_unit_test(test_objects_do_not_overlap),
        cmocka_unit_test(test_reset_reuses_memory),
        cmocka_unit_test(test_fixed_arena_runs_full),
        cmocka_unit_test(test_callers_buffer),
        cmocka_unit_test(test_allocator_runs_dry),
        cmocka_unit_test(test_first_error_stays),
        cmocka_unit_test(test_null_source_is_an_error_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
