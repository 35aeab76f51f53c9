/* unary.c - elementwise operations of one source over the rows of a tensor. */
#include "unary.h"

typedef struct unary_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    gi8i_unary kind;
    float factor;
} unary_job;

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    const unary_job *job = arg;
    const gi8_tensor *x = job->step->node->src[0];
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const char *src = (const char *)job->step->src[0] + gi8i_row_offset(x, row);
        float *dst = (float *)job->step->dst + row * x->ne[0];
        job->run->kernels->unary(job->kind, job->factor, (const float *)(const void *)src, dst,
                                 x->ne[0]);
    }
}

static void elements(void *arg, int64_t begin, int64_t end, int thread) {
    const unary_job *job = arg;
    (void)thread;
    job->run->kernels->unary(job->kind, job->factor, (const float *)job->step->src[0] + begin,
                             (float *)job->step->dst + begin, end - begin);
}

void gi8i_cpu_run_unary(const gi8i_cpu_run *run, const gi8_step *step, gi8i_unary kind,
                        float factor) {
    unary_job job = {run, step, kind, factor};
    const gi8_tensor *x = step->node->src[0];
    if (gi8_is_contiguous(x)) {
        gi8i_pool_run(run->pool, gi8_nelements(x), 8192, elements, &job);
    } else {
        gi8i_pool_run(run->pool, gi8_nrows(x), gi8i_grain(x->ne[0], 8192), rows, &job);
    }
}
