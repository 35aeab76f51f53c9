/* test_planner.c - where plans put results: whatever a step reads must be what was written
 * there.
 *
 * Most tests look at the addresses of the steps, as a backend sees them, and keep a list of
 * which root owns which bytes; nothing here knows how the planner chooses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mock_backend.h"
#include "test_seed.h"

#define KIB ((size_t)1024)

static const gi8_tensor *root_of(const gi8_tensor *t) {
    return t->view_src != NULL ? t->view_src : t;
}

static size_t aligned(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static bool writes_into_source(const gi8_tensor *node) {
    return (gi8_op_get_info(node->op)->flags & GI8_OP_WRITES) != 0;
}

/* A context, a backend and what belongs to them; one per test. */
typedef struct fixture {
    gi8_context *ctx;
    mock_backend mock;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL) {
        return -1;
    }
    f->ctx = gi8_context_create(NULL, NULL);
    f->mock = mock_host();
    return f->ctx != NULL ? 0 : -1;
}

static int teardown(void **state) {
    fixture *f = *state;
    bool leaked = f->mock.n_alive != 0 || f->mock.n_prepared != 0;
    gi8_context_free(f->ctx);
    free(f);
    return leaked ? -1 : 0;
}

static gi8_plan *plan_with(fixture *f, const gi8_graph *graph, const gi8_plan_params *params) {
    gi8_error error = GI8_ERROR_INIT;
    gi8_plan *plan = gi8_plan_create(&f->mock.base, graph, params, &error);
    if (plan == NULL) {
        fail_msg("%s", error.message);
    }
    return plan;
}

static gi8_graph *graph_of(fixture *f, int n_outputs, gi8_tensor *const *outputs) {
    gi8_graph *graph = gi8_graph_create(f->ctx);
    for (int i = 0; i < n_outputs; i++) {
        gi8_graph_add_output(graph, outputs[i]);
    }
    if (gi8_context_status(f->ctx) != GI8_OK) {
        fail_msg("%s", gi8_context_message(f->ctx));
    }
    return graph;
}

/* ---- who owns which bytes -------------------------------------------------------------------- */

typedef struct owner {
    const gi8_tensor *root;
    uintptr_t start;
    size_t bytes;
} owner;

typedef struct ownership {
    owner *at; /* of bytes that still hold what was written last */
    int64_t n;
} ownership;

static owner *find_owner(ownership *o, const gi8_tensor *root) {
    for (int64_t i = 0; i < o->n; i++) {
        if (o->at[i].root == root) {
            return &o->at[i];
        }
    }
    return NULL;
}

static bool overlap(uintptr_t a, size_t a_bytes, uintptr_t b, size_t b_bytes) {
    return a_bytes > 0 && b_bytes > 0 && a < b + b_bytes && b < a + a_bytes;
}

/* `root` is written at `start`: others whose bytes are hit own them no more. */
static void own(ownership *o, const gi8_tensor *root, uintptr_t start) {
    size_t bytes = gi8_nbytes(root);
    int64_t kept = 0;
    for (int64_t i = 0; i < o->n; i++) {
        if (!overlap(o->at[i].start, o->at[i].bytes, start, bytes)) {
            o->at[kept++] = o->at[i];
        }
    }
    o->at[kept] = (owner){root, start, bytes};
    o->n = kept + 1;
}

static void check_step(ownership *o, const gi8_step *step) {
    const gi8_tensor *node = step->node;
    uintptr_t dst = (uintptr_t)step->dst;
    assert_int_not_equal(dst, 0);
    for (int i = 0; i < GI8_MAX_SRC; i++) {
        const gi8_tensor *s = node->src[i];
        assert_true((s == NULL) == (step->src[i] == NULL));
        if (s == NULL) {
            continue;
        }
        const owner *held = find_owner(o, root_of(s));
        assert_non_null(held);
        assert_int_equal((uintptr_t)step->src[i], held->start + s->view_offset);
        if (!writes_into_source(node) && overlap(dst, gi8_nbytes(node), held->start, held->bytes)) {
            assert_true(gi8_op_get_info(node->op)->flags & GI8_OP_IN_PLACE);
            assert_ptr_equal(step->src[i], step->dst);
            assert_ptr_equal(s, node->src[0]);
        }
    }
    if (writes_into_source(node)) {
        assert_ptr_equal(step->dst, step->src[0]);
    } else {
        assert_int_equal(dst % 64, 0);
        own(o, node, dst);
    }
}

/* Follows one execution: every source must still be there when it is read, and inputs and
 * outputs at the end. */
static void check_lifetimes(const gi8_plan *plan, const gi8_graph *graph,
                            const gi8_plan_view *view) {
    ownership o = {
        calloc((size_t)(gi8_graph_n_nodes(graph) + gi8_graph_n_leaves(graph) + 1), sizeof *o.at),
        0};
    assert_non_null(o.at);
    for (int64_t i = 0; i < gi8_graph_n_leaves(graph); i++) {
        const gi8_tensor *leaf = gi8_graph_leaf(graph, i);
        void *data = leaf->data != NULL ? leaf->data : gi8_plan_data(plan, leaf);
        assert_non_null(data);
        assert_true(leaf->data != NULL || (uintptr_t)data % 64 == 0);
        int64_t n = o.n;
        own(&o, leaf, (uintptr_t)data);
        assert_int_equal(o.n, n + 1);
    }
    for (int64_t s = 0; s < view->n_steps; s++) {
        check_step(&o, &view->steps[s]);
    }
    for (int64_t i = 0; i < gi8_graph_n_leaves(graph); i++) {
        assert_non_null(find_owner(&o, gi8_graph_leaf(graph, i)));
    }
    for (int64_t i = 0; i < gi8_graph_n_outputs(graph); i++) {
        const gi8_tensor *output = gi8_graph_output(graph, i);
        const owner *held = find_owner(&o, root_of(output));
        assert_non_null(held);
        assert_int_equal((uintptr_t)gi8_plan_data(plan, output), held->start + output->view_offset);
    }
    free(o.at);
}

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
    const gi8_tensor *root = view->steps[s].node;
    int64_t last = s;
    for (int64_t r = s; r < view->n_steps; r++) {
        for (int i = 0; i < GI8_MAX_SRC; i++) {
            const gi8_tensor *src = view->steps[r].node->src[i];
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
    return graph_of(f, n_outputs, outputs);
}

static void free_weights(pool *p) {
    for (int i = 0; i < p->n_leaves; i++) {
        free(p->weights[i]);
    }
}

/* Gives every leaf of the graph the same values each time. */
static void fill_leaves(gi8_plan *plan, const gi8_graph *graph) {
    for (int64_t i = 0; i < gi8_graph_n_leaves(graph); i++) {
        const gi8_tensor *leaf = gi8_graph_leaf(graph, i);
        float *data = leaf->data != NULL ? leaf->data : gi8_plan_data(plan, leaf);
        for (int64_t e = 0; e < gi8_nelements(leaf); e++) {
            data[e] = (float)((e * 13 + i * 7) % 31) / 31.0f;
        }
    }
}

/* Executes both plans twice and compares the outputs of each run. A cpy into a leaf changes it,
 * so the values are copied before the other plan runs. */
static void compare_plans(gi8_plan *reusing, gi8_plan *apart, const gi8_graph *graph) {
    gi8_plan *plans[2] = {reusing, apart};
    double *values[2] = {NULL, NULL};
    int64_t n = 0;
    for (int64_t i = 0; i < gi8_graph_n_outputs(graph); i++) {
        n += gi8_nelements(gi8_graph_output(graph, i));
    }
    for (int p = 0; p < 2; p++) {
        values[p] = calloc((size_t)n + 1, sizeof *values[p]);
        assert_non_null(values[p]);
        for (int run = 0; run < 2; run++) {
            gi8_error error = GI8_ERROR_INIT;
            fill_leaves(plans[p], graph);
            if (gi8_plan_execute(plans[p], &error) != GI8_OK) {
                fail_msg("%s", error.message);
            }
            int64_t at = 0;
            for (int64_t i = 0; i < gi8_graph_n_outputs(graph); i++) {
                const gi8_tensor *output = gi8_graph_output(graph, i);
                const void *data = gi8_plan_data(plans[p], output);
                for (int64_t e = 0; e < gi8_nelements(output); e++, at++) {
                    double value = mock_get(output, data, e);
                    assert_true(run == 0 || value == values[p][at]);
                    values[p][at] = value;
                }
            }
        }
    }
    for (int64_t i = 0; i < n; i++) {
        assert_true(values[0][i] == values[1][i]);
    }
    free(values[0]);
    free(values[1]);
}

static void test_random_graphs(void **state) {
    fixture *f = *state;
    test_rng rng = test_rng_seeded(20220815);
    int64_t n_steps = 0, n_in_place = 0, n_writes = 0;
    size_t peak = 0, memory = 0;
    for (int round = 0; round < 600; round++) {
        pool p = {0};
        gi8_graph *graph = random_graph(f, &p, &rng);
        gi8_plan *reusing = plan_with(f, graph, NULL);
        const gi8_plan_view *view = f->mock.plan;
        gi8_plan_stats stats = gi8_plan_get_stats(reusing);
        check_lifetimes(reusing, graph, view);
        assert_int_equal(stats.n_steps, view->n_steps);
        assert_int_equal(stats.peak_bytes, slow_peak(graph, view));
        assert_true(stats.peak_bytes <= stats.memory_bytes);
        assert_true(stats.peak_bytes <= stats.total_bytes);

        gi8_plan *apart = plan_with(f, graph, &(gi8_plan_params){.no_reuse = true, .guard = true});
        gi8_plan_stats apart_stats = gi8_plan_get_stats(apart);
        check_lifetimes(apart, graph, f->mock.plan);
        assert_int_equal(apart_stats.n_in_place, 0);
        assert_int_equal(apart_stats.peak_bytes, apart_stats.total_bytes);
        assert_int_equal(apart_stats.total_bytes, stats.total_bytes);
        assert_int_equal(apart_stats.input_bytes, stats.input_bytes);
        compare_plans(reusing, apart, graph);

        n_steps += stats.n_steps;
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
    printf("steps %lld, in place %lld, writes %lld; bytes: lower bound %zu, with gaps %zu\n",
           (long long)n_steps, (long long)n_in_place, (long long)n_writes, peak, memory);
    assert_true(n_in_place > 100 && n_writes > 100); /* the generator reaches what it is for */
}

/* ---- in place, one condition at a time ------------------------------------------------------- */

typedef struct in_place_case {
    const char *what;
    gi8_tensor *(*build)(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra_output);
    int64_t expected; /* results in place */
} in_place_case;

/* In each: x is an input [8, 4], `r` a result that nothing else reads unless the case says so. */
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
        gi8_tensor *x = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 8, 4);
        gi8_tensor *outputs[2] = {NULL, NULL};
        outputs[0] = cases[i].build(f->ctx, x, &outputs[1]);
        gi8_graph *graph = graph_of(f, outputs[1] != NULL ? 2 : 1, outputs);
        gi8_plan *plan = plan_with(f, graph, NULL);
        check_lifetimes(plan, graph, f->mock.plan);
        if (gi8_plan_get_stats(plan).n_in_place != cases[i].expected) {
            fail_msg("%s: %lld in place", cases[i].what,
                     (long long)gi8_plan_get_stats(plan).n_in_place);
        }
        gi8_plan *apart = plan_with(f, graph, &(gi8_plan_params){.no_reuse = true});
        assert_int_equal(gi8_plan_get_stats(apart).n_in_place, 0);
        compare_plans(plan, apart, graph);
        gi8_plan_free(plan);
        gi8_plan_free(apart);
        gi8_context_reset(f->ctx);
    }
}

/* ---- shapes of real graphs ------------------------------------------------------------------- */

typedef struct model_shape {
    int64_t d, n_heads, n_tokens, n_layers, n_vocab, n_cache;
} model_shape;

/* A leaf with memory that nobody reads: planning needs an address only. */
static gi8_tensor *weight(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1) {
    static float memory[16];
    gi8_tensor *t = gi8_new_tensor_2d(ctx, type, ne0, ne1);
    gi8_tensor_set_data(t, memory);
    return t;
}

static gi8_tensor *linear(gi8_context *ctx, int64_t k, int64_t n, gi8_tensor *x) {
    return gi8_mul_mat_int8_mixed(ctx, weight(ctx, GI8_TYPE_I8, k, n),
                                  weight(ctx, GI8_TYPE_F32, n, 1), weight(ctx, GI8_TYPE_F32, n, 1),
                                  x, NULL);
}

static gi8_tensor *norm(gi8_context *ctx, int64_t d, gi8_tensor *x) {
    return gi8_layer_norm(ctx, x, weight(ctx, GI8_TYPE_F32, d, 1), weight(ctx, GI8_TYPE_F32, d, 1),
                          1e-5f);
}

static gi8_tensor *cache(gi8_context *ctx, const model_shape *m) {
    static float memory[16];
    gi8_tensor *t =
        gi8_new_tensor_4d(ctx, GI8_TYPE_F16, m->d / m->n_heads, m->n_cache, m->n_heads, 1);
    gi8_tensor_set_data(t, memory);
    return t;
}

/* The layers of GPT-NeoX with a parallel residual. */
static gi8_tensor *transformer(gi8_context *ctx, const model_shape *m) {
    const int64_t d = m->d, head = d / m->n_heads, t = m->n_tokens;
    const size_t row = (size_t)head * sizeof(float);
    const gi8_rope_params rope = {(int32_t)(head / 4), 10000.0f, 1.0f};
    gi8_tensor *ids = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, t);
    gi8_tensor *positions = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, t);
    gi8_tensor *sequences = gi8_new_tensor_1d(ctx, GI8_TYPE_I32, t);
    gi8_tensor *x = gi8_get_rows(ctx, weight(ctx, GI8_TYPE_F16, d, m->n_vocab), ids);
    for (int64_t i = 0; i < m->n_layers; i++) {
        gi8_tensor *qkv = linear(ctx, d, 3 * d, norm(ctx, d, x));
        gi8_tensor *part[3];
        for (size_t p = 0; p < 3; p++) {
            part[p] = gi8_view_3d(ctx, qkv, head, m->n_heads, t, 3 * row,
                                  3 * row * (size_t)m->n_heads, p * row);
        }
        gi8_tensor *q = gi8_rope(ctx, part[0], positions, &rope);
        gi8_tensor *k = gi8_kv_store(ctx, cache(ctx, m), gi8_rope(ctx, part[1], positions, &rope),
                                     positions, sequences);
        gi8_tensor *v = gi8_kv_store(ctx, cache(ctx, m), part[2], positions, sequences);
        gi8_tensor *a = gi8_attention(ctx, q, k, v, positions, sequences, 0.125f);
        a = linear(ctx, d, d, gi8_reshape_2d(ctx, a, d, t));
        gi8_tensor *h =
            linear(ctx, 4 * d, d, gi8_gelu(ctx, linear(ctx, d, 4 * d, norm(ctx, d, x))));
        x = gi8_add(ctx, gi8_add(ctx, h, a), x);
    }
    return linear(ctx, d, m->n_vocab, norm(ctx, d, x));
}

static gi8_plan_stats plan_transformer(fixture *f, const model_shape *m) {
    gi8_context_reset(f->ctx);
    gi8_tensor *logits = transformer(f->ctx, m);
    gi8_graph *graph = graph_of(f, 1, &logits);
    gi8_plan *plan = plan_with(f, graph, NULL);
    gi8_plan_stats stats = gi8_plan_get_stats(plan);
    gi8_plan_free(plan);
    return stats;
}

/* Memory does not grow with depth, and in-place and reuse bring it close to what must be alive. */
static void test_transformer(void **state) {
    fixture *f = *state;
    model_shape m = {1024, 16, 128, 24, 1000, 2048};
    gi8_plan_stats deep = plan_transformer(f, &m);
    printf(
        "24 layers: steps %lld, in place %lld, inputs %zu KiB, lower bound %zu KiB, taken %zu KiB, "
        "without reuse %zu KiB\n",
        (long long)deep.n_steps, (long long)deep.n_in_place, deep.input_bytes / KIB,
        deep.peak_bytes / KIB, deep.memory_bytes / KIB, deep.total_bytes / KIB);
    assert_int_equal(deep.n_in_place, 24 * 3); /* gelu and both sums */
    for (int64_t n = 2; n <= 8; n *= 2) {
        m.n_layers = n;
        gi8_plan_stats stats = plan_transformer(f, &m);
        assert_int_equal(stats.peak_bytes, deep.peak_bytes);
        assert_int_equal(stats.memory_bytes, deep.memory_bytes);
    }
    assert_true(deep.memory_bytes <= deep.peak_bytes + deep.peak_bytes / 10);
    assert_true(deep.total_bytes > 20 * deep.peak_bytes);
}

/* The same with values: through caches, with a plan that reuses and one that does not. */
static void test_transformer_values(void **state) {
    fixture *f = *state;
    const model_shape m = {64, 4, 5, 3, 50, 7};
    gi8_tensor *logits = transformer(f->ctx, &m);
    gi8_graph *graph = graph_of(f, 1, &logits);
    gi8_buffer *weights[256] = {NULL};
    assert_true(gi8_graph_n_leaves(graph) < 256);
    for (int64_t i = 0; i < gi8_graph_n_leaves(graph); i++) {
        gi8_tensor *leaf = gi8_graph_leaf(graph, i);
        if (leaf->data != NULL) {
            weights[i] = gi8_buffer_create(&f->mock.base, gi8_buffer_space(leaf), NULL);
            assert_int_equal(gi8_buffer_bind(weights[i], leaf, 0, NULL), GI8_OK);
            memset(leaf->data, 0x31, gi8_nbytes(leaf));
        }
    }
    gi8_plan *plans[2] = {plan_with(f, graph, NULL), NULL};
    check_lifetimes(plans[0], graph, f->mock.plan);
    plans[1] = plan_with(f, graph, &(gi8_plan_params){.no_reuse = true});
    float values[2][250];
    for (int p = 0; p < 2; p++) {
        assert_int_equal(gi8_plan_execute(plans[p], NULL), GI8_OK);
        assert_int_equal(gi8_plan_read(plans[p], logits, 0, values[p], sizeof values[p], NULL),
                         GI8_OK);
        gi8_plan_free(plans[p]);
    }
    assert_memory_equal(values[0], values[1], sizeof values[0]);
    for (int i = 0; i < 256; i++) {
        gi8_buffer_free(weights[i]);
    }
}

/* Two results are alive at a time, however long the chain. */
static void test_long_chain(void **state) {
    fixture *f = *state;
    const int64_t n = 200000;
    gi8_tensor *t = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, 16);
    for (int64_t i = 0; i < n; i++) {
        t = gi8_soft_max(f->ctx, t, NULL, 1.0f);
    }
    gi8_plan *plan = plan_with(f, graph_of(f, 1, &t), NULL);
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
        gi8_plan *plan = plan_with(f, graph_of(f, 4, outputs), NULL);
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
    gi8_plan *plan = plan_with(f, graph_of(f, 5, outputs), NULL);
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
        gi8_plan *one = plan_with(f, graph, NULL);
        const gi8_plan_view *one_view = f->mock.plan;
        gi8_plan *two = plan_with(f, graph, NULL);
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
    gi8_graph *graph = graph_of(f, 2, outputs);
    gi8_plan *plan = plan_with(f, graph, NULL);
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
    gi8_tensor *outputs[1] = {y};
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gi8_plan_create(&f->mock.base, graph_of(f, 1, outputs), NULL, &error));
    assert_int_equal(error.status, GI8_ERR_MEMORY);
    assert_int_equal(f->mock.n_allocs, 0); /* it never came to asking */

    gi8_tensor *inputs[3];
    for (int i = 0; i < 3; i++) {
        inputs[i] = gi8_new_tensor_1d(f->ctx, GI8_TYPE_F32, INT64_C(1) << 60);
    }
    assert_null(gi8_plan_create(&f->mock.base, graph_of(f, 3, inputs), NULL, &error));
    assert_int_equal(error.status, GI8_ERR_MEMORY);
    assert_int_equal(f->mock.n_allocs, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_graphs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transformer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transformer_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges_join, setup, teardown),
        cmocka_unit_test_setup_teardown(test_best_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deterministic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
