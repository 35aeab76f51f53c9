/* mul_mat.c - the product with floating-point weights, in blocks of the result. */
#include "../cpu_impl.h"

typedef struct mul_mat_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    int64_t block_n, block_m;
    int64_t blocks_n, blocks_m;
} mul_mat_job;

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const mul_mat_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *w = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    const gi8_tensor *y = step->node;
    (void)thread;
    for (int64_t block = begin; block < end; block++) {
        /* Neighbours share rows of w: those come from memory once, x from a cache. */
        int64_t m = block % job->blocks_m * job->block_m;
        int64_t rest = block / job->blocks_m;
        int64_t n = rest % job->blocks_n * job->block_n;
        int64_t matrix = rest / job->blocks_n;
        size_t i2 = (size_t)(matrix % x->ne[2]);
        size_t i3 = (size_t)(matrix / x->ne[2]);
        size_t w2 = i2 / (size_t)(x->ne[2] / w->ne[2]);
        size_t w3 = i3 / (size_t)(x->ne[3] / w->ne[3]);
        gi8i_mul_mat_args args = {
            .w_type = w->type,
            .w = (const char *)step->src[0] + (size_t)n * w->nb[1] + w2 * w->nb[2] + w3 * w->nb[3],
            .x = (const char *)step->src[1] + (size_t)m * x->nb[1] + i2 * x->nb[2] + i3 * x->nb[3],
            .y = (float *)step->dst + (matrix * y->ne[1] + m) * y->ne[0] + n,
            .w_stride_bytes = w->nb[1],
            .x_stride_bytes = x->nb[1],
            .y_stride_bytes = (size_t)y->ne[0] * sizeof(float),
            .k = w->ne[0],
            .n = smaller(job->block_n, y->ne[0] - n),
            .m = smaller(job->block_m, y->ne[1] - m),
        };
        job->run->kernels->mul_mat(&args);
    }
}

static void run_mul_mat(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_tensor *y = step->node;
    int64_t k = y->src[0]->ne[0];
    /* 256 KiB of x stay in the level-2 cache. */
    int64_t block_m = gi8i_grain(k, 65536) / 12 * 12;
    mul_mat_job job = {
        .run = run, .step = step, .block_n = 32, .block_m = block_m > 0 ? block_m : 12};
    job.blocks_n = (y->ne[0] + job.block_n - 1) / job.block_n;
    job.blocks_m = (y->ne[1] + job.block_m - 1) / job.block_m;
    int64_t cost = job.block_n * smaller(job.block_m, y->ne[1]) * k;
    gi8i_pool_run(run->pool, job.blocks_n * job.blocks_m * y->ne[2] * y->ne[3],
                  gi8i_grain(cost, 65536), blocks, &job);
}

const gi8i_cpu_op gi8i_cpu_op_mul_mat = {NULL, run_mul_mat};
