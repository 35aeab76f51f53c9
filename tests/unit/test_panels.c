/* test_panels.c - the panel layout against its formula, and tensors that have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8.h"
#include "ggml-int8/gi8_panels.h"
#include "test_seed.h"

/* The formula of gi8_panels.h, written out again. */
static size_t offset_of(int64_t i, int64_t row, int64_t k) {
    int64_t kp = (k + 63) / 64 * 64;
    return (size_t)(row / 16 * 16 * kp + i / 4 * 64 + row % 16 * 4 + i % 4);
}

static void test_pack_and_unpack(void **state) {
    (void)state;
    static const int64_t ks[] = {1, 3, 4, 5, 63, 64, 65, 200};
    static const int64_t ns[] = {1, 2, 15, 16, 17, 33, 50};
    test_rng rng = test_rng_seeded(21);
    for (size_t a = 0; a < sizeof ks / sizeof *ks; a++) {
        for (size_t b = 0; b < sizeof ns / sizeof *ns; b++) {
            int64_t k = ks[a];
            int64_t n = ns[b];
            size_t size = gi8_panels_size(k, n);
            assert_int_equal(size, (k + 63) / 64 * 64 * ((n + 15) / 16 * 16));
            int8_t *rows = malloc((size_t)(k * n));
            int8_t *back = malloc((size_t)(k * n));
            int8_t *panels = calloc(1, size);
            assert_true(rows != NULL && back != NULL && panels != NULL);
            for (int64_t i = 0; i < k * n; i++) {
                rows[i] = (int8_t)(test_rng_int(&rng, 1, 127) * (test_rng_int(&rng, 0, 1) ? 1 : -1));
            }
            /* In two parts that meet anywhere. */
            int64_t split = test_rng_int(&rng, 0, n);
            gi8_panels_pack(rows + split * k, k, split, n - split, panels);
            gi8_panels_pack(rows, k, 0, split, panels);
            size_t nonzero = 0;
            for (size_t i = 0; i < size; i++) {
                nonzero += panels[i] != 0;
            }
            assert_int_equal(nonzero, k * n); /* padding was left alone */
            for (int64_t row = 0; row < n; row++) {
                for (int64_t i = 0; i < k; i++) {
                    assert_int_equal(panels[offset_of(i, row, k)], rows[row * k + i]);
                }
            }
            gi8_panels_unpack(panels, k, 0, split, back);
            gi8_panels_unpack(panels, k, split, n - split, back + split * k);
            assert_memory_equal(back, rows, (size_t)(k * n));
            free(rows);
            free(back);
            free(panels);
        }
    }
}

static void test_sizes(void **state) {
    (void)state;
    assert_int_equal(gi8_panels_size(0, 5), 0);
    assert_int_equal(gi8_panels_size(5, 0), 0);
    assert_int_equal(gi8_panels_size(-1, 5), 0);
    assert_int_equal(gi8_panels_size(INT64_MAX, 1), 0);
    assert_int_equal(gi8_panels_size(1, INT64_MAX), 0);
    assert_int_equal(gi8_panels_size(INT64_C(1) << 40, INT64_C(1) << 40), 0);
}

static void test_tensors(void **state) {
    (void)state;
    gi8_context *ctx = gi8_context_create(NULL, NULL);
    gi8_tensor *rows = gi8_new_codes(ctx, 100, 20, GI8_LAYOUT_STRIDED);
    assert_true(gi8_is_contiguous(rows));
    assert_int_equal(gi8_nbytes(rows), 2000);
    gi8_tensor *panels = gi8_new_codes(ctx, 100, 20, GI8_LAYOUT_PANELS);
    assert_non_null(panels);
    assert_int_equal(panels->ne[0], 100);
    assert_int_equal(panels->ne[1], 20);
    assert_int_equal(gi8_nbytes(panels), 128 * 32);
    assert_false(gi8_is_contiguous(panels));
    assert_false(gi8_has_contiguous_rows(panels));
    assert_int_equal(gi8_nbytes(gi8_new_codes(ctx, 0, 20, GI8_LAYOUT_PANELS)), 0);

    /* One op takes them; every other, and every view, refuses. */
    gi8_tensor *absmax = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 20);
    gi8_tensor *x = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, 100, 3);
    assert_non_null(gi8_mul_mat_int8_mixed(ctx, panels, absmax, NULL, x, NULL));
    assert_int_equal(gi8_context_status(ctx), GI8_OK);
    for (int i = 0; i < 5; i++) {
        gi8_tensor *refused = i == 0   ? gi8_cont(ctx, panels)
                              : i == 1 ? gi8_view_1d(ctx, panels, 10, 0)
                              : i == 2 ? gi8_transpose(ctx, panels)
                              : i == 3 ? gi8_reshape_1d(ctx, panels, 2000)
                                       : gi8_cpy(ctx, rows, panels);
        assert_null(refused);
        assert_int_equal(gi8_context_status(ctx), GI8_ERR_SHAPE);
        assert_non_null(strstr(gi8_context_message(ctx), "panel"));
        gi8_context_clear_error(ctx);
    }
    assert_null(gi8_new_codes(ctx, 4, 4, (gi8_layout)7));
    assert_int_equal(gi8_context_status(ctx), GI8_ERR_ARGUMENT);
    assert_null(gi8_new_codes(ctx, 4, 4, GI8_LAYOUT_PANELS)); /* the error stays */
    gi8_context_clear_error(ctx);
    assert_null(gi8_new_codes(ctx, 1, INT64_C(1) << 60, GI8_LAYOUT_PANELS));
    assert_int_equal(gi8_context_status(ctx), GI8_ERR_SHAPE);
    assert_null(gi8_new_codes(NULL, 4, 4, GI8_LAYOUT_PANELS));
    gi8_context_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_and_unpack),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
