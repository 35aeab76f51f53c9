/* body.h - attention: one query, a run of keys and values, a running maximum and sum. */
#include <math.h>

#include "../kernels.h"

#include "../simd/functions.h"

enum { KEYS = 16, CHUNKS = 4 }; /* keys in a block; vectors of y that stay in registers */

GI8I_INLINE f32x16 load_part(gi8_type type, const char *row, int64_t i, int64_t n) {
    if (type == GI8_TYPE_F32) {
        const float *p = (const float *)(const void *)row + i;
        return n - i >= 16 ? f_load(p) : f_load_n(p, n - i);
    }
    const uint16_t *p = (const uint16_t *)(const void *)row + i;
    return n - i >= 16 ? f_load_f16(p) : f_load_f16_n(p, n - i);
}

/* score[j] = scale * q.k_j for j < count, four keys at a time; -Inf for the rest of the block. */
GI8I_INLINE void scores(const gi8i_attention_args *args, gi8_type type, int64_t first,
                        int64_t count, float *score) {
    const char *k = args->k + (size_t)first * args->k_stride_bytes;
    for (int64_t j = 0; j < count; j += 4) {
        const char *row[4];
        f32x16 acc[4];
        GI8I_UNROLL
        for (int i = 0; i < 4; i++) {
            row[i] = k + (size_t)(j + i < count ? j + i : j) * args->k_stride_bytes;
            acc[i] = f_set1(0.0f);
        }
        for (int64_t d = 0; d < args->d; d += 16) {
            f32x16 q = load_part(GI8_TYPE_F32, (const char *)args->q, d, args->d);
            GI8I_UNROLL
            for (int i = 0; i < 4; i++) {
                acc[i] = f_fma(q, load_part(type, row[i], d, args->d), acc[i]);
            }
        }
        GI8I_UNROLL
        for (int i = 0; i < 4; i++) {
            score[j + i] = f_sum(acc[i]) * args->scale;
        }
    }
    for (int64_t j = count; j < KEYS; j++) {
        score[j] = -INFINITY;
    }
}

/* y = y * rescale + sum over j of weight[j] * v_j, for `chunks` vectors of y from d on. */
GI8I_INLINE void add_values(const gi8i_attention_args *args, gi8_type type, int64_t first,
                            int64_t count, const float *weight, float rescale, int64_t d,
                            const int chunks) {
    const char *v = args->v + (size_t)first * args->v_stride_bytes;
    f32x16 acc[CHUNKS];
    f32x16 factor = f_set1(rescale);
    GI8I_UNROLL
    for (int c = 0; c < chunks; c++) {
        /* The first block finds what y held before, perhaps NaN. */
        acc[c] = first == 0
                     ? f_set1(0.0f)
                     : f_mul(load_part(GI8_TYPE_F32, (const char *)args->y, d + 16 * c, args->d),
                             factor);
    }
    for (int64_t j = 0; j < count; j++) {
        f32x16 p = f_set1(weight[j]);
        const char *row = v + (size_t)j * args->v_stride_bytes;
        GI8I_UNROLL
        for (int c = 0; c < chunks; c++) {
            acc[c] = f_fma(p, load_part(type, row, d + 16 * c, args->d), acc[c]);
        }
    }
    GI8I_UNROLL
    for (int c = 0; c < chunks; c++) {
        int64_t i = d + 16 * c;
        if (args->d - i >= 16) {
            f_store(args->y + i, acc[c]);
        } else {
            f_store_n(args->y + i, acc[c], args->d - i);
        }
    }
}

GI8I_INLINE void attend(const gi8i_attention_args *args, gi8_type type) {
    float top = -INFINITY;
    float sum = 0.0f;
    float score[KEYS + 4];
    for (int64_t first = 0; first < args->n; first += KEYS) {
        int64_t count = args->n - first < KEYS ? args->n - first : KEYS;
        scores(args, type, first, count, score);
        f32x16 s = f_load(score);
        float block_top = f_largest(s);
        float new_top = block_top > top ? block_top : top;
        float rescale = 1.0f;
        if (new_top != top) {
            float change[16];
            f_store(change, f_exp(f_set1(top - new_top)));
            rescale = change[0];
            top = new_top;
        }
        f32x16 weight = f_exp(f_sub(s, f_set1(top)));
        f_store(score, weight);
        sum = sum * rescale + f_sum(weight);
        int64_t d = 0;
        for (; d + 16 * CHUNKS <= args->d; d += 16 * CHUNKS) {
            add_values(args, type, first, count, score, rescale, d, CHUNKS);
        }
        for (; d < args->d; d += 16) {
            add_values(args, type, first, count, score, rescale, d, 1);
        }
    }
    f32x16 total = f_set1(sum);
    for (int64_t d = 0; d < args->d; d += 16) {
        f32x16 y = f_div(load_part(GI8_TYPE_F32, (const char *)args->y, d, args->d), total);
        if (args->d - d >= 16) {
            f_store(args->y + d, y);
        } else {
            f_store_n(args->y + d, y, args->d - d);
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
