/* test_panels.c - the panel layout against its formula, and tensors that have it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8.h"
#include "ggml-int8/gi8_panels.h"
#include "ggml-int8/gi8_quantize.h"
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
                const int64_t sign = test_rng_int(&rng, 0, 1) ? 1 : -1;
                rows[i] = (int8_t)(test_rng_int(&rng, 1, 127) * sign);
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

/* Rows of any place, type and number: the panels of rows quantized and packed, and their absmax. */
static void test_quantize_into_panels(void **state) {
    (void)state;
    static const int64_t ks[] = {1, 5, 63, 64, 255, 256, 257, 700};
    enum { N = 50 };
    test_rng rng = test_rng_seeded(22);
    for (size_t a = 0; a < sizeof ks / sizeof *ks; a++) {
        const int64_t k = ks[a];
        const size_t size = gi8_panels_size(k, N);
        float *values = malloc((size_t)(k * N) * sizeof *values);
        char *w = malloc((size_t)(k * N) * sizeof *values + 1);
        int8_t *codes = malloc((size_t)(k * N));
        int8_t *expected = calloc(1, size);
        assert_true(values != NULL && w != NULL && codes != NULL && expected != NULL);
        for (int64_t i = 0; i < k * N; i++) {
            values[i] = test_rng_float(&rng, -0.1f, 0.1f);
        }
        values[k * 20 + k / 2] = NAN;
        values[k * 49] = INFINITY;
        for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
            float expected_absmax[N];
            float absmax[N];
            char *from = w + 1; /* at any address */
            void *aligned = w;
            gi8_convert_from_fp32((gi8_type)type, values, k * N, aligned);
            gi8_int8_quantize_weight_rows((gi8_type)type, w, k, N, codes, expected_absmax, NULL);
            const size_t row = (size_t)k * gi8_type_size((gi8_type)type);
            memmove(from, w, row * N);
            gi8_panels_pack(codes, k, 0, N, expected);

            int8_t *panels = calloc(1, size);
            assert_non_null(panels);
            int64_t not_finite = 0;
            for (int64_t end = N; end > 0;) {
                const int64_t n = test_rng_int(&rng, 1, end);
                int64_t found = -1;
                end -= n;
                gi8_status status = gi8_int8_quantize_weight_panels(
                    (gi8_type)type, from + (size_t)end * row, k, end, n, panels, absmax + end,
                    &found);
                assert_int_equal(status, found == 0 ? GI8_OK : GI8_ERR_NOT_FINITE);
                not_finite += found;
            }
            assert_int_equal(not_finite, 2);
            assert_memory_equal(panels, expected, size);
            for (int i = 0; i < N; i++) {
                assert_true(absmax[i] == expected_absmax[i] || (i == 20 || i == 49));
                assert_int_equal(isnan(absmax[i]), i == 20 || i == 49);
            }
            free(panels);
        }
        free(values);
        free(w);
        free(codes);
        free(expected);
    }
    int8_t panel[16 * 64] = {0};
    float one = 1.0f;
    float absmax = 0.0f;
#define QUANTIZE(type, w, k, first, n, panels, absmax) \
    gi8_int8_quantize_weight_panels(type, w, k, first, n, panels, absmax, NULL)
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, &one, 1, 3, 1, panel, &absmax), GI8_OK);
    assert_true(absmax == 1.0f && panel[12] == 127);
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, NULL, 1, 0, 0, NULL, NULL), GI8_OK);
    assert_int_equal(QUANTIZE(GI8_TYPE_I8, &one, 1, 0, 1, panel, &absmax), GI8_ERR_TYPE);
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, &one, 0, 0, 1, panel, &absmax), GI8_ERR_SHAPE);
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, &one, 1, -1, 1, panel, &absmax), GI8_ERR_SHAPE);
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, &one, 1, 0, -1, panel, &absmax), GI8_ERR_SHAPE);
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, NULL, 1, 0, 1, panel, &absmax), GI8_ERR_ARGUMENT);
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, &one, 1, 0, 1, NULL, &absmax), GI8_ERR_ARGUMENT);
    assert_int_equal(QUANTIZE(GI8_TYPE_F32, &one, 1, 0, 1, panel, NULL), GI8_ERR_ARGUMENT);
#undef QUANTIZE
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
        cmocka_unit_test(test_quantize_into_panels),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
