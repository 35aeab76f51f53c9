/* body.h - int8_dot: register tiles over panels of w (gi8_panels.h). The including file has
 *   TILE_P, TILE_M    panels of w and rows of q in a tile
 *   OFFSET            what `weights` adds to each code of w (0 or 128)
 *   vector            32-bit sums of as many rows of w;  vector zero(void)
 *   subtract(vector, int32_t)
 *   vector plus(vector, vector)
 *   store(int32_t *, vector)
 *   weights           codes of w made ready, four of each row:  weights prepare(const int8_t *)
 *   codes             four codes of q, repeated:  codes repeat(const int8_t *)
 *   vector dot(vector acc, weights w, codes q)     acc + products, summed in groups of four
 *
 * With OFFSET = 128 a sum is sum(q w) + 128 sum(q) modulo 2^32; taking 128 sum(q) away, also modulo
 * 2^32, leaves the exact sum, which fits into int32 for k <= GI8_INT8_MAX_K.
 */
#include "../kernels.h"

enum {
    LANES = (int)(sizeof(vector) / sizeof(int32_t)),
    VECTORS = GI8_PANEL_ROWS / LANES, /* in a panel */
    CHAINS = 4,                       /* sums of one element, to hide the latency of a product */
    AHEAD = 6144                      /* bytes between what is read and what is fetched */
};

/* Panels p .. p + tile_p - 1 with rows m .. m + tile_m - 1 of q. Meanwhile `ahead` .. is fetched
 * into the level-2 cache, a line for each step and panel of the tile; NULL: nothing. */
static inline __attribute__((always_inline)) void tile(const gi8i_int8_dot_args *args, int64_t p,
                                                       int64_t m, const int tile_p,
                                                       const int tile_m, const int8_t *ahead) {
    vector acc[TILE_P * VECTORS][TILE_M];
    const int8_t *w = args->w + p * GI8_PANEL_ROWS * args->k;
    const int8_t *q = args->q + m * args->k;
    GI8I_UNROLL
    for (int i = 0; i < tile_p * VECTORS; i++) {
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            acc[i][j] = zero();
        }
    }
    for (int64_t k = 0; k < args->k; k += GI8_PANEL_STEP) {
        weights a[TILE_P * VECTORS];
        if (ahead != NULL) {
            __builtin_prefetch(ahead + k * (64 / GI8_PANEL_STEP), 0, 2);
        }
        GI8I_UNROLL
        for (int i = 0; i < tile_p * VECTORS; i++) {
            const int8_t *panel = w + i / VECTORS * GI8_PANEL_ROWS * args->k;
            a[i] = prepare(panel + k * GI8_PANEL_ROWS + i % VECTORS * (int)sizeof(vector));
        }
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            codes x = repeat(q + j * args->k + k);
            GI8I_UNROLL
            for (int i = 0; i < tile_p * VECTORS; i++) {
                acc[i][j] = dot(acc[i][j], a[i], x);
            }
        }
    }
    GI8I_UNROLL
    for (int j = 0; j < tile_m; j++) {
        int32_t *out = args->acc + (m + j) * GI8I_BLOCK_N + p * GI8_PANEL_ROWS;
        int32_t excess = (int32_t)(OFFSET * (uint32_t)args->q_sum[m + j]);
        GI8I_UNROLL
        for (int i = 0; i < tile_p * VECTORS; i++) {
            store(out + i * LANES, subtract(acc[i][j], excess));
        }
    }
}

/* All rows of q in as few tiles as it takes, of nearly equal heights: a low tile at the end would
 * have too few sums to hide the latency of a product. */
static inline __attribute__((always_inline)) void panels(const gi8i_int8_dot_args *args, int64_t p,
                                                         const int tile_p) {
    int64_t n_tiles = (args->m + TILE_M - 1) / TILE_M;
    int64_t m = 0;
    for (int64_t t = 0; t < n_tiles; t++) {
        int64_t rows = args->m / n_tiles + (t < args->m % n_tiles);
        /* K / 4 lines of the tile_p * K / 4 that the next panels have. */
        const int8_t *ahead = args->next != NULL && t < tile_p
            ? args->next + (p * GI8_PANEL_ROWS + t * 16) * args->k : NULL;
        switch (rows) { /* rows <= TILE_M <= 6 */
        case 6: tile(args, p, m, tile_p, TILE_M < 6 ? TILE_M : 6, ahead); break;
        case 5: tile(args, p, m, tile_p, TILE_M < 5 ? TILE_M : 5, ahead); break;
        case 4: tile(args, p, m, tile_p, 4, ahead); break;
        case 3: tile(args, p, m, tile_p, 3, ahead); break;
        case 2: tile(args, p, m, tile_p, 2, ahead); break;
        default: tile(args, p, m, tile_p, 1, ahead); break;
        }
        m += rows;
    }
}

/* One panel with one row of q: w is read as one stream from front to back, which is what memory
 * does best. GI8_PANEL_K is a multiple of CHAINS * GI8_PANEL_STEP. `once`: it is fetched into the
 * level-1 cache alone, also what follows the panel, which as a rule is the next one. */
static inline __attribute__((always_inline)) void one_row(const gi8i_int8_dot_args *args, int64_t p,
                                                          const bool once) {
    vector acc[CHAINS][VECTORS];
    const int8_t *w = args->w + p * GI8_PANEL_ROWS * args->k;
    GI8I_UNROLL
    for (int c = 0; c < CHAINS; c++) {
        GI8I_UNROLL
        for (int v = 0; v < VECTORS; v++) {
            acc[c][v] = zero();
        }
    }
    for (int64_t k = 0; k < args->k; k += CHAINS * GI8_PANEL_STEP) {
        GI8I_UNROLL
        for (int c = 0; c < CHAINS; c++) {
            const int8_t *step = w + (k + c * GI8_PANEL_STEP) * GI8_PANEL_ROWS;
            codes x = repeat(args->q + k + c * GI8_PANEL_STEP);
            if (once) {
                __builtin_prefetch((const void *)((uintptr_t)step + AHEAD), 0, 0);
            }
            GI8I_UNROLL
            for (int v = 0; v < VECTORS; v++) {
                acc[c][v] = dot(acc[c][v], prepare(step + v * (int)sizeof(vector)), x);
            }
        }
    }
    int32_t excess = (int32_t)(OFFSET * (uint32_t)args->q_sum[0]);
    GI8I_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        vector sum = plus(plus(acc[0][v], acc[1][v]), plus(acc[2][v], acc[3][v]));
        store(args->acc + p * GI8_PANEL_ROWS + v * LANES, subtract(sum, excess));
    }
}

static inline void int8_dot(const gi8i_int8_dot_args *args) {
    int64_t p = 0;
    if (args->m == 1) {
        for (; p < args->n_panels; p++) {
            if (args->once) {
                one_row(args, p, true);
            } else {
                one_row(args, p, false);
            }
        }
        return;
    }
    for (; p + TILE_P <= args->n_panels; p += TILE_P) {
        panels(args, p, TILE_P);
    }
    for (; p < args->n_panels; p++) {
        panels(args, p, 1);
    }
}
