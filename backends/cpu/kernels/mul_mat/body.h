/* body.h - mul_mat in register tiles; 16 lanes of k in a step. */
#include <string.h>

#include "../kernels.h"

enum { TILE_N = GI8I_TILE_N, TILE_M = GI8I_TILE_M, STEP = 16, BLOCK = GI8I_MUL_MAT_K };

typedef f32x16 tile_sum;
typedef f32x16 tile_w;
typedef f32x16 tile_x;

GI8I_INLINE f32x16 tile_zero(void) {
    return f_set1(0.0f);
}

GI8I_INLINE f32x16 tile_dot(f32x16 sum, f32x16 w, f32x16 x) {
    return f_fma(w, x, sum);
}

/* `kind` is a gi8_type. */
GI8I_INLINE f32x16 tile_load_w(int kind, const char *row, int64_t k, int64_t rest) {
    if (kind == GI8_TYPE_F32) {
        const float *p = (const float *)(const void *)row + k;
        return rest > 0 ? f_load_n(p, rest) : f_load(p);
    }
    const uint16_t *p = (const uint16_t *)(const void *)row + k;
    if (kind == GI8_TYPE_F16) {
        return rest > 0 ? f_load_f16_n(p, rest) : f_load_f16(p);
    }
    return rest > 0 ? f_load_bf16_n(p, rest) : f_load_bf16(p);
}

GI8I_INLINE f32x16 tile_load_x(const char *row, int64_t k, int64_t rest) {
    return tile_load_w(GI8_TYPE_F32, row, k, rest);
}

GI8I_INLINE size_t tile_w_bytes(int kind) {
    return kind == GI8_TYPE_F32 ? sizeof(float) : sizeof(uint16_t);
}

#include "../simd/tile.h"

TILE_INLINE void tile_store(const tile_column *sums, const void *result, int64_t n, int64_t m,
                            bool first, const int tile_n) {
    const gi8i_mul_mat_args *args = result;
    float *y = (float *)(void *)((char *)args->y + (size_t)m * args->y_stride_bytes) + n;
    float later[4];
    if (tile_n == 4) {
        if (first) {
            f_sum4(sums->n0, sums->n1, sums->n2, sums->n3, y);
            return;
        }
        f_sum4(sums->n0, sums->n1, sums->n2, sums->n3, later);
        for (int i = 0; i < 4; i++) {
            later[i] += y[i];
        }
        memcpy(y, later, sizeof later);
        return;
    }
    later[0] = f_sum(sums->n0);
    y[0] = first ? later[0] : y[0] + later[0];
    if (tile_n == 2) {
        later[1] = f_sum(sums->n1);
        y[1] = first ? later[1] : y[1] + later[1];
    }
}

/* A function of its own, so that its loops have all registers to themselves. */
static __attribute__((noinline)) void multiply_row(const tile_product *p, gi8_type w_type) {
    if (w_type == GI8_TYPE_F32) {
        tile_multiply_row(p, GI8_TYPE_F32);
    } else if (w_type == GI8_TYPE_F16) {
        tile_multiply_row(p, GI8_TYPE_F16);
    } else {
        tile_multiply_row(p, GI8_TYPE_BF16);
    }
}

void GI8I_VARIANT(mul_mat)(const gi8i_mul_mat_args *args) {
    const tile_product product = {
        .w = args->w,
        .x = args->x,
        .w_stride_bytes = args->w_stride_bytes,
        .x_stride_bytes = args->x_stride_bytes,
        .k = args->k,
        .n = args->n,
        .m = args->m,
        .fetch = args->fetch,
        .result = args,
    };
    if (args->m == 1) {
        multiply_row(&product, args->w_type);
    } else if (args->w_type == GI8_TYPE_F32) {
        tile_multiply(&product, GI8_TYPE_F32);
    } else if (args->w_type == GI8_TYPE_F16) {
        tile_multiply(&product, GI8_TYPE_F16);
    } else {
        tile_multiply(&product, GI8_TYPE_BF16);
    }
}
