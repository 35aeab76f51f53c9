/* body.h - int8_dot: register tiles over panels of w (gi8_panels.h). The including file has
 *   TILE_P, TILE_M    panels of w and rows of q in a tile; TILE_P1: panels where q is one row
 *   OFFSET            what `weights` adds to each code of w (0 or 128)
 *   vector            32-bit sums of as many rows of w;  vector zero(void)
 *   subtract(vector, int32_t)
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
    MAX_P = TILE_P > TILE_P1 ? TILE_P : TILE_P1
};

static inline __attribute__((always_inline)) void tile(const gi8i_int8_dot_args *args, int64_t p,
                                                       int64_t m, const int tile_p,
                                                       const int tile_m) {
    vector acc[MAX_P * VECTORS][TILE_M];
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
        weights a[MAX_P * VECTORS];
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
        switch (rows) { /* rows <= TILE_M <= 6 */
        case 6: tile(args, p, m, tile_p, TILE_M < 6 ? TILE_M : 6); break;
        case 5: tile(args, p, m, tile_p, TILE_M < 5 ? TILE_M : 5); break;
        case 4: tile(args, p, m, tile_p, 4); break;
        case 3: tile(args, p, m, tile_p, 3); break;
        case 2: tile(args, p, m, tile_p, 2); break;
        default: tile(args, p, m, tile_p, 1); break;
        }
        m += rows;
    }
}

static inline void int8_dot(const gi8i_int8_dot_args *args) {
    int64_t p = 0;
    if (args->m == 1) {
        /* More sums in flight: nothing else hides the latency of one product after another. */
        for (; p + TILE_P1 <= args->n_panels; p += TILE_P1) {
            tile(args, p, 0, TILE_P1, 1);
        }
    }
    for (; p + TILE_P <= args->n_panels; p += TILE_P) {
        panels(args, p, TILE_P);
    }
    for (; p < args->n_panels; p++) {
        panels(args, p, 1);
    }
}
