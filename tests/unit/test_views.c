/* test_views.c - view, reshape, permute and transpose: what they address, what they refuse. */
#include "graph_fixture.h"

#include "test_seed.h"

static void assert_refused(gi8_context *ctx, const gi8_tensor *t, gi8_status status,
                           const char *start) {
    assert_null(t);
    if (gi8_context_status(ctx) != status ||
        strncmp(gi8_context_message(ctx), start, strlen(start)) != 0) {
        fail_msg("expected %s, \"%s...\"; found %s, \"%s\"", gi8_status_name(status), start,
                 gi8_status_name(gi8_context_status(ctx)), gi8_context_message(ctx));
    }
    gi8_context_clear_error(ctx);
}

static void test_view_fields(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = f32(ctx, 10, 6, 1, 1);
    gi8_tensor *v = gi8_view_2d(ctx, a, 4, 3, 80, 48);
    assert_shape(v, 4, 3, 1, 1);
    const size_t nb[] = {4, 80, 240, 240};
    assert_memory_equal(v->nb, nb, sizeof nb);
    assert_int_equal(v->op, GI8_OP_VIEW);
    assert_int_equal(v->type, GI8_TYPE_F32);
    assert_ptr_equal(v->src[0], a);
    assert_null(v->src[1]);
    assert_ptr_equal(v->view_src, a);
    assert_int_equal(v->view_offset, 48);
    assert_non_null(v->params);
    assert_shape(gi8_view_1d(ctx, a, 7, 4), 7, 1, 1, 1);
    assert_shape(gi8_view_3d(ctx, a, 2, 3, 2, 8, 120, 0), 2, 3, 2, 1);
    assert_shape(gi8_view_4d(ctx, a, 2, 3, 1, 2, 8, 24, 120, 0), 2, 3, 1, 2);
    assert_ctx_ok(ctx);
    gi8_context_free(ctx);
}

static void test_view_of_a_view_points_at_the_root(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *root = gi8_relu(ctx, f32(ctx, 8, 6, 1, 1));
    gi8_tensor *v1 = gi8_view_2d(ctx, root, 8, 4, 32, 64);
    gi8_tensor *v2 = gi8_view_1d(ctx, v1, 8, 32);
    gi8_tensor *v3 = gi8_reshape_2d(ctx, v2, 4, 2);
    gi8_tensor *v4 = gi8_transpose(ctx, v3);
    const gi8_tensor *views[] = {v1, v2, v3, v4};
    const size_t offsets[] = {64, 96, 96, 96};
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(views[i]->view_src, root);
        assert_int_equal(views[i]->view_offset, offsets[i]);
        assert_ptr_equal(views[i]->src[0], i == 0 ? root : views[i - 1]);
    }
    gi8_context_free(ctx);
}

static void test_view_refusals(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = gi8_set_name(f32(ctx, 10, 6, 1, 1), "a");
    assert_refused(ctx, gi8_view_1d(ctx, NULL, 1, 0), GI8_ERR_ARGUMENT, "view: a is NULL");
    assert_refused(ctx, gi8_view_1d(ctx, a, 61, 0), GI8_ERR_SHAPE,
                   "view: a view of shape [61] ends at byte 244, a 'a' has 240 bytes");
    assert_refused(ctx, gi8_view_1d(ctx, a, 60, 4), GI8_ERR_SHAPE, "view: ");
    assert_refused(ctx, gi8_view_1d(ctx, a, 1, 240), GI8_ERR_SHAPE, "view: ");
    assert_refused(ctx, gi8_view_1d(ctx, a, 0, 244), GI8_ERR_SHAPE, "view: ");
    assert_refused(ctx, gi8_view_1d(ctx, a, 1, SIZE_MAX - 3), GI8_ERR_SHAPE, "view: ");
    assert_refused(ctx, gi8_view_1d(ctx, a, 1, 2), GI8_ERR_SHAPE, "view: offset 2 ");
    assert_refused(ctx, gi8_view_1d(ctx, a, -1, 0), GI8_ERR_SHAPE, "view: ");
    assert_refused(ctx, gi8_view_1d(ctx, a, INT64_MAX, 0), GI8_ERR_SHAPE, "view: ");
    assert_refused(ctx, gi8_view_2d(ctx, a, 4, 3, 42, 0), GI8_ERR_SHAPE, "view: nb[1] = 42 ");
    assert_refused(ctx, gi8_view_2d(ctx, a, 4, 1, SIZE_MAX - 3, 0), GI8_ERR_SHAPE, "view: nb[1]");
    assert_refused(ctx, gi8_view_3d(ctx, a, 4, 3, 2, 40, 42, 0), GI8_ERR_SHAPE, "view: nb[2]");
    assert_refused(ctx, gi8_view_4d(ctx, a, 4, 3, 2, 2, 40, 40, 42, 0), GI8_ERR_SHAPE,
                   "view: nb[3]");
    assert_refused(ctx, gi8_view_2d(ctx, a, 1, INT64_MAX, 1u << 20, 0), GI8_ERR_SHAPE, "view: ");
    /* One element repeated: it stays inside, but the number of elements would overflow. */
    assert_refused(ctx, gi8_view_4d(ctx, a, 1, INT64_MAX, INT64_MAX, 1, 0, 0, 0, 0), GI8_ERR_SHAPE,
                   "view: ");
    assert_refused(ctx, gi8_view_1d(ctx, gi8_transpose(ctx, a), 2, 0), GI8_ERR_SHAPE,
                   "view: a has nb[0] = 40, expected the element size 4");
    gi8_context_free(ctx);
}

static void test_empty_views(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = f32(ctx, 10, 6, 1, 1);
    gi8_tensor *empty = gi8_view_1d(ctx, a, 0, 240); /* at the end is still inside */
    assert_non_null(empty);
    assert_non_null(gi8_view_2d(ctx, empty, 0, 5, 400, 0));
    assert_non_null(gi8_view_2d(ctx, a, 10, 0, 1u << 20, 0));
    assert_non_null(gi8_reshape_2d(ctx, empty, 7, 0));
    assert_refused(ctx, gi8_view_1d(ctx, empty, 1, 0), GI8_ERR_SHAPE, "view: ");
    assert_refused(ctx, gi8_view_1d(ctx, empty, 0, 4), GI8_ERR_SHAPE, "view: ");
    gi8_context_free(ctx);
}

/* Any view is accepted exactly where its last byte, computed in wide numbers, lies inside. */
static void test_view_bounds_against_wide_numbers(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(1);
    gi8_context *ctx = new_context();
    int n_accepted = 0;
    int n_refused = 0;
    for (int round = 0; round < 20000; round++) {
        gi8_context_reset(ctx);
        gi8_tensor *a = gi8_new_tensor_1d(ctx, GI8_TYPE_F16, test_rng_int(&rng, 0, 200));
        int64_t ne[4];
        size_t nb[4] = {2, 0, 0, 0};
        bool empty = false;
        long double last = 0.0L;
        for (int i = 0; i < 4; i++) {
            const bool huge = test_rng_int(&rng, 0, 40) == 0;
            ne[i] = huge ? (int64_t)(test_rng_next(&rng) >> test_rng_int(&rng, 1, 63))
                         : test_rng_int(&rng, 0, 5);
            if (i > 0) {
                nb[i] = test_rng_int(&rng, 0, 40) == 0
                            ? (size_t)(test_rng_next(&rng) >> test_rng_int(&rng, 1, 63)) / 2 * 2
                            : (size_t)test_rng_int(&rng, 0, 20) * 2;
            }
            empty = empty || ne[i] == 0;
            last += (long double)(ne[i] - 1) * (long double)nb[i];
        }
        const size_t offset = (size_t)test_rng_int(&rng, 0, 120) * 2;
        const long double end = (long double)offset + (empty ? 0.0L : last + 2.0L);
        bool fits = end <= (long double)gi8_nbytes(a);
        long double elements = 1.0L;
        for (int i = 0; i < 4; i++) {
            elements *= ne[i] == 0 ? 1.0L : (long double)ne[i];
        }
        fits = fits && elements * 2.0L <= (long double)PTRDIFF_MAX;
        gi8_tensor *v =
            gi8_view_4d(ctx, a, ne[0], ne[1], ne[2], ne[3], nb[1], nb[2], nb[3], offset);
        assert_int_equal(v != NULL, fits);
        n_accepted += fits;
        n_refused += !fits;
    }
    assert_in_range(n_accepted, 1000, 20000);
    assert_in_range(n_refused, 1000, 20000);
    gi8_context_free(ctx);
}

static void test_reshape(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = f32(ctx, 4, 6, 1, 1);
    gi8_tensor *r = gi8_reshape_3d(ctx, a, 2, 3, 4);
    assert_shape(r, 2, 3, 4, 1);
    const size_t nb[] = {4, 8, 24, 96};
    assert_memory_equal(r->nb, nb, sizeof nb);
    assert_int_equal(r->op, GI8_OP_RESHAPE);
    assert_ptr_equal(r->view_src, a);
    assert_shape(gi8_reshape_1d(ctx, a, 24), 24, 1, 1, 1);
    assert_shape(gi8_reshape_2d(ctx, a, 8, 3), 8, 3, 1, 1);
    assert_shape(gi8_reshape_4d(ctx, a, 2, 2, 2, 3), 2, 2, 2, 3);
    assert_refused(ctx, gi8_reshape_1d(ctx, NULL, 24), GI8_ERR_ARGUMENT, "reshape: a is NULL");
    assert_refused(ctx, gi8_reshape_1d(ctx, a, 25), GI8_ERR_SHAPE,
                   "reshape: a has shape [4, 6], [25] has another number of elements");
    assert_refused(ctx, gi8_reshape_2d(ctx, a, -4, -6), GI8_ERR_SHAPE, "reshape: ");
    assert_refused(ctx, gi8_reshape_2d(ctx, a, INT64_MAX, 2), GI8_ERR_SHAPE, "reshape: ");
    assert_refused(ctx, gi8_reshape_1d(ctx, gi8_transpose(ctx, a), 24), GI8_ERR_SHAPE,
                   "reshape: a has strides [16, 4, 96, 96], expected a contiguous tensor");
    gi8_context_free(ctx);
}

/* Element (i0, i1, i2, i3) of the source is where the permuted tensor has it. */
static void test_permute(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = f32(ctx, 2, 3, 4, 5);
    int n_permutations = 0;
    for (int code = 0; code < 256; code++) {
        const int axis[] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6};
        unsigned seen = 0;
        for (int i = 0; i < 4; i++) {
            seen |= 1u << axis[i];
        }
        gi8_tensor *p = gi8_permute(ctx, a, axis[0], axis[1], axis[2], axis[3]);
        if (seen != 15) {
            assert_refused(ctx, p, GI8_ERR_ARGUMENT, "permute: the axes are ");
            continue;
        }
        n_permutations++;
        assert_non_null(p);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(p->ne[axis[i]], a->ne[i]);
            assert_int_equal(p->nb[axis[i]], a->nb[i]);
            assert_int_equal(((const gi8_permute_params *)p->params)->axis[i], axis[i]);
        }
    }
    assert_int_equal(n_permutations, 24);
    assert_refused(ctx, gi8_permute(ctx, a, 0, 1, 2, 4), GI8_ERR_ARGUMENT,
                   "permute: the axes are 0, 1, 2, 4, expected a permutation of 0, 1, 2, 3");
    assert_refused(ctx, gi8_permute(ctx, a, -1, 1, 2, 3), GI8_ERR_ARGUMENT, "permute: ");
    assert_refused(ctx, gi8_permute(ctx, NULL, 0, 1, 2, 3), GI8_ERR_ARGUMENT, "permute: a is NULL");
    gi8_context_free(ctx);
}

static void test_transpose(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *a = gi8_new_tensor_3d(ctx, GI8_TYPE_I8, 2, 3, 4);
    gi8_tensor *t = gi8_transpose(ctx, a);
    assert_shape(t, 3, 2, 4, 1);
    const size_t nb[] = {2, 1, 6, 24};
    assert_memory_equal(t->nb, nb, sizeof nb);
    assert_int_equal(t->op, GI8_OP_TRANSPOSE);
    assert_refused(ctx, gi8_transpose(ctx, NULL), GI8_ERR_ARGUMENT, "transpose: a is NULL");
    gi8_context_free(ctx);
}

/* Chains of random views never leave the root. */
static void test_random_chains_stay_inside(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(2);
    gi8_context *ctx = new_context();
    int n_made = 0;
    for (int round = 0; round < 2000; round++) {
        gi8_context_reset(ctx);
        gi8_tensor *root = f32(ctx, test_rng_int(&rng, 1, 8), test_rng_int(&rng, 1, 8), 3, 1);
        gi8_tensor *t = root;
        for (int step = 0; step < 6; step++) {
            gi8_tensor *next = NULL;
            switch (test_rng_int(&rng, 0, 2)) {
            case 0:
                next = gi8_view_2d(ctx, t, test_rng_int(&rng, 0, 4), test_rng_int(&rng, 0, 4),
                                   (size_t)test_rng_int(&rng, 0, 10) * 4,
                                   (size_t)test_rng_int(&rng, 0, 10) * 4);
                break;
            case 1: next = gi8_transpose(ctx, t); break;
            default: next = gi8_reshape_1d(ctx, t, gi8_nelements(t)); break;
            }
            if (next == NULL) {
                assert_int_equal(gi8_context_status(ctx), GI8_ERR_SHAPE);
                gi8_context_clear_error(ctx);
                continue;
            }
            n_made++;
            assert_ptr_equal(next->view_src, root);
            assert_true(next->view_offset + gi8_nbytes(next) <= gi8_nbytes(root));
            assert_true(next->view_offset >= t->view_offset);
            assert_true(next->view_offset + gi8_nbytes(next) <= t->view_offset + gi8_nbytes(t));
            t = next;
        }
    }
    assert_true(n_made > 2000);
    gi8_context_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view_fields),
        cmocka_unit_test(test_view_of_a_view_points_at_the_root),
        cmocka_unit_test(test_view_refusals),
        cmocka_unit_test(test_empty_views),
        cmocka_unit_test(test_view_bounds_against_wide_numbers),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_permute),
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_random_chains_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
