/* mul_mat.c - the product with floating-point weights, in blocks of y. Where x has more than a few
 * rows, they are first brought into the order that the kernel reads them in.
 */
#include <string.h>

#include "../cpu_impl.h"
#include "../kernels/mul_mat/layout.h"

typedef struct mul_mat_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    int64_t k, m;
    gi8i_parts blocks_m; /* of the tiles of x in a matrix */
    int64_t block_n, blocks_n;
    int64_t matrix_size; /* floats that a matrix of x takes up in order */
    /* Working memory; NULL: x is used as it is. */
    float *scratch; /* [GI8I_MUL_MAT_SCRATCH, n_threads] */
    float *ordered; /* [matrix_size, matrices] */
} mul_mat_job;

/* Rows of x, or of y, from the first of block `i` to its end. */
static int64_t block_m(const mul_mat_job *job, int64_t i, int64_t *first) {
    *first = gi8i_part_begin(&job->blocks_m, i) * GI8I_MUL_MAT_TILE_M;
    int64_t end = gi8i_part_begin(&job->blocks_m, i + 1) * GI8I_MUL_MAT_TILE_M;
    return (end < job->m ? end : job->m) - *first;
}

/* ---- the order of x -------------------------------------------------------------------------- */

/* Where the block of x that begins with row `first` is in order. */
static float *ordered_block(const mul_mat_job *job, int64_t matrix, int64_t first) {
    int64_t row_size = gi8i_mul_mat_steps(job->k) * GI8I_MUL_MAT_STEP;
    return job->ordered + matrix * job->matrix_size + first * row_size;
}

/* Row `row` of the m rows of a block of x. */
static void order_row(const float *x, int64_t k, int64_t m, int64_t row, float *ordered) {
    gi8i_parts tiles = gi8i_mul_mat_tiles_m(m);
    gi8i_parts blocks = gi8i_mul_mat_blocks_k(k);
    int64_t tile = 0;
    while (gi8i_part_begin(&tiles, tile + 1) <= row) {
        tile++;
    }
    int64_t first_row = gi8i_part_begin(&tiles, tile);
    int64_t height = gi8i_part_begin(&tiles, tile + 1) - first_row;
    for (int64_t b = 0; b < blocks.n; b++) {
        int64_t first = gi8i_part_begin(&blocks, b);
        int64_t end = gi8i_part_begin(&blocks, b + 1);
        float *to = ordered + gi8i_mul_mat_x_offset(m, first_row, first, end - first) +
                    (row - first_row) * GI8I_MUL_MAT_STEP;
        for (int64_t s = first; s < end; s++) {
            int64_t left = k - s * GI8I_MUL_MAT_STEP;
            if (left >= GI8I_MUL_MAT_STEP) { /* a constant size is a few instructions */
                memcpy(to, x + s * GI8I_MUL_MAT_STEP, GI8I_MUL_MAT_STEP * sizeof *to);
            } else {
                memcpy(to, x + s * GI8I_MUL_MAT_STEP, (size_t)left * sizeof *to);
            }
            to += height * GI8I_MUL_MAT_STEP;
        }
    }
}

static void order_blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const mul_mat_job *job = arg;
    const gi8_tensor *x = job->step->node->src[1];
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t matrix = i / job->blocks_m.n;
        int64_t first;
        int64_t m = block_m(job, i % job->blocks_m.n, &first);
        float *ordered = ordered_block(job, matrix, first);
        for (int64_t row = 0; row < m; row++) {
            size_t offset = gi8i_row_offset(x, matrix * job->m + first + row);
            const char *from = (const char *)job->step->src[1] + offset;
            order_row((const float *)(const void *)from, job->k, m, row, ordered);
        }
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

static void multiply_blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const mul_mat_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *w = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    const gi8_tensor *y = step->node;
    for (int64_t i = begin; i < end; i++) {
        /* Neighbours share rows of w: those come from memory once. */
        int64_t first;
        int64_t m = block_m(job, i % job->blocks_m.n, &first);
        int64_t n = i / job->blocks_m.n % job->blocks_n * job->block_n;
        int64_t matrix = i / job->blocks_m.n / job->blocks_n;
        size_t w2 = (size_t)(matrix % x->ne[2] / (x->ne[2] / w->ne[2]));
        size_t w3 = (size_t)(matrix / x->ne[2] / (x->ne[3] / w->ne[3]));
        gi8i_mul_mat_args args = {
            .w_type = w->type,
            .w = (const char *)step->src[0] + (size_t)n * w->nb[1] + w2 * w->nb[2] + w3 * w->nb[3],
            .x = (const char *)step->src[1] + gi8i_row_offset(x, matrix * job->m + first),
            .y = (float *)step->dst + (matrix * y->ne[1] + first) * y->ne[0] + n,
            .w_stride_bytes = w->nb[1],
            .x_stride_bytes = x->nb[1],
            .y_stride_bytes = (size_t)y->ne[0] * sizeof(float),
            .k = job->k,
            .n = y->ne[0] - n < job->block_n ? y->ne[0] - n : job->block_n,
            .m = m,
        };
        if (job->scratch != NULL) {
            args.x = (const char *)ordered_block(job, matrix, first);
            args.x_stride_bytes = 0;
            args.scratch = job->scratch + (int64_t)thread * GI8I_MUL_MAT_SCRATCH;
        }
        job->run->kernels->mul_mat(&args);
    }
}

/* Rows of x that the kernel is best given as they are. */
static bool is_few(int64_t m) {
    return m <= GI8I_MUL_MAT_TILE_M;
}

static size_t mul_mat_scratch_bytes(const gi8_tensor *node, int n_threads) {
    const gi8_tensor *x = node->src[1];
    size_t size;
    if (is_few(x->ne[1])) {
        return 0;
    }
    if (__builtin_mul_overflow(gi8i_mul_mat_steps(x->ne[0]) * GI8I_MUL_MAT_STEP, x->ne[1], &size) ||
        __builtin_mul_overflow(size, x->ne[2], &size) ||
        __builtin_mul_overflow(size, x->ne[3], &size) ||
        __builtin_add_overflow(size, (size_t)n_threads * GI8I_MUL_MAT_SCRATCH, &size) ||
        __builtin_mul_overflow(size, sizeof(float), &size)) {
        return SIZE_MAX;
    }
    return size;
}

static void run_mul_mat(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_tensor *y = step->node;
    const gi8_tensor *x = y->src[1];
    int64_t n_threads = gi8i_pool_n_threads(run->pool);
    int64_t matrices = x->ne[2] * x->ne[3];
    mul_mat_job job = {.run = run, .step = step, .k = x->ne[0], .m = x->ne[1]};
    int64_t blocks_m = (job.m + GI8I_MUL_MAT_BLOCK_M - 1) / GI8I_MUL_MAT_BLOCK_M;
    job.blocks_m = gi8i_divide(gi8i_mul_mat_tiles_m(job.m).n, blocks_m);
    if (!is_few(job.m)) {
        job.matrix_size = gi8i_mul_mat_steps(job.k) * GI8I_MUL_MAT_STEP * job.m;
        job.scratch = run->scratch;
        job.ordered = job.scratch + n_threads * GI8I_MUL_MAT_SCRATCH;
        gi8i_pool_run(run->pool, matrices * blocks_m, 1, order_blocks, &job);
    }
    /* Smaller blocks where there would be too few for all threads to end at about one time. */
    job.block_n = GI8I_MUL_MAT_BLOCK_N;
    while (job.block_n > GI8I_MUL_MAT_TILE_N &&
           y->ne[0] / job.block_n * blocks_m * matrices < 4 * n_threads) {
        job.block_n /= 2;
    }
    job.blocks_n = (y->ne[0] + job.block_n - 1) / job.block_n;
    int64_t rows = job.m < GI8I_MUL_MAT_BLOCK_M ? job.m : GI8I_MUL_MAT_BLOCK_M;
    gi8i_pool_run(run->pool, job.blocks_n * blocks_m * matrices,
                  gi8i_grain(job.block_n * rows * job.k, 65536), multiply_blocks, &job);
}

const gi8i_cpu_op gi8i_cpu_op_mul_mat = {mul_mat_scratch_bytes, run_mul_mat};
