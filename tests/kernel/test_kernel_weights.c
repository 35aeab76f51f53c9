/* test_kernel_weights.c - quantize_panel: every variant against rows that are quantized one by one
 * and packed, byte for byte. */
#include <math.h>

#include "ggml-int8/gi8_quantize.h"
#include "kernel_table.h"

enum { ROWS = GI8_PANEL_ROWS };

/* Compares the panel and absmax of `w`, k columns of 16 rows in a float type. */
static void check_panel(gi8_type type, const void *w, int64_t k, gi8i_quantize_panel_fn *fn,
                        const char *name) {
    const size_t panel_size = gi8_panels_size(k, ROWS);
    int8_t *codes = malloc((size_t)(k * ROWS));
    int8_t *expected = calloc(1, panel_size);
    assert_true(codes != NULL && expected != NULL);
    float expected_absmax[ROWS];
    int64_t not_finite = 0;
    gi8_int8_quantize_weight_rows(type, w, k, ROWS, codes, expected_absmax, &not_finite);
    gi8_panels_pack(codes, k, 0, ROWS, expected);

    guarded panel = guarded_new(panel_size, 1, 0);
    guarded absmax = guarded_new(ROWS, sizeof(float), 1);
    memset(panel.data, 0, panel_size); /* as the memory of a layer is */
    void *block;
    const size_t bytes = (size_t)(k * ROWS) * gi8_type_size(type);
    const void *from = exact_copy(w, bytes, 1, gi8_type_size(type), &block);
    assert_int_equal(fn(type, from, k, panel.data, absmax.data), not_finite);
    assert_same_floats(expected_absmax, absmax.data, ROWS, name);
    if (memcmp(panel.data, expected, panel_size) != 0) {
        fail_msg("%s: %s, k = %lld: other codes than the reference's", name, gi8_type_name(type),
                 (long long)k);
    }
    free(block);
    guarded_free(&absmax, name);
    guarded_free(&panel, name);
    free(expected);
    free(codes);
}

/* In all three types; the values are rounded to each. */
static void check_values(const float *values, int64_t k, gi8i_quantize_panel_fn *fn,
                         const char *name) {
    void *w = malloc((size_t)(k * ROWS) * sizeof(float));
    assert_non_null(w);
    for (int type = GI8_TYPE_F32; type <= GI8_TYPE_BF16; type++) {
        assert_int_equal(gi8_convert_from_fp32((gi8_type)type, values, k * ROWS, w), GI8_OK);
        check_panel((gi8_type)type, w, k, fn, name);
    }
    free(w);
}

static void check_quantize_panel(test_rng *rng, gi8i_quantize_panel_fn *fn, const char *name) {
    static const int64_t sizes[] = {1,  2,  3,  4,  15, 16,  17,  31,  32,  33,
                                    63, 64, 65, 96, 97, 127, 128, 129, 300, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t k = sizes[s];
        const int64_t n = k * ROWS;
        float *values = malloc((size_t)n * sizeof *values);
        assert_non_null(values);
        for (int64_t i = 0; i < n; i++) {
            values[i] = test_rng_normal(rng) * 0.02f;
        }
        check_values(values, k, fn, name);

        /* Quotients that are halves, whose rounding the factor's last bit decides. */
        for (int64_t i = 0; i < n; i++) {
            values[i] = (float)test_rng_int(rng, -254, 254) * 0x1p-9f;
        }
        for (int64_t row = 0; row < ROWS; row++) {
            values[row * k + k / 2] = (row % 2 == 0 ? 254.0f : -254.0f) * 0x1p-9f;
        }
        check_values(values, k, fn, name);

        /* A zero row, denormals of each type, values that have no factor, the largest. */
        for (int64_t i = 0; i < k; i++) {
            values[i] = i % 2 == 0 ? 0.0f : -0.0f;
            values[k + i] = test_rng_float(rng, -1e-7f, 1e-7f);
            values[2 * k + i] = test_rng_float(rng, -1e-39f, 1e-39f);
            values[3 * k + i] = test_rng_float(rng, -4e-37f, 4e-37f);
            values[4 * k + i] = test_rng_float(rng, -65504.0f, 65504.0f);
        }
        check_values(values, k, fn, name);

        /* NaN and Inf, in one row and in several. */
        values[3 * k + k / 3] = NAN;
        check_values(values, k, fn, name);
        values[15 * k + k - 1] = INFINITY;
        values[0] = -INFINITY;
        check_values(values, k, fn, name);
        free(values);
    }
    /* Every F16 there is, 4096 columns in 16 rows: finite ones, then all of them. */
    uint16_t *all = malloc(65536 * sizeof *all);
    assert_non_null(all);
    for (uint32_t i = 0; i < 65536; i++) {
        all[i] = (uint16_t)((i & 0x7fff) < 0x7c00 ? i : i & 0x83ff);
    }
    check_panel(GI8_TYPE_F16, all, 4096, fn, name);
    for (uint32_t i = 0; i < 65536; i++) {
        all[i] = (uint16_t)i;
    }
    check_panel(GI8_TYPE_F16, all, 4096, fn, name);
    free(all);
}

KERNEL_TEST(quantize_panel)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize_panel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
