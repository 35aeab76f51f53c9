/* body.h - mul_mat_panels: register tiles of 16 TILE_P rows of w, a lane each, by TILE_M rows of x.
 *
 * What the definition calls a lane is a pass over a 16th of the block here: one accumulator for
 * each element of the tile, and f_sum() is a sum over passes. Each sum of two waits in memory until
 * its partner is there, as carries do in a binary number, so that four for each element suffice.
 */
#include <stdint.h>
#include <string.h>

#include "../kernels.h"

enum {
    ROWS = 16, /* of w, in a panel */
    LANES = 16,
    X_LANE = GI8I_MUL_MAT_K / LANES, /* from one lane of x to the next */
    PANEL_LANE = GI8I_MUL_MAT_PANEL / LANES,
    LEVELS = 4
};

GI8I_INLINE size_t weight_bytes(gi8_type type) {
    return type == GI8_TYPE_F32 ? sizeof(float) : sizeof(uint16_t);
}

GI8I_INLINE int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* 16 rows of w with k elements of a block. */
GI8I_INLINE void pack_rows(gi8_type type, const char *w, size_t stride_bytes, int64_t k,
                           float *panel) {
    for (int64_t i = 0; i < k; i += LANES) {
        f_store_transposed(type, w + (size_t)i * weight_bytes(type), stride_bytes, panel + i,
                           PANEL_LANE);
    }
}

static void pack_any(gi8_type type, const char *w, size_t stride_bytes, int64_t k, float *panel) {
    if (type == GI8_TYPE_F32) {
        pack_rows(GI8_TYPE_F32, w, stride_bytes, k, panel);
    } else if (type == GI8_TYPE_F16) {
        pack_rows(GI8_TYPE_F16, w, stride_bytes, k, panel);
    } else {
        pack_rows(GI8_TYPE_BF16, w, stride_bytes, k, panel);
    }
}

/* Up to 16 rows of w with k elements of a block. */
static void pack_panel(gi8_type type, const char *w, size_t stride_bytes, int64_t rows, int64_t k,
                       float *panel) {
    const size_t size = weight_bytes(type);
    const int64_t whole = rows >= ROWS ? k / LANES * LANES : 0;
    pack_any(type, w, stride_bytes, whole, panel);
    for (int64_t i = whole; i < k; i += LANES) {
        _Alignas(64) char copy[ROWS * LANES * sizeof(float)] = {0};
        const size_t count = (size_t)smaller(k - i, LANES);
        for (int64_t r = 0; r < rows && r < ROWS; r++) {
            memcpy(copy + (size_t)r * LANES * size,
                   w + (size_t)i * size + (size_t)r * stride_bytes, count * size);
        }
        pack_any(type, copy, LANES * size, LANES, panel + i);
    }
}

/* A block of k with some rows of x. */
typedef struct slice {
    const gi8i_mul_mat_panels_args *args;
    const float *panel;
    const float *x;
    float *y;
    int64_t n;               /* columns of y from `y` on */
    int64_t length;          /* of a lane */
    bool first;              /* of the blocks: y has nothing yet */
    const char *ahead;       /* 16 rows of w to be fetched, with so many */
    int64_t ahead_lines;     /* lines of 64 bytes each; NULL: none */
    const float *x_ahead;    /* x to be fetched; NULL: none */
} slice;

GI8I_INLINE f32x16 load_y(const float *y, int64_t n) {
    return n >= LANES ? f_load(y) : f_load_n(y, n);
}

GI8I_INLINE void store_y(float *y, f32x16 sum, int64_t n) {
    if (n >= LANES) {
        f_store(y, sum);
    } else {
        f_store_n(y, sum, n);
    }
}

GI8I_INLINE void tile(const slice *s, const int tile_p, const int tile_m) {
    /* Lane i + 8 follows lane i, then the two that are added to their sum, and so on. */
    static const uint8_t order[LANES] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
    _Alignas(64) float waiting[LEVELS][TILE_P * TILE_M][LANES];
    f32x16 sum[TILE_P][TILE_M];
    /* As numbers: not every row and line that is fetched ahead is there. */
    uintptr_t ahead = (uintptr_t)s->ahead;
    uintptr_t x_ahead = (uintptr_t)s->x_ahead;
    for (int pass = 0; pass < LANES; pass++) {
        const float *w = s->panel + order[pass] * PANEL_LANE;
        const float *x = s->x + order[pass] * X_LANE;
        GI8I_UNROLL
        for (int i = 0; i < tile_p; i++) {
            GI8I_UNROLL
            for (int j = 0; j < tile_m; j++) {
                sum[i][j] = f_set1(0.0f);
            }
        }
        for (int64_t k = 0; k < s->length; k++) {
            f32x16 a[TILE_P];
            if (k < s->ahead_lines) {
                __builtin_prefetch((const void *)(ahead + 64 * (uintptr_t)k), 0, 2);
            }
            if (x_ahead != 0) {
                __builtin_prefetch((const void *)(x_ahead + 64 * (uintptr_t)k), 0, 2);
            }
            GI8I_UNROLL
            for (int i = 0; i < tile_p; i++) {
                a[i] = f_load(w + i * GI8I_MUL_MAT_PANEL + k * ROWS);
            }
            GI8I_UNROLL
            for (int j = 0; j < tile_m; j++) {
                f32x16 b = f_set1(x[j * GI8I_ORDERED_ROW + k]);
                GI8I_UNROLL
                for (int i = 0; i < tile_p; i++) {
                    sum[i][j] = f_fma(a[i], b, sum[i][j]);
                    keep_in_registers(&sum[i][j]);
                }
            }
        }
        ahead += s->args->w_stride_bytes;
        x_ahead += x_ahead != 0 ? 64 * (uintptr_t)s->length : 0;
        int level = 0;
        for (; (pass >> level & 1) != 0; level++) {
            GI8I_UNROLL
            for (int i = 0; i < tile_p; i++) {
                GI8I_UNROLL
                for (int j = 0; j < tile_m; j++) {
                    sum[i][j] = f_add(f_load(waiting[level][i * tile_m + j]), sum[i][j]);
                    keep_in_registers(&sum[i][j]);
                }
            }
        }
        if (pass == LANES - 1) {
            break;
        }
        GI8I_UNROLL
        for (int i = 0; i < tile_p; i++) {
            GI8I_UNROLL
            for (int j = 0; j < tile_m; j++) {
                f_store(waiting[level][i * tile_m + j], sum[i][j]);
            }
        }
    }
    GI8I_UNROLL
    for (int j = 0; j < tile_m; j++) {
        float *y = (float *)(void *)((char *)s->y + (size_t)j * s->args->y_stride_bytes);
        GI8I_UNROLL
        for (int i = 0; i < tile_p; i++) {
            const int64_t n = s->n - LANES * i;
            f32x16 all = s->first ? sum[i][j] : f_add(load_y(y + LANES * i, n), sum[i][j]);
            store_y(y + LANES * i, all, n);
        }
    }
}

#define TILE_CASE(rows)                 \
    case rows:                          \
        if ((rows) <= TILE_M) {         \
            tile(s, tile_p, (rows));    \
        }                               \
        break

GI8I_INLINE void tile_of(const slice *s, const int tile_p, int64_t tile_m) {
    switch (tile_m) {
        TILE_CASE(1);
        TILE_CASE(2);
        TILE_CASE(3);
        TILE_CASE(4);
        TILE_CASE(5);
        TILE_CASE(6);
        TILE_CASE(7);
        TILE_CASE(8);
        TILE_CASE(9);
        TILE_CASE(10);
        TILE_CASE(11);
        TILE_CASE(12);
        TILE_CASE(13);
        TILE_CASE(14);
    default: break;
    }
}

/* One call for each number of panels, so that the code is there once. */
static void full_tile(const slice *s, int64_t tile_m) {
    tile_of(s, TILE_P, tile_m);
}

static void narrow_tile(const slice *s, int64_t tile_m) {
    tile_of(s, 1, tile_m);
}

/* The packed rows of w with all rows of x, in tiles of nearly equal heights. `ahead`: as many rows
 * of w to be fetched meanwhile. */
static void multiply_block(const gi8i_mul_mat_panels_args *args, int64_t k, const char *ahead) {
    const int64_t n_panels = (args->n + ROWS - 1) / ROWS;
    const int64_t n_tiles = (args->m + TILE_M - 1) / TILE_M;
    const int64_t block = smaller(args->k - k, GI8I_MUL_MAT_K);
    slice s = {.args = args,
               .x = args->x + k / GI8I_MUL_MAT_K * args->x_block_stride,
               .length = (block + LANES - 1) / LANES,
               .first = k == 0};
    int64_t fetched = 0;
    int64_t m = 0;
    for (int64_t t = 0; t < n_tiles; t++) {
        const int64_t rows = args->m / n_tiles + (t < args->m % n_tiles);
        for (int64_t p = 0; p < n_panels;) {
            const int64_t width = p + TILE_P <= n_panels ? TILE_P : 1;
            s.panel = args->panels + p * GI8I_MUL_MAT_PANEL;
            s.y = (float *)(void *)((char *)args->y + (size_t)m * args->y_stride_bytes) + p * ROWS;
            s.n = args->n - p * ROWS;
            s.ahead = ahead != NULL && fetched < args->n
                ? ahead + (size_t)fetched * args->w_stride_bytes : NULL;
            s.ahead_lines = s.ahead == NULL
                ? 0 : GI8I_MUL_MAT_K / 64 * (int64_t)weight_bytes(args->w_type);
            fetched += ROWS;
            s.x_ahead = p == 0 && t + 1 < n_tiles ? s.x + rows * GI8I_ORDERED_ROW : NULL;
            if (width == TILE_P) {
                full_tile(&s, rows);
            } else {
                narrow_tile(&s, rows);
            }
            p += width;
        }
        s.x += rows * GI8I_ORDERED_ROW;
        m += rows;
    }
}

void GI8I_VARIANT(mul_mat_panels)(const gi8i_mul_mat_panels_args *args) {
    for (int64_t k = 0; k < args->k; k += GI8I_MUL_MAT_K) {
        const char *w = args->w + (size_t)k * weight_bytes(args->w_type);
        const int64_t block = smaller(args->k - k, GI8I_MUL_MAT_K);
        for (int64_t n = 0; n < args->n; n += ROWS) {
            pack_panel(args->w_type, w + (size_t)n * args->w_stride_bytes, args->w_stride_bytes,
                       args->n - n, block, args->panels + n / ROWS * GI8I_MUL_MAT_PANEL);
        }
        const bool last = args->k - k <= GI8I_MUL_MAT_K;
        multiply_block(args, k,
                       last ? args->next : w + GI8I_MUL_MAT_K * weight_bytes(args->w_type));
    }
}
