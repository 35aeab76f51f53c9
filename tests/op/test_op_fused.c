/* test_op_fused.c - products with what is fused with them: op_run() compares each with a plan that
 * fuses nothing: bit by bit, but for float products on a GPU.
 */
#include <float.h>
#include <stdlib.h>

#include "ggml-int8/gi8_quantize.h"
#include "op_fixture.h"

typedef enum product { FLOAT, INT8_PANELS, INT8_ROWS, N_PRODUCTS } product;

typedef struct shape {
    int64_t k, n, m;
} shape;

/* Parts of a block, one block and more, of one and of several threads. */
static const shape shapes[] = {{5, 1, 1}, {33, 65, 1}, {40, 63, 49}, {16, 130, 97}, {3000, 3, 30}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static gi8_tensor *random_input(op_case *c, test_rng *rng, const int64_t ne[4]) {
    float *values = op_random(rng, ne[0] * ne[1] * ne[2] * ne[3], -2.0f, 2.0f);
    gi8_tensor *t = op_input(c, GI8_TYPE_F32, ne, values);
    free(values);
    return t;
}

static gi8_tensor *matrix(op_case *c, test_rng *rng, int64_t ne0, int64_t ne1) {
    return random_input(c, rng, (int64_t[]){ne0, ne1, 1, 1});
}

/* How far a device may be from the CPU behind a sum of k products of |w| <= 0.5 and |x| <= 4, where
 * activations make no error more than 1.13 times larger: fp32 in any order; x rounded to 11 bits by
 * products with F16 weights. */
static void set_bound(op_case *c, double k, bool rounds_x) {
    c->relative = 8.0 * FLT_EPSILON;
    c->absolute = 1.13 * 2.0 * k * ((2.0 * k + 16.0) * 0x1p-24 + (rounds_x ? 0x1p-11 : 0.0)) +
                  8.0 * FLT_EPSILON;
}

/* The product of x [k, m] with n rows of random weights; some columns of x are outliers. */
static gi8_tensor *multiply(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    int64_t k = x->ne[0];
    set_bound(c, (double)k, kind == FLOAT);
    const bool may_be_library = x->ne[1] * x->ne[2] * x->ne[3] > 4; /* up to 4 rows never are */
    c->sums_vary = c->sums_vary || (kind == FLOAT && may_be_library);
    float *w = op_random(rng, k * n, -0.5f, 0.5f);
    gi8_tensor *y;
    if (kind == FLOAT) {
        y = gi8_mul_mat(c->ctx, op_float_input(c, GI8_TYPE_F16, (int64_t[]){k, n, 1, 1}, w), x);
    } else {
        int8_t *codes = malloc((size_t)(k * n));
        float *absmax = malloc((size_t)n * sizeof *absmax);
        assert_true(codes != NULL && absmax != NULL);
        assert_int_equal(
            gi8_int8_quantize_weight_rows(GI8_TYPE_F32, w, k, n, codes, absmax, NULL), GI8_OK);
        gi8_layout layout = kind == INT8_PANELS ? GI8_LAYOUT_PANELS : GI8_LAYOUT_STRIDED;
        gi8_tensor *t = op_codes(c, layout, k, n, codes);
        gi8_tensor *scale = op_memory(c, GI8_TYPE_F32, (int64_t[]){n, 1, 1, 1}, absmax);
        const gi8_int8_params params = {1.9f, GI8_OUTLIERS_COLUMN, GI8_TYPE_F32};
        y = gi8_mul_mat_int8_mixed(c->ctx, t, scale, NULL, x, &params);
        free(codes);
        free(absmax);
    }
    free(w);
    return y;
}

/* One chain behind a product of x with n rows of w. */
typedef gi8_tensor *chain_fn(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x);

static void check_chain(chain_fn *chain, int64_t n_fused, int64_t n_in_place) {
    test_rng rng = test_rng_seeded(91);
    for (int kind = 0; kind < N_PRODUCTS; kind++) {
        for (int i = 0; i < N_SHAPES; i++) {
            op_case c;
            op_begin(&c);
            gi8_tensor *x = matrix(&c, &rng, shapes[i].k, shapes[i].m);
            free(op_run(&c, chain(&c, &rng, (product)kind, shapes[i].n, x)));
            assert_int_equal(c.stats.n_fused, n_fused);
            assert_int_equal(c.stats.n_in_place, n_in_place);
            op_end(&c);
        }
    }
}

static gi8_tensor *relu(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    return gi8_relu(c->ctx, multiply(c, rng, kind, n, x));
}

static gi8_tensor *silu(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    return gi8_silu(c->ctx, multiply(c, rng, kind, n, x));
}

static gi8_tensor *gelu(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    return gi8_gelu(c->ctx, multiply(c, rng, kind, n, x));
}

static gi8_tensor *gelu_tanh(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    return gi8_gelu_tanh(c->ctx, multiply(c, rng, kind, n, x));
}

static gi8_tensor *bias(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    return gi8_add(c->ctx, multiply(c, rng, kind, n, x), matrix(c, rng, n, 1));
}

/* What is added is an input: its memory stays its own. */
static gi8_tensor *residual(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    return gi8_add(c->ctx, multiply(c, rng, kind, n, x), matrix(c, rng, n, x->ne[1]));
}

/* A result that nobody reads later: the sum takes its memory. */
static gi8_tensor *in_place(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    gi8_tensor *r = gi8_scale(c->ctx, matrix(c, rng, n, x->ne[1]), 2.0f);
    return gi8_add(c->ctx, r, multiply(c, rng, kind, n, x));
}

static gi8_tensor *strided(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    gi8_tensor *wide = matrix(c, rng, n + 3, x->ne[1]);
    gi8_tensor *r = gi8_view_2d(c->ctx, wide, n, x->ne[1], wide->nb[1], 2 * sizeof(float));
    return gi8_add(c->ctx, multiply(c, rng, kind, n, x), r);
}

static gi8_tensor *three(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    gi8_tensor *r = gi8_scale(c->ctx, matrix(c, rng, n, x->ne[1]), 2.0f);
    gi8_tensor *y = gi8_add(c->ctx, multiply(c, rng, kind, n, x), matrix(c, rng, n, 1));
    return gi8_add(c->ctx, r, gi8_gelu(c->ctx, y));
}

/* The fourth is a step of its own, in place. */
static gi8_tensor *four(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    return gi8_relu(c->ctx, three(c, rng, kind, n, x));
}

/* Both sums add the same result, and the second one still reads it when the first one is done. */
static gi8_tensor *twice(op_case *c, test_rng *rng, product kind, int64_t n, gi8_tensor *x) {
    gi8_tensor *r = gi8_scale(c->ctx, matrix(c, rng, n, x->ne[1]), 2.0f);
    return gi8_add(c->ctx, r, gi8_add(c->ctx, r, multiply(c, rng, kind, n, x)));
}

static void test_chains(void **state) {
    (void)state;
    check_chain(relu, 1, 0);
    check_chain(silu, 1, 0);
    check_chain(gelu, 1, 0);
    check_chain(gelu_tanh, 1, 0);
    check_chain(bias, 1, 0);
    check_chain(residual, 1, 0);
    check_chain(strided, 1, 0);
    check_chain(in_place, 1, 1);
    check_chain(three, 3, 1);
    check_chain(four, 3, 2);
    check_chain(twice, 2, 1);
}

/* x is multiplied and added: every row of it is read until the last one is done. */
static void test_product_of_the_residual(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(92);
    for (int kind = 0; kind < N_PRODUCTS; kind++) {
        for (int64_t k = 1; k < 200; k += 66) {
            op_case c;
            op_begin(&c);
            gi8_tensor *x = gi8_scale(c.ctx, matrix(&c, &rng, k, 61), 2.0f);
            free(op_run(&c, gi8_add(c.ctx, multiply(&c, &rng, (product)kind, k, x), x)));
            assert_int_equal(c.stats.n_fused, 1);
            assert_int_equal(c.stats.n_in_place, 0);
            op_end(&c);
        }
    }
}

/* Several matrices: what is added has evenly spaced rows, or is not fused. */
static void test_matrices(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(93);
    const int64_t ne[4] = {37, 9, 3, 2};
    for (int even = 0; even < 2; even++) {
        op_case c;
        op_begin(&c);
        gi8_tensor *w = random_input(&c, &rng, (int64_t[]){20, ne[0], 1, 1});
        gi8_tensor *x = random_input(&c, &rng, (int64_t[]){20, ne[1], ne[2], ne[3]});
        gi8_tensor *r = random_input(
            &c, &rng, even ? ne : (const int64_t[]){ne[0], ne[2], ne[1], ne[3]});
        r = even ? r : gi8_permute(c.ctx, r, 0, 2, 1, 3);
        set_bound(&c, 20.0 * 2.0, false); /* weights up to 2 */
        free(op_run(&c, gi8_silu(c.ctx, gi8_add(c.ctx, gi8_mul_mat(c.ctx, w, x), r))));
        assert_int_equal(c.stats.n_fused, even ? 2 : 0);
        op_end(&c);
    }
}

/* Results of another type than F32 are stored as they are. */
static void test_other_types(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(94);
    op_case c;
    op_begin(&c);
    int8_t codes[6] = {127, 3, -5, 127, 8, 0};
    float absmax[2] = {1.0f, 2.0f};
    gi8_tensor *w = op_codes(&c, GI8_LAYOUT_STRIDED, 3, 2, codes);
    gi8_tensor *scale = op_memory(&c, GI8_TYPE_F32, (int64_t[]){2, 1, 1, 1}, absmax);
    const gi8_int8_params params = {6.0f, GI8_OUTLIERS_COLUMN, GI8_TYPE_F16};
    c.relative = 0x1p-10; /* a unit of F16, in either direction */
    gi8_tensor *y =
        gi8_mul_mat_int8_mixed(c.ctx, w, scale, NULL, matrix(&c, &rng, 3, 4), &params);
    free(op_run(&c, y));
    assert_int_equal(c.stats.n_fused, 0);
    op_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_product_of_the_residual),
        cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_other_types),
    };
    return cmocka_run_group_tests(tests, op_backends_create, op_backends_free);
}
