/* test_plan.c - backends, buffers and plans: refusals, inputs and outputs, stopping, guards,
 * failing memory, and memory that the host cannot read. */
#include <stdio.h>

#include "mock_fixture.h"

/* The plan is refused with this status and a sentence that contains `words`. */
static void assert_refused(fixture *f, mock_backend *mock, const gi8_graph *graph,
                           gi8_status status, const char *words) {
    f->error = (gi8_error)GI8_ERROR_INIT;
    assert_null(gi8_plan_create(&mock->base, graph, NULL, &f->error));
    assert_int_equal(f->error.status, status);
    if (strstr(f->error.message, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, f->error.message);
    }
    assert_null(gi8_plan_create(&mock->base, graph, NULL, NULL));
}

static gi8_tensor *input(fixture *f, const char *name) {
    return gi8_set_name(gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 8, 4), "%s", name);
}

/* x -> scale -> soft_max -> relu: three steps, two in memory of their own. */
static gi8_tensor *three_steps(fixture *f, gi8_tensor *x) {
    gi8_tensor *a = gi8_set_name(gi8_scale(f->ctx, x, 2.0f), "a");
    gi8_tensor *b = gi8_set_name(gi8_soft_max(f->ctx, a, NULL, 1.0f), "b");
    return gi8_set_name(gi8_relu(f->ctx, b), "y");
}

/* ---- backends and buffers -------------------------------------------------------------------- */

static void test_backend_calls(void **state) {
    fixture *f = *state;
    assert_string_equal(gi8_backend_name(NULL), "");
    assert_string_equal(gi8_backend_name(&f->mock.base), "mock host");
    assert_true(gi8_backend_is_host(&f->mock.base));
    assert_false(gi8_backend_is_host(&f->device.base));
    assert_false(gi8_backend_is_host(NULL));
    gi8_backend_free(NULL);

    gi8_tensor *x = input(f, "x");
    gi8_tensor *y = gi8_scale(f->ctx, x, 2.0f);
    f->mock.refused_op = GI8_OP_SCALE;
    assert_false(gi8_backend_supports(&f->mock.base, y, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_UNSUPPORTED);
    assert_false(gi8_backend_supports(&f->mock.base, y, NULL));
    assert_true(gi8_backend_supports(&f->device.base, y, &f->error));
    f->mock.refused_op = GI8_OP_VIEW; /* not asked for views and leaves */
    assert_true(gi8_backend_supports(&f->mock.base, gi8_view_1d(f->ctx, x, 8, 0), NULL));
    f->mock.refused_op = GI8_OP_NONE;
    assert_true(gi8_backend_supports(&f->mock.base, x, NULL));
    assert_false(gi8_backend_supports(NULL, x, &f->error));
    assert_false(gi8_backend_supports(&f->mock.base, NULL, &f->error));
}

static void check_buffer(fixture *f, mock_backend *mock) {
    gi8_buffer *buffer = gi8_buffer_create(&mock->base, 256, &f->error);
    assert_non_null(buffer);
    assert_int_equal(gi8_buffer_size(buffer), 256);
    gi8_tensor *t = gi8_set_name(gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 20), "t");
    assert_int_equal(gi8_buffer_space(t), 128);
    assert_int_equal(gi8_buffer_space(NULL), 0);

    float values[20] = {0};
    assert_int_equal(gi8_tensor_read(t, 0, values, 4, &f->error), GI8_ERR_ARGUMENT); /* no memory */
    assert_int_equal(gi8_buffer_bind(buffer, t, 32, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_buffer_bind(buffer, t, 192, &f->error), GI8_ERR_MEMORY);
    assert_int_equal(gi8_buffer_bind(buffer, t, SIZE_MAX - 63, &f->error), GI8_ERR_MEMORY);
    assert_int_equal(gi8_buffer_bind(NULL, t, 0, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_buffer_bind(buffer, NULL, 0, &f->error), GI8_ERR_ARGUMENT);
    assert_null(t->data);
    gi8_tensor *view = gi8_view_1d(f->ctx, t, 4, 0);
    assert_int_equal(gi8_buffer_bind(buffer, view, 0, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_buffer_bind(buffer, gi8_scale(f->ctx, t, 1.0f), 0, &f->error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_buffer_bind(buffer, t, 128, &f->error), GI8_OK);
    assert_ptr_equal(t->buffer, buffer);
    assert_int_equal((uintptr_t)t->data % 64, 0);

    assert_int_equal(gi8_tensor_read(t, 0, values, sizeof values, &f->error), GI8_OK);
    for (int i = 0; i < 20; i++) {
        assert_true(values[i] == 0.0f);
        values[i] = (float)i;
    }
    assert_int_equal(gi8_tensor_write(t, 0, values, sizeof values, &f->error), GI8_OK);
    float three[3];
    assert_int_equal(gi8_tensor_read(t, 68, three, sizeof three, &f->error), GI8_OK);
    assert_true(three[0] == 17.0f && three[2] == 19.0f);
    assert_int_equal(gi8_tensor_read(t, 72, three, sizeof three, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_tensor_write(t, 81, three, 0, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_tensor_write(t, 8, three, SIZE_MAX - 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_tensor_write(t, 80, NULL, 0, &f->error), GI8_OK);
    assert_int_equal(gi8_tensor_write(t, 0, NULL, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_tensor_write(NULL, 0, three, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_tensor_read(view, 0, three, 4, &f->error), GI8_ERR_ARGUMENT);
    gi8_buffer_free(buffer);
}

static void test_buffers(void **state) {
    fixture *f = *state;
    check_buffer(f, &f->mock);
    check_buffer(f, &f->device);
    assert_null(gi8_buffer_create(NULL, 64, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_ARGUMENT);
    assert_null(gi8_buffer_create(&f->mock.base, SIZE_MAX, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_MEMORY);
    f->mock.fail_alloc_in = 0;
    assert_null(gi8_buffer_create(&f->mock.base, 64, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_MEMORY);
    gi8_buffer_free(NULL);
    assert_int_equal(gi8_buffer_size(NULL), 0);

    gi8_buffer *empty = gi8_buffer_create(&f->mock.base, 0, &f->error);
    gi8_tensor *none = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 0);
    assert_int_equal(gi8_buffer_bind(empty, none, 0, &f->error), GI8_OK);
    assert_non_null(none->data);
    gi8_buffer_free(empty);

    float memory[4] = {1.0f, 2.0f, 3.0f, 4.0f}, value = 9.0f; /* memory of the program */
    gi8_tensor *own = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 4);
    assert_int_equal(gi8_tensor_set_data(own, memory), GI8_OK);
    assert_int_equal(gi8_tensor_write(own, 4, &value, 4, &f->error), GI8_OK);
    assert_true(memory[1] == 9.0f);
    assert_int_equal(gi8_tensor_read(own, 12, &value, 4, &f->error), GI8_OK);
    assert_true(value == 4.0f);
}

/* ---- what a plan refuses --------------------------------------------------------------------- */

static void test_arguments(void **state) {
    fixture *f = *state;
    gi8_graph *graph = graph_of(f, three_steps(f, input(f, "x")));
    assert_null(gi8_plan_create(NULL, graph, NULL, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_ARGUMENT);
    assert_refused(f, &f->mock, NULL, GI8_ERR_ARGUMENT, "graph");

    mock_allocator functions;
    mock_allocator_init(&functions);
    gi8_allocator halves[] = {functions.allocator, functions.allocator};
    halves[0].alloc = NULL;
    halves[1].free = NULL;
    for (int i = 0; i < 2; i++) {
        const gi8_plan_params params = {.allocator = &halves[i]};
        assert_null(gi8_plan_create(&f->mock.base, graph, &params, &f->error));
        assert_int_equal(f->error.status, GI8_ERR_ARGUMENT);
    }

    gi8_plan_free(NULL);
    gi8_plan_cancel(NULL);
    assert_int_equal(gi8_plan_execute(NULL, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_get_stats(NULL).n_steps, 0);
    assert_int_equal(gi8_plan_get_outlier_stats(NULL).columns, 0);

    assert_null(gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, -3));
    assert_refused(f, &f->mock, graph, GI8_ERR_ARGUMENT, gi8_context_message(f->ctx));
}

static void test_unsupported_node(void **state) {
    fixture *f = *state;
    gi8_tensor *x = input(f, "x");
    f->mock.refused_op = GI8_OP_SOFT_MAX;
    assert_refused(f, &f->mock, graph_of(f, three_steps(f, x)), GI8_ERR_UNSUPPORTED,
                   "node \"b\" (soft_max): the mock was told to refuse it");
    gi8_tensor *unnamed = gi8_soft_max(f->ctx, gi8_scale(f->ctx, x, 2.0f), NULL, 1.0f);
    assert_refused(f, &f->mock, graph_of(f, unnamed), GI8_ERR_UNSUPPORTED,
                   "node 1 (soft_max): the mock was told to refuse it");
}

static void test_place_of_leaves(void **state) {
    fixture *f = *state;
    static float memory[33];
    gi8_tensor *w = input(f, "w");
    gi8_graph *graph = graph_of(f, gi8_scale(f->ctx, w, 2.0f));

    gi8_tensor_set_data(w, memory);
    gi8_plan_free(plan_of(&f->mock, graph, NULL));
    assert_refused(f, &f->device, graph, GI8_ERR_UNSUPPORTED,
                   "leaf \"w\": its memory is the program's");
    gi8_tensor_set_data(w, (char *)memory + 1);
    assert_refused(f, &f->mock, graph, GI8_ERR_UNSUPPORTED,
                   "leaf \"w\": its memory is not aligned");

    gi8_buffer *on_device = gi8_buffer_create(&f->device.base, 128, NULL);
    gi8_buffer_bind(on_device, w, 0, NULL);
    gi8_plan_free(plan_of(&f->device, graph, NULL));
    assert_refused(f, &f->mock, graph, GI8_ERR_UNSUPPORTED,
                   "leaf \"w\": its buffer belongs to the backend mock device");
    gi8_buffer_free(on_device);

    mock_backend other = mock_host(); /* another backend in host memory */
    gi8_buffer *on_other = gi8_buffer_create(&other.base, 128, NULL);
    gi8_buffer_bind(on_other, w, 0, NULL);
    gi8_plan_free(plan_of(&f->mock, graph, NULL));
    assert_refused(f, &f->device, graph, GI8_ERR_UNSUPPORTED, "belongs to the backend mock host");
    gi8_buffer_free(on_other);
}

/* ---- inputs and outputs ---------------------------------------------------------------------- */

static void fill(float *values, int n, float first) {
    for (int i = 0; i < n; i++) {
        values[i] = first + (float)i / 64.0f;
    }
}

/* The mock's soft_max and the like are made up: what counts is that reading gives what was
 * written. */
static void check_inputs_and_outputs(fixture *f, mock_backend *mock) {
    gi8_tensor *x = input(f, "x");
    gi8_tensor *copy = gi8_set_name(gi8_cont(f->ctx, x), "copy");
    gi8_tensor *part = gi8_set_name(gi8_view_2d(f->ctx, copy, 3, 2, 32, 40), "part");
    gi8_tensor *middle = gi8_set_name(gi8_soft_max(f->ctx, x, NULL, 1.0f), "middle");
    gi8_graph *graph = graph_of(f, copy);
    gi8_graph_add_output(graph, part);
    gi8_graph_add_output(graph, gi8_relu(f->ctx, middle));
    gi8_plan *plan = plan_of(mock, graph, NULL);
    int64_t n_allocs = mock->n_allocs;

    float values[32], read[32];
    assert_int_equal(gi8_plan_read(plan, x, 0, read, sizeof read, &f->error), GI8_OK);
    for (int i = 0; i < 32; i++) {
        assert_true(read[i] == 0.0f);
    }
    fill(values, 32, 1.0f);
    assert_int_equal(gi8_plan_write(plan, x, 0, values, sizeof values, &f->error), GI8_OK);
    for (int run = 0; run < 2; run++) { /* the second time with the input's kept value */
        memset(read, 0, sizeof read);
        assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
        assert_int_equal(gi8_plan_read(plan, copy, 0, read, sizeof read, &f->error), GI8_OK);
        assert_memory_equal(read, values, sizeof values);
        assert_int_equal(gi8_plan_read(plan, x, 0, read, sizeof read, &f->error), GI8_OK);
        assert_memory_equal(read, values, sizeof values);
    }
    values[31] = -5.0f;
    assert_int_equal(gi8_plan_write(plan, x, 124, &values[31], 4, &f->error), GI8_OK);
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    assert_int_equal(gi8_plan_read(plan, copy, 124, read, 4, &f->error), GI8_OK);
    assert_true(read[0] == -5.0f);

    /* A view's bytes, from its first element to behind its last. */
    assert_int_equal(gi8_nbytes(part), 44);
    assert_int_equal(gi8_plan_read(plan, part, 0, read, 44, &f->error), GI8_OK);
    assert_memory_equal(read, values + 10, 44);
    assert_int_equal(gi8_plan_read(plan, part, 4, read, 44, &f->error), GI8_ERR_ARGUMENT);
    assert_non_null(strstr(f->error.message, "\"part\""));

    assert_int_equal(gi8_plan_read(plan, middle, 0, read, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_non_null(strstr(f->error.message, "\"middle\""));
    assert_int_equal(gi8_plan_write(plan, copy, 0, values, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_write(plan, x, 125, values, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_write(plan, x, SIZE_MAX, values, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_write(plan, x, 0, NULL, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_write(plan, x, 128, NULL, 0, &f->error), GI8_OK);
    assert_int_equal(gi8_plan_write(plan, NULL, 0, values, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_write(NULL, x, 0, values, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_read(plan, NULL, 0, read, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_read(NULL, x, 0, read, 4, &f->error), GI8_ERR_ARGUMENT);
    gi8_tensor *stranger = input(f, "stranger");
    assert_int_equal(gi8_plan_write(plan, stranger, 0, values, 4, &f->error), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_plan_read(plan, stranger, 0, read, 4, &f->error), GI8_ERR_ARGUMENT);

    assert_null(gi8_plan_data(plan, middle));
    assert_null(gi8_plan_data(plan, stranger));
    assert_null(gi8_plan_data(plan, NULL));
    assert_null(gi8_plan_data(NULL, x));
    if (gi8_backend_is_host(&mock->base)) {
        float *data = gi8_plan_data(plan, x);
        data[0] = 77.0f;
        assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
        assert_true(((float *)gi8_plan_data(plan, copy))[0] == 77.0f);
        assert_ptr_equal(gi8_plan_data(plan, part), (char *)gi8_plan_data(plan, copy) + 40);
    } else {
        assert_null(gi8_plan_data(plan, x));
        assert_null(gi8_plan_data(plan, copy));
    }
    assert_int_equal(mock->n_allocs, n_allocs); /* one piece of memory, at planning */
    assert_int_equal(n_allocs, 1);
    gi8_plan_free(plan);
}

static void test_inputs_and_outputs(void **state) {
    check_inputs_and_outputs(*state, &((fixture *)*state)->mock);
}

static void test_device_memory(void **state) {
    check_inputs_and_outputs(*state, &((fixture *)*state)->device);
}

static void test_no_reuse_reads_everything(void **state) {
    fixture *f = *state;
    gi8_tensor *x = input(f, "x");
    gi8_tensor *copy = gi8_cont(f->ctx, x);
    gi8_tensor *y = gi8_relu(f->ctx, gi8_scale(f->ctx, copy, 2.0f));
    gi8_plan *plan = plan_of(&f->mock, graph_of(f, y), &(gi8_plan_params){.no_reuse = true});
    float values[32], read[32];
    fill(values, 32, 3.0f);
    gi8_plan_write(plan, x, 0, values, sizeof values, NULL);
    assert_int_equal(gi8_plan_execute(plan, NULL), GI8_OK);
    assert_int_equal(gi8_plan_read(plan, copy, 0, read, sizeof read, &f->error), GI8_OK);
    assert_memory_equal(read, values, sizeof values);
    assert_int_equal(gi8_plan_read(plan, input(f, "stranger"), 0, read, 4, NULL), GI8_ERR_ARGUMENT);
    gi8_plan_free(plan);
}

/* Caches: leaves that a node writes into. They keep what was written, and nothing of them is
 * placed. */
static void check_cache(fixture *f, mock_backend *mock) {
    gi8_buffer *buffer = gi8_buffer_create(&mock->base, 128, NULL);
    gi8_tensor *cache = input(f, "cache");
    gi8_buffer_bind(buffer, cache, 0, NULL);
    gi8_tensor *x = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 8);
    gi8_tensor *stored = gi8_cpy(f->ctx, x, gi8_view_1d(f->ctx, cache, 8, 64));
    gi8_tensor *y = gi8_cont(f->ctx, stored);
    gi8_graph *graph = graph_of(f, y);
    gi8_graph_add_output(graph, stored);
    gi8_graph_add_output(graph, cache);
    gi8_plan *plan = plan_of(mock, graph, NULL);
    assert_int_equal(gi8_plan_get_stats(plan).total_bytes, 64);
    assert_int_equal(gi8_plan_get_stats(plan).input_bytes, 64);

    float values[8], read[32];
    fill(values, 8, 2.0f);
    assert_int_equal(gi8_plan_write(plan, x, 0, values, sizeof values, NULL), GI8_OK);
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    assert_int_equal(gi8_tensor_read(cache, 64, read, 32, NULL), GI8_OK);
    assert_memory_equal(read, values, sizeof values);
    assert_int_equal(gi8_plan_read(plan, y, 0, read, 32, NULL), GI8_OK);
    assert_memory_equal(read, values, sizeof values);
    assert_int_equal(gi8_plan_read(plan, stored, 0, read, 32, NULL), GI8_OK);
    assert_memory_equal(read, values, sizeof values);
    assert_int_equal(gi8_plan_read(plan, cache, 0, read, 128, NULL), GI8_OK);
    assert_memory_equal(read + 16, values, sizeof values);
    assert_true(read[0] == 0.0f && read[24] == 0.0f);
    assert_int_equal(gi8_plan_write(plan, cache, 0, values, 4, NULL), GI8_ERR_ARGUMENT);
    gi8_plan_free(plan);
    gi8_buffer_free(buffer);
}

static void test_caches(void **state) {
    fixture *f = *state;
    check_cache(f, &f->mock);
    check_cache(f, &f->device);
}

static void test_empty_graph(void **state) {
    fixture *f = *state;
    gi8_graph *graph = gi8_graph_create(f->ctx);
    gi8_plan *plan = plan_of(&f->mock, graph, NULL);
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    assert_int_equal(gi8_plan_get_stats(plan).n_steps, 0);
    gi8_plan_free(plan);

    gi8_tensor *x = input(f, "x"); /* an input that is an output, with nothing to compute */
    gi8_tensor *view = gi8_reshape_1d(f->ctx, x, 32);
    graph = graph_of(f, view);
    gi8_graph_add_output(graph, x);
    plan = plan_of(&f->mock, graph, NULL);
    float value = 5.0f, read = 0.0f;
    assert_int_equal(gi8_plan_write(plan, x, 12, &value, 4, NULL), GI8_OK);
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    assert_int_equal(gi8_plan_read(plan, view, 12, &read, 4, NULL), GI8_OK);
    assert_true(read == 5.0f);
    gi8_plan_free(plan);
}

static void test_stats(void **state) {
    fixture *f = *state;
    gi8_plan *plan = plan_of(&f->mock, graph_of(f, three_steps(f, input(f, "x"))), NULL);
    gi8_plan_stats stats = gi8_plan_get_stats(plan);
    assert_int_equal(stats.n_steps, 3);
    assert_int_equal(stats.n_in_place, 1); /* relu */
    assert_int_equal(stats.input_bytes, 128);
    assert_int_equal(stats.peak_bytes, 256);
    assert_int_equal(stats.total_bytes, 384);
    assert_int_equal(stats.scratch_bytes, 4711);
    for (int run = 0; run < 2; run++) { /* of the last execution, not of all */
        assert_int_equal(gi8_plan_execute(plan, NULL), GI8_OK);
        assert_int_equal(gi8_plan_get_outlier_stats(plan).columns, 30);
        assert_int_equal(gi8_plan_get_outlier_stats(plan).outlier_columns, 3);
    }
    gi8_plan_free(plan);
}

/* ---- stopping -------------------------------------------------------------------------------- */

/* A run of three steps, what its callbacks saw, and where they stop it. */
typedef struct run {
    gi8_plan *plan;
    int64_t n_progress;
    int64_t stop_at; /* -1: never */
} run;

static void on_progress(void *user, int64_t done, int64_t total) {
    run *r = user;
    assert_int_equal(done, r->n_progress);
    assert_int_equal(total, 3);
    r->n_progress++;
}

static bool at_stop(void *user) {
    const run *r = user;
    return r->stop_at >= 0 && r->n_progress >= r->stop_at;
}

static void cancel_at_stop(void *user, int64_t step) {
    const run *r = user;
    if (step == r->stop_at) {
        gi8_plan_cancel(r->plan);
    }
}

static void run_stopped(fixture *f, run *r, int64_t steps_expected) {
    int64_t before = f->mock.n_executed;
    r->n_progress = 0;
    gi8_status status = gi8_plan_execute(r->plan, &f->error);
    assert_int_equal(f->mock.n_executed - before, steps_expected);
    assert_int_equal(r->n_progress, steps_expected);
    assert_int_equal(status, steps_expected == 3 ? GI8_OK : GI8_ERR_CANCELLED);
    if (status != GI8_OK) {
        assert_int_equal(f->error.status, GI8_ERR_CANCELLED);
        char words[64];
        snprintf(words, sizeof words, "after %d of 3 steps", (int)steps_expected);
        assert_non_null(strstr(f->error.message, words));
    }
}

static void test_stopping(void **state) {
    fixture *f = *state;
    run r = {.stop_at = -1};
    gi8_plan_params params = {.progress = on_progress, .should_cancel = at_stop, .user = &r};
    gi8_graph *graph = graph_of(f, three_steps(f, input(f, "x")));
    r.plan = plan_of(&f->mock, graph, &params);
    run_stopped(f, &r, 3);
    for (r.stop_at = 0; r.stop_at < 3; r.stop_at++) { /* by the callback */
        run_stopped(f, &r, r.stop_at);
    }
    r.stop_at = -1;
    run_stopped(f, &r, 3); /* and the plan is as good as before */
    gi8_plan_free(r.plan);

    params.should_cancel = NULL; /* by gi8_plan_cancel() while a step runs */
    r.plan = plan_of(&f->mock, graph, &params);
    f->mock.on_step = cancel_at_stop;
    f->mock.user = &r;
    for (r.stop_at = 0; r.stop_at < 3; r.stop_at++) {
        /* The step itself ends; the last one is too late to stop. */
        run_stopped(f, &r, r.stop_at + 1);
    }
    r.stop_at = -1;
    gi8_plan_cancel(r.plan); /* nothing runs: nothing is stopped, nor later */
    run_stopped(f, &r, 3);
    gi8_plan_free(r.plan);
}

static void test_device_errors(void **state) {
    fixture *f = *state;
    gi8_plan *plan = plan_of(&f->mock, graph_of(f, three_steps(f, input(f, "x"))), NULL);
    f->mock.execute_status = GI8_ERR_DEVICE;
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_ERR_DEVICE);
    assert_string_equal(f->error.message, "the mock was told to fail");
    f->mock.execute_status = GI8_OK;
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    gi8_plan_free(plan);
}

/* ---- guards ---------------------------------------------------------------------------------- */

static void check_overrun(fixture *f, gi8_plan *plan, const gi8_tensor *node, int64_t offset,
                          const char *words) {
    f->mock.overrun = node;
    f->mock.overrun_offset = offset;
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_ERR_DEVICE);
    assert_int_equal(f->error.status, GI8_ERR_DEVICE);
    assert_non_null(strstr(f->error.message, words));
    f->mock.overrun = NULL;
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
}

static void test_guards(void **state) {
    fixture *f = *state;
    gi8_tensor *x = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 5);
    gi8_tensor *a = gi8_set_name(gi8_soft_max(f->ctx, x, NULL, 1.0f), "a");
    gi8_tensor *b = gi8_set_name(gi8_scale(f->ctx, a, 2.0f), "b"); /* in place */
    gi8_tensor *c = gi8_set_name(gi8_cpy(f->ctx, x, gi8_cont(f->ctx, b)), "c");
    gi8_tensor *none = gi8_view_1d(f->ctx, c, 0, 0);
    gi8_tensor *d = gi8_set_name(gi8_soft_max(f->ctx, none, NULL, 1.0f), "d"); /* empty */
    gi8_tensor *e = gi8_set_name(gi8_soft_max(f->ctx, c, NULL, 1.0f), "e");
    gi8_graph *graph = graph_of(f, d);
    gi8_graph_add_output(graph, e);
    gi8_plan *plan = plan_of(&f->mock, graph, &(gi8_plan_params){.guard = true});
    assert_int_equal(gi8_plan_get_stats(plan).n_in_place, 1);
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);

    const gi8_tensor *nodes[] = {a, b, c, e};
    const char *words[] = {"\"a\" (soft_max)", "\"b\" (scale)", "\"c\" (cpy)", "\"e\" (soft_max)"};
    for (size_t i = 0; i < 4; i++) {
        check_overrun(f, plan, nodes[i], 20, words[i]); /* one byte behind five floats */
        check_overrun(f, plan, nodes[i], 64, words[i]);
        check_overrun(f, plan, nodes[i], 64 + 63, words[i]);
        check_overrun(f, plan, nodes[i], -1, words[i]);
        check_overrun(f, plan, nodes[i], -64, words[i]);
    }
    check_overrun(f, plan, d, 0, "\"d\" (soft_max)");
    check_overrun(f, plan, d, -1, "\"d\" (soft_max)");
    gi8_plan_free(plan);

    /* Nothing of that on a device, where the host cannot look. */
    plan = plan_of(&f->device, graph, &(gi8_plan_params){.guard = true});
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    gi8_plan_free(plan);
}

/* ---- failing memory -------------------------------------------------------------------------- */

static void test_failing_memory(void **state) {
    fixture *f = *state;
    gi8_graph *graph = graph_of(f, three_steps(f, input(f, "x")));
    mock_allocator allocator;
    mock_allocator_init(&allocator);
    const gi8_plan_params params = {.allocator = &allocator.allocator};

    int64_t n_failures = 0;
    gi8_plan *plan = NULL;
    while (plan == NULL) {
        allocator.fail_in = n_failures;
        plan = gi8_plan_create(&f->mock.base, graph, &params, &f->error);
        if (plan == NULL) {
            n_failures++;
            assert_int_equal(f->error.status, GI8_ERR_MEMORY);
            assert_int_equal(allocator.n_alive, 0);
            assert_int_equal(f->mock.n_alive, 0);
        }
        assert_true(n_failures < 100);
    }
    allocator.fail_in = -1;
    assert_true(n_failures >= 3);
    int64_t n_calls = allocator.n_calls;
    assert_int_equal(gi8_plan_execute(plan, &f->error), GI8_OK);
    assert_int_equal(allocator.n_calls, n_calls); /* executing takes none */
    gi8_plan_free(plan);
    assert_int_equal(allocator.n_alive, 0);

    f->mock.fail_alloc_in = 0;
    assert_null(gi8_plan_create(&f->mock.base, graph, &params, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_MEMORY);
    assert_non_null(strstr(f->error.message, "bytes for inputs and results: the mock has no"));
    assert_int_equal(allocator.n_alive, 0);

    f->mock.fail_prepare = true;
    assert_null(gi8_plan_create(&f->mock.base, graph, &params, &f->error));
    assert_int_equal(f->error.status, GI8_ERR_DEVICE);
    assert_int_equal(allocator.n_alive, 0);
    assert_int_equal(f->mock.n_alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_backend_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unsupported_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_place_of_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inputs_and_outputs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_reuse_reads_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_caches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_graph, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guards, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
