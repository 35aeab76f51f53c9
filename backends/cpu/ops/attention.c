/* attention.c - causal attention: one item of work is one head of some tokens. */
#include <math.h>

#include "../cpu_impl.h"

typedef struct attention_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    const int32_t *positions;
    const int32_t *sequences;
    int64_t tile;    /* tokens of an item; the last one may have fewer */
    int64_t n_tiles; /* items of a head */
} attention_job;

static bool in_cache(const attention_job *job, int64_t t) {
    const gi8_tensor *k = job->step->node->src[1];
    return job->positions[t] >= 0 && job->positions[t] < k->ne[1] && job->sequences[t] >= 0 &&
           job->sequences[t] < k->ne[3];
}

/* Token t + 1 continues the sequence of token t. */
static bool continues(const attention_job *job, int64_t t) {
    return job->sequences[t + 1] == job->sequences[t] &&
           (int64_t)job->positions[t + 1] == (int64_t)job->positions[t] + 1;
}

/* Head h of tokens [t, t + m), each of which continues the one before it. */
static void attend(const attention_job *job, int64_t h, int64_t t, int64_t m) {
    const gi8_step *step = job->step;
    const gi8_tensor *q = step->node->src[0];
    const gi8_tensor *k = step->node->src[1];
    const gi8_tensor *v = step->node->src[2];
    const gi8_attention_params *params = step->node->params;
    const char *query = (const char *)step->src[0] + (size_t)h * q->nb[1] + (size_t)t * q->nb[2];
    size_t g = (size_t)(h / (q->ne[1] / k->ne[2]));
    size_t sequence = (size_t)job->sequences[t];
    gi8i_attention_args args = {
        .q = (const float *)(const void *)query,
        .type = k->type,
        .k = (const char *)step->src[1] + g * k->nb[2] + sequence * k->nb[3],
        .v = (const char *)step->src[2] + g * v->nb[2] + sequence * v->nb[3],
        .y = (float *)step->dst + (t * q->ne[1] + h) * q->ne[0],
        .q_stride_bytes = q->nb[2],
        .k_stride_bytes = k->nb[1],
        .v_stride_bytes = v->nb[1],
        .y_stride_bytes = (size_t)(q->ne[1] * q->ne[0]) * sizeof(float),
        .scale = params->scale,
        .d = q->ne[0],
        .n = (int64_t)job->positions[t] + 1,
        .m = m,
        .once = job->run->weights_once,
    };
    job->run->kernels->attention(&args);
}

static void tiles(void *arg, int64_t begin, int64_t end, int thread) {
    const attention_job *job = arg;
    const gi8_tensor *q = job->step->node->src[0];
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        /* The tokens of one head stand together: they read the same keys and values. */
        int64_t h = item / job->n_tiles;
        int64_t t = item % job->n_tiles * job->tile;
        int64_t last = q->ne[2] - t < job->tile ? q->ne[2] : t + job->tile;
        while (t < last) {
            if (!in_cache(job, t)) {
                float *y = (float *)job->step->dst + (t * q->ne[1] + h) * q->ne[0];
                for (int64_t d = 0; d < q->ne[0]; d++) {
                    y[d] = NAN;
                }
                t++;
                continue;
            }
            int64_t m = 1;
            while (t + m < last && continues(job, t + m - 1) && in_cache(job, t + m)) {
                m++;
            }
            attend(job, h, t, m);
            t += m;
        }
    }
}

static void run_attention(const gi8i_cpu_run *run, const gi8_step *step) {
    attention_job job = {
        .run = run, .step = step, .positions = step->src[3], .sequences = step->src[4]};
    const gi8_tensor *q = step->node->src[0];
    int64_t n_tokens = q->ne[2];
    int64_t keys = 0; /* of all tokens */
    int64_t runs = 1; /* of tokens that continue each other */
    for (int64_t t = 0; t < n_tokens; t++) {
        keys += in_cache(&job, t) ? (int64_t)job.positions[t] + 1 : 1;
        runs += t + 1 < n_tokens && !continues(&job, t);
    }
    /* Tokens of different sequences share nothing: rather more items for the threads. */
    job.tile = runs > n_tokens / 2 ? 1 : GI8I_ATTENTION_TILE;
    job.n_tiles = (n_tokens + job.tile - 1) / job.tile;
    int64_t cost = keys / job.n_tiles * q->ne[0] * 2;
    gi8i_pool_run(run->pool, q->ne[1] * job.n_tiles, gi8i_grain(cost, 65536), tiles, &job);
}

const gi8i_cpu_op gi8i_cpu_op_attention = {.run = run_attention};
