/* test_planner_fused.c - which nodes join a step, one condition at a time, and where they put what
 * they make. */
#include "planner_fixture.h"

typedef struct fused_case {
    const char *what;
    build_fn *build;
    int64_t fused, in_place; /* nodes, results */
} fused_case;

/* In each a product is the node that others may join, a result is one that neither joins nor is
 * joined. */
static gi8_tensor *product(gi8_context *ctx, gi8_tensor *x) {
    return gi8_soft_max(ctx, x, NULL, 1.0f);
}

static gi8_tensor *result(gi8_context *ctx, gi8_tensor *x) {
    return gi8_cont(ctx, x);
}

static gi8_tensor *activation(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_relu(ctx, product(ctx, x));
}

static gi8_tensor *row(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_add(ctx, product(ctx, x), gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 8));
}

static gi8_tensor *column(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_add(ctx, product(ctx, x), gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 1, 4));
}

static gi8_tensor *scaled(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_scale(ctx, product(ctx, x), 2.0f);
}

static gi8_tensor *input(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_add(ctx, product(ctx, x), gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 8, 4));
}

static gi8_tensor *earlier(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_add(ctx, result(ctx, x), product(ctx, x));
}

static gi8_tensor *later(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_add(ctx, product(ctx, x), result(ctx, x)); /* the last one has the sum join it */
}

static gi8_tensor *later_with_reader(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    gi8_tensor *r = result(ctx, x);
    *extra = product(ctx, r);
    return gi8_add(ctx, product(ctx, x), r);
}

static gi8_tensor *of_output(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    *extra = product(ctx, x);
    return gi8_relu(ctx, *extra);
}

static gi8_tensor *two_readers(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    gi8_tensor *y = product(ctx, x);
    *extra = gi8_cont(ctx, y);
    return gi8_relu(ctx, y);
}

static gi8_tensor *viewed(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    gi8_tensor *y = product(ctx, x);
    *extra = gi8_cont(ctx, gi8_view_1d(ctx, y, 8, 0));
    return gi8_relu(ctx, y);
}

static gi8_tensor *through_view(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_relu(ctx, gi8_reshape_1d(ctx, product(ctx, x), 32));
}

static gi8_tensor *doubled(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *y = product(ctx, x);
    return gi8_add(ctx, y, y);
}

static gi8_tensor *written_between(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *other = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 8, 4);
    return gi8_add(ctx, product(ctx, x), gi8_cpy(ctx, x, other));
}

static gi8_tensor *written_before(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *other = gi8_cpy(ctx, x, gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 8, 4));
    return gi8_add(ctx, other, product(ctx, x));
}

static gi8_tensor *of_written(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_relu(ctx, gi8_cpy(ctx, x, gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 8, 4)));
}

static gi8_tensor *three(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_add(ctx, gi8_relu(ctx, gi8_add(ctx, product(ctx, x), x)), x);
}

static gi8_tensor *four(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    return gi8_relu(ctx, three(ctx, x, extra));
}

static gi8_tensor *sum_of_source(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    return gi8_add(ctx, product(ctx, r), r);
}

static gi8_tensor *sum_of_view_of_source(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    return gi8_add(ctx, product(ctx, r), gi8_reshape_2d(ctx, r, 8, 4));
}

static gi8_tensor *sum_read_later(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    gi8_tensor *r = result(ctx, x);
    gi8_tensor *y = gi8_add(ctx, r, product(ctx, x));
    *extra = gi8_soft_max(ctx, gi8_cont(ctx, y), gi8_view_1d(ctx, r, 8, 0), 1.0f);
    return y;
}

static gi8_tensor *same_twice(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    return gi8_add(ctx, r, gi8_add(ctx, r, product(ctx, x)));
}

static gi8_tensor *and_its_row(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    return gi8_add(ctx, gi8_add(ctx, r, product(ctx, x)), gi8_view_1d(ctx, r, 8, 32));
}

static gi8_tensor *node_in_place(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_relu(ctx, gi8_scale(ctx, result(ctx, x), 2.0f));
}

static gi8_tensor *node_and_sum(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    return gi8_add(ctx, gi8_scale(ctx, r, 2.0f), r);
}

static void test_cases(void **state) {
    fixture *f = *state;
    static const fused_case cases[] = {
        {"an activation", activation, 1, 0},
        {"a row added to all rows", row, 1, 0},
        {"a column added to all columns", column, 0, 1},
        {"an operation of another kind", scaled, 0, 1},
        {"an input is added", input, 1, 0},
        {"an earlier result is added, as the first source", earlier, 1, 1},
        {"a later result is added, as the second source", later, 1, 1},
        {"a later result that others read is added", later_with_reader, 0, 1},
        {"an output between", of_output, 0, 0},
        {"another reader", two_readers, 0, 0},
        {"a view", viewed, 0, 0},
        {"the reader of a view", through_view, 0, 1},
        {"both sources", doubled, 0, 1},
        {"written to, between product and sum", written_between, 0, 1},
        {"written to, before the product", written_before, 1, 0},
        {"a node that writes into a source", of_written, 0, 0},
        {"three nodes", three, 3, 0},
        {"four nodes: three fit", four, 3, 1},
        {"the product's source is added", sum_of_source, 1, 0},
        {"a view of the product's source is added", sum_of_view_of_source, 1, 0},
        {"what is added is read later", sum_read_later, 1, 0},
        {"the same is added twice", same_twice, 2, 1},
        {"a result and a row of it are added", and_its_row, 2, 0},
        {"behind a node in place", node_in_place, 1, 1},
        {"the source of a node in place is added", node_and_sum, 1, 0},
    };
    f->mock.fuses = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_case(f, cases[i].what, cases[i].build, cases[i].fused, cases[i].in_place);
    }
}

/* Where a step wrote outside its result, the sentence names both ends of it. */
static void test_overrun(void **state) {
    fixture *f = *state;
    f->mock.fuses = true;
    gi8_tensor *x = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 8, 4);
    gi8_tensor *a = gi8_set_name(product(f->ctx, x), "a");
    gi8_tensor *y = gi8_set_name(gi8_relu(f->ctx, a), "y");
    gi8_graph *graph = graph_of(f, y);
    gi8_plan *plan = plan_of(&f->mock, graph, &(gi8_plan_params){.guard = true});
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gi8_plan_get_stats(plan).n_steps, 1);
    f->mock.overrun = a;
    f->mock.overrun_offset = 128;
    assert_int_equal(gi8_plan_execute(plan, &error), GI8_ERR_DEVICE);
    assert_string_equal(error.message, "node \"a\" (soft_max) fused up to node \"y\" (activation): "
                                       "wrote outside its result");
    gi8_plan_free(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overrun, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
