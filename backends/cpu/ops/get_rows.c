/* get_rows.c - rows of a table by their ids. */
#include <math.h>

#include "../cpu_impl.h"

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    const gi8_step *step = arg;
    const gi8_tensor *table = step->node->src[0];
    const int32_t *ids = step->src[1];
    int64_t d = table->ne[0];
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        float *dst = (float *)step->dst + t * d;
        if (ids[t] >= 0 && ids[t] < table->ne[1]) {
            const char *src = (const char *)step->src[0] + (size_t)ids[t] * table->nb[1];
            gi8_convert_to_fp32(table->type, src, d, dst);
        } else {
            for (int64_t i = 0; i < d; i++) {
                dst[i] = NAN;
            }
        }
    }
}

static void run_get_rows(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_tensor *y = step->node;
    /* The job's argument is not written to. */
    gi8i_pool_run(run->pool, y->ne[1], gi8i_grain(y->ne[0], 16384), rows, (void *)(uintptr_t)step);
}

const gi8i_cpu_op gi8i_cpu_op_get_rows = {.run = run_get_rows};
