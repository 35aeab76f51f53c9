/* tile.h - a matrix product in register tiles of dot products along k: up to 4 rows of w by up to 6
 * rows of x. The sum of an element does not depend on the tile that it falls into. The including
 * file has
 *   TILE_N, TILE_M    rows of w (2 or 4) and of x (2 to 6) in a tile
 *   STEP              elements along k in one step
 *   tile_sum, tile_w, tile_x                    accumulators, and what one step loads of a row
 *   tile_sum tile_zero(void), tile_dot(tile_sum, tile_w, tile_x)
 *   tile_w tile_load_w(kind, row, k, rest)      from element k on; rest > 0: only so many are left
 *   tile_x tile_load_x(row, k, rest)
 *   size_t tile_w_bytes(kind)                   of an element of w
 *   BLOCK             elements along k that are summed at a time, a multiple of STEP
 *   void tile_store(const tile_column *, const void *result, int64_t n, int64_t m, first, tile_n)
 *                                               `first`: the first block of k
 * Sums are named members and not arrays: gcc keeps arrays of vectors in memory.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TILE_INLINE static inline __attribute__((always_inline))

/* The sums of one row of x with each row of w. */
typedef struct tile_column {
    tile_sum n0, n1, n2, n3;
} tile_column;

TILE_INLINE void tile_store(const tile_column *sums, const void *result, int64_t n, int64_t m,
                            bool first, const int tile_n);

typedef struct tile {
    tile_column m0, m1, m2, m3, m4, m5;
} tile;

/* One product: its sources, and what tile_store() needs. */
typedef struct tile_product {
    const char *w;
    const char *x;
    size_t w_stride_bytes;
    size_t x_stride_bytes;
    int64_t k, n, m;
    bool fetch; /* w ahead: it is not in a cache */
    const void *result;
} tile_product;

TILE_INLINE tile_column tile_zero_column(void) {
    return (tile_column){tile_zero(), tile_zero(), tile_zero(), tile_zero()};
}

TILE_INLINE void tile_add_column(tile_column *c, tile_w w0, tile_w w1, tile_w w2, tile_w w3,
                                 tile_x x, const int tile_n) {
    c->n0 = tile_dot(c->n0, w0, x);
    if (tile_n > 1) {
        c->n1 = tile_dot(c->n1, w1, x);
    }
    if (tile_n > 2) {
        c->n2 = tile_dot(c->n2, w2, x);
        c->n3 = tile_dot(c->n3, w3, x);
    }
}

TILE_INLINE void tile_step(tile *t, const tile_product *p, int kind, const char *w, const char *x,
                           int64_t k, int64_t rest, const int tile_n, const int tile_m) {
    tile_w w0 = tile_load_w(kind, w, k, rest);
    tile_w w1 = tile_n > 1 ? tile_load_w(kind, w + p->w_stride_bytes, k, rest) : w0;
    tile_w w2 = tile_n > 2 ? tile_load_w(kind, w + 2 * p->w_stride_bytes, k, rest) : w0;
    tile_w w3 = tile_n > 2 ? tile_load_w(kind, w + 3 * p->w_stride_bytes, k, rest) : w0;
    tile_add_column(&t->m0, w0, w1, w2, w3, tile_load_x(x, k, rest), tile_n);
    if (tile_m > 1) {
        x += p->x_stride_bytes;
        tile_add_column(&t->m1, w0, w1, w2, w3, tile_load_x(x, k, rest), tile_n);
    }
    if (tile_m > 2) {
        x += p->x_stride_bytes;
        tile_add_column(&t->m2, w0, w1, w2, w3, tile_load_x(x, k, rest), tile_n);
    }
    if (tile_m > 3) {
        x += p->x_stride_bytes;
        tile_add_column(&t->m3, w0, w1, w2, w3, tile_load_x(x, k, rest), tile_n);
    }
    if (tile_m > 4) {
        x += p->x_stride_bytes;
        tile_add_column(&t->m4, w0, w1, w2, w3, tile_load_x(x, k, rest), tile_n);
    }
    if (tile_m > 5) {
        x += p->x_stride_bytes;
        tile_add_column(&t->m5, w0, w1, w2, w3, tile_load_x(x, k, rest), tile_n);
    }
}

/* The rows of w behind those of a tile, to be fetched meanwhile; NULL: none. Processors look far
 * ahead by themselves only where a step reads whole lines of w and does little with them. */
TILE_INLINE const char *tile_ahead(const tile_product *p, int kind, int64_t n, const int tile_n,
                                   const int tile_m) {
    size_t bytes = (size_t)tile_n * p->w_stride_bytes;
    bool fetch = p->fetch && (tile_m > 2 || tile_w_bytes(kind) == 2) &&
                 n + 2 * tile_n <= p->n && bytes <= (size_t)128 * 1024;
    return fetch ? p->w + (size_t)n * p->w_stride_bytes + bytes : NULL;
}

/* The elements [begin, end) along k. `ahead` is what to fetch meanwhile, as much as is read. */
TILE_INLINE void tile_compute(const tile_product *p, int kind, int64_t n, int64_t m, int64_t begin,
                              int64_t end, const char *ahead, const int tile_n, const int tile_m) {
    tile_column zero = tile_zero_column();
    tile t = {zero, zero, zero, zero, zero, zero};
    const char *w = p->w + (size_t)n * p->w_stride_bytes;
    const char *x = p->x + (size_t)m * p->x_stride_bytes;
    const size_t ahead_step = STEP * tile_w_bytes(kind) * (size_t)tile_n;
    int64_t k = begin;
    for (; k + STEP <= end; k += STEP) {
        for (size_t i = 0; ahead != NULL && i < ahead_step; i += 64) {
            __builtin_prefetch(ahead + i, 0, 2);
        }
        ahead = ahead != NULL ? ahead + ahead_step : NULL;
        tile_step(&t, p, kind, w, x, k, 0, tile_n, tile_m);
    }
    if (k < end) {
        tile_step(&t, p, kind, w, x, k, end - k, tile_n, tile_m);
    }
    const bool first = begin == 0;
    tile_store(&t.m0, p->result, n, m, first, tile_n);
    if (tile_m > 1) {
        tile_store(&t.m1, p->result, n, m + 1, first, tile_n);
    }
    if (tile_m > 2) {
        tile_store(&t.m2, p->result, n, m + 2, first, tile_n);
    }
    if (tile_m > 3) {
        tile_store(&t.m3, p->result, n, m + 3, first, tile_n);
    }
    if (tile_m > 4) {
        tile_store(&t.m4, p->result, n, m + 4, first, tile_n);
    }
    if (tile_m > 5) {
        tile_store(&t.m5, p->result, n, m + 5, first, tile_n);
    }
}

/* tile_n rows of w with tile_m rows of x, block by block along k. */
TILE_INLINE void tile_blocks(const tile_product *p, int kind, int64_t n, int64_t m,
                             const int tile_n, const int tile_m) {
    const char *ahead = m == 0 ? tile_ahead(p, kind, n, tile_n, tile_m) : NULL;
    if (tile_m == 1 && p->k <= BLOCK) { /* as few branches as possible while memory is read */
        tile_compute(p, kind, n, m, 0, p->k, ahead, tile_n, tile_m);
        return;
    }
    int64_t begin = 0;
    do { /* once where k = 0, too */
        const int64_t end = p->k - begin < BLOCK ? p->k : begin + BLOCK;
        const size_t done = (size_t)(begin * tile_n) * tile_w_bytes(kind);
        tile_compute(p, kind, n, m, begin, end, ahead != NULL ? ahead + done : NULL, tile_n,
                     tile_m);
        begin = end;
    } while (begin < p->k);
}

/* Rows m .. m + tile_m - 1 of x with all rows of w. */
TILE_INLINE void tile_rows(const tile_product *p, int kind, int64_t m, const int tile_m) {
    int64_t n = 0;
    for (; n + TILE_N <= p->n; n += TILE_N) {
        tile_blocks(p, kind, n, m, TILE_N, tile_m);
    }
    for (; n < p->n; n++) {
        tile_blocks(p, kind, n, m, 1, tile_m);
    }
}

TILE_INLINE void tile_multiply(const tile_product *p, int kind) {
    int64_t m = 0;
    for (; m + TILE_M <= p->m; m += TILE_M) {
        tile_rows(p, kind, m, TILE_M);
    }
    if (TILE_M > 4 && m + 4 <= p->m) {
        tile_rows(p, kind, m, 4);
        m += 4;
    }
    for (; m + 2 <= p->m; m += 2) {
        tile_rows(p, kind, m, 2);
    }
    if (m < p->m) {
        tile_rows(p, kind, m, 1);
    }
}

/* The same for one row of x. */
TILE_INLINE void tile_multiply_row(const tile_product *p, int kind) {
    tile_rows(p, kind, 0, 1);
}
