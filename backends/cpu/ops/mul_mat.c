/* mul_mat.c - the product with floating-point weights, in blocks of the result, and what is
 * fused with it. Two kernels compute the same: one for few rows of x, as they lie, and one for
 * many, of which a copy in another order is made. */
#include "fused.h"

enum {
    FEW_ROWS = 16,       /* of x: reading w takes longer than the arithmetic */
    BLOCK_N = 64,        /* columns of y in a block, with few rows of x */
    PANELS_N = 32,       /* and with many: the panels stay in the level-2 cache */
    ORDERED_ROWS = 1024, /* that the copy has at a time, and */
    BLOCK_ROWS = 512     /* a block of them at most */
};

typedef struct mul_mat_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    int64_t matrix;           /* over ne[2], ne[3] of y */
    int64_t first_row, rows;  /* of the matrix */
    int64_t block_n, block_m; /* columns and rows of y in a block */
    int64_t blocks_n, blocks_m;
    float *panels;  /* [GI8I_MUL_MAT_PANEL, PANELS_N / 16, n_threads] */
    float *tiles;   /* [block_n, block_m, n_threads] a block before what is fused with it */
    float *ordered; /* x in the order of mul_mat_order(); NULL: as it lies */
} mul_mat_job;

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t ratio_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* The copy and the packing pay where there are enough rows of x (and any of w) to share them, and
 * rows so long that the level-1 cache does not hold what a register tile reads of w and x. 16-bit
 * weights take as long to pack as others, and half as long to read: for them both is later. */
static bool has_many_rows(const gi8_tensor *y) {
    const gi8_tensor *w = y->src[0];
    bool wide = w->type == GI8_TYPE_F32;
    return y->ne[0] > 0 && y->ne[1] >= (wide ? 16 : 32) && w->ne[0] > (wide ? 1024 : 4096);
}

static int64_t rows_at_a_time(const gi8_tensor *y) {
    return has_many_rows(y) ? smaller(y->ne[1], ORDERED_ROWS) : y->ne[1];
}

/* Of a block of at most `rows` rows in all. */
static int64_t rows_of_block(const gi8_tensor *y, int64_t rows, int n_threads) {
    if (!has_many_rows(y)) {
        /* 256 KiB of x stay in the level-2 cache, and so does the block. */
        int64_t kept = smaller(gi8i_grain(y->src[0]->ne[0], 65536), 1536) / 12 * 12;
        return smaller(kept > 0 ? kept : 12, rows);
    }
    int64_t blocks_n = ratio_up(y->ne[0], PANELS_N);
    int64_t wanted = n_threads > 1 ? ratio_up(4 * (int64_t)n_threads, blocks_n) : 1;
    int64_t blocks_m = smaller(wanted, ratio_up(rows, 32));
    int64_t least = ratio_up(rows, BLOCK_ROWS);
    return ratio_up(rows, blocks_m > least ? blocks_m : least);
}

/* The working memory of a job, from `base` on or counted only; all parts whole lines of 64 bytes.
 * Returns how many floats it is. */
static size_t lay_out(mul_mat_job *job, const gi8_step *step, int n_threads, float *base) {
    const gi8_tensor *y = step->node;
    int64_t rows = rows_at_a_time(y);
    size_t panels = 0;
    size_t tiles = 0;
    size_t ordered = 0;
    job->block_n = has_many_rows(y) ? PANELS_N : BLOCK_N;
    job->block_m = rows_of_block(y, rows, n_threads);
    if (has_many_rows(y)) {
        panels = (size_t)n_threads * (PANELS_N / 16) * GI8I_MUL_MAT_PANEL;
        ordered = (size_t)ratio_up(y->src[0]->ne[0], GI8I_MUL_MAT_K) * (size_t)rows *
                  GI8I_ORDERED_ROW;
    }
    if (step->n_fused > 0) {
        tiles = (size_t)n_threads * (size_t)(job->block_m * job->block_n);
    }
    if (base != NULL) {
        job->panels = base;
        job->tiles = base + panels;
        job->ordered = ordered > 0 ? base + panels + tiles : NULL;
    }
    return panels + tiles + ordered;
}

static size_t mul_mat_scratch_bytes(const gi8_step *step, int n_threads) {
    mul_mat_job job = {0};
    if (step->node->src[0]->ne[0] > PTRDIFF_MAX / (8 * (int64_t)sizeof(float) * ORDERED_ROWS)) {
        return SIZE_MAX;
    }
    return lay_out(&job, step, n_threads, NULL) * sizeof(float);
}

/* Where a row of w or x of the matrix begins. */
static const char *row_of_w(const mul_mat_job *job, int64_t matrix, int64_t row) {
    const gi8_tensor *w = job->step->node->src[0];
    const gi8_tensor *x = job->step->node->src[1];
    size_t i2 = (size_t)(matrix % x->ne[2]) / (size_t)(x->ne[2] / w->ne[2]);
    size_t i3 = (size_t)(matrix / x->ne[2]) / (size_t)(x->ne[3] / w->ne[3]);
    return (const char *)job->step->src[0] + (size_t)row * w->nb[1] + i2 * w->nb[2] +
           i3 * w->nb[3];
}

static const char *row_of_x(const mul_mat_job *job, int64_t matrix, int64_t row) {
    const gi8_tensor *x = job->step->node->src[1];
    return (const char *)job->step->src[1] + gi8i_row_offset(x, matrix * x->ne[1] + row);
}

/* Row `row` of the matrix in `ordered`. */
static float *ordered_row(const mul_mat_job *job, int64_t row) {
    return job->ordered + (row - job->first_row) * GI8I_ORDERED_ROW;
}

static int64_t ordered_block_stride(const mul_mat_job *job) {
    return job->rows * GI8I_ORDERED_ROW;
}

static void order_rows(void *arg, int64_t begin, int64_t end, int thread) {
    const mul_mat_job *job = arg;
    const gi8_tensor *x = job->step->node->src[1];
    (void)thread;
    gi8i_mul_mat_order_args args = {
        .x = row_of_x(job, job->matrix, job->first_row + begin),
        .ordered = ordered_row(job, job->first_row + begin),
        .x_stride_bytes = x->nb[1],
        .block_stride = ordered_block_stride(job),
        .k = x->ne[0],
        .m = end - begin,
    };
    job->run->kernels->mul_mat_order(&args);
}

/* One block of y; `next`: the block of the rows of w behind follows. */
static void multiply(const mul_mat_job *job, const gi8i_cpu_block *b, int64_t matrix, int64_t row,
                     bool next, float *to, int64_t stride, int thread) {
    const gi8_tensor *w = job->step->node->src[0];
    const gi8_tensor *x = job->step->node->src[1];
    const char *rows_of_w = row_of_w(job, matrix, b->column);
    if (job->ordered == NULL) {
        gi8i_mul_mat_args args = {
            .w_type = w->type,
            .w = rows_of_w,
            .x = row_of_x(job, matrix, row),
            .y = to,
            .w_stride_bytes = w->nb[1],
            .x_stride_bytes = x->nb[1],
            .y_stride_bytes = (size_t)stride * sizeof(float),
            .k = w->ne[0],
            .n = b->columns,
            .m = b->rows,
            .fetch = job->rows <= FEW_ROWS && row == job->first_row,
        };
        job->run->kernels->mul_mat(&args);
        return;
    }
    gi8i_mul_mat_panels_args args = {
        .w_type = w->type,
        .w = rows_of_w,
        .x = ordered_row(job, row),
        .y = to,
        .panels = job->panels + thread * (PANELS_N / 16) * GI8I_MUL_MAT_PANEL,
        .w_stride_bytes = w->nb[1],
        .y_stride_bytes = (size_t)stride * sizeof(float),
        .x_block_stride = ordered_block_stride(job),
        .k = w->ne[0],
        .n = b->columns,
        .m = b->rows,
        .next = next ? rows_of_w + PANELS_N * w->nb[1] : NULL,
    };
    job->run->kernels->mul_mat_panels(&args);
}

static void blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const mul_mat_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *y = step->node;
    bool fused = step->n_fused > 0;
    float *tile = fused ? job->tiles + thread * job->block_m * job->block_n : NULL;
    for (int64_t block = begin; block < end; block++) {
        /* Neighbours share rows of w: those come from memory once, x from a cache. */
        int64_t m = block % job->blocks_m * job->block_m;
        int64_t rest = block / job->blocks_m;
        int64_t n = rest % job->blocks_n * job->block_n;
        int64_t matrix = job->matrix + rest / job->blocks_n;
        int64_t row = job->first_row + m;
        gi8i_cpu_block b = {matrix * y->ne[1] + row, smaller(job->block_m, job->rows - m), n,
                            smaller(job->block_n, y->ne[0] - n)};
        bool next = block + 1 < end && block % job->blocks_m == job->blocks_m - 1 &&
                    n + 2 * job->block_n <= y->ne[0];
        float *to = fused ? tile : (float *)step->dst + b.row * y->ne[0] + n;
        multiply(job, &b, matrix, row, next, to, fused ? job->block_n : y->ne[0], thread);
        if (fused) {
            gi8i_cpu_finish_block(job->run, step, &b, tile, job->block_n);
        }
    }
}

/* Rows first_row .. first_row + rows - 1 of some matrices. */
static void run_rows(mul_mat_job *job, int64_t matrices) {
    const gi8_tensor *y = job->step->node;
    gi8i_pool *pool = job->run->pool;
    int64_t k = y->src[0]->ne[0];
    job->blocks_n = ratio_up(y->ne[0], job->block_n);
    job->blocks_m = ratio_up(job->rows, job->block_m);
    int64_t items = job->blocks_n * job->blocks_m * matrices;
    int64_t cost = job->block_n * job->block_m * k;
    int64_t grain = gi8i_grain(cost, 65536);
    if (job->ordered != NULL) {
        gi8i_pool_run(pool, job->rows, gi8i_grain(k, 32768), order_rows, job);
        /* Pieces of several blocks: one fetches w for the next. */
        int64_t most = items / (4 * (int64_t)gi8i_pool_n_threads(pool));
        grain = smaller(gi8i_grain(cost, (int64_t)1 << 25), most > 0 ? most : 1);
    }
    gi8i_pool_run(pool, items, grain, blocks, job);
}

static void run_mul_mat(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_tensor *y = step->node;
    mul_mat_job job = {.run = run, .step = step, .rows = y->ne[1]};
    int64_t matrices = y->ne[2] * y->ne[3];
    lay_out(&job, step, gi8i_pool_n_threads(run->pool), run->scratch);
    if (job.ordered == NULL) {
        run_rows(&job, matrices);
        return;
    }
    for (; job.matrix < matrices; job.matrix++) {
        for (job.first_row = 0; job.first_row < y->ne[1]; job.first_row += ORDERED_ROWS) {
            job.rows = smaller(ORDERED_ROWS, y->ne[1] - job.first_row);
            run_rows(&job, 1);
        }
    }
}

const gi8i_cpu_op gi8i_cpu_op_mul_mat = {
    .scratch_bytes = mul_mat_scratch_bytes, .run = run_mul_mat, .fuses = true};
