/* body.h - mul_mat in tiles of dot products along k; 16 lanes of k in a step.
 *
 * A tile of w stays in the level-1 cache while the rows of x stream past it from the level-2 cache,
 * and the next tile of w is on its way from memory. gcc keeps arrays of vectors in memory, so the
 * sums of a tile are named members.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../kernels.h"
#include "layout.h"

enum {
    STEP = GI8I_MUL_MAT_STEP,
    TILE_N = GI8I_MUL_MAT_TILE_N,
    /* What fits into registers: a tile is done in parts of so many rows of w and of x. */
    PART_N = GI8I_TILE_N,
    PART_M = GI8I_TILE_M,
    /* From so many tiles of x on, it pays to convert a tile of w for all of them. */
    MANY_TILES_M = 9,
    LONG_K = 512, /* of long rows */
    /* So few rows of x leave time only for reading w, if its rows are long: memory is fastest if
     * they are read one after another, fetched so far ahead. But x must stay in the level-1 cache:
     * up to so many elements. */
    FEW_M = 3,
    FEW_X = 8192,
    BYTES_AHEAD = 8192
};

/* The sums of one row of x with each row of w. */
typedef struct column {
    f32x16 n0, n1, n2, n3;
} column;

typedef struct part {
    column m0, m1, m2, m3, m4, m5;
} part;

/* A tile in one block of k. */
typedef struct tile {
    const char *w;
    const char *x;
    float *sums; /* each row of x has TILE_N of them, one after another */
    /* While it is computed, the rows at ahead + {0, 1} * ahead_1_bytes + {0, 1} * ahead_2_bytes are
     * fetched. 0: none. */
    uintptr_t ahead;
    size_t ahead_1_bytes, ahead_2_bytes;
    size_t w_stride_bytes;
    size_t x_stride_bytes, x_step_bytes; /* from a row to the next, from a step to the next */
    size_t sums_stride_bytes;
    int64_t k, rows, height; /* rows of w, rows of x */
    bool add;                /* to what sums hold */
} tile;

GI8I_INLINE size_t size_of(gi8_type type) {
    return type == GI8_TYPE_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* `type` is a constant where this is inlined. rest > 0: only so many elements are left. */
GI8I_INLINE f32x16 load(gi8_type type, const char *at, int64_t rest) {
    if (type == GI8_TYPE_F32) {
        const float *p = (const float *)(const void *)at;
        return rest > 0 ? f_load_n(p, rest) : f_load(p);
    }
    const uint16_t *p = (const uint16_t *)(const void *)at;
    if (type == GI8_TYPE_F16) {
        return rest > 0 ? f_load_f16_n(p, rest) : f_load_f16(p);
    }
    return rest > 0 ? f_load_bf16_n(p, rest) : f_load_bf16(p);
}

GI8I_INLINE void add_column(column *c, f32x16 w0, f32x16 w1, f32x16 w2, f32x16 w3, const char *x,
                            int64_t rest, const int part_n) {
    f32x16 xs = load(GI8_TYPE_F32, x, rest);
    c->n0 = f_fma(w0, xs, c->n0);
    if (part_n > 1) {
        c->n1 = f_fma(w1, xs, c->n1);
    }
    if (part_n > 2) {
        c->n2 = f_fma(w2, xs, c->n2);
        c->n3 = f_fma(w3, xs, c->n3);
    }
}

GI8I_INLINE void add_step(part *p, gi8_type type, const char *w, size_t w_stride, const char *x,
                          size_t x_stride, int64_t rest, const int part_n, const int part_m) {
    f32x16 w0 = load(type, w, rest);
    f32x16 w1 = part_n > 1 ? load(type, w + w_stride, rest) : w0;
    f32x16 w2 = part_n > 2 ? load(type, w + 2 * w_stride, rest) : w0;
    f32x16 w3 = part_n > 2 ? load(type, w + 3 * w_stride, rest) : w0;
    add_column(&p->m0, w0, w1, w2, w3, x, rest, part_n);
    if (part_m > 1) {
        add_column(&p->m1, w0, w1, w2, w3, x + x_stride, rest, part_n);
    }
    if (part_m > 2) {
        add_column(&p->m2, w0, w1, w2, w3, x + 2 * x_stride, rest, part_n);
    }
    if (part_m > 3) {
        add_column(&p->m3, w0, w1, w2, w3, x + 3 * x_stride, rest, part_n);
    }
    if (part_m > 4) {
        add_column(&p->m4, w0, w1, w2, w3, x + 4 * x_stride, rest, part_n);
    }
    if (part_m > 5) {
        add_column(&p->m5, w0, w1, w2, w3, x + 5 * x_stride, rest, part_n);
    }
}

/* Stores TILE_N sums for each of `count` rows of x, or adds them. */
GI8I_INLINE void store_rows(const float *sums, int64_t count, char *to, size_t stride, bool add) {
    for (int64_t i = 0; i < count; i++) {
        float y[TILE_N] = {0};
        if (add) {
            memcpy(y, to, sizeof y);
            for (int j = 0; j < TILE_N; j++) {
                y[j] += sums[j];
            }
        }
        memcpy(to, add ? y : sums, sizeof y);
        sums += TILE_N;
        to += stride;
    }
}

GI8I_INLINE void finish_column(const column *c, char *to, bool add, const int part_n) {
    float sums[TILE_N];
    if (part_n == TILE_N) {
        f_sum4(c->n0, c->n1, c->n2, c->n3, sums);
        store_rows(sums, 1, to, 0, add);
        return;
    }
    float *y = (float *)(void *)to;
    sums[0] = f_sum(c->n0);
    sums[1] = part_n > 1 ? f_sum(c->n1) : 0.0f;
    for (int i = 0; i < part_n; i++) {
        y[i] = add ? y[i] + sums[i] : sums[i];
    }
}

GI8I_INLINE void finish_4_columns(const part *p, char *to, size_t stride, bool add) {
    f32x16 v = f_sum16(p->m0.n0, p->m0.n1, p->m0.n2, p->m0.n3, p->m1.n0, p->m1.n1, p->m1.n2,
                       p->m1.n3, p->m2.n0, p->m2.n1, p->m2.n2, p->m2.n3, p->m3.n0, p->m3.n1,
                       p->m3.n2, p->m3.n3);
    if (stride == TILE_N * sizeof(float)) {
        float *y = (float *)(void *)to;
        f_store(y, add ? f_add(f_load(y), v) : v);
    } else {
        float sums[4 * TILE_N];
        f_store(sums, v);
        store_rows(sums, 4, to, stride, add);
    }
}

GI8I_INLINE void finish_part(const part *p, char *to, size_t stride, bool add, const int part_n,
                             const int part_m) {
    if (part_n == TILE_N && part_m >= 4) {
        finish_4_columns(p, to, stride, add);
    } else {
        finish_column(&p->m0, to, add, part_n);
        if (part_m > 1) {
            finish_column(&p->m1, to + stride, add, part_n);
        }
        if (part_m > 2) {
            finish_column(&p->m2, to + 2 * stride, add, part_n);
        }
        if (part_m > 3) {
            finish_column(&p->m3, to + 3 * stride, add, part_n);
        }
    }
    if (part_m > 4) {
        finish_column(&p->m4, to + 4 * stride, add, part_n);
    }
    if (part_m > 5) {
        finish_column(&p->m5, to + 5 * stride, add, part_n);
    }
}

/* `at` may be any address. */
GI8I_INLINE void fetch(uintptr_t at) {
    __builtin_prefetch((const void *)at);
}

/* Rows n .. n + part_n - 1 of a tile of w with rows m .. m + part_m - 1 of x. */
GI8I_INLINE void compute_part(const tile *t, gi8_type type, int64_t n, int64_t m, const int part_n,
                              const int part_m) {
    f32x16 zero = f_set1(0.0f);
    column none = {zero, zero, zero, zero};
    part p = {none, none, none, none, none, none};
    size_t w_stride = t->w_stride_bytes;
    size_t x_stride = t->x_stride_bytes;
    const char *w = t->w + (size_t)n * w_stride;
    const char *x = t->x + (size_t)m * x_stride;
    const bool fetches = t->ahead != 0 && m + n == 0; /* once for a tile */
    uintptr_t ahead = t->ahead;
    size_t ahead_1 = t->ahead_1_bytes;
    size_t ahead_2 = t->ahead_2_bytes;
    int64_t k = t->k;
    for (; k >= STEP; k -= STEP) {
        if (fetches) {
            fetch(ahead);
            fetch(ahead + ahead_1);
            fetch(ahead + ahead_2);
            fetch(ahead + ahead_1 + ahead_2);
        }
        add_step(&p, type, w, w_stride, x, x_stride, 0, part_n, part_m);
        ahead += STEP * size_of(type);
        w += STEP * size_of(type);
        x += t->x_step_bytes;
    }
    if (k > 0) {
        add_step(&p, type, w, w_stride, x, x_stride, k, part_n, part_m);
    }
    size_t stride = t->sums_stride_bytes;
    char *sums = (char *)(t->sums + n) + (size_t)m * stride;
    finish_part(&p, sums, stride, t->add, part_n, part_m);
}

GI8I_INLINE void compute_rows(const tile *t, gi8_type type, int64_t n, int64_t m, const int part_n,
                              int64_t part_m) {
    switch (part_m) {
    case 1: compute_part(t, type, n, m, part_n, 1); break;
    case 2: compute_part(t, type, n, m, part_n, 2); break;
    case 3: compute_part(t, type, n, m, part_n, PART_M < 3 ? 1 : 3); break;
    case 4: compute_part(t, type, n, m, part_n, PART_M < 4 ? 1 : 4); break;
    case 5: compute_part(t, type, n, m, part_n, PART_M < 5 ? 1 : 5); break;
    default: compute_part(t, type, n, m, part_n, PART_M < 6 ? 1 : 6); break;
    }
}

GI8I_INLINE void compute_tile(const tile *t, gi8_type type) {
    if (t->height == 1 && t->rows == TILE_N) {
        compute_part(t, type, 0, 0, TILE_N, 1);
        return;
    }
    int64_t part_m;
    for (int64_t m = 0; m < t->height; m += part_m) {
        int64_t left = t->height - m;
        int64_t half = (left + 1) / 2;
        part_m = left <= PART_M ? left : half < PART_M ? half : PART_M;
        int64_t n = 0;
        for (; n + PART_N <= t->rows; n += PART_N) {
            compute_rows(t, type, n, m, PART_N, part_m);
        }
        for (; n < t->rows; n++) {
            compute_rows(t, type, n, m, 1, part_m);
        }
    }
}

/* Rows of w as floats, GI8I_MUL_MAT_BLOCK_K apart. */
GI8I_INLINE void convert(const tile *t, gi8_type type, float *to) {
    for (int64_t r = 0; r < t->rows; r++) {
        const char *from = t->w + (size_t)r * t->w_stride_bytes;
        for (int64_t i = 0; i < t->k; i += STEP) {
            f_store(to + i, load(type, from, t->k - i < STEP ? t->k - i : 0));
            from += STEP * sizeof(uint16_t);
        }
        to += GI8I_MUL_MAT_BLOCK_K;
    }
}

/* A tile of w in a block of k. */
typedef struct place {
    int64_t block_k, n;
} place;

/* The product, and how it is divided. */
typedef struct product {
    const gi8i_mul_mat_args *args;
    gi8_type type;
    gi8i_parts blocks_k; /* of steps */
    gi8i_parts tiles_m;
    float *sums; /* [TILE_N, m, tiles of w]; NULL: they are added up in y */
} product;

/* Rows from at.n on, at most `rows` of them. */
GI8I_INLINE tile tile_at(const product *p, place at, int64_t rows) {
    const gi8i_mul_mat_args *args = p->args;
    int64_t first = gi8i_part_begin(&p->blocks_k, at.block_k) * STEP;
    int64_t end = gi8i_part_begin(&p->blocks_k, at.block_k + 1) * STEP;
    return (tile){
        .w = args->w + (size_t)at.n * args->w_stride_bytes + (size_t)first * size_of(p->type),
        .w_stride_bytes = args->w_stride_bytes,
        .k = (end < args->k ? end : args->k) - first,
        .rows = args->n - at.n < rows ? args->n - at.n : rows,
        .add = at.block_k > 0,
    };
}

/* Where row m of x, and its sums, are: the first row of tile `t`. */
GI8I_INLINE void find_rows(const product *p, place at, int64_t m, tile *t) {
    const gi8i_mul_mat_args *args = p->args;
    int64_t first = gi8i_part_begin(&p->blocks_k, at.block_k);
    int64_t end = gi8i_part_begin(&p->blocks_k, at.block_k + 1);
    if (args->x_stride_bytes > 0) {
        t->x = args->x + (size_t)m * args->x_stride_bytes + (size_t)(first * STEP) * sizeof(float);
        t->x_stride_bytes = args->x_stride_bytes;
        t->x_step_bytes = STEP * sizeof(float);
    } else {
        t->x = args->x + (size_t)gi8i_mul_mat_x_offset(args->m, m, first, end - first) *
                             sizeof(float);
        t->x_stride_bytes = STEP * sizeof(float);
        t->x_step_bytes = (size_t)t->height * STEP * sizeof(float);
    }
    if (p->sums != NULL) {
        t->sums = p->sums + at.n * args->m + m * TILE_N;
        t->sums_stride_bytes = TILE_N * sizeof(float);
    } else {
        t->sums = (float *)(void *)((char *)args->y + (size_t)m * args->y_stride_bytes) + at.n;
        t->sums_stride_bytes = args->y_stride_bytes;
    }
}

/* What to fetch of the tile that follows while tile `i` of x is computed: all of its rows, two, or
 * one, so that they are on their way evenly. Where no row is left, what is in the cache anyway. */
GI8I_INLINE void look_ahead(const product *p, const tile *next, int64_t i, tile *t) {
    int64_t each = p->tiles_m.n == 1 ? 4 : p->tiles_m.n == 2 ? 2 : 1;
    bool any = i * each + each <= next->rows;
    t->ahead = (uintptr_t)(any ? next->w + (size_t)(i * each) * next->w_stride_bytes : t->w);
    t->ahead_1_bytes = any && each > 1 ? next->w_stride_bytes : 0;
    t->ahead_2_bytes = any && each > 2 ? 2 * next->w_stride_bytes : 0;
}

GI8I_INLINE void multiply_tiles(const product *p) {
    const gi8i_mul_mat_args *args = p->args;
    bool converts =
        p->type != GI8_TYPE_F32 && args->scratch != NULL && p->tiles_m.n >= MANY_TILES_M;
    place next = {0, 0};
    while (next.block_k < p->blocks_k.n) {
        place at = next;
        next.n += TILE_N;
        if (next.n >= args->n) {
            next = (place){at.block_k + 1, 0};
        }
        tile t = tile_at(p, at, TILE_N);
        bool last = next.block_k == p->blocks_k.n;
        tile following = last ? (tile){.rows = 0} : tile_at(p, next, TILE_N);
        if (converts) {
            convert(&t, p->type, args->scratch);
            t.w = (const char *)args->scratch;
            t.w_stride_bytes = GI8I_MUL_MAT_BLOCK_K * sizeof(float);
        }
        for (int64_t i = 0; i < p->tiles_m.n; i++) {
            int64_t m = gi8i_part_begin(&p->tiles_m, i);
            t.height = gi8i_part_begin(&p->tiles_m, i + 1) - m;
            find_rows(p, at, m, &t);
            look_ahead(p, &following, i, &t);
            if (converts) {
                compute_tile(&t, GI8_TYPE_F32);
            } else {
                compute_tile(&t, p->type);
            }
        }
    }
}

/* For short rows: little is computed between two tiles. */
GI8I_INLINE void multiply_short(const product *p) {
    const gi8i_mul_mat_args *args = p->args;
    tile t = tile_at(p, (place){0, 0}, TILE_N);
    for (int64_t i = 0; i < p->tiles_m.n; i++) {
        int64_t m = gi8i_part_begin(&p->tiles_m, i);
        t.height = gi8i_part_begin(&p->tiles_m, i + 1) - m;
        t.w = args->w;
        find_rows(p, (place){0, 0}, m, &t);
        for (int64_t n = 0; n < args->n; n += TILE_N) {
            t.rows = args->n - n < TILE_N ? args->n - n : TILE_N;
            compute_tile(&t, p->type);
            t.w += TILE_N * t.w_stride_bytes;
            t.sums += TILE_N;
        }
    }
}

/* For few rows of x: w is read as it stands in memory. */
GI8I_INLINE void multiply_rows(const product *p) {
    for (place at = {0, 0}; at.n < p->args->n; at.n++) {
        for (at.block_k = 0; at.block_k < p->blocks_k.n; at.block_k++) {
            tile t = tile_at(p, at, 1);
            t.height = p->args->m;
            find_rows(p, at, 0, &t);
            t.ahead = (uintptr_t)t.w + BYTES_AHEAD;
            compute_tile(&t, p->type);
        }
    }
}

GI8I_INLINE void multiply(const gi8i_mul_mat_args *args, gi8_type type) {
    product p = {args, type, gi8i_mul_mat_blocks_k(args->k), gi8i_mul_mat_tiles_m(args->m), NULL};
    if (args->scratch != NULL) {
        p.sums = args->scratch + TILE_N * GI8I_MUL_MAT_BLOCK_K;
        multiply_tiles(&p);
    } else if (args->k < LONG_K) {
        multiply_short(&p);
    } else if (args->m <= FEW_M && args->m * args->k <= FEW_X) {
        multiply_rows(&p);
    } else {
        multiply_tiles(&p);
    }
}

/* From the order of the sums to that of y. */
GI8I_INLINE void store_sums(const gi8i_mul_mat_args *args) {
    const float *sums = args->scratch + TILE_N * GI8I_MUL_MAT_BLOCK_K;
    for (int64_t m = 0; m < args->m; m++) {
        float *y = (float *)(void *)((char *)args->y + (size_t)m * args->y_stride_bytes);
        for (int64_t n = 0; n < args->n; n += TILE_N) {
            int64_t count = args->n - n < TILE_N ? args->n - n : TILE_N;
            if (count == TILE_N) { /* a constant size is one instruction */
                memcpy(y + n, sums + n * args->m + m * TILE_N, TILE_N * sizeof *y);
            } else {
                memcpy(y + n, sums + n * args->m + m * TILE_N, (size_t)count * sizeof *y);
            }
        }
    }
}

void GI8I_VARIANT(mul_mat)(const gi8i_mul_mat_args *args) {
    if (args->n <= 0 || args->m <= 0) {
        return;
    }
    if (args->w_type == GI8_TYPE_F32) {
        multiply(args, GI8_TYPE_F32);
    } else if (args->w_type == GI8_TYPE_F16) {
        multiply(args, GI8_TYPE_F16);
    } else {
        multiply(args, GI8_TYPE_BF16);
    }
    if (args->scratch != NULL) {
        store_sums(args);
    }
}
