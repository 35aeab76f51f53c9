/* body.h - attention: a tile of queries against blocks of keys and values, with a running maximum
 * and sum for each query.
 *
 * The operations of one query, and their order, do not depend on the others: the tile only
 * shares what is read. Scores are a product of mul_mat; those of keys that a query does not
 * see are dropped.
 */
#include <math.h>

#include "../kernels.h"

#include "../simd/functions.h"

enum {
    KEYS = 64,                      /* in a block */
    KEYS_AHEAD = 16,                /* that a single query prefetches, and scores, at a time */
    TILE_QUERIES = 6,               /* in a register tile, each with */
    TILE_VECTORS = GI8I_TILE_N / 2, /* so many vectors of y */
    SINGLE_VECTORS = 4              /* the same for one query */
};

/* What the pass over the keys knows of one query. */
typedef struct query_state {
    float top;     /* the largest score so far */
    float sum;     /* of exp(score - top) */
    float rescale; /* exp(previous top - top) */
} query_state;

/* Keys [first, first + KEYS), and the queries' weights of them. */
typedef struct key_block {
    _Alignas(64) float weight[GI8I_ATTENTION_TILE][KEYS];
    query_state query[GI8I_ATTENTION_TILE];
    int64_t first;
} key_block;

/* Sums of one query. Named members and not an array: gcc keeps arrays of vectors in memory. */
typedef struct sums {
    f32x16 v0, v1, v2, v3;
} sums;

/* Keys of the block that query `i` sees; none where this is not positive. */
GI8I_INLINE int64_t seen(const gi8i_attention_args *args, int64_t first, int64_t i) {
    int64_t count = args->n + i - first;
    return count < KEYS ? count : KEYS;
}

/* Row `key` of k or v comes into the cache, if there is one. A single query computes little with
 * what it reads; the hardware alone does not always keep up. */
GI8I_INLINE void prefetch(const gi8i_attention_args *args, const char *rows, size_t stride_bytes,
                          int64_t key) {
    int64_t bytes = args->d * (args->type == GI8_TYPE_F32 ? 4 : 2);
    for (int64_t i = 0; i < bytes && key < args->n; i += 64) {
        if (args->once) {
            __builtin_prefetch(rows + (size_t)key * stride_bytes + i, 0, 0);
        } else {
            __builtin_prefetch(rows + (size_t)key * stride_bytes + i);
        }
    }
}

/* The scores of queries from `i` on, before the scale. */
GI8I_INLINE void score(const gi8i_attention_args *args, key_block *b, int64_t i) {
    int64_t count = seen(args, b->first, args->m - 1);
    int64_t step = args->m == 1 ? KEYS_AHEAD : KEYS;
    for (int64_t j = 0; j < count; j += step) {
        const gi8i_mul_mat_args product = {
            .w_type = args->type,
            .w = args->k + (size_t)(b->first + j) * args->k_stride_bytes,
            .x = (const char *)args->q + (size_t)i * args->q_stride_bytes,
            .y = b->weight[i] + j,
            .w_stride_bytes = args->k_stride_bytes,
            .x_stride_bytes = args->q_stride_bytes,
            .y_stride_bytes = sizeof b->weight[0],
            .k = args->d,
            .n = count - j < step ? count - j : step,
            .m = args->m - i,
        };
        for (int64_t ahead = j; args->m == 1 && ahead < j + step; ahead++) {
            prefetch(args, args->k, args->k_stride_bytes, b->first + KEYS + ahead);
        }
        GI8I_VARIANT(mul_mat)(&product);
    }
}

/* Scores of `count` keys become weights exp(score - top). */
GI8I_INLINE void weigh(float *weight, int64_t count, float scale, query_state *query) {
    f32x16 largest = f_set1(-INFINITY);
    for (int64_t j = 0; j < count; j += 16) {
        f32x16 s = f_mul(f_load(weight + j), f_set1(scale));
        if (count - j < 16) {
            s = f_fill_from(s, count - j, -INFINITY);
        }
        f_store(weight + j, s);
        largest = f_max(largest, s);
    }
    float top = f_largest(largest);
    query->rescale = 1.0f;
    if (top > query->top) {
        float change[16];
        f_store(change, f_exp(f_set1(query->top - top)));
        query->rescale = change[0];
        query->top = top;
    }
    f32x16 sum = f_set1(0.0f);
    for (int64_t j = 0; j < count; j += 16) {
        f32x16 w = f_exp(f_sub(f_load(weight + j), f_set1(query->top)));
        f_store(weight + j, w);
        sum = f_add(sum, w);
    }
    query->sum = query->sum * query->rescale + f_sum(sum);
}

/* 16 elements of a row from `i` on; rest > 0: only so many are left. */
GI8I_INLINE f32x16 load_part(gi8_type type, const char *row, int64_t i, int64_t rest) {
    if (type == GI8_TYPE_F32) {
        const float *p = (const float *)(const void *)row + i;
        return rest > 0 ? f_load_n(p, rest) : f_load(p);
    }
    const uint16_t *p = (const uint16_t *)(const void *)row + i;
    return rest > 0 ? f_load_f16_n(p, rest) : f_load_f16(p);
}

/* `vectors` (1, 2 or 4) of a row from `i` on; rest > 0: one, and only so many elements are left. */
GI8I_INLINE sums load_row(gi8_type type, const char *row, int64_t i, const int vectors,
                          int64_t rest) {
    f32x16 v = load_part(type, row, i, rest);
    sums s = {v, v, v, v};
    if (vectors > 1) {
        s.v1 = load_part(type, row, i + 16, 0);
    }
    if (vectors > 2) {
        s.v2 = load_part(type, row, i + 32, 0);
        s.v3 = load_part(type, row, i + 48, 0);
    }
    return s;
}

GI8I_INLINE void store_row(float *p, const sums *s, const int vectors, int64_t rest) {
    if (rest > 0) {
        f_store_n(p, s->v0, rest);
        return;
    }
    f_store(p, s->v0);
    if (vectors > 1) {
        f_store(p + 16, s->v1);
    }
    if (vectors > 2) {
        f_store(p + 32, s->v2);
        f_store(p + 48, s->v3);
    }
}

GI8I_INLINE float *y_row(const gi8i_attention_args *args, int64_t i) {
    return (float *)(void *)((char *)args->y + (size_t)i * args->y_stride_bytes);
}

/* Elements of y of query `i` from `d` on, before key `begin` of the block is added. */
GI8I_INLINE sums begin_sums(const gi8i_attention_args *args, const key_block *b, int64_t begin,
                            int64_t i, int64_t d, const int vectors, int64_t rest) {
    f32x16 zero = f_set1(0.0f);
    if (b->first + begin == 0) {
        return (sums){zero, zero, zero, zero}; /* y has no value yet */
    }
    sums s = load_row(GI8_TYPE_F32, (const char *)y_row(args, i), d, vectors, rest);
    if (begin == 0) {
        f32x16 factor = f_set1(b->query[i].rescale);
        s = (sums){f_mul(s.v0, factor), f_mul(s.v1, factor), f_mul(s.v2, factor),
                   f_mul(s.v3, factor)};
    }
    return s;
}

GI8I_INLINE void add_row(sums *s, const sums *v, float weight, const int vectors) {
    f32x16 w = f_set1(weight);
    s->v0 = f_fma(w, v->v0, s->v0);
    if (vectors > 1) {
        s->v1 = f_fma(w, v->v1, s->v1);
    }
    if (vectors > 2) {
        s->v2 = f_fma(w, v->v2, s->v2);
        s->v3 = f_fma(w, v->v3, s->v3);
    }
}

/* One query, keys [begin, end) of the block, elements of y from `d` on:
 * y = y * rescale + sum of weight[j] * v[j]. */
GI8I_INLINE void add_to_one(const gi8i_attention_args *args, gi8_type type, const key_block *b,
                            int64_t begin, int64_t end, int64_t i, int64_t d, const int vectors,
                            int64_t rest) {
    sums s = begin_sums(args, b, begin, i, d, vectors, rest);
    const char *row = args->v + (size_t)(b->first + begin) * args->v_stride_bytes;
    for (int64_t j = begin; j < end; j++) {
        if (args->m == 1 && d == 0) {
            prefetch(args, args->v, args->v_stride_bytes, b->first + KEYS + j);
        }
        sums v = load_row(type, row, d, vectors, rest);
        add_row(&s, &v, b->weight[i][j], vectors);
        row += args->v_stride_bytes;
    }
    store_row(y_row(args, i) + d, &s, vectors, rest);
}

/* The same for TILE_QUERIES queries from `i` on and keys [0, end). */
GI8I_INLINE void add_to_tile(const gi8i_attention_args *args, gi8_type type, const key_block *b,
                             int64_t end, int64_t i, int64_t d, const int vectors, int64_t rest) {
    sums s0 = begin_sums(args, b, 0, i, d, vectors, rest);
    sums s1 = begin_sums(args, b, 0, i + 1, d, vectors, rest);
    sums s2 = begin_sums(args, b, 0, i + 2, d, vectors, rest);
    sums s3 = begin_sums(args, b, 0, i + 3, d, vectors, rest);
    sums s4 = begin_sums(args, b, 0, i + 4, d, vectors, rest);
    sums s5 = begin_sums(args, b, 0, i + 5, d, vectors, rest);
    const char *row = args->v + (size_t)b->first * args->v_stride_bytes;
    const float *weight = b->weight[i];
    for (int64_t j = 0; j < end; j++) {
        sums v = load_row(type, row, d, vectors, rest);
        add_row(&s0, &v, weight[j], vectors);
        add_row(&s1, &v, weight[KEYS + j], vectors);
        add_row(&s2, &v, weight[2 * KEYS + j], vectors);
        add_row(&s3, &v, weight[3 * KEYS + j], vectors);
        add_row(&s4, &v, weight[4 * KEYS + j], vectors);
        add_row(&s5, &v, weight[5 * KEYS + j], vectors);
        row += args->v_stride_bytes;
    }
    store_row(y_row(args, i) + d, &s0, vectors, rest);
    store_row(y_row(args, i + 1) + d, &s1, vectors, rest);
    store_row(y_row(args, i + 2) + d, &s2, vectors, rest);
    store_row(y_row(args, i + 3) + d, &s3, vectors, rest);
    store_row(y_row(args, i + 4) + d, &s4, vectors, rest);
    store_row(y_row(args, i + 5) + d, &s5, vectors, rest);
}

GI8I_INLINE void add_values_to_one(const gi8i_attention_args *args, gi8_type type,
                                   const key_block *b, int64_t begin, int64_t end, int64_t i) {
    int64_t d = 0;
    for (; d + 16 * SINGLE_VECTORS <= args->d; d += 16 * SINGLE_VECTORS) {
        add_to_one(args, type, b, begin, end, i, d, SINGLE_VECTORS, 0);
    }
    for (; d + 16 <= args->d; d += 16) {
        add_to_one(args, type, b, begin, end, i, d, 1, 0);
    }
    if (d < args->d) {
        add_to_one(args, type, b, begin, end, i, d, 1, args->d - d);
    }
}

GI8I_INLINE void add_values_to_tile(const gi8i_attention_args *args, gi8_type type,
                                    const key_block *b, int64_t end, int64_t i) {
    int64_t d = 0;
    for (; d + 16 * TILE_VECTORS <= args->d; d += 16 * TILE_VECTORS) {
        add_to_tile(args, type, b, end, i, d, TILE_VECTORS, 0);
    }
    for (; d < args->d; d += 16) {
        add_to_tile(args, type, b, end, i, d, 1, args->d - d < 16 ? args->d - d : 0);
    }
}

/* The block's values to y of queries from `i` on. */
GI8I_INLINE void add_values(const gi8i_attention_args *args, gi8_type type, const key_block *b,
                            int64_t i) {
    for (; i + TILE_QUERIES <= args->m; i += TILE_QUERIES) {
        int64_t end = seen(args, b->first, i);
        add_values_to_tile(args, type, b, end, i);
        /* The later ones see more keys of the last block. */
        for (int64_t j = i + 1; j < i + TILE_QUERIES && seen(args, b->first, j) > end; j++) {
            add_values_to_one(args, type, b, end, seen(args, b->first, j), j);
        }
    }
    for (; i < args->m; i++) {
        add_values_to_one(args, type, b, 0, seen(args, b->first, i), i);
    }
}

GI8I_INLINE void attend(const gi8i_attention_args *args, gi8_type type) {
    key_block b;
    for (int64_t i = 0; i < args->m; i++) {
        b.query[i] = (query_state){-INFINITY, 0.0f, 1.0f};
    }
    for (b.first = 0; seen(args, b.first, args->m - 1) > 0; b.first += KEYS) {
        int64_t i = b.first >= args->n ? b.first - args->n + 1 : 0; /* the first that sees a key */
        score(args, &b, i);
        for (int64_t j = i; j < args->m; j++) {
            weigh(b.weight[j], seen(args, b.first, j), args->scale, &b.query[j]);
        }
        add_values(args, type, &b, i);
    }
    for (int64_t i = 0; i < args->m; i++) {
        f32x16 sum = f_set1(b.query[i].sum);
        for (int64_t d = 0; d < args->d; d += 16) {
            int64_t rest = args->d - d < 16 ? args->d - d : 0;
            sums s = load_row(GI8_TYPE_F32, (const char *)y_row(args, i), d, 1, rest);
            s.v0 = f_div(s.v0, sum);
            store_row(y_row(args, i) + d, &s, 1, rest);
        }
    }
}

void GI8I_VARIANT(attention)(const gi8i_attention_args *args) {
    if (args->type == GI8_TYPE_F32) {
        attend(args, GI8_TYPE_F32);
    } else {
        attend(args, GI8_TYPE_F16);
    }
}
