/* body.h - int8_outliers: the columns that do not go through int8, as a product in double. */
#include "../kernels.h"

enum {
    MAX_SUMS = GI8I_OUTLIER_TILE_M > GI8I_OUTLIER_TILE_P ? GI8I_OUTLIER_TILE_M : GI8I_OUTLIER_TILE_P
};

/* Panels p .. p + tile_p - 1 with rows m .. m + tile_m - 1 of x; one of the two is 1. */
GI8I_INLINE void tile(const gi8i_int8_outliers_args *args, int64_t p, int64_t m, const int tile_p,
                      const int tile_m) {
    const int64_t panel = args->k * GI8_PANEL_ROWS;
    const int8_t *w = args->w + p * panel;
    const float *x = args->x + m * args->count;
    double *out = args->out + m * GI8I_BLOCK_N + p * GI8_PANEL_ROWS;
    f64x16 sums[MAX_SUMS];
    GI8I_UNROLL
    for (int j = 0; j < tile_p * tile_m; j++) {
        sums[j] = d_set1(0.0);
    }
    for (int64_t i = 0; i < args->count; i++) {
        int32_t k = args->columns[i];
        const int8_t *step = w + (int64_t)(k / GI8_PANEL_STEP) * (GI8_PANEL_STEP * GI8_PANEL_ROWS);
        if (tile_m > 1) {
            f64x16 codes = d_from_codes(step, k % GI8_PANEL_STEP);
            GI8I_UNROLL
            for (int j = 0; j < tile_m; j++) {
                f64x16 value = d_set1((double)x[j * args->count + i]);
                sums[j] = d_add_exact_product(value, codes, sums[j]);
            }
        } else {
            f64x16 value = d_set1((double)x[i]);
            GI8I_UNROLL
            for (int j = 0; j < tile_p; j++) {
                f64x16 codes = d_from_codes(step + j * panel, k % GI8_PANEL_STEP);
                sums[j] = d_add_exact_product(value, codes, sums[j]);
            }
        }
    }
    GI8I_UNROLL
    for (int j = 0; j < tile_p * tile_m; j++) {
        d_store(out + (tile_m > 1 ? j * GI8I_BLOCK_N : j * GI8_PANEL_ROWS), sums[j]);
    }
}

void GI8I_VARIANT(int8_outliers)(const gi8i_int8_outliers_args *args) {
    int64_t m = 0;
    for (; m + GI8I_OUTLIER_TILE_M <= args->m; m += GI8I_OUTLIER_TILE_M) {
        for (int64_t p = 0; p < args->n_panels; p++) {
            tile(args, p, m, 1, GI8I_OUTLIER_TILE_M);
        }
    }
    for (; m < args->m; m++) {
        int64_t p = 0;
        for (; p + GI8I_OUTLIER_TILE_P <= args->n_panels; p += GI8I_OUTLIER_TILE_P) {
            tile(args, p, m, GI8I_OUTLIER_TILE_P, 1);
        }
        for (; p < args->n_panels; p++) {
            tile(args, p, m, 1, 1);
        }
    }
}
