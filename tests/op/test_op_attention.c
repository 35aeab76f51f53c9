/* test_op_attention.c - rope, kv_store and attention against double. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_fixture.h"

static void check_rope(test_rng *rng, int64_t d, int64_t h, const int32_t *positions, int64_t t,
                       const gi8_rope_params *params) {
    float *x = op_random(rng, d * h * t, -2.0f, 2.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *tx = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){d, h, t, 1}, x);
    gi8_tensor *tp = op_input(&c, GI8_TYPE_I32, (int64_t[]){t, 1, 1, 1}, positions);
    /* From angles of 2^31 on a device has sin() and cos() of its own. */
    c.absolute = params->base < 1.0f ? 2.0 * 4 * FLT_EPSILON : 0.0;
    float *y = op_run(&c, gi8_rope(c.ctx, tx, tp, params));
    int64_t half = params->n_rot / 2;
    for (int64_t row = 0; row < h * t; row++) {
        const float *from = x + row * d;
        for (int64_t i = 0; i < d; i++) {
            double expected = (double)from[i];
            if (i < 2 * half) {
                int64_t pair = i % half;
                /* The angle is defined in fp32: frequency, then the product with the position. */
                float power = (float)pow((double)params->base,
                                         (double)((float)(2 * pair) / (float)params->n_rot));
                float frequency = 1.0f / power * params->freq_scale;
                double angle = (double)((float)positions[row / h] * frequency);
                double low = (double)from[pair];
                double high = (double)from[pair + half];
                expected = i < half ? low * cos(angle) - high * sin(angle)
                                    : high * cos(angle) + low * sin(angle);
            }
            op_assert_close(y[row * d + i], expected, i < 2 * half ? 4e-7 : 0.0, "rope",
                            row * d + i);
        }
    }
    free(y);
    free(x);
    op_end(&c);
}

static void test_rope(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(51);
    const int32_t positions[] = {0, 1, 2, 3, 100, 2047, 32768, 1000003, 7, -5, 1 << 24};
    const gi8_rope_params neox = {16, 10000.0f, 1.0f};
    const gi8_rope_params scaled = {8, 10000.0f, 0.25f};
    const gi8_rope_params whole = {80, 500000.0f, 1.0f};
    const gi8_rope_params two = {2, 10000.0f, 1.0f};
    check_rope(&rng, 64, 3, positions, 11, &neox);
    check_rope(&rng, 33, 2, positions, 11, &scaled);
    check_rope(&rng, 80, 5, positions, 11, &whole);
    check_rope(&rng, 2, 1, positions, 1, &two);
}

/* All quadrants and the neighbourhoods of their borders. */
static void test_rope_angles(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(52);
    enum { T = 5000 };
    int32_t positions[T];
    for (int i = 0; i < T; i++) {
        positions[i] = (int32_t)(i < 1000 ? i : test_rng_int(&rng, 0, i < 3000 ? 100000 : 1 << 30));
    }
    const gi8_rope_params params = {4, 100.0f, 1.0f};
    check_rope(&rng, 4, 1, positions, T, &params);
    const gi8_rope_params huge = {4, 1e-30f, 1e10f}; /* angles of any size, to Inf */
    check_rope(&rng, 4, 1, positions, T, &huge);
}

/* x as the query part of a fused [3 D, H, T] tensor. */
static void test_rope_of_a_view(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(53);
    enum { D = 12, H = 3, T = 4 };
    const int32_t positions[T] = {0, 5, 9, 2};
    const gi8_rope_params params = {6, 10000.0f, 1.0f};
    float *data = op_random(&rng, 3 * D * H * T, -1.0f, 1.0f);
    op_case c;
    op_begin(&c);
    gi8_tensor *wide = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){3 * D, H, T, 1}, data);
    gi8_tensor *p = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, positions);
    gi8_tensor *view =
        gi8_view_3d(c.ctx, wide, D, H, T, wide->nb[1], wide->nb[2], D * sizeof(float));
    float *y = op_run(&c, gi8_rope(c.ctx, view, p, &params));
    float *same = op_run(&c, gi8_rope(c.ctx, gi8_cont(c.ctx, view), p, &params));
    assert_memory_equal(y, same, D * H * T * sizeof *y);
    free(y);
    free(same);
    free(data);
    op_end(&c);
}

static void test_kv_store(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(54);
    enum { D = 10, C = 6, H = 3, S = 2, T = 7 };
    const int32_t positions[T] = {0, 5, 6, -1, 2, 3, INT32_MIN};
    const int32_t sequences[T] = {0, 1, 0, 1, 2, -1, 0};
    static const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16};
    for (int i = 0; i < 2; i++) {
        float *x = op_random(&rng, D * H * T, -3.0f, 3.0f);
        float *before = op_random(&rng, D * C * H * S, -3.0f, 3.0f);
        void *stored = malloc(D * C * H * S * sizeof(float));
        assert_non_null(stored);
        gi8_convert_from_fp32(types[i], before, D * C * H * S, stored);
        op_round_to(types[i], before, D * C * H * S);
        op_case c;
        op_begin(&c);
        gi8_tensor *cache = op_memory(&c, types[i], (int64_t[]){D, C, H, S}, stored);
        gi8_tensor *tx = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){D, H, T, 1}, x);
        gi8_tensor *tp = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, positions);
        gi8_tensor *ts = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, sequences);
        void *y = op_run(&c, gi8_kv_store(c.ctx, cache, tx, tp, ts));
        op_round_to(types[i], x, D * H * T);
        for (int t = 0; t < 2; t++) { /* the other tokens name no place of the cache */
            for (int j = 0; j < D * H; j++) {
                int h = j / D;
                before[((sequences[t] * H + h) * C + positions[t]) * D + j % D] = x[t * D * H + j];
            }
        }
        float *after = malloc(D * C * H * S * sizeof *after);
        assert_non_null(after);
        gi8_convert_to_fp32(types[i], y, D * C * H * S, after);
        assert_memory_equal(after, before, D * C * H * S * sizeof *after);
        free(after);
        free(y);
        free(stored);
        free(before);
        free(x);
        op_end(&c);
    }
}

typedef struct attention_shape {
    gi8_type type;
    int64_t d, c, h, g, s, t;
    float scale;
} attention_shape;

static void expect_attention(const attention_shape *a, const float *q, const float *k,
                             const float *v, int64_t position, double *y, double *spread) {
    double *weight = malloc((size_t)(position + 1) * sizeof *weight);
    assert_non_null(weight);
    double top = -INFINITY;
    double sum = 0.0;
    *spread = 0.0;
    for (int64_t j = 0; j <= position; j++) {
        double size = 0.0;
        weight[j] = 0.0;
        for (int64_t d = 0; d < a->d; d++) {
            weight[j] += (double)q[d] * (double)k[j * a->d + d] * (double)a->scale;
            size += fabs((double)q[d] * (double)k[j * a->d + d] * (double)a->scale);
        }
        *spread = size > *spread ? size : *spread;
        top = weight[j] > top ? weight[j] : top;
    }
    for (int64_t d = 0; d < a->d; d++) {
        y[d] = 0.0;
    }
    for (int64_t j = 0; j <= position; j++) {
        weight[j] = exp(weight[j] - top);
        sum += weight[j];
        for (int64_t d = 0; d < a->d; d++) {
            y[d] += weight[j] * (double)v[j * a->d + d];
        }
    }
    for (int64_t d = 0; d < a->d; d++) {
        y[d] /= sum;
    }
    free(weight);
}

/* How far a device may be from the CPU, where no |v| is above 2 and scores have a spread of at most
 * `spread`: fp32 on both sides, and with an F16 cache q and the weights rounded to 11 bits. */
static void set_bound(op_case *c, gi8_type type, int64_t d, int64_t n_keys, double spread) {
    c->absolute =
        4.0 * FLT_EPSILON * (spread * ((double)d / 16 + 4) + 8.0 + (double)n_keys / 16) +
        (type == GI8_TYPE_F16 ? 2.0 * (expm1(2.0 * spread * 0x1p-11) + 0x1p-10) : 0.0);
}

/* The largest spread of the scores of any two rows of d elements. */
static double largest_spread(const float *q, int64_t q_rows, const float *k, int64_t k_rows,
                             int64_t d, float scale) {
    double largest = 0.0;
    for (int64_t i = 0; i < q_rows * k_rows; i++) {
        double size = 0.0;
        for (int64_t j = 0; j < d; j++) {
            size += fabs((double)q[i / k_rows * d + j] * (double)k[i % k_rows * d + j]);
        }
        largest = fmax(largest, size * fabs((double)scale));
    }
    return largest;
}

static void check_attention(test_rng *rng, const attention_shape *a, const int32_t *positions,
                            const int32_t *sequences) {
    int64_t cache_count = a->d * a->c * a->g * a->s;
    float *q = op_random(rng, a->d * a->h * a->t, -2.0f, 2.0f);
    float *k = op_random(rng, cache_count, -2.0f, 2.0f);
    float *v = op_random(rng, cache_count, -2.0f, 2.0f);
    op_round_to(a->type, k, cache_count);
    op_round_to(a->type, v, cache_count);
    double *y = malloc((size_t)a->d * sizeof *y);
    assert_non_null(y);
    const int64_t cache_ne[4] = {a->d, a->c, a->g, a->s};
    op_case c;
    op_begin(&c);
    gi8_tensor *tq = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){a->d, a->h, a->t, 1}, q);
    gi8_tensor *tk = op_float_input(&c, a->type, cache_ne, k);
    gi8_tensor *tv = op_float_input(&c, a->type, cache_ne, v);
    gi8_tensor *tp = op_input(&c, GI8_TYPE_I32, (int64_t[]){a->t, 1, 1, 1}, positions);
    gi8_tensor *ts = op_input(&c, GI8_TYPE_I32, (int64_t[]){a->t, 1, 1, 1}, sequences);
    set_bound(&c, a->type, a->d, a->c,
              largest_spread(q, a->h * a->t, k, cache_count / a->d, a->d, a->scale));
    float *out = op_run(&c, gi8_attention(c.ctx, tq, tk, tv, tp, ts, a->scale));
    for (int64_t t = 0; t < a->t; t++) {
        bool inside = positions[t] >= 0 && positions[t] < a->c && sequences[t] >= 0 &&
                      sequences[t] < a->s;
        for (int64_t h = 0; h < a->h; h++) {
            const float *row = out + (t * a->h + h) * a->d;
            double spread = 0.0;
            if (inside) {
                int64_t first = (sequences[t] * a->g + h / (a->h / a->g)) * a->c * a->d;
                expect_attention(a, q + (t * a->h + h) * a->d, k + first, v + first, positions[t],
                                 y, &spread);
            }
            for (int64_t d = 0; d < a->d; d++) {
                /* An error e of a score changes its weight by the factor exp(e). */
                double tolerance = 2.0 * FLT_EPSILON * (spread * ((double)a->d / 16 + 4) + 8.0 +
                                                        (double)positions[t] / 16);
                op_assert_close(row[d], inside ? y[d] : NAN, tolerance, "attention",
                                (t * a->h + h) * a->d + d);
            }
        }
    }
    free(out);
    free(y);
    free(q);
    free(k);
    free(v);
    op_end(&c);
}

static void test_attention(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(55);
    const int32_t positions[] = {0, 1, 15, 16, 17, 63, -1, 64, 40, 5, 2};
    const int32_t sequences[] = {0, 0, 1, 0, 1, 1, 0, 1, 2, -1, 1};
    const attention_shape shapes[] = {
        {GI8_TYPE_F32, 1, 64, 1, 1, 2, 11, 1.0f},   {GI8_TYPE_F32, 32, 64, 4, 4, 2, 11, 0.18f},
        {GI8_TYPE_F16, 64, 64, 2, 1, 2, 11, 0.125f}, {GI8_TYPE_F16, 80, 64, 6, 3, 2, 11, 0.11f},
        {GI8_TYPE_F32, 96, 64, 3, 3, 2, 11, 0.1f},   {GI8_TYPE_F16, 7, 64, 2, 2, 2, 11, -2.0f},
        {GI8_TYPE_F16, 256, 64, 1, 1, 2, 11, 0.0f},  {GI8_TYPE_F32, 130, 64, 2, 2, 2, 11, 0.1f},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_attention(&rng, &shapes[i], positions, sequences);
    }
    int32_t long_positions[70];
    int32_t zeros[70] = {0};
    for (int i = 0; i < 70; i++) {
        long_positions[i] = 500 + i;
    }
    const attention_shape prompt = {GI8_TYPE_F16, 64, 600, 4, 2, 1, 70, 0.125f};
    check_attention(&rng, &prompt, long_positions, zeros);
    /* Tiles of queries across the border of a block of keys. */
    for (int i = 0; i < 70; i++) {
        long_positions[i] = i;
    }
    const attention_shape prompts[] = {
        {GI8_TYPE_F16, 50, 70, 2, 2, 1, 70, 0.14f}, {GI8_TYPE_F32, 80, 70, 2, 1, 1, 70, 0.11f},
        {GI8_TYPE_F16, 96, 70, 1, 1, 1, 67, 0.1f},  {GI8_TYPE_F16, 128, 70, 1, 1, 1, 70, 0.09f},
        {GI8_TYPE_F32, 3, 70, 3, 3, 1, 5, 1.0f},    {GI8_TYPE_F16, 256, 70, 1, 1, 1, 70, 0.06f},
    };
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        check_attention(&rng, &prompts[i], long_positions, zeros);
    }
}

/* A token gives the same bits alone as in a batch: runs of consecutive positions, long and short,
 * of two sequences, and tokens that continue nothing. */
static void test_attention_batch_invariance(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(56);
    enum { D = 20, C = 150, H = 4, S = 2, T = 70 };
    float *q = op_random(&rng, D * H * T, -2.0f, 2.0f);
    float *k = op_random(&rng, D * C * H * S, -2.0f, 2.0f);
    float *v = op_random(&rng, D * C * H * S, -2.0f, 2.0f);
    int32_t positions[T] = {0, 49, 3, 16, 31, 20, 20, 8, 147, 148, 149, 150};
    int32_t sequences[T] = {0};
    for (int t = 12; t < T; t++) {
        sequences[t] = t >= 40 && t < 47;
        positions[t] = t < 40 ? 50 + t : t - 40; /* token 47: the next position, not the sequence */
    }
    float *batch = NULL;
    for (int t = -1; t < T; t++) {
        op_case c;
        op_begin(&c);
        int64_t n = t < 0 ? T : 1;
        int64_t first = t < 0 ? 0 : t;
        gi8_tensor *tq =
            op_float_input(&c, GI8_TYPE_F32, (int64_t[]){D, H, n, 1}, q + first * D * H);
        gi8_tensor *tk = op_float_input(&c, GI8_TYPE_F16, (int64_t[]){D, C, H, S}, k);
        gi8_tensor *tv = op_float_input(&c, GI8_TYPE_F16, (int64_t[]){D, C, H, S}, v);
        gi8_tensor *tp = op_input(&c, GI8_TYPE_I32, (int64_t[]){n, 1, 1, 1}, positions + first);
        gi8_tensor *ts = op_input(&c, GI8_TYPE_I32, (int64_t[]){n, 1, 1, 1}, sequences + first);
        set_bound(&c, GI8_TYPE_F16, D, C, 0.2 * D * 4.0);
        float *y = op_run(&c, gi8_attention(c.ctx, tq, tk, tv, tp, ts, 0.2f));
        if (t < 0) {
            batch = y;
        } else {
            assert_true(op_same_bits(GI8_TYPE_F32, y, batch + t * D * H, D * H));
            free(y);
        }
        op_end(&c);
    }
    free(batch);
    free(q);
    free(k);
    free(v);
}

/* q as the query part of a fused [3 D, H, T] tensor, whose last head is left out. */
static void test_attention_of_a_view(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(57);
    enum { D = 18, H = 3, T = 15 };
    float *data = op_random(&rng, 3 * D * (H + 1) * T, -1.0f, 1.0f);
    int32_t positions[T];
    const int32_t sequences[T] = {0};
    for (int t = 0; t < T; t++) {
        positions[t] = t;
    }
    op_case c;
    op_begin(&c);
    gi8_tensor *wide = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){3 * D, H + 1, T, 1}, data);
    gi8_tensor *k = op_float_input(&c, GI8_TYPE_F16, (int64_t[]){D, T, H, 1}, data);
    gi8_tensor *v = op_float_input(&c, GI8_TYPE_F16, (int64_t[]){D, T, H, 1}, data + D * H * T);
    gi8_tensor *p = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, positions);
    gi8_tensor *s = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, sequences);
    gi8_tensor *view =
        gi8_view_3d(c.ctx, wide, D, H, T, wide->nb[1], wide->nb[2], D * sizeof(float));
    set_bound(&c, GI8_TYPE_F16, D, T, 0.3 * D);
    float *y = op_run(&c, gi8_attention(c.ctx, view, k, v, p, s, 0.3f));
    float *same = op_run(&c, gi8_attention(c.ctx, gi8_cont(c.ctx, view), k, v, p, s, 0.3f));
    assert_memory_equal(y, same, D * H * T * sizeof *y);
    free(y);
    free(same);
    free(data);
    op_end(&c);
}

/* What lies beyond a token's position is not read into its result, be it NaN or Inf: in the last
 * block of keys, in whole blocks, and where later tokens of the same tile do see it. */
static void test_attention_is_causal(void **state) {
    (void)state;
    enum { D = 18, C = 160, T = 40 };
    static float q[D * T];
    static float k[D * C];
    static float v[D * C];
    int32_t positions[T];
    const int32_t sequences[T] = {0};
    for (int i = 0; i < D * T; i++) {
        q[i] = 1.0f;
    }
    for (int begin = 3; begin < 120; begin += 13) {
        const int first_bad = begin + 2 * begin % T;
        for (int i = 0; i < D * C; i++) {
            bool bad = i / D >= first_bad;
            k[i] = bad ? NAN : 1.0f;
            v[i] = bad ? (i % 2 == 0 ? NAN : INFINITY) : (float)(i % D);
        }
        for (int t = 0; t < T; t++) {
            positions[t] = begin + t;
        }
        op_case c;
        op_begin(&c);
        gi8_tensor *tq = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){D, 1, T, 1}, q);
        gi8_tensor *tk = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){D, C, 1, 1}, k);
        gi8_tensor *tv = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){D, C, 1, 1}, v);
        gi8_tensor *tp = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, positions);
        gi8_tensor *ts = op_input(&c, GI8_TYPE_I32, (int64_t[]){T, 1, 1, 1}, sequences);
        c.absolute = 1e-5;
        float *y = op_run(&c, gi8_attention(c.ctx, tq, tk, tv, tp, ts, 1.0f));
        for (int t = 0; t < T; t++) {
            for (int d = 0; d < D; d++) {
                double expected = positions[t] < first_bad ? (double)d : (double)NAN;
                op_assert_close(y[t * D + d], expected, 1e-5, "causal", t * D + d);
            }
        }
        free(y);
        op_end(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_angles),
        cmocka_unit_test(test_rope_of_a_view),
        cmocka_unit_test(test_kv_store),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_batch_invariance),
        cmocka_unit_test(test_attention_of_a_view),
        cmocka_unit_test(test_attention_is_causal),
    };
    return cmocka_run_group_tests(tests, op_backends_create, op_backends_free);
}
