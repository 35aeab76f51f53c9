/* planner_fixture.h - what the tests of planning share: whatever a step reads must be what was
 * written there.
 *
 * They look at the addresses of the steps, as a backend sees them, and keep a list of which root
 * owns which bytes; nothing here knows how the planner chooses. */
#ifndef PLANNER_FIXTURE_H
#define PLANNER_FIXTURE_H

#include "mock_fixture.h"
#include "test_seed.h"

static inline const gi8_tensor *root_of(const gi8_tensor *t) {
    return t->view_src != NULL ? t->view_src : t;
}

static inline size_t aligned(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static inline bool writes_into_source(const gi8_tensor *node) {
    return (gi8_op_get_info(node->op)->flags & GI8_OP_WRITES) != 0;
}

/* The node whose result a step leaves. */
static inline const gi8_tensor *result_of(const gi8_step *step) {
    return step->n_fused > 0 ? step->fused[step->n_fused - 1].node : step->node;
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

static inline owner *find_owner(ownership *o, const gi8_tensor *root) {
    for (int64_t i = 0; i < o->n; i++) {
        if (o->at[i].root == root) {
            return &o->at[i];
        }
    }
    return NULL;
}

static inline bool overlap(uintptr_t a, size_t a_bytes, uintptr_t b, size_t b_bytes) {
    return a_bytes > 0 && b_bytes > 0 && a < b + b_bytes && b < a + a_bytes;
}

/* `root` is written at `start`: others whose bytes are hit own them no more. */
static inline void own(ownership *o, const gi8_tensor *root, uintptr_t start) {
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

static inline void check_step(ownership *o, const gi8_step *step) {
    const gi8_tensor *node = step->node;
    const gi8_tensor *result = result_of(step);
    uintptr_t dst = (uintptr_t)step->dst;
    bool writes = writes_into_source(node);
    bool taken = false; /* a source of the node lies where the result goes */
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
        if (!writes && overlap(dst, gi8_nbytes(node), held->start, held->bytes)) {
            assert_true(gi8_op_get_info(node->op)->flags & GI8_OP_IN_PLACE);
            assert_ptr_equal(step->src[i], step->dst);
            assert_ptr_equal(s, node->src[0]);
            taken = true;
        }
    }
    for (int i = 0; i < step->n_fused; i++) {
        const gi8_fused *fused = &step->fused[i];
        assert_true((fused->node->op == GI8_OP_ADD) == (fused->other != NULL));
        if (fused->other == NULL) {
            continue;
        }
        const owner *held = find_owner(o, root_of(fused->other));
        assert_non_null(held);
        assert_int_equal((uintptr_t)fused->other_data, held->start + fused->other->view_offset);
        if (overlap(dst, gi8_nbytes(node), held->start, held->bytes)) {
            assert_false(taken);
            assert_ptr_equal(fused->other_data, step->dst);
            assert_true(gi8_same_shape(fused->other, result) && gi8_is_contiguous(fused->other));
        }
    }
    if (writes) {
        assert_ptr_equal(step->dst, step->src[0]);
    } else {
        assert_int_equal(dst % 64, 0);
        own(o, result, dst);
    }
}

/* Follows one execution: every source must still be there when it is read, and inputs and
 * outputs at the end. */
static inline void check_lifetimes(const gi8_plan *plan, const gi8_graph *graph,
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

/* ---- values ---------------------------------------------------------------------------------- */

/* Gives every leaf of the graph the same values each time. */
static inline void fill_leaves(gi8_plan *plan, const gi8_graph *graph) {
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
static inline void compare_plans(gi8_plan *reusing, gi8_plan *apart, const gi8_graph *graph) {
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

/* ---- cases ----------------------------------------------------------------------------------- */

/* Builds a graph of `x`, an input [8, 4], and returns its output; *extra_output is NULL or becomes
 * a second one. */
typedef gi8_tensor *build_fn(gi8_context *ctx, gi8_tensor *x, gi8_tensor **extra_output);

/* Plans what `build` makes: so many nodes are fused, so many results in place, and neither changes
 * a value. */
static inline void check_case(fixture *f, const char *what, build_fn *build, int64_t n_fused,
                              int64_t n_in_place) {
    gi8_tensor *x = gi8_new_tensor_2d(f->ctx, GI8_TYPE_F32, 8, 4);
    gi8_tensor *outputs[2] = {NULL, NULL};
    outputs[0] = build(f->ctx, x, &outputs[1]);
    gi8_graph *graph = graph_of_all(f, outputs[1] != NULL ? 2 : 1, outputs);
    gi8_plan *plan = plan_of(&f->mock, graph, NULL);
    check_lifetimes(plan, graph, f->mock.plan);
    gi8_plan_stats stats = gi8_plan_get_stats(plan);
    if (stats.n_fused != n_fused || stats.n_in_place != n_in_place) {
        fail_msg("%s: %lld fused, %lld in place", what, (long long)stats.n_fused,
                 (long long)stats.n_in_place);
    }
    gi8_plan *apart = plan_of(&f->mock, graph, &(gi8_plan_params){.no_reuse = true});
    assert_int_equal(gi8_plan_get_stats(apart).n_fused, 0);
    assert_int_equal(gi8_plan_get_stats(apart).n_in_place, 0);
    compare_plans(plan, apart, graph);
    gi8_plan_free(plan);
    gi8_plan_free(apart);
    gi8_context_reset(f->ctx);
}

#endif
