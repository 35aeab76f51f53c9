/* test_cuda_attention.c - attention on the CUDA backend against double, within bounds that follow
 * from its roundings; the CPU backend, on the same data, keeps the bounds of fp32.
 *
 * With u = 2^-24, score_j = scale q . k_j and
 *   spread = max_j |scale| sum_d |q_d k_jd|       v = max |v|
 * fp32 changes a score by at most (d / 16 + 4) u spread and more than that in no test here; with an
 * F16 cache and more than 16 tokens q and the weights are rounded to 11 bits as well, so that
 *   e = 2^-11 spread,  |y - exact| <= (exp(2 e) - 1 + 2^-10) v + the bound of fp32.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "cuda_fixture.h"

enum { MAX_T = 130 };

typedef struct problem {
    gi8_type type; /* of the cache */
    int64_t d, c, h, g, s, t;
    float scale;
    int64_t gap; /* elements between the heads of q, 3 d + gap apart: a part of a wider tensor */
    float *q;    /* [d, h, t] */
    float *k, *v;
    int32_t positions[MAX_T];
    int32_t sequences[MAX_T];
} problem;

static bool rounds_to_16_bits(const problem *p) {
    bool size = p->d == 32 || p->d == 64 || p->d == 80 || p->d == 96 || p->d == 128 || p->d == 256;
    return p->type == GI8_TYPE_F16 && size && p->t > 16;
}

static float *random_values(test_rng *rng, int64_t count, float size) {
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = test_rng_float(rng, -size, size);
    }
    return values;
}

/* Rounds the values to the type of the cache. */
static void *to_type(gi8_type type, float *values, int64_t count) {
    void *bytes = malloc((size_t)count * gi8_type_size(type) + 1);
    assert_non_null(bytes);
    assert_int_equal(gi8_convert_from_fp32(type, values, count, bytes), GI8_OK);
    assert_int_equal(gi8_convert_to_fp32(type, bytes, count, values), GI8_OK);
    return bytes;
}

static int64_t cache_count(const problem *p) {
    return p->d * p->c * p->g * p->s;
}

static void fill(problem *p, test_rng *rng) {
    p->q = random_values(rng, p->d * p->h * p->t, 2.0f);
    p->k = random_values(rng, cache_count(p), 2.0f);
    p->v = random_values(rng, cache_count(p), 2.0f);
    free(to_type(p->type, p->k, cache_count(p)));
    free(to_type(p->type, p->v, cache_count(p)));
}

static void release(problem *p) {
    free(p->q);
    free(p->k);
    free(p->v);
}

static gi8_tensor *cache_input(cuda_case *c, const problem *p, float *values) {
    void *bytes = to_type(p->type, values, cache_count(p));
    gi8_tensor *t = cuda_input(c, p->type, (int64_t[]){p->d, p->c, p->g, p->s}, bytes);
    free(bytes);
    return t;
}

static gi8_tensor *build(cuda_case *c, const void *arg) {
    const problem *p = arg;
    /* Queries as a model has them: the first d of 3 d + gap elements of each head. */
    int64_t row = p->gap > 0 ? 3 * p->d + p->gap : p->d;
    float *wide = calloc((size_t)(row * p->h * p->t), sizeof *wide);
    assert_non_null(wide);
    for (int64_t i = 0; i < p->d * p->h * p->t; i++) {
        wide[i / p->d * row + i % p->d] = p->q[i];
    }
    gi8_tensor *q = cuda_input(c, GI8_TYPE_F32, (int64_t[]){row, p->h, p->t, 1}, wide);
    free(wide);
    if (p->gap > 0) {
        q = gi8_view_3d(c->ctx, q, p->d, p->h, p->t, q->nb[1], q->nb[2], 0);
    }
    gi8_tensor *k = cache_input(c, p, p->k);
    gi8_tensor *v = cache_input(c, p, p->v);
    gi8_tensor *positions = cuda_i32_input(c, p->t, p->positions);
    gi8_tensor *sequences = cuda_i32_input(c, p->t, p->sequences);
    return gi8_attention(c->ctx, q, k, v, positions, sequences, p->scale);
}

typedef struct reference {
    double *y;     /* [d] */
    double spread; /* see above */
    double v;
} reference;

static void attend(const problem *p, const float *q, const float *k, const float *v,
                   int64_t position, reference *r) {
    double *weight = malloc((size_t)(position + 1) * sizeof *weight);
    assert_non_null(weight);
    double top = -INFINITY;
    double sum = 0.0;
    r->spread = 0.0;
    r->v = 0.0;
    for (int64_t j = 0; j <= position; j++) {
        double size = 0.0;
        weight[j] = 0.0;
        for (int64_t d = 0; d < p->d; d++) {
            double product = (double)q[d] * (double)k[j * p->d + d] * (double)p->scale;
            weight[j] += product;
            size += fabs(product);
            r->v = fmax(r->v, fabs((double)v[j * p->d + d]));
        }
        r->spread = fmax(r->spread, size);
        top = fmax(top, weight[j]);
    }
    for (int64_t d = 0; d < p->d; d++) {
        r->y[d] = 0.0;
    }
    for (int64_t j = 0; j <= position; j++) {
        weight[j] = exp(weight[j] - top);
        sum += weight[j];
        for (int64_t d = 0; d < p->d; d++) {
            r->y[d] += weight[j] * (double)v[j * p->d + d];
        }
    }
    for (int64_t d = 0; d < p->d; d++) {
        r->y[d] /= sum;
    }
    free(weight);
}

static double bound(const problem *p, const reference *r, int64_t position, bool rounds) {
    double fp32 = FLT_EPSILON * r->v *
                  (r->spread * ((double)p->d / 16 + 4) + 8.0 + (double)position / 16);
    return fp32 + (rounds ? (expm1(2.0 * r->spread * 0x1p-11) + 0x1p-10) * r->v : 0.0);
}

static void compare(const problem *p, const float *y, bool rounds, const char *what) {
    reference r = {malloc((size_t)p->d * sizeof(double)), 0.0, 0.0};
    assert_non_null(r.y);
    double error2 = 0.0; /* squares of error / bound: errors are independent, bounds add them */
    int64_t count = 0;
    for (int64_t row = 0; row < p->h * p->t; row++) {
        int64_t t = row / p->h;
        int64_t position = p->positions[t];
        int64_t sequence = p->sequences[t];
        bool inside = position >= 0 && position < p->c && sequence >= 0 && sequence < p->s;
        double tolerance = 0.0;
        if (inside) {
            int64_t first = (sequence * p->g + row % p->h / (p->h / p->g)) * p->c * p->d;
            attend(p, p->q + row * p->d, p->k + first, p->v + first, position, &r);
            tolerance = bound(p, &r, position, rounds);
        }
        for (int64_t d = 0; d < p->d; d++) {
            double actual = (double)y[row * p->d + d];
            double expected = inside ? r.y[d] : (double)NAN;
            bool close = isnan(expected) ? isnan(actual) : fabs(actual - expected) <= tolerance;
            if (!close) {
                fail_msg("%s, head size %lld, %lld tokens: token %lld, head %lld, element %lld is "
                         "%.9g, expected %.9g within %.3g",
                         what, (long long)p->d, (long long)p->t, (long long)t,
                         (long long)(row % p->h), (long long)d, actual, expected, tolerance);
            }
            if (isfinite(expected)) {
                double part = (actual - expected) / tolerance;
                error2 += part * part;
                count++;
            }
        }
    }
    if (count > 0 && sqrt(error2 / (double)count) > 0.25) {
        fail_msg("%s, head size %lld, %lld tokens: errors are %.3g of their bounds on average",
                 what, (long long)p->d, (long long)p->t, sqrt(error2 / (double)count));
    }
    free(r.y);
}

static void check(const problem *p) {
    cuda_result cpu = cuda_run_cpu(build, p, 1);
    cuda_result cuda = cuda_run_cuda(build, p, 1);
    compare(p, cpu.bytes, false, "CPU");
    compare(p, cuda.bytes, rounds_to_16_bits(p), "CUDA");
    cuda_result_free(&cpu);
    cuda_result_free(&cuda);
}

static void check_random(test_rng *rng, problem p) {
    fill(&p, rng);
    check(&p);
    release(&p);
}

/* Tokens anywhere in any sequence, some of them nowhere. */
static void scatter(problem *p, test_rng *rng) {
    for (int64_t t = 0; t < p->t; t++) {
        p->positions[t] = (int32_t)test_rng_int(rng, 0, p->c - 1);
        p->sequences[t] = (int32_t)test_rng_int(rng, 0, p->s - 1);
        int64_t kind = test_rng_int(rng, 0, 19);
        if (kind == 0) {
            p->positions[t] = test_rng_int(rng, 0, 1) == 0 ? -1 : (int32_t)p->c;
        } else if (kind == 1) {
            p->sequences[t] = test_rng_int(rng, 0, 1) == 0 ? INT32_MIN : (int32_t)p->s;
        }
    }
}

/* One prompt of one sequence, from `first` on. */
static void prompt(problem *p, int64_t sequence, int64_t first) {
    for (int64_t t = 0; t < p->t; t++) {
        p->positions[t] = (int32_t)(first + t);
        p->sequences[t] = (int32_t)sequence;
    }
}

static void test_sizes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(71);
    static const int64_t sizes[] = {1, 7, 32, 50, 64, 80, 96, 128, 130, 256, 300};
    static const int64_t tokens[] = {1, 3, 16, 17, 40};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizeof tokens / sizeof *tokens; j++) {
            for (int type = 0; type < 2; type++) {
                problem p = {.type = type == 0 ? GI8_TYPE_F16 : GI8_TYPE_F32, .d = sizes[i],
                             .c = 150, .g = 1 + (int64_t)j % 2, .s = 3, .t = tokens[j],
                             .scale = 1.0f / sqrtf((float)sizes[i]), .gap = (int64_t)j};
                p.h = p.g * (1 + (int64_t)(i % 2));
                scatter(&p, &rng);
                check_random(&rng, p);
            }
        }
    }
}

static void test_prompts(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(72);
    static const int64_t tokens[] = {18, 63, 64, 65, 128, 130};
    static const int64_t sizes[] = {32, 64, 80, 96, 128, 256};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        problem p = {.type = GI8_TYPE_F16, .d = sizes[i], .c = 300, .h = 2, .g = 1, .s = 2,
                     .t = tokens[i], .scale = 0.1f};
        prompt(&p, 1, 0);
        check_random(&rng, p);
        prompt(&p, 0, 37);
        check_random(&rng, p);
        p.scale = -0.3f;
        prompt(&p, 0, 170 - (int64_t)i);
        check_random(&rng, p);
    }
}

/* Sequences of any length, side by side and interleaved, as when a server decodes many at once. */
static void test_many_sequences(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(73);
    problem p = {.type = GI8_TYPE_F16, .d = 64, .c = 90, .h = 1, .g = 1, .s = 70, .t = 70,
                 .scale = 0.125f};
    for (int t = 0; t < 70; t++) {
        p.positions[t] = (int32_t)test_rng_int(&rng, 0, p.c - 1);
        p.sequences[t] = 69 - t;
    }
    check_random(&rng, p);
    p.h = 30; /* more blocks than one for each multiprocessor */
    p.g = 30;
    p.s = 4;
    p.t = 20;
    for (int t = 0; t < 20; t++) {
        p.positions[t] = 50 + t / 4;
        p.sequences[t] = t % 4;
    }
    check_random(&rng, p);
    p = (problem){.type = GI8_TYPE_F16, .d = 80, .c = 140, .h = 2, .g = 2, .s = 3, .t = 130,
                  .scale = 0.11f};
    for (int t = 0; t < 130; t++) { /* three prompts, one behind the other */
        p.sequences[t] = t < 50 ? 2 : t < 58 ? 0 : 1;
        p.positions[t] = t < 50 ? t : t < 58 ? 100 + t - 50 : t - 58;
    }
    check_random(&rng, p);
}

/* One token and many keys: the keys are split, and any number of them is right. */
static void test_long(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(74);
    static const int64_t sizes[] = {64, 80, 96, 128, 256};
    static const int32_t positions[] = {0, 126, 127, 128, 129, 255, 256, 1023, 1500, 2999};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        problem p = {.type = GI8_TYPE_F16, .d = sizes[i], .c = 3000, .h = 1, .g = 1, .s = 1,
                     .t = 10, .scale = 0.1f};
        for (int t = 0; t < 10; t++) {
            p.positions[t] = positions[t];
        }
        check_random(&rng, p);
    }
}

/* Queries far beyond the range of fp16, and far below, with scores of the usual size. */
static void test_size_of_queries(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(75);
    static const int exponents[] = {0, 20, 60, 100, -20, -60, -100, 5};
    for (int tokens = 8; tokens <= 24; tokens += 16) {
        for (int exponent = 0; exponent < 8; exponent++) {
            problem p = {.type = GI8_TYPE_F16, .d = 64, .c = 100, .h = 1, .g = 1, .s = 1,
                         .t = tokens, .scale = ldexpf(0.125f, -exponents[exponent])};
            prompt(&p, 0, 70);
            fill(&p, &rng);
            for (int64_t i = 0; i < p.d * p.t; i++) {
                p.q[i] = ldexpf(p.q[i], exponents[exponent]);
            }
            for (int64_t i = 0; i < p.d; i++) { /* and one row that is 2^20 times smaller */
                p.q[3 * p.d + i] *= 0x1p-20f;
            }
            check(&p);
            release(&p);
        }
    }
}

/* What a token does not see is not read into its result, be it NaN or Inf; what it sees is. */
static void test_causal(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(76);
    static const int64_t sizes[] = {18, 32, 64, 80, 96, 128, 256};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int64_t tokens = 8; tokens <= 72; tokens += 32) {
            problem p = {.type = GI8_TYPE_F16, .d = sizes[i], .c = 160, .h = 1, .g = 1, .s = 2,
                         .t = tokens, .scale = 0.1f};
            fill(&p, &rng);
            int64_t first = test_rng_int(&rng, 0, 80);
            int64_t bad = first + test_rng_int(&rng, 1, tokens - 1);
            prompt(&p, 0, first);
            p.sequences[0] = 1;
            for (int64_t j = bad * p.d; j < p.c * p.d; j++) {
                p.v[j] = j % 3 == 0 ? NAN : j % 3 == 1 ? INFINITY : -INFINITY;
                p.k[j] = NAN;
            }
            cuda_result y = cuda_run_cuda(build, &p, 1);
            const float *rows = y.bytes;
            for (int64_t t = 0; t < tokens; t++) {
                for (int64_t d = 0; d < p.d; d++) {
                    bool sees = p.sequences[t] == 0 && p.positions[t] >= bad;
                    assert_true(sees ? isnan(rows[t * p.d + d])
                                     : fabsf(rows[t * p.d + d]) <= 2.01f);
                }
            }
            /* The finite part is not only finite. */
            p.t = p.t < bad - first ? p.t : bad - first;
            if (p.t > 16 || !rounds_to_16_bits(&(problem){.type = p.type, .d = p.d, .t = tokens})) {
                compare(&p, rows, rounds_to_16_bits(&p), "CUDA, before NaN");
            }
            cuda_result_free(&y);
            release(&p);
        }
    }
}

/* Not a number in a query: its own row alone. */
static void test_not_finite_query(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(77);
    for (int64_t tokens = 4; tokens <= 20; tokens += 16) {
        problem p = {.type = GI8_TYPE_F16, .d = 32, .c = 40, .h = 2, .g = 2, .s = 1, .t = tokens,
                     .scale = 1.0f};
        prompt(&p, 0, 10);
        fill(&p, &rng);
        p.q[1 * p.d + 5] = NAN;          /* token 0, head 1 */
        p.q[(2 * 2 + 0) * p.d] = INFINITY; /* token 2, head 0 */
        cuda_result y = cuda_run_cuda(build, &p, 1);
        const float *rows = y.bytes;
        for (int64_t i = 0; i < p.d * p.h * p.t; i++) {
            bool bad = i / p.d == 1 || i / p.d == 4;
            assert_true(bad ? isnan(rows[i]) : isfinite(rows[i]));
        }
        cuda_result_free(&y);
        release(&p);
    }
}

/* Attention whose queries are the results of another one: each leaves to the next what it counts
 * its splits with as it found it. */
static gi8_tensor *build_twice(cuda_case *c, const void *arg) {
    const problem *p = arg;
    gi8_tensor *y = build(c, p);
    for (int i = 0; i < 2 && y != NULL; i++) {
        y = gi8_attention(c->ctx, y, y->src[1], y->src[2], y->src[3], y->src[4], p->scale);
    }
    return y;
}

static void test_one_after_the_other(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(78);
    problem p = {.type = GI8_TYPE_F16, .d = 64, .c = 2000, .h = 2, .g = 2, .s = 2, .t = 3,
                 .scale = 0.5f, .positions = {1999, 700, 1300}, .sequences = {0, 1, 1}};
    fill(&p, &rng);
    for (int64_t i = 0; i < cache_count(&p); i++) {
        p.v[i] += (float)(i / p.d % p.c) / 500.0f; /* parts of the keys differ */
    }
    cuda_compare(build_twice, &p, 1, "attention of attention", 1e-4, 1e-4);
    release(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_many_sequences),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_size_of_queries),
        cmocka_unit_test(test_causal),
        cmocka_unit_test(test_not_finite_query),
        cmocka_unit_test(test_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, cuda_backends_create, cuda_backends_free);
}
