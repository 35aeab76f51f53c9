/* attention.c - causal attention: one item of work is one head of one token. */
#include <math.h>

#include "../cpu_impl.h"

typedef struct attention_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
} attention_job;

static void heads(void *arg, int64_t begin, int64_t end, int thread) {
    const attention_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *q = step->node->src[0];
    const gi8_tensor *k = step->node->src[1];
    const gi8_tensor *v = step->node->src[2];
    const int32_t *positions = step->src[3];
    const int32_t *sequences = step->src[4];
    const gi8_attention_params *params = step->node->params;
    int64_t n_tokens = q->ne[2];
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        /* The tokens of one head stand together: they read the same keys and values. */
        int64_t h = item / n_tokens;
        int64_t t = item % n_tokens;
        float *y = (float *)step->dst + (t * q->ne[1] + h) * q->ne[0];
        int64_t position = positions[t];
        int64_t sequence = sequences[t];
        if (position < 0 || position >= k->ne[1] || sequence < 0 || sequence >= k->ne[3]) {
            for (int64_t d = 0; d < q->ne[0]; d++) {
                y[d] = NAN;
            }
            continue;
        }
        size_t g = (size_t)(h / (q->ne[1] / k->ne[2]));
        const char *query =
            (const char *)step->src[0] + (size_t)h * q->nb[1] + (size_t)t * q->nb[2];
        gi8i_attention_args args = {
            .q = (const float *)(const void *)query,
            .type = k->type,
            .k = (const char *)step->src[1] + g * k->nb[2] + (size_t)sequence * k->nb[3],
            .v = (const char *)step->src[2] + g * v->nb[2] + (size_t)sequence * v->nb[3],
            .k_stride_bytes = k->nb[1],
            .v_stride_bytes = v->nb[1],
            .y = y,
            .scale = params->scale,
            .d = q->ne[0],
            .n = position + 1,
        };
        job->run->kernels->attention(&args);
    }
}

static void run_attention(const gi8i_cpu_run *run, const gi8_step *step) {
    attention_job job = {run, step};
    const gi8_tensor *q = step->node->src[0];
    const int32_t *positions = step->src[3];
    const gi8_tensor *k = step->node->src[1];
    int64_t keys = 0; /* of all tokens */
    for (int64_t t = 0; t < q->ne[2]; t++) {
        keys += positions[t] >= 0 && positions[t] < k->ne[1] ? positions[t] + 1 : 1;
    }
    int64_t cost = keys / q->ne[2] * q->ne[0] * 2;
    gi8i_pool_run(run->pool, q->ne[1] * q->ne[2], gi8i_grain(cost, 16384), heads, &job);
}

const gi8i_cpu_op gi8i_cpu_op_attention = {NULL, run_attention};
