/* soft_max.c - softmax of each row, with an optional mask. */
#include "../cpu_impl.h"

typedef struct soft_max_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
} soft_max_job;

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    const soft_max_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *x = step->node->src[0];
    const gi8_tensor *mask = step->node->src[1];
    const gi8_soft_max_params *params = step->node->params;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const char *src = (const char *)step->src[0] + gi8i_row_offset(x, row);
        const char *add = NULL;
        if (mask != NULL) {
            add = (const char *)step->src[1] + gi8i_repeated_row_offset(mask, x, row);
        }
        job->run->kernels->soft_max((const float *)(const void *)src,
                                    (const float *)(const void *)add,
                                    mask != NULL && mask->ne[0] != x->ne[0], params->scale,
                                    (float *)step->dst + row * x->ne[0], x->ne[0]);
    }
}

static void run_soft_max(const gi8i_cpu_run *run, const gi8_step *step) {
    soft_max_job job = {run, step};
    const gi8_tensor *x = step->node->src[0];
    gi8i_pool_run(run->pool, gi8_nrows(x), gi8i_grain(x->ne[0], 4096), rows, &job);
}

const gi8i_cpu_op gi8i_cpu_op_soft_max = {.run = run_soft_max};
