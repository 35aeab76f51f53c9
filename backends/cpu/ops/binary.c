/* binary.c - elementwise sums and products over the rows of two tensors. */
#include "binary.h"

typedef struct binary_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    bool multiply;
} binary_job;

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    const binary_job *job = arg;
    const gi8_tensor *a = job->step->node->src[0];
    const gi8_tensor *b = job->step->node->src[1];
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const char *pa = (const char *)job->step->src[0] + gi8i_row_offset(a, row);
        const char *pb = (const char *)job->step->src[1] + gi8i_repeated_row_offset(b, a, row);
        float *dst = (float *)job->step->dst + row * a->ne[0];
        job->run->kernels->binary(job->multiply, (const float *)(const void *)pa,
                                  (const float *)(const void *)pb, b->ne[0] != a->ne[0], dst,
                                  a->ne[0]);
    }
}

void gi8i_cpu_run_binary(const gi8i_cpu_run *run, const gi8_step *step, bool multiply) {
    binary_job job = {run, step, multiply};
    const gi8_tensor *a = step->node->src[0];
    gi8i_pool_run(run->pool, gi8_nrows(a), gi8i_grain(a->ne[0], 16384), rows, &job);
}
