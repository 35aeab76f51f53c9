/* layout.h - how mul_mat divides k and the rows of x, and the order of x for its kernels. */
#ifndef GI8I_MUL_MAT_LAYOUT_H
#define GI8I_MUL_MAT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

enum {
    GI8I_MUL_MAT_STEP = 16,      /* elements along k that the lanes of a vector take at a time */
    GI8I_MUL_MAT_BLOCK_K = 1024, /* elements along k in a block, at most */
    GI8I_MUL_MAT_BLOCK_N = 64,   /* rows of w in a call, at most */
    GI8I_MUL_MAT_TILE_N = 4,     /* rows of w in a tile */
    GI8I_MUL_MAT_TILE_M = 6,     /* rows of x in a tile, at most */
    GI8I_MUL_MAT_BLOCK_M = 22 * GI8I_MUL_MAT_TILE_M, /* rows of x in a call, at most */
    /* Floats of working memory for a call. */
    GI8I_MUL_MAT_SCRATCH = GI8I_MUL_MAT_TILE_N * GI8I_MUL_MAT_BLOCK_K +
                           GI8I_MUL_MAT_BLOCK_N * GI8I_MUL_MAT_BLOCK_M
};

/* A number of things divided as evenly as can be: the first `longer` parts have `each` + 1. */
typedef struct gi8i_parts {
    int64_t n;
    int64_t each, longer;
} gi8i_parts;

static inline gi8i_parts gi8i_divide(int64_t count, int64_t n) {
    return n == 1 ? (gi8i_parts){1, count, 0} : (gi8i_parts){n, count / n, count % n};
}

/* Where part `i` begins, and part `i` - 1 ends. */
static inline int64_t gi8i_part_begin(const gi8i_parts *parts, int64_t i) {
    return i * parts->each + (i < parts->longer ? i : parts->longer);
}

/* Steps of k elements; the last one may be incomplete. */
static inline int64_t gi8i_mul_mat_steps(int64_t k) {
    return k / GI8I_MUL_MAT_STEP + (k % GI8I_MUL_MAT_STEP != 0);
}

/* The steps of the blocks of k; at least one block. They belong to the definition of the sum. */
static inline gi8i_parts gi8i_mul_mat_blocks_k(int64_t k) {
    int64_t blocks = k / GI8I_MUL_MAT_BLOCK_K + (k % GI8I_MUL_MAT_BLOCK_K != 0);
    return gi8i_divide(gi8i_mul_mat_steps(k), blocks > 0 ? blocks : 1);
}

/* The tiles of m >= 1 rows of x. */
static inline gi8i_parts gi8i_mul_mat_tiles_m(int64_t m) {
    return gi8i_divide(m, (m + GI8I_MUL_MAT_TILE_M - 1) / GI8I_MUL_MAT_TILE_M);
}

/* Floats from the beginning of x to a tile's part of a block of k. The order is [block of k][tile]
 * [step][row of the tile][16]: a kernel reads one block of all tiles in one stream. `row` is the
 * tile's first, `steps` the number of them in the block. */
static inline int64_t gi8i_mul_mat_x_offset(int64_t m, int64_t row, int64_t first_step,
                                            int64_t steps) {
    return (first_step * m + row * steps) * GI8I_MUL_MAT_STEP;
}

#endif
