/* test_planner.c - where plans put results: random graphs, and how memory is reused. */
#include "planner_fixture.h"

/* ---- figures, counted the slow way ----------------------------------------------------------- */

static bool is_output_root(const gi8_graph *graph, const gi8_tensor *root) {
    for (int64_t i = 0; i < gi8_graph_n_outputs(graph); i++) {
        if (root_of(gi8_graph_output(graph, i)) == root) {
            return true;
        }
    }
    return false;
}

/* The last step that uses the result of step `s`. */
static int64_t last_use(const gi8_graph *graph, const gi8_plan_view *view, int64_t s) {
    const gi8_tensor *root = result_of(&view->steps[s]);
    int64_t last = s;
    for (int64_t r = s; r < view->n_steps; r++) {
        const gi8_step *reader = &view->steps[r];
        for (int i = 0; i < GI8_MAX_SRC + reader->n_fused; i++) {
            const gi8_tensor *src = i < GI8_MAX_SRC ? reader->node->src[i]
                                                    : reader->fused[i - GI8_MAX_SRC].other;
            last = src != NULL && root_of(src) == root ? r : last;
        }
    }
    return is_output_root(graph, root) ? view->n_steps : last;
}

/* The most bytes of results in use at one step; what shares an address at that step counts once. */
static size_t slow_peak(const gi8_graph *graph, const gi8_plan_view *view) {
    size_t peak = 0;
    int64_t *last = calloc((size_t)view->n_steps + 1, sizeof *last);
    assert_non_null(last);
    for (int64_t s = 0; s < view->n_steps; s++) {
        last[s] = last_use(graph, view, s);
    }
    for (int64_t now = 0; now < view->n_steps; now++) {
        size_t bytes = 0;
        for (int64_t s = 0; s <= now; s++) {
            const gi8_step *step = &view->steps[s];
            /* By the result of this very step, in place. */
            bool taken_over = s != now && step->dst == view->steps[now].dst &&
                              !writes_into_source(view->steps[now].node) &&
                              gi8_nbytes(step->node) == gi8_nbytes(view->steps[now].node);
            if (last[s] >= now && !taken_over && !writes_into_source(step->node)) {
                bytes += aligned(gi8_nbytes(step->node));
            }
        }
        peak = bytes > peak ? bytes : peak;
    }
    free(last);
    return peak;
}

/* ---- random graphs --------------------------------------------------------------------------- */

#define MAX_POOL 96

typedef struct pool {
    gi8_tensor *at[MAX_POOL];
    int n;
    int n_leaves;
    float *weights[MAX_POOL]; /* memory of leaves that have their own; NULL for inputs */
} pool;

static gi8_tensor *pick(pool *p, test_rng *rng) {
    return p->at[test_rng_int(rng, 0, p->n - 1)];
}

static void add_leaves(gi8_context *ctx, pool *p, test_rng *rng) {
    static const int64_t shapes[][4] = {{8, 4, 1, 1}, {8, 1, 1, 1},  {4, 8, 1, 1}, {8, 4, 1, 1},
                                        {8, 2, 2, 1}, {40, 3, 1, 1}, {8, 0, 1, 1}, {1, 1, 1, 1}};
    p->n_leaves = (int)test_rng_int(rng, 1, 5);
    for (int i = 0; i < p->n_leaves; i++) {
        const int64_t *ne = shapes[test_rng_int(rng, 0, 7)];
        gi8_tensor *leaf = gi8_new_tensor(ctx, GI8_TYPE_F32, 4, ne);
        if (test_rng_int(rng, 0, 1) == 0) {
            p->weights[i] = calloc((size_t)gi8_nelements(leaf) + 1, sizeof(float));
            assert_non_null(p->weights[i]);
            gi8_tensor_set_data(leaf, p->weights[i]);
        }
        p->at[p->n++] = leaf;
    }
}

/* One more node, of a random kind; NULL where it does not fit what was picked. */
static gi8_tensor *random_node(gi8_context *ctx, pool *p, test_rng *rng) {
    gi8_tensor *a = pick(p, rng);
    gi8_tensor *b = pick(p, rng);
    int64_t n = gi8_nelements(a);
    switch (test_rng_int(rng, 0, 15)) {
    case 0:
    case 1:
        return gi8_scale(ctx, a, 0.5f);
    case 2:
        return gi8_relu(ctx, a);
    case 3:
        return gi8_cont(ctx, a);
    case 4:
        return gi8_soft_max(ctx, a, NULL, 1.0f);
    case 5:
    case 6:
        return gi8_add(ctx, a, b);
    case 7:
        return gi8_add(ctx, a, a);
    case 8: /* with a row of itself */
        return gi8_add(ctx, a, gi8_view_1d(ctx, a, a->ne[0], 0));
    case 9:
        return gi8_mul(ctx, a, gi8_reshape_4d(ctx, a, a->ne[0], a->ne[1], a->ne[2], a->ne[3]));
    case 10:
        return gi8_reshape_2d(ctx, a, n / 4, 4);
    case 11:
        return gi8_view_1d(ctx, a, n / 2, (size_t)(n - n / 2) * sizeof(float));
    case 12:
        return gi8_permute(ctx, a, 0, 2, 1, 3);
    case 13:
        return gi8_cont(ctx, gi8_transpose(ctx, a));
    default:
        return gi8_cpy(ctx, a, b);
    }
}

static gi8_graph *random_graph(fixture *f, pool *p, test_rng *rng) {
    add_leaves(f->ctx, p, rng);
    int n_tries = (int)test_rng_int(rng, 1, 80);
    for (int i = 0; i < n_tries && p->n < MAX_POOL; i++) {
        gi8_tensor *node = random_node(f->ctx, p, rng);
        if (node != NULL) {
            p->at[p->n] = gi8_set_name(node, "n%d", p->n);
            p->n++;
        }
        gi8_context_clear_error(f->ctx);
    }
    gi8_tensor *outputs[4];
    int n_outputs = (int)test_rng_int(rng, 1, 4);
    for (int i = 0; i < n_outputs; i++) {
        outputs[i] = i == 0 ? p->at[p->n - 1] : pick(p, rng);
    }
    return graph_of_all(f, n_outputs, outputs);
}

static void free_weights(pool *p) {
    for (int i = 0; i < p->n_leaves; i++) {
        free(p->weights[i]);
    }
}

static void test_random_graphs(void **state) {
    fixture *f = *state;
    test_rng rng = test_rng_seeded(20220815);
    int64_t n_steps = 0, n_fused = 0, n_in_place = 0, n_writes = 0;
    size_t peak = 0, memory = 0;
    for (int round = 0; round < 600; round++) {
        pool p = {0};
        f->mock.fuses = round % 4 != 0;
        gi8_graph *graph = random_graph(f, &p, &rng);
        gi8_plan *reusing = plan_of(&f->mock, graph, NULL);
        const gi8_plan_view *view = f->mock.plan;
        gi8_plan_stats stats = gi8_plan_get_stats(reusing);
        check_lifetimes(reusing, graph, view);
        assert_int_equal(stats.n_steps, view->n_steps);
        assert_int_equal(stats.peak_bytes, slow_peak(graph, view));
        assert_true(stats.peak_bytes <= stats.memory_bytes);
        assert_true(stats.peak_bytes <= stats.total_bytes);

        gi8_plan *apart =
            plan_of(&f->mock, graph, &(gi8_plan_params){.no_reuse = true, .guard = true});
        gi8_plan_stats apart_stats = gi8_plan_get_stats(apart);
        check_lifetimes(apart, graph, f->mock.plan);
        assert_int_equal(apart_stats.n_in_place, 0);
        assert_int_equal(apart_stats.n_fused, 0);
        assert_int_equal(apart_stats.n_steps, stats.n_steps + stats.n_fused);
        assert_int_equal(apart_stats.peak_bytes, apart_stats.total_bytes);
        assert_int_equal(apart_stats.total_bytes, stats.total_bytes);
        assert_int_equal(apart_stats.input_bytes, stats.input_bytes);
        compare_plans(reusing, apart, graph);

        n_steps += stats.n_steps;
        n_fused += stats.n_fused;
        n_in_place += stats.n_in_place;
        for (int64_t s = 0; s < view->n_steps; s++) {
            n_writes += writes_into_source(view->steps[s].node);
        }
        peak += stats.peak_bytes;
        memory += stats.memory_bytes;
        gi8_plan_free(reusing);
        gi8_plan_free(apart);
        free_weights(&p);
        gi8_context_reset(f->ctx);
    }
    printf("steps %lld, fused %lld, in place %lld, writes %lld; bytes: lower bound %zu, with gaps "
           "%zu\n",
           (long long)n_steps, (long long)n_fused, (long long)n_in_place, (long long)n_writes, peak,
           memory);
    /* The generator reaches what it is for. */
    assert_true(n_fused > 100 && n_in_place > 100 && n_writes > 100);
}

/* Two results are alive at a time, however long the chain. */
static void test_long_chain(void **state) {
    fixture *f = *state;
    const int64_t n = 200000;
    gi8_tensor *t = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 16);
    for (int64_t i = 0; i < n; i++) {
        t = gi8_soft_max(f->ctx, t, NULL, 1.0f);
    }
    gi8_plan *plan = plan_of(&f->mock, graph_of(f, t), NULL);
    gi8_plan_stats stats = gi8_plan_get_stats(plan);
    assert_int_equal(stats.n_steps, n);
    assert_int_equal(stats.peak_bytes, 128);
    assert_int_equal(stats.total_bytes, 64 * n);
    assert_true(stats.memory_bytes <= 2 * 128); /* twice with guards */
    gi8_plan_free(plan);
}

static void *dst_of(const gi8_plan_view *view, const gi8_tensor *node) {
    for (int64_t s = 0; s < view->n_steps; s++) {
        if (view->steps[s].node == node) {
            return view->steps[s].dst;
        }
    }
    return NULL;
}

/* Free ranges that touch become one: where two small results were, a large one finds room. */
static void test_ranges_join(void **state) {
    fixture *f = *state;
    for (int first_freed = 0; first_freed < 2; first_freed++) {
        gi8_tensor *x = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 16);
        gi8_tensor *large = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 16, 2);
        gi8_tensor *small[2] = {gi8_cont(f->ctx, x), gi8_soft_max(f->ctx, x, NULL, 1.0f)};
        gi8_tensor *outputs[4] = {gi8_layer_norm(f->ctx, large, small[0], small[1], 0.0f),
                                  gi8_add(f->ctx, large, small[first_freed]),
                                  gi8_add(f->ctx, large, small[1 - first_freed]),
                                  gi8_soft_max(f->ctx, large, NULL, 1.0f)};
        gi8_plan *plan = plan_of(&f->mock, graph_of_all(f, 4, outputs), NULL);
        assert_ptr_equal(dst_of(f->mock.plan, outputs[3]), dst_of(f->mock.plan, small[0]));
        gi8_plan_free(plan);
        gi8_context_reset(f->ctx);
    }
}

/* Of two ranges the one that fits better is taken, though it lies behind the other. */
static void test_best_fit(void **state) {
    fixture *f = *state;
    gi8_tensor *x = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 16);
    gi8_tensor *y = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 16, 2);
    gi8_tensor *large = gi8_cont(f->ctx, y);
    gi8_tensor *between = gi8_cont(f->ctx, x);
    gi8_tensor *small = gi8_relu(f->ctx, x);
    gi8_tensor *outputs[5] = {gi8_layer_norm(f->ctx, large, between, small, 0.0f),
                              gi8_add(f->ctx, y, small), gi8_soft_max(f->ctx, large, NULL, 1.0f),
                              gi8_scale(f->ctx, x, 2.0f), gi8_add(f->ctx, y, between)};
    gi8_plan *plan = plan_of(&f->mock, graph_of_all(f, 5, outputs), NULL);
    assert_ptr_equal(dst_of(f->mock.plan, outputs[3]), dst_of(f->mock.plan, small));
    assert_ptr_equal(dst_of(f->mock.plan, outputs[4]), dst_of(f->mock.plan, large));
    gi8_plan_free(plan);
}

static void test_deterministic(void **state) {
    fixture *f = *state;
    test_rng rng = test_rng_seeded(7);
    for (int round = 0; round < 50; round++) {
        pool p = {0};
        gi8_graph *graph = random_graph(f, &p, &rng);
        gi8_plan *one = plan_of(&f->mock, graph, NULL);
        const gi8_plan_view *one_view = f->mock.plan;
        gi8_plan *two = plan_of(&f->mock, graph, NULL);
        const gi8_plan_view *two_view = f->mock.plan;
        ptrdiff_t shift = 0;
        for (int64_t s = 0; s < one_view->n_steps; s++) {
            if (root_of(one_view->steps[s].node)->data != NULL) {
                continue;
            }
            ptrdiff_t found = (char *)two_view->steps[s].dst - (char *)one_view->steps[s].dst;
            assert_true(shift == 0 || found == shift);
            shift = found;
        }
        gi8_plan_free(one);
        gi8_plan_free(two);
        free_weights(&p);
        gi8_context_reset(f->ctx);
    }
}

/* Empty tensors have an address, wherever they stand. */
static void test_empty_tensors(void **state) {
    fixture *f = *state;
    gi8_tensor *x = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 0, 4);
    gi8_tensor *y = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 4, 0);
    gi8_tensor *outputs[2] = {gi8_soft_max(f->ctx, gi8_scale(f->ctx, x, 2.0f), NULL, 1.0f),
                              gi8_reshape_1d(f->ctx, gi8_cont(f->ctx, y), 0)};
    gi8_graph *graph = graph_of_all(f, 2, outputs);
    gi8_plan *plan = plan_of(&f->mock, graph, NULL);
    check_lifetimes(plan, graph, f->mock.plan);
    assert_int_equal(gi8_plan_get_stats(plan).peak_bytes, 0);
    assert_int_equal(gi8_plan_get_stats(plan).input_bytes, 0);
    assert_int_equal(gi8_plan_execute(plan, NULL), GI8_OK);
    assert_non_null(gi8_plan_data(plan, outputs[0]));
    assert_non_null(gi8_plan_data(plan, outputs[1]));
    assert_int_equal(gi8_plan_read(plan, outputs[0], 0, NULL, 0, NULL), GI8_OK);
    gi8_plan_free(plan);
}

/* Sums of sizes that no memory can have. */
static void test_overflow(void **state) {
    fixture *f = *state;
    gi8_tensor *x = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, INT64_C(1) << 60);
    gi8_tensor *y = gi8_soft_max(f->ctx, gi8_soft_max(f->ctx, x, NULL, 1.0f), NULL, 1.0f);
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gi8_plan_create(&f->mock.base, graph_of(f, y), NULL, &error));
    assert_int_equal(error.status, GI8_ERR_MEMORY);
    assert_int_equal(f->mock.n_allocs, 0); /* it never came to asking */

    gi8_tensor *inputs[3];
    for (int i = 0; i < 3; i++) {
        inputs[i] = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, INT64_C(1) << 60);
    }
    assert_null(gi8_plan_create(&f->mock.base, graph_of_all(f, 3, inputs), NULL, &error));
    assert_int_equal(error.status, GI8_ERR_MEMORY);
    assert_int_equal(f->mock.n_allocs, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_graphs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges_join, setup, teardown),
        cmocka_unit_test_setup_teardown(test_best_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deterministic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
