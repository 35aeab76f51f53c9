/* body.h - mul_mat: register tiles of dot products along k. */
#include "../kernels.h"

GI8I_INLINE f32x16 load_whole(gi8_type type, const char *row, int64_t k) {
    if (type == GI8_TYPE_F32) {
        return f_load((const float *)(const void *)row + k);
    }
    const uint16_t *half = (const uint16_t *)(const void *)row + k;
    return type == GI8_TYPE_F16 ? f_load_f16(half) : f_load_bf16(half);
}

GI8I_INLINE f32x16 load_part(gi8_type type, const char *row, int64_t k, int64_t n) {
    if (type == GI8_TYPE_F32) {
        return f_load_n((const float *)(const void *)row + k, n);
    }
    const uint16_t *half = (const uint16_t *)(const void *)row + k;
    return type == GI8_TYPE_F16 ? f_load_f16_n(half, n) : f_load_bf16_n(half, n);
}

/* Rows n .. n + tile_n - 1 of w against rows m .. m + tile_m - 1 of x. The order of each sum does not
 * depend on the tile. */
GI8I_INLINE void tile(const gi8i_mul_mat_args *args, gi8_type type, int64_t n, int64_t m,
                      const int tile_n, const int tile_m) {
    f32x16 acc[GI8I_TILE_N][GI8I_TILE_M];
    const char *w = args->w + (size_t)n * args->w_stride_bytes;
    const char *x = args->x + (size_t)m * args->x_stride_bytes;
    GI8I_UNROLL
    for (int i = 0; i < tile_n; i++) {
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            acc[i][j] = f_set1(0.0f);
        }
    }
    int64_t k = 0;
    for (; k + 16 <= args->k; k += 16) {
        f32x16 a[GI8I_TILE_N];
        GI8I_UNROLL
        for (int i = 0; i < tile_n; i++) {
            a[i] = load_whole(type, w + (size_t)i * args->w_stride_bytes, k);
        }
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            f32x16 b = load_whole(GI8_TYPE_F32, x + (size_t)j * args->x_stride_bytes, k);
            GI8I_UNROLL
            for (int i = 0; i < tile_n; i++) {
                acc[i][j] = f_fma(a[i], b, acc[i][j]);
            }
        }
    }
    if (k < args->k) {
        int64_t rest = args->k - k;
        f32x16 a[GI8I_TILE_N];
        GI8I_UNROLL
        for (int i = 0; i < tile_n; i++) {
            a[i] = load_part(type, w + (size_t)i * args->w_stride_bytes, k, rest);
        }
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            f32x16 b = load_part(GI8_TYPE_F32, x + (size_t)j * args->x_stride_bytes, k, rest);
            GI8I_UNROLL
            for (int i = 0; i < tile_n; i++) {
                acc[i][j] = f_fma(a[i], b, acc[i][j]);
            }
        }
    }
    GI8I_UNROLL
    for (int j = 0; j < tile_m; j++) {
        float *y = (float *)(void *)((char *)args->y + (size_t)(m + j) * args->y_stride_bytes);
        GI8I_UNROLL
        for (int i = 0; i < tile_n; i++) {
            y[n + i] = f_sum(acc[i][j]);
        }
    }
}

GI8I_INLINE void rows_of_w(const gi8i_mul_mat_args *args, gi8_type type, int64_t n,
                           const int tile_n) {
    int64_t m = 0;
    for (; m + GI8I_TILE_M <= args->m; m += GI8I_TILE_M) {
        tile(args, type, n, m, tile_n, GI8I_TILE_M);
    }
    for (; m + 2 <= args->m; m += 2) {
        tile(args, type, n, m, tile_n, 2);
    }
    if (m < args->m) {
        tile(args, type, n, m, tile_n, 1);
    }
}

GI8I_INLINE void product(const gi8i_mul_mat_args *args, gi8_type type) {
    int64_t n = 0;
    for (; n + GI8I_TILE_N <= args->n; n += GI8I_TILE_N) {
        rows_of_w(args, type, n, GI8I_TILE_N);
    }
    for (; n < args->n; n++) {
        rows_of_w(args, type, n, 1);
    }
}

void GI8I_VARIANT(mul_mat)(const gi8i_mul_mat_args *args) {
    if (args->w_type == GI8_TYPE_F32) {
        product(args, GI8_TYPE_F32);
    } else if (args->w_type == GI8_TYPE_F16) {
        product(args, GI8_TYPE_F16);
    } else {
        product(args, GI8_TYPE_BF16);
    }
}
