/* layer_norm.c - layer normalization of each row. */
#include "../cpu_impl.h"

typedef struct norm_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
} norm_job;

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    const norm_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *x = step->node->src[0];
    const gi8_layer_norm_params *params = step->node->params;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const char *src = (const char *)step->src[0] + gi8i_row_offset(x, row);
        job->run->kernels->layer_norm((const float *)(const void *)src, step->src[1], step->src[2],
                                      params->eps, (float *)step->dst + row * x->ne[0], x->ne[0]);
    }
}

static void run_layer_norm(const gi8i_cpu_run *run, const gi8_step *step) {
    norm_job job = {run, step};
    const gi8_tensor *x = step->node->src[0];
    gi8i_pool_run(run->pool, gi8_nrows(x), gi8i_grain(x->ne[0], 8192), rows, &job);
}

const gi8i_cpu_op gi8i_cpu_op_layer_norm = {.run = run_layer_norm};
