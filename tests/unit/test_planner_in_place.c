/* test_planner_in_place.c - which results take over the memory of a source. */
#include "planner_fixture.h"

typedef struct in_place_case {
    const char *what;
    build_fn *build;
    int64_t expected; /* results in place */
} in_place_case;

/* In each `r` is a result that nothing else reads unless the case says so. */
static gi8_tensor *result(gi8_context *ctx, gi8_tensor *x) {
    return gi8_set_name(gi8_cont(ctx, x), "r");
}

static gi8_tensor *only_reader(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_scale(ctx, result(ctx, x), 2.0f);
}

static gi8_tensor *of_input(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_scale(ctx, x, 2.0f);
}

static gi8_tensor *of_weight(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    static float memory[32];
    (void)extra;
    gi8_tensor *w = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 8, 4);
    gi8_tensor_set_data(w, memory);
    return gi8_add(ctx, w, x);
}

static gi8_tensor *of_output(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    *extra = result(ctx, x);
    return gi8_scale(ctx, *extra, 2.0f);
}

static gi8_tensor *of_viewed_output(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    gi8_tensor *r = result(ctx, x);
    *extra = gi8_view_1d(ctx, r, 8, 32);
    return gi8_scale(ctx, r, 2.0f);
}

static gi8_tensor *read_later(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    gi8_tensor *s = gi8_soft_max(ctx, gi8_scale(ctx, r, 2.0f), NULL, 1.0f);
    return gi8_soft_max(ctx, s, r, 1.0f);
}

static gi8_tensor *read_later_through_view(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    gi8_tensor *s = gi8_soft_max(ctx, gi8_scale(ctx, r, 2.0f), NULL, 1.0f);
    return gi8_soft_max(ctx, s, gi8_view_1d(ctx, r, 8, 32), 1.0f);
}

static gi8_tensor *read_earlier(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    gi8_tensor *early = gi8_soft_max(ctx, r, NULL, 1.0f);
    return gi8_soft_max(ctx, early, gi8_scale(ctx, r, 2.0f), 1.0f);
}

static gi8_tensor *written_later(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    gi8_tensor *r = result(ctx, x);
    gi8_tensor *s = gi8_scale(ctx, r, 2.0f);
    *extra = gi8_cont(ctx, s);
    return gi8_cpy(ctx, gi8_soft_max(ctx, s, NULL, 1.0f), r);
}

static gi8_tensor *of_part(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_scale(ctx, gi8_view_2d(ctx, result(ctx, x), 8, 3, 32, 0), 2.0f);
}

static gi8_tensor *of_later_part(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_scale(ctx, gi8_view_2d(ctx, result(ctx, x), 8, 3, 32, 32), 2.0f);
}

static gi8_tensor *of_reshape(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_scale(ctx, gi8_reshape_1d(ctx, result(ctx, x), 32), 2.0f);
}

static gi8_tensor *of_permuted(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = gi8_reshape_3d(ctx, result(ctx, x), 8, 2, 2);
    return gi8_scale(ctx, gi8_permute(ctx, r, 0, 2, 1, 3), 2.0f);
}

static gi8_tensor *of_written_view(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *w = gi8_cpy(ctx, x, result(ctx, gi8_soft_max(ctx, x, NULL, 1.0f)));
    return gi8_scale(ctx, w, 2.0f);
}

static gi8_tensor *with_itself(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    return gi8_add(ctx, r, r);
}

static gi8_tensor *with_row_of_itself(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    gi8_tensor *r = result(ctx, x);
    return gi8_add(ctx, r, gi8_view_1d(ctx, r, 8, 32));
}

static gi8_tensor *second_source_only(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_add(ctx, x, result(ctx, x));
}

static gi8_tensor *op_without_flag(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_soft_max(ctx, result(ctx, x), NULL, 1.0f);
}

static gi8_tensor *chain(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra) {
    (void)extra;
    return gi8_relu(ctx, gi8_add(ctx, gi8_scale(ctx, result(ctx, x), 2.0f), x));
}

static void test_in_place(void **state) {
    fixture *f = *state;
    static const in_place_case cases[] = {
        {"the only reader of a result", only_reader, 1},
        {"an input", of_input, 0},
        {"a weight", of_weight, 0},
        {"an output", of_output, 0},
        {"a result of which a view is an output", of_viewed_output, 0},
        {"read later", read_later, 0},
        {"read later through a view", read_later_through_view, 0},
        {"read earlier", read_earlier, 1},
        {"written later", written_later, 0},
        {"the first part of a result", of_part, 0},
        {"the last part of a result", of_later_part, 0},
        {"a reshape of all of it", of_reshape, 1},
        {"a permutation of it", of_permuted, 0},
        {"the result of a cpy into all of it", of_written_view, 1},
        {"added to itself", with_itself, 1},
        {"added to a row of itself", with_row_of_itself, 0},
        {"the second source", second_source_only, 0},
        {"an op without the flag", op_without_flag, 0},
        {"a chain of three", chain, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_case(f, cases[i].what, cases[i].build, 0, cases[i].expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
