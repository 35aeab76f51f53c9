/* sampler.c - from logits to the next token. */
#include "gptneox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A token that may be chosen. `weight` is its logit first, its probability in the end. */
typedef struct candidate {
    int32_t token;
    float weight;
} candidate;

struct gptneox_sampler {
    gptneox_sampler_params params;
    uint64_t state;     /* of the random numbers */
    int32_t *recent;    /* ring of the last repeat_last_n tokens */
    int64_t n_accepted; /* tokens accepted so far */
    candidate *candidates;
    int32_t capacity;
};

gptneox_sampler *gptneox_sampler_create(const gptneox_sampler_params *params, gi8_error *error) {
    gptneox_sampler_params p = GPTNEOX_SAMPLER_PARAMS_DEFAULT;
    if (params != NULL) {
        p = *params;
    }
    const char *wrong = !(p.temperature >= 0 && isfinite(p.temperature))
                            ? "temperature must be >= 0"
                        : p.top_k < 0                     ? "top_k must be >= 0"
                        : !(p.top_p > 0 && p.top_p <= 1)  ? "top_p must be in (0, 1]"
                        : !(p.min_p >= 0 && p.min_p <= 1) ? "min_p must be in [0, 1]"
                        : !(p.repeat_penalty > 0 && isfinite(p.repeat_penalty))
                            ? "repeat_penalty must be > 0"
                        : p.repeat_last_n < 0 ? "repeat_last_n must be >= 0"
                                              : NULL;
    if (wrong != NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "sampler: %s", wrong);
        return NULL;
    }
    gptneox_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler != NULL && p.repeat_last_n > 0) {
        sampler->recent = calloc((size_t)p.repeat_last_n, sizeof(int32_t));
    }
    if (sampler == NULL || (p.repeat_last_n > 0 && sampler->recent == NULL)) {
        free(sampler);
        gi8_error_set(error, GI8_ERR_MEMORY, "sampler: no memory for %d recent tokens",
                      p.repeat_last_n);
        return NULL;
    }
    sampler->params = p;
    sampler->state = p.seed;
    return sampler;
}

void gptneox_sampler_free(gptneox_sampler *sampler) {
    if (sampler != NULL) {
        free(sampler->recent);
        free(sampler->candidates);
        free(sampler);
    }
}

void gptneox_sampler_accept(gptneox_sampler *sampler, int32_t token) {
    if (sampler != NULL && sampler->params.repeat_last_n > 0) {
        sampler->recent[sampler->n_accepted % sampler->params.repeat_last_n] = token;
        sampler->n_accepted++;
    }
}

/* Uniform in [0, 1), from splitmix64 (Steele, Lea, Flood 2014). */
static double next_uniform(gptneox_sampler *sampler) {
    uint64_t z = (sampler->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* True where a is less likely than b; of equals the later token is the less likely one. */
static bool less_likely(const candidate *a, const candidate *b) {
    return a->weight < b->weight || (a->weight == b->weight && a->token > b->token);
}

static int compare_likely_first(const void *a, const void *b) {
    return less_likely(a, b) ? 1 : less_likely(b, a) ? -1 : 0;
}

/* Restores a heap whose root, the least likely of the n, may have become too likely. */
static void sift_down(candidate *heap, int32_t n) {
    for (int32_t i = 0;;) {
        int64_t child = 2 * (int64_t)i + 1;
        if (child >= n) {
            return;
        }
        if (child + 1 < n && less_likely(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!less_likely(&heap[child], &heap[i])) {
            return;
        }
        candidate swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
        i = (int32_t)child;
    }
}

/* Moves the k most likely of n to the front, in no order: a heap of k whose root is the weakest. */
static void select_top_k(candidate *c, int32_t n, int32_t k) {
    /* A descending-by-likelihood array reversed is a heap, so sorting the first k builds it. */
    qsort(c, (size_t)k, sizeof *c, compare_likely_first);
    for (int32_t i = 0; i < k / 2; i++) {
        candidate swap = c[i];
        c[i] = c[k - 1 - i];
        c[k - 1 - i] = swap;
    }
    for (int32_t i = k; i < n; i++) {
        if (less_likely(&c[0], &c[i])) {
            c[0] = c[i];
            sift_down(c, k);
        }
    }
}

/* Divides positive and multiplies negative logits of the recent tokens, each token once. */
static void penalize_repeats(const gptneox_sampler *sampler, candidate *c, int32_t n,
                             const float *logits) {
    int64_t last_n = sampler->params.repeat_last_n;
    int64_t count = sampler->n_accepted < last_n ? sampler->n_accepted : last_n;
    for (int64_t i = 0; i < count; i++) {
        int32_t token = sampler->recent[i];
        if (token >= 0 && token < n) {
            float logit = logits[token]; /* not c's: a token may be recent twice */
            c[token].weight = logit > 0 ? logit / sampler->params.repeat_penalty
                                        : logit * sampler->params.repeat_penalty;
        }
    }
}

/* Draws from c[0 .. n), sorted by falling logit, after temperature, top_p and min_p. */
static int32_t draw(gptneox_sampler *sampler, candidate *c, int32_t n) {
    const gptneox_sampler_params *p = &sampler->params;
    const float best = c[0].weight;
    double total = 0;
    for (int32_t i = 0; i < n; i++) {
        c[i].weight = expf((c[i].weight - best) / p->temperature); /* c[0], the best, is 1 */
        total += c[i].weight;
    }
    int32_t keep = 0;
    double sum = 0;
    while (keep < n && c[keep].weight >= p->min_p && (keep == 0 || sum < p->top_p * total)) {
        sum += c[keep++].weight;
    }
    double left = next_uniform(sampler) * sum;
    int32_t chosen = 0;
    while (chosen + 1 < keep && left >= c[chosen].weight) {
        left -= c[chosen++].weight;
    }
    return c[chosen].token;
}

gi8_status gptneox_sampler_sample(gptneox_sampler *sampler, const float *logits, int32_t n,
                                  int32_t *token, gi8_error *error) {
    if (sampler == NULL || logits == NULL || token == NULL || n < 1) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "sample: needs a sampler, at least one logit and a place for the "
                             "token");
    }
    if (n > sampler->capacity) {
        candidate *bigger = realloc(sampler->candidates, (size_t)n * sizeof *bigger);
        if (bigger == NULL) {
            return gi8_error_set(error, GI8_ERR_MEMORY, "sample: no memory for %d candidates", n);
        }
        sampler->candidates = bigger;
        sampler->capacity = n;
    }
    candidate *c = sampler->candidates;
    bool any = false;
    for (int32_t i = 0; i < n; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY) {
            return gi8_error_set(error, GI8_ERR_NOT_FINITE, "sample: the logit of token %d is %s",
                                 i, isnan(logits[i]) ? "NaN" : "infinite");
        }
        any = any || logits[i] > -INFINITY;
        c[i] = (candidate){i, logits[i]};
    }
    if (!any) {
        return gi8_error_set(error, GI8_ERR_NOT_FINITE, "sample: all %d logits are -Inf", n);
    }
    if (sampler->params.repeat_penalty != 1.0f) {
        penalize_repeats(sampler, c, n, logits);
    }
    int32_t k = sampler->params.top_k;
    if (sampler->params.temperature == 0) {
        k = 1;
    }
    if (k > 0 && k < n) {
        select_top_k(c, n, k);
        n = k;
    }
    if (n == 1) {
        *token = c[0].token;
        return GI8_OK;
    }
    qsort(c, (size_t)n, sizeof *c, compare_likely_first);
    *token = draw(sampler, c, n);
    return GI8_OK;
}
