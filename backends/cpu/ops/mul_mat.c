/* mul_mat.c - the product with floating-point weights, in blocks of the result, and what is
 * fused with it. */
#include "fused.h"

#define BLOCK_N 64 /* columns of y in a block */

typedef struct mul_mat_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    int64_t block_m; /* rows of y in a block */
    int64_t blocks_n, blocks_m;
    float *tiles; /* [BLOCK_N, block_m, n_threads] a block before what is fused with the product */
} mul_mat_job;

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t rows_of_block(const gi8_tensor *y) {
    /* 256 KiB of x stay in the level-2 cache, and so does the block. */
    int64_t rows = smaller(gi8i_grain(y->src[0]->ne[0], 65536), 1536) / 12 * 12;
    return smaller(rows > 0 ? rows : 12, y->ne[1]);
}

static size_t mul_mat_scratch_bytes(const gi8_step *step, int n_threads) {
    if (step->n_fused == 0) {
        return 0;
    }
    return (size_t)(rows_of_block(step->node) * BLOCK_N * n_threads) * sizeof(float);
}

static void blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const mul_mat_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *w = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    const gi8_tensor *y = step->node;
    bool fused = step->n_fused > 0;
    float *tile = fused ? job->tiles + thread * job->block_m * BLOCK_N : NULL;
    for (int64_t block = begin; block < end; block++) {
        /* Neighbours share rows of w: those come from memory once, x from a cache. */
        int64_t m = block % job->blocks_m * job->block_m;
        int64_t rest = block / job->blocks_m;
        int64_t n = rest % job->blocks_n * BLOCK_N;
        int64_t matrix = rest / job->blocks_n;
        size_t i2 = (size_t)(matrix % x->ne[2]);
        size_t i3 = (size_t)(matrix / x->ne[2]);
        size_t w2 = i2 / (size_t)(x->ne[2] / w->ne[2]);
        size_t w3 = i3 / (size_t)(x->ne[3] / w->ne[3]);
        gi8i_cpu_block b = {matrix * y->ne[1] + m, smaller(job->block_m, y->ne[1] - m), n,
                            smaller(BLOCK_N, y->ne[0] - n)};
        gi8i_mul_mat_args args = {
            .w_type = w->type,
            .w = (const char *)step->src[0] + (size_t)n * w->nb[1] + w2 * w->nb[2] + w3 * w->nb[3],
            .x = (const char *)step->src[1] + (size_t)m * x->nb[1] + i2 * x->nb[2] + i3 * x->nb[3],
            .y = fused ? tile : (float *)step->dst + b.row * y->ne[0] + n,
            .w_stride_bytes = w->nb[1],
            .x_stride_bytes = x->nb[1],
            .y_stride_bytes = (size_t)(fused ? BLOCK_N : y->ne[0]) * sizeof(float),
            .k = w->ne[0],
            .n = b.columns,
            .m = b.rows,
        };
        job->run->kernels->mul_mat(&args);
        if (fused) {
            gi8i_cpu_finish_block(job->run, step, &b, tile, BLOCK_N);
        }
    }
}

static void run_mul_mat(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_tensor *y = step->node;
    mul_mat_job job = {
        .run = run, .step = step, .block_m = rows_of_block(y), .tiles = run->scratch};
    job.blocks_n = (y->ne[0] + BLOCK_N - 1) / BLOCK_N;
    job.blocks_m = (y->ne[1] + job.block_m - 1) / job.block_m;
    int64_t cost = BLOCK_N * job.block_m * y->src[0]->ne[0];
    gi8i_pool_run(run->pool, job.blocks_n * job.blocks_m * y->ne[2] * y->ne[3],
                  gi8i_grain(cost, 65536), blocks, &job);
}

const gi8i_cpu_op gi8i_cpu_op_mul_mat = {
    .scratch_bytes = mul_mat_scratch_bytes, .run = run_mul_mat, .fuses = true};
