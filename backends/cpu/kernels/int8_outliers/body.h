/* body.h - int8_outliers: the columns that do not go through int8, as a product in double. */
#include "../kernels.h"

GI8I_INLINE void tile(const int8_t *panel, int64_t count, const double *x, double *out,
                      int64_t out_stride, const int tile_m) {
    f64x16 acc[GI8I_OUTLIER_TILE_M];
    GI8I_UNROLL
    for (int j = 0; j < tile_m; j++) {
        acc[j] = d_load(out + j * out_stride);
    }
    for (int64_t i = 0; i < count; i++) {
        f64x16 codes = d_from_i8(panel + i * GI8_PANEL_ROWS);
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            acc[j] = d_add_exact_product(d_set1(x[j * GI8I_PANEL_K + i]), codes, acc[j]);
        }
    }
    GI8I_UNROLL
    for (int j = 0; j < tile_m; j++) {
        d_store(out + j * out_stride, acc[j]);
    }
}

void GI8I_VARIANT(int8_outliers)(const int8_t *panel, int64_t count, const double *x, double *out,
                                 int64_t out_stride, int64_t m) {
    int64_t j = 0;
    for (; j + GI8I_OUTLIER_TILE_M <= m; j += GI8I_OUTLIER_TILE_M) {
        tile(panel, count, x + j * GI8I_PANEL_K, out + j * out_stride, out_stride,
             GI8I_OUTLIER_TILE_M);
    }
    for (; j < m; j++) {
        tile(panel, count, x + j * GI8I_PANEL_K, out + j * out_stride, out_stride, 1);
    }
}
