/* test_graph.c - the order of nodes, depth, exhausted arenas, dumps. */
#include "graph_fixture.h"

#include "test_seed.h"

/* ---- order ----------------------------------------------------------------------------------- */

static int64_t position_of(const gi8_graph *graph, const gi8_tensor *t) {
    for (int64_t i = 0; i < gi8_graph_n_nodes(graph); i++) {
        if (gi8_graph_node(graph, i) == t) {
            return i;
        }
    }
    return -1;
}

static bool is_leaf_of(const gi8_graph *graph, const gi8_tensor *t) {
    for (int64_t i = 0; i < gi8_graph_n_leaves(graph); i++) {
        if (gi8_graph_leaf(graph, i) == t) {
            return true;
        }
    }
    return false;
}

/* Every node stands behind what it needs, and nothing is listed twice. */
static void assert_well_formed(const gi8_graph *graph) {
    for (int64_t i = 0; i < gi8_graph_n_nodes(graph); i++) {
        const gi8_tensor *t = gi8_graph_node(graph, i);
        assert_int_not_equal(t->op, GI8_OP_NONE);
        assert_int_equal(position_of(graph, t), i);
        for (int s = 0; s <= GI8_MAX_SRC; s++) {
            const gi8_tensor *needed = s < GI8_MAX_SRC ? t->src[s] : t->view_src;
            if (needed != NULL && needed->op == GI8_OP_NONE) {
                assert_true(is_leaf_of(graph, needed));
            } else if (needed != NULL) {
                assert_in_range(position_of(graph, needed), 0, i - 1);
            }
        }
    }
    for (int64_t i = 0; i < gi8_graph_n_leaves(graph); i++) {
        assert_int_equal(gi8_graph_leaf(graph, i)->op, GI8_OP_NONE);
        for (int64_t k = 0; k < i; k++) {
            assert_ptr_not_equal(gi8_graph_leaf(graph, k), gi8_graph_leaf(graph, i));
        }
    }
}

static void test_order(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = f32(ctx, 4, 1, 1, 1);
    gi8_tensor *b = f32(ctx, 4, 1, 1, 1);
    gi8_tensor *unused = gi8_relu(ctx, b);
    gi8_tensor *left = gi8_scale(ctx, a, 2.0f);
    gi8_tensor *right = gi8_scale(ctx, b, 3.0f);
    gi8_tensor *sum = gi8_add(ctx, right, left);
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_n_nodes(graph), 0);
    assert_int_equal(gi8_graph_add_output(graph, sum), GI8_OK);
    /* Sources in the order of src[]: first what `right` needs. */
    gi8_tensor *const nodes[] = {right, left, sum};
    gi8_tensor *const leaves[] = {b, a};
    assert_int_equal(gi8_graph_n_nodes(graph), 3);
    assert_int_equal(gi8_graph_n_leaves(graph), 2);
    assert_int_equal(gi8_graph_n_outputs(graph), 1);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(gi8_graph_node(graph, i), nodes[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(gi8_graph_leaf(graph, i), leaves[i]);
    }
    assert_ptr_equal(gi8_graph_output(graph, 0), sum);
    assert_int_equal(position_of(graph, unused), -1);
    gi8_context_free(ctx);
}

static void test_several_outputs(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *x = f32(ctx, 4, 1, 1, 1);
    gi8_tensor *y = gi8_relu(ctx, x);
    gi8_tensor *z = gi8_gelu(ctx, y);
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_tensor *const order[] = {z, y, z, x, y, x};
    const int64_t n_outputs[] = {1, 2, 2, 3, 3, 3};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(gi8_graph_add_output(graph, order[i]), GI8_OK);
        assert_int_equal(gi8_graph_n_outputs(graph), n_outputs[i]);
        assert_int_equal(gi8_graph_n_nodes(graph), 2);
        assert_int_equal(gi8_graph_n_leaves(graph), 1);
    }
    assert_ptr_equal(gi8_graph_output(graph, 0), z);
    assert_ptr_equal(gi8_graph_output(graph, 1), y);
    assert_ptr_equal(gi8_graph_output(graph, 2), x); /* a leaf may be one */
    gi8_tensor *more = gi8_silu(ctx, z);
    assert_int_equal(gi8_graph_add_output(graph, more), GI8_OK);
    assert_int_equal(gi8_graph_n_nodes(graph), 3);
    assert_ptr_equal(gi8_graph_node(graph, 2), more);
    assert_well_formed(graph);
    gi8_context_free(ctx);
}

static void test_null_and_range(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_tensor *x = f32(ctx, 1, 1, 1, 1);
    assert_int_equal(gi8_graph_add_output(NULL, x), GI8_ERR_ARGUMENT);
    assert_int_equal(gi8_graph_n_nodes(NULL), 0);
    assert_int_equal(gi8_graph_n_leaves(NULL), 0);
    assert_int_equal(gi8_graph_n_outputs(NULL), 0);
    assert_null(gi8_graph_node(NULL, 0));
    assert_null(gi8_graph_leaf(NULL, 0));
    assert_null(gi8_graph_output(NULL, 0));
    assert_int_equal(gi8_graph_add_output(graph, x), GI8_OK);
    assert_null(gi8_graph_leaf(graph, 1));
    assert_null(gi8_graph_leaf(graph, -1));
    assert_null(gi8_graph_output(graph, INT64_MAX));
    assert_null(gi8_graph_node(graph, INT64_MIN));
    assert_int_equal(gi8_graph_add_output(graph, NULL), GI8_ERR_ARGUMENT);
    assert_string_equal(gi8_context_message(ctx), "graph_add_output: output is NULL");
    assert_int_equal(gi8_graph_add_output(graph, x), GI8_ERR_ARGUMENT); /* sticky */
    gi8_context_clear_error(ctx);
    assert_null(gi8_relu(ctx, f32(ctx, -1, 1, 1, 1)));
    assert_int_equal(gi8_graph_add_output(graph, NULL), GI8_ERR_SHAPE); /* the first error */
    gi8_context_free(ctx);
}

/* What is written through a view comes before what reads the result, and the root is there. */
static void test_views_and_writes(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *x = f32(ctx, 8, 4, 1, 1);
    gi8_tensor *root = gi8_relu(ctx, x);
    gi8_tensor *row = gi8_view_1d(ctx, gi8_reshape_1d(ctx, root, 32), 8, 32);
    gi8_tensor *stored = gi8_cpy(ctx, f32(ctx, 8, 1, 1, 1), row);
    gi8_tensor *y = gi8_gelu(ctx, stored);
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    assert_well_formed(graph);
    assert_ptr_equal(stored->view_src, root);
    assert_int_equal(gi8_graph_n_nodes(graph), 5);
    assert_in_range(position_of(graph, stored), position_of(graph, row) + 1,
                    position_of(graph, y) - 1);
    gi8_context_free(ctx);
}

/* Sources of another context, as weights are. */
static void test_two_contexts(void **state) {
    (void)state;
    gi8_context *weights = new_context();
    gi8_context *ctx = new_context();
    gi8_tensor *w = f32(weights, 8, 3, 1, 1);
    gi8_tensor before = *w;
    gi8_tensor *y = gi8_mul_mat(ctx, w, f32(ctx, 8, 2, 1, 1));
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    assert_ptr_equal(gi8_graph_leaf(graph, 0), w);
    assert_memory_equal(&before, w, sizeof before);
    gi8_context_free(ctx);
    assert_int_equal(w->ne[0], 8);
    gi8_context_free(weights);
}

/* ---- size and shape of graphs ---------------------------------------------------------------- */

static void test_chain_of_a_million_nodes(void **state) {
    (void)state;
    enum { N = 1000000 };
    gi8_context *ctx = new_context();
    gi8_tensor *x = f32(ctx, 4, 1, 1, 1);
    gi8_tensor *y = x;
    for (int i = 0; i < N; i++) {
        y = gi8_scale(ctx, y, 0.5f);
    }
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    assert_int_equal(gi8_graph_n_nodes(graph), N);
    assert_int_equal(gi8_graph_n_leaves(graph), 1);
    for (int64_t i = 0; i < N; i++) {
        const gi8_tensor *node = gi8_graph_node(graph, i);
        assert_ptr_equal(node->src[0], i == 0 ? x : gi8_graph_node(graph, i - 1));
    }
    gi8_context_free(ctx);
}

/* Sixty diamonds in a row have 2^60 paths: each tensor must be visited once. */
static void test_diamonds(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *y = f32(ctx, 4, 1, 1, 1);
    for (int i = 0; i < 60; i++) {
        y = gi8_add(ctx, gi8_relu(ctx, y), gi8_gelu(ctx, y));
    }
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    assert_int_equal(gi8_graph_n_nodes(graph), 180);
    assert_well_formed(graph);
    gi8_context_free(ctx);
}

static void test_one_source_twice(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *y = f32(ctx, 4, 1, 1, 1);
    for (int i = 0; i < 60; i++) {
        y = gi8_mul(ctx, y, y);
    }
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    assert_int_equal(gi8_graph_n_nodes(graph), 60);
    gi8_context_free(ctx);
}

typedef struct reference_order {
    const gi8_tensor *nodes[400];
    int n;
} reference_order;

/* The definition: sources first, in their order, then the tensor. */
static void walk(reference_order *order, const gi8_tensor *t) {
    for (int i = 0; i < order->n; i++) {
        if (order->nodes[i] == t) {
            return;
        }
    }
    for (int s = 0; s < GI8_MAX_SRC; s++) {
        if (t->src[s] != NULL) {
            walk(order, t->src[s]);
        }
    }
    if (t->op != GI8_OP_NONE) {
        order->nodes[order->n++] = t;
    }
}

static void test_random_graphs(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(3);
    for (int round = 0; round < 200; round++) {
        gi8_context *ctx = new_context();
        gi8_tensor *tensors[200];
        const int64_t n = test_rng_int(&rng, 4, 200);
        for (int64_t i = 0; i < n; i++) {
            gi8_tensor *a = i == 0 ? NULL : tensors[test_rng_int(&rng, 0, i - 1)];
            gi8_tensor *b = i == 0 ? NULL : tensors[test_rng_int(&rng, 0, i - 1)];
            const int64_t kind = i < 3 ? 0 : test_rng_int(&rng, 0, 4);
            tensors[i] = kind == 0   ? f32(ctx, 4, 4, 1, 1)
                         : kind == 1 ? gi8_relu(ctx, a)
                         : kind == 2 ? gi8_reshape_2d(ctx, a, 4, 4)
                                     : gi8_add(ctx, a, b);
        }
        assert_ctx_ok(ctx);
        gi8_graph *graph = gi8_graph_create(ctx);
        reference_order order = {.n = 0};
        for (int k = 0; k < 3; k++) {
            gi8_tensor *output = tensors[test_rng_int(&rng, 0, n - 1)];
            assert_int_equal(gi8_graph_add_output(graph, output), GI8_OK);
            walk(&order, output);
        }
        assert_int_equal(gi8_graph_n_nodes(graph), order.n);
        for (int i = 0; i < order.n; i++) {
            assert_ptr_equal(gi8_graph_node(graph, i), order.nodes[i]);
        }
        assert_well_formed(graph);
        gi8_context_free(ctx);
    }
}

/* ---- exhausted arenas ------------------------------------------------------------------------ */

static size_t smallest_arena(void) {
    gi8_context *ctx = new_context();
    const size_t size = gi8_context_used(ctx);
    gi8_context_free(ctx);
    return size;
}

/* A model and its graph in arenas of every size, until one is large enough: each allocation is the
 * one that fails at least once. The memory ends where the arena does, so that a sanitizer sees
 * overruns. */
static void test_arenas_of_every_size(void **state) {
    (void)state;
    int n_failures = 0;
    for (size_t size = smallest_arena();; size += 16) {
        void *memory = malloc(size);
        assert_non_null(memory);
        gi8_context *ctx =
            gi8_context_create(&(gi8_context_params){.size = size, .buffer = memory}, NULL);
        assert_non_null(ctx);
        gi8_graph *graph = gi8_graph_create(ctx);
        gi8_tensor *y = build_model(ctx, 2, 5);
        const gi8_status status =
            graph == NULL ? gi8_context_status(ctx) : gi8_graph_add_output(graph, y);
        const bool done = status == GI8_OK;
        if (!done) {
            n_failures++;
            assert_int_equal(status, GI8_ERR_ARENA_FULL);
            assert_int_equal(gi8_context_status(ctx), GI8_ERR_ARENA_FULL);
            assert_non_null(strstr(gi8_context_message(ctx), " bytes are needed, "));
            gi8_context_clear_error(ctx);
            assert_true(gi8_context_used(ctx) <= size);
            if (y != NULL) {
                /* A failed output leaves the graph as it was. */
                assert_int_equal(gi8_graph_n_nodes(graph), 0);
                assert_int_equal(gi8_graph_n_leaves(graph), 0);
            }
            gi8_context_reset(ctx);
            assert_int_equal(gi8_context_used(ctx), smallest_arena());
            if (size >= smallest_arena() + 256) {
                assert_non_null(f32(ctx, 1, 1, 1, 1));
            }
        }
        gi8_context_free(ctx);
        free(memory);
        if (done) {
            break;
        }
    }
    assert_in_range(n_failures, 100, 100000);
}

/* Fails to add one output to a graph that has another, and finds the graph whole. */
static void test_failed_output_changes_nothing(void **state) {
    (void)state;
    int n_failures = 0;
    int n_fits = 0;
    for (size_t spare = 0;; spare += 16) {
        gi8_context *large = new_context(); /* where the tensors are */
        gi8_tensor *first = build_model(large, 1, 3);
        gi8_tensor *second = build_layer(large, first, i32(large, 3), i32(large, 3), 3);
        gi8_context *measure = new_context();
        assert_int_equal(gi8_graph_add_output(gi8_graph_create(measure), first), GI8_OK);
        const size_t size = gi8_context_used(measure) + spare;
        gi8_context_free(measure);

        gi8_context *ctx =
            gi8_context_create(&(gi8_context_params){.size = size, .fixed = true}, NULL);
        gi8_graph *graph = gi8_graph_create(ctx);
        assert_int_equal(gi8_graph_add_output(graph, first), GI8_OK);
        const int64_t n_nodes = gi8_graph_n_nodes(graph);
        const int64_t n_leaves = gi8_graph_n_leaves(graph);
        const size_t used = gi8_context_used(ctx);
        const bool done = gi8_graph_add_output(graph, second) == GI8_OK;
        if (!done) {
            n_failures++;
            assert_int_equal(gi8_context_status(ctx), GI8_ERR_ARENA_FULL);
            gi8_context_clear_error(ctx);
            assert_int_equal(gi8_graph_n_nodes(graph), n_nodes);
            assert_int_equal(gi8_graph_n_leaves(graph), n_leaves);
            assert_int_equal(gi8_graph_n_outputs(graph), 1);
            assert_int_equal(gi8_context_used(ctx), used);
            assert_well_formed(graph);
            /* The set of tensors was put back too: nothing is listed a second time. */
            assert_int_equal(gi8_graph_add_output(graph, first), GI8_OK);
            assert_int_equal(gi8_graph_add_output(graph, first->src[1]), GI8_OK);
            assert_int_equal(gi8_graph_n_nodes(graph), n_nodes);
            assert_int_equal(gi8_graph_n_outputs(graph), 2);
            /* Nor is anything taken for listed: what the walk had met first is listed now. */
            gi8_tensor *met = second->src[0];
            assert_int_equal(met->op, GI8_OP_NONE);
            const bool fits = gi8_graph_add_output(graph, met) == GI8_OK;
            assert_int_equal(is_leaf_of(graph, met), fits);
            n_fits += fits;
        }
        assert_well_formed(graph);
        gi8_context_free(ctx);
        gi8_context_free(large);
        if (done) {
            break;
        }
    }
    assert_in_range(n_failures, 5, 100000);
    assert_in_range(n_fits, 1, 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_several_outputs),
        cmocka_unit_test(test_null_and_range),
        cmocka_unit_test(test_views_and_writes),
        cmocka_unit_test(test_two_contexts),
        cmocka_unit_test(test_chain_of_a_million_nodes),
        cmocka_unit_test(test_diamonds),
        cmocka_unit_test(test_one_source_twice),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_arenas_of_every_size),
        cmocka_unit_test(test_failed_output_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
