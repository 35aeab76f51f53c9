/* kv_store.c - keys or values of new tokens into a cache. */
#include "../cpu_impl.h"

static void tokens(void *arg, int64_t begin, int64_t end, int thread) {
    const gi8_step *step = arg;
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
            const char *src =
                (const char *)step->src[1] + (size_t)h * x->nb[1] + (size_t)t * x->nb[2];
            char *dst = (char *)step->src[0] + (size_t)positions[t] * cache->nb[1] +
                        (size_t)h * cache->nb[2] + (size_t)sequences[t] * cache->nb[3];
            gi8_convert_from_fp32(cache->type, (const float *)(const void *)src, x->ne[0], dst);
        }
    }
}

static void run_kv_store(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_tensor *x = step->node->src[1];
    /* The job's argument is not written to. */
    gi8i_pool_run(run->pool, x->ne[2], gi8i_grain(x->ne[0] * x->ne[1], 16384), tokens,
                  (void *)(uintptr_t)step);
}

const gi8i_cpu_op gi8i_cpu_op_kv_store = {NULL, run_kv_store};
