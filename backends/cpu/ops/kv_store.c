/* kv_store.c - keys or values of new tokens into a cache. */
#include <string.h>

#include "../cpu_impl.h"

typedef struct kv_store_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
} kv_store_job;

static void tokens(void *arg, int64_t begin, int64_t end, int thread) {
    const kv_store_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *cache = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    const int32_t *positions = step->src[2];
    const int32_t *sequences = step->src[3];
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        if (positions[t] < 0 || positions[t] >= cache->ne[1] || sequences[t] < 0 ||
            sequences[t] >= cache->ne[3]) {
            continue;
        }
        for (int64_t h = 0; h < x->ne[1]; h++) {
            const void *src =
                (const char *)step->src[1] + (size_t)h * x->nb[1] + (size_t)t * x->nb[2];
            void *dst = (char *)step->src[0] + (size_t)positions[t] * cache->nb[1] +
                        (size_t)h * cache->nb[2] + (size_t)sequences[t] * cache->nb[3];
            if (cache->type == GI8_TYPE_F16) {
                job->run->kernels->store_f16(src, x->ne[0], dst);
            } else {
                memcpy(dst, src, (size_t)x->ne[0] * sizeof(float));
            }
        }
    }
}

static void run_kv_store(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_tensor *x = step->node->src[1];
    kv_store_job job = {run, step};
    gi8i_pool_run(run->pool, x->ne[2], gi8i_grain(x->ne[0] * x->ne[1], 16384), tokens, &job);
}

const gi8i_cpu_op gi8i_cpu_op_kv_store = {.run = run_kv_store};
