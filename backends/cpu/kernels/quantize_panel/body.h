/* body.h - quantize_panel in tiles of 16 rows and GI8_PANEL_K columns. The including file has,
 * beside the vectors of simd/,
 *   void pack_tile(gi8_type type, const char *w, size_t stride, const float *factor, int8_t *to)
 * which multiplies, rounds and writes a tile to where it belongs in the panel.
 */
#include <math.h>
#include <string.h>

#include "../kernels.h"
#include "ggml-int8/gi8_quantize.h"

/* max |w[i]|; NaN where w holds NaN or Inf. */
GI8I_INLINE float row_absmax(gi8_type type, const char *w, int64_t k) {
    const size_t size = type == GI8_TYPE_F32 ? 4 : 2;
    f32x16 largest = f_set1(0.0f);
    f32x16 zeros = f_set1(0.0f); /* 0 * w[i]: NaN for what is not finite */
    int64_t i = 0;
    for (; i + 16 <= k; i += 16) {
        const f32x16 x = load_weights(type, w + (size_t)i * size);
        largest = f_max(largest, f_abs(x));
        zeros = f_fma(x, f_set1(0.0f), zeros);
    }
    if (i < k) {
        char rest[16 * sizeof(float)] = {0};
        memcpy(rest, w + (size_t)i * size, (size_t)(k - i) * size);
        const f32x16 x = load_weights(type, rest);
        largest = f_max(largest, f_abs(x));
        zeros = f_fma(x, f_set1(0.0f), zeros);
    }
    return isnan(f_sum(zeros)) ? NAN : f_largest(largest);
}

/* Inlined once for each type, so that the loops do not ask for it. */
GI8I_INLINE int64_t quantize_panel(gi8_type type, const char *w, int64_t k, int8_t *panel,
                                   float *absmax) {
    const size_t size = type == GI8_TYPE_F32 ? 4 : 2;
    const size_t stride = (size_t)k * size;
    float factor[GI8_PANEL_ROWS];
    for (int row = 0; row < GI8_PANEL_ROWS; row++) {
        absmax[row] = row_absmax(type, w + (size_t)row * stride, k);
        if (isnan(absmax[row])) { /* rare, and an error: the reference knows what to do */
            int64_t not_finite = 0;
            gi8_int8_quantize_weight_panels(type, w, k, 0, GI8_PANEL_ROWS, panel, absmax,
                                            &not_finite);
            return not_finite;
        }
        factor[row] = gi8_int8_weight_factor(absmax[row]);
    }
    int64_t i = 0;
    for (; i + GI8_PANEL_K <= k; i += GI8_PANEL_K) {
        pack_tile(type, w + (size_t)i * size, stride, factor, panel + i * GI8_PANEL_ROWS);
    }
    if (i < k) { /* with the zeros that pad the panel */
        char rest[GI8_PANEL_ROWS][GI8_PANEL_K * sizeof(float)] = {{0}};
        for (int row = 0; row < GI8_PANEL_ROWS; row++) {
            memcpy(rest[row], w + (size_t)row * stride + (size_t)i * size, (size_t)(k - i) * size);
        }
        pack_tile(type, rest[0], sizeof rest[0], factor, panel + i * GI8_PANEL_ROWS);
    }
    return 0;
}

int64_t GI8I_VARIANT(quantize_panel)(gi8_type type, const void *w, int64_t k, int8_t *panel,
                                     float *absmax) {
    switch (type) {
    case GI8_TYPE_F32: return quantize_panel(GI8_TYPE_F32, w, k, panel, absmax);
    case GI8_TYPE_F16: return quantize_panel(GI8_TYPE_F16, w, k, panel, absmax);
    default: return quantize_panel(GI8_TYPE_BF16, w, k, panel, absmax);
    }
}
