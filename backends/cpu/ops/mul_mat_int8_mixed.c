/* mul_mat_int8_mixed.c - LLM.int8() (Dettmers et al. 2022) in three passes, each shared among the
 * threads:
 *
 *   quantize   each row of x to codes, and marks on the columns that hold an outlier
 *   outliers   x at those columns to a compact list; column mode: their codes to 0
 *   product    block by block of y: exact int8 sums, the outlier columns in double, one rounding,
 *              and what is fused with the product
 *
 * Integers are exact and the rest is computed in double in one order (int8_finish, int8_outliers),
 * so that the result has the same bits with every kernel variant, number of threads and block size.
 */
#include <math.h>
#include <string.h>

#include "fused.h"

#define BLOCK_M 48 /* rows of x in a block of y */

/* Working memory of one thread. */
typedef struct block_memory {
    _Alignas(64) int32_t acc[BLOCK_M * GI8I_BLOCK_N];
    _Alignas(64) double out[BLOCK_M * GI8I_BLOCK_N];
    _Alignas(64) float bias[GI8I_BLOCK_N];         /* of another type than F32 */
    _Alignas(64) float y[BLOCK_M * GI8I_BLOCK_N]; /* what is fused or another type than F32 */
    bool marked;    /* this thread has zeroed its marks */
    int64_t packed; /* the first row of w that is in this thread's panels; -1: none */
} block_memory;

typedef struct mixed_job {
    const gi8i_cpu_run *run;
    const gi8_step *step;
    const gi8_int8_params *params;
    int64_t k, n, m;
    int64_t k_padded;
    int64_t blocks_m;
    int64_t n_outliers;
    /* Working memory. */
    int8_t *q;           /* [k_padded, m] codes */
    int32_t *q_sum;      /* [m] */
    float *absmax;       /* [m] */
    uint8_t *marks;      /* [k, n_threads] columns in which a thread found an outlier */
    int32_t *outliers;   /* [k] the marked columns, ascending */
    float *x_outliers;   /* [k, m] x at those columns, rows of n_outliers elements */
    float *rows;         /* [k, n_threads] a row of x as fp32, where x is of another type */
    int8_t *panels;      /* [GI8I_BLOCK_N rows in panels, n_threads], where w is not in panels */
    block_memory *blocks; /* [n_threads] */
} mixed_job;

/* Hands out parts of the working memory, or only adds up their sizes. */
typedef struct layout {
    char *base;
    size_t used;
    bool overflow;
} layout;

static void *take(layout *l, int64_t count, int64_t each, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow((size_t)count, (size_t)each, &bytes) ||
        __builtin_mul_overflow(bytes, size, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)63, &bytes) ||
        __builtin_add_overflow(l->used, bytes & ~(size_t)63, &bytes)) {
        l->overflow = true;
        return NULL;
    }
    void *p = l->base != NULL ? l->base + l->used : NULL;
    l->used = bytes;
    return p;
}

static void lay_out(mixed_job *job, layout *l, const gi8_tensor *node, int n_threads) {
    const gi8_tensor *x = node->src[3];
    job->params = node->params;
    job->k = x->ne[0];
    job->n = node->ne[0];
    job->m = gi8_nrows(x);
    job->k_padded = (job->k + GI8I_CODES_ALIGN - 1) / GI8I_CODES_ALIGN * GI8I_CODES_ALIGN;
    job->blocks_m = (job->m + BLOCK_M - 1) / BLOCK_M;
    job->q = take(l, job->k_padded, job->m, sizeof *job->q);
    job->q_sum = take(l, job->m, 1, sizeof *job->q_sum);
    job->absmax = take(l, job->m, 1, sizeof *job->absmax);
    job->blocks = take(l, n_threads, 1, sizeof *job->blocks);
    if (node->src[0]->layout == GI8_LAYOUT_STRIDED) {
        job->panels = take(l, GI8I_BLOCK_N * job->k_padded, n_threads, sizeof *job->panels);
    }
    if (x->type != GI8_TYPE_F32) {
        job->rows = take(l, job->k, n_threads, sizeof *job->rows);
    }
    if (job->params->threshold > 0.0f) {
        job->marks = take(l, job->k_padded, n_threads, sizeof *job->marks);
        job->outliers = take(l, job->k_padded, 1, sizeof *job->outliers);
        job->x_outliers = take(l, job->k, job->m, sizeof *job->x_outliers);
    }
}

static size_t mixed_scratch_bytes(const gi8_step *step, int n_threads) {
    mixed_job job = {0};
    layout l = {0};
    lay_out(&job, &l, step->node, n_threads);
    return l.overflow ? SIZE_MAX : l.used;
}

/* A row of x as fp32. */
static const float *load_x(const mixed_job *job, int64_t row, int thread) {
    const gi8_tensor *x = job->step->node->src[3];
    const char *src = (const char *)job->step->src[3] + gi8i_row_offset(x, row);
    if (x->type == GI8_TYPE_F32) {
        return (const float *)(const void *)src;
    }
    float *copy = job->rows + thread * job->k;
    gi8_convert_to_fp32(x->type, src, job->k, copy);
    return copy;
}

/* ---- quantize ---- */

static void quantize_rows(void *arg, int64_t begin, int64_t end, int thread) {
    const mixed_job *job = arg;
    uint8_t *marks = NULL;
    if (job->marks != NULL) {
        marks = job->marks + thread * job->k_padded;
        if (!job->blocks[thread].marked) {
            memset(marks, 0, (size_t)job->k_padded);
            job->blocks[thread].marked = true;
        }
    }
    for (int64_t row = begin; row < end; row++) {
        job->run->kernels->quantize(load_x(job, row, thread), job->k, job->params->threshold, marks,
                                    job->q + row * job->k_padded, job->absmax + row,
                                    job->q_sum + row);
    }
}

/* ---- outliers ---- */

/* Unites the marks of all threads and lists the marked columns. */
static void list_outliers(mixed_job *job, int n_threads) {
    uint8_t *all = NULL;
    for (int t = 0; t < n_threads; t++) {
        if (!job->blocks[t].marked) {
            continue;
        }
        uint8_t *marks = job->marks + t * job->k_padded;
        for (int64_t k = 0; all != NULL && k < job->k_padded; k++) {
            all[k] |= marks[k];
        }
        all = all != NULL ? all : marks;
    }
    for (int64_t k = 0; all != NULL && k < job->k_padded; k += 8) {
        uint64_t eight;
        memcpy(&eight, all + k, sizeof eight);
        for (int64_t i = k; eight != 0 && i < k + 8; i++) {
            job->outliers[job->n_outliers] = (int32_t)i;
            job->n_outliers += all[i];
        }
    }
}

static void gather_outliers(void *arg, int64_t begin, int64_t end, int thread) {
    const mixed_job *job = arg;
    float threshold = job->params->threshold;
    bool by_column = job->params->outliers == GI8_OUTLIERS_COLUMN;
    for (int64_t row = begin; row < end; row++) {
        const float *x = load_x(job, row, thread);
        int8_t *q = job->q + row * job->k_padded;
        for (int64_t i = 0; i < job->n_outliers; i++) {
            int64_t k = job->outliers[i];
            /* Token by token, what is small in this row went through int8. */
            bool keep = by_column || fabsf(x[k]) >= threshold;
            job->x_outliers[row * job->n_outliers + i] = keep ? x[k] : 0.0f;
            if (by_column) {
                job->q_sum[row] -= q[k];
                q[k] = 0;
            }
        }
    }
}

/* ---- product ---- */

/* A block of y: rows m .. m + rows - 1, columns n .. n + columns - 1. */
typedef struct block {
    int64_t n, m;
    int64_t columns, rows;
    const int8_t *next; /* panels that this thread will want after these; NULL: the same, or none */
} block;

/* The panels of the block's rows of w: where they lie, or packed into this thread's memory. */
static const int8_t *load_panels(const mixed_job *job, const block *b, int thread) {
    const int8_t *w = job->step->src[0];
    if (job->panels == NULL) {
        return w + b->n * job->k_padded;
    }
    int8_t *panels = job->panels + thread * GI8I_BLOCK_N * job->k_padded;
    block_memory *memory = job->blocks + thread;
    if (memory->packed != b->n) { /* blocks of the same rows follow each other */
        memset(panels, 0, (size_t)(GI8I_BLOCK_N * job->k_padded));
        gi8_panels_pack(w + b->n * job->k, job->k, 0, b->columns, panels);
        memory->packed = b->n;
    }
    return panels;
}

static void add_outliers(const mixed_job *job, const block *b, const int8_t *panels,
                         block_memory *memory) {
    gi8i_int8_outliers_args args = {
        .w = panels,
        .columns = job->outliers,
        .x = job->x_outliers + b->m * job->n_outliers,
        .out = memory->out,
        .k = job->k_padded,
        .n_panels = (b->columns + GI8_PANEL_ROWS - 1) / GI8_PANEL_ROWS,
        .m = b->rows,
        .count = job->n_outliers,
    };
    job->run->kernels->int8_outliers(&args);
}

static void sum_codes(const mixed_job *job, const block *b, const int8_t *panels,
                      block_memory *memory) {
    if (job->params->outliers == GI8_OUTLIERS_COLUMN && job->n_outliers == job->k) {
        memset(memory->acc, 0, (size_t)b->rows * GI8I_BLOCK_N * sizeof *memory->acc);
        return;
    }
    gi8i_int8_dot_args args = {
        .w = panels,
        .q = job->q + b->m * job->k_padded,
        .q_sum = job->q_sum + b->m,
        .acc = memory->acc,
        .k = job->k_padded,
        .n_panels = (b->columns + GI8_PANEL_ROWS - 1) / GI8_PANEL_ROWS,
        .m = b->rows,
        .next = b->next,
        .once = job->run->weights_once,
    };
    job->run->kernels->int8_dot(&args);
}

/* The bias of the block's columns as fp32; NULL where there is none. */
static const float *load_bias(const mixed_job *job, const block *b, block_memory *memory) {
    const gi8_tensor *bias = job->step->node->src[2];
    if (bias == NULL) {
        return NULL;
    }
    if (bias->type == GI8_TYPE_F32) {
        return (const float *)job->step->src[2] + b->n;
    }
    const char *src = (const char *)job->step->src[2] + (size_t)b->n * gi8_type_size(bias->type);
    gi8_convert_to_fp32(bias->type, src, b->columns, memory->bias);
    return memory->bias;
}

/* Fetches the block of y: its rows lie far apart, and each would be waited for when it is
 * written. */
static void prefetch_result(const mixed_job *job, const block *b) {
    size_t size = gi8_type_size(job->params->out_type);
    size_t bytes = (size_t)b->columns * size;
    const char *first = (const char *)job->step->dst + (size_t)(b->m * job->n + b->n) * size;
    for (int64_t row = 0; row < b->rows; row++) {
        const char *at = first + (size_t)(row * job->n) * size;
        for (size_t i = 0; i < bytes; i += 64) {
            __builtin_prefetch(at + i, 1, 2);
        }
    }
}

static void compute_block(const mixed_job *job, const block *b, int thread) {
    const gi8_step *step = job->step;
    gi8_type out_type = job->params->out_type;
    bool direct = out_type == GI8_TYPE_F32 && step->n_fused == 0;
    const gi8i_cpu_block result = {b->m, b->rows, b->n, b->columns};
    block_memory *memory = job->blocks + thread;
    gi8i_cpu_prefetch_block(step, &result);
    prefetch_result(job, b);
    const int8_t *panels = load_panels(job, b, thread);
    sum_codes(job, b, panels, memory);
    if (job->n_outliers > 0) {
        add_outliers(job, b, panels, memory);
    }
    int64_t first = b->m * job->n + b->n;
    gi8i_int8_finish_args args = {
        .acc = memory->acc,
        .out = job->n_outliers > 0 ? memory->out : NULL,
        .absmax_x = job->absmax + b->m,
        .absmax = (const float *)step->src[1] + b->n,
        .bias = load_bias(job, b, memory),
        .y = direct ? (float *)step->dst + first : memory->y,
        .y_stride = direct ? job->n : GI8I_BLOCK_N,
        .n = b->columns,
        .m = b->rows,
    };
    job->run->kernels->int8_finish(&args);
    for (int64_t j = 0; out_type != GI8_TYPE_F32 && j < b->rows; j++) {
        size_t at = (size_t)(first + j * job->n) * gi8_type_size(out_type);
        gi8_convert_from_fp32(out_type, memory->y + j * GI8I_BLOCK_N, b->columns,
                              (char *)step->dst + at);
    }
    if (step->n_fused > 0) {
        gi8i_cpu_finish_block(job->run, step, &result, memory->y, GI8I_BLOCK_N);
    }
}

static void compute_blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const mixed_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        /* Neighbours share rows of w: those come from memory once, x from a cache. */
        block b = {.n = i / job->blocks_m * GI8I_BLOCK_N, .m = i % job->blocks_m * BLOCK_M};
        b.columns = job->n - b.n < GI8I_BLOCK_N ? job->n - b.n : GI8I_BLOCK_N;
        b.rows = job->m - b.m < BLOCK_M ? job->m - b.m : BLOCK_M;
        if (job->panels == NULL && i % job->blocks_m == job->blocks_m - 1 &&
            b.n + 2 * GI8I_BLOCK_N <= job->n) {
            b.next = (const int8_t *)job->step->src[0] + (b.n + GI8I_BLOCK_N) * job->k_padded;
        }
        compute_block(job, &b, thread);
    }
}

static void run_mixed(const gi8i_cpu_run *run, const gi8_step *step) {
    mixed_job job = {.run = run, .step = step};
    layout l = {.base = run->scratch};
    lay_out(&job, &l, step->node, gi8i_pool_n_threads(run->pool));
    int n_threads = gi8i_pool_n_threads(run->pool);
    for (int i = 0; i < n_threads; i++) {
        job.blocks[i].marked = false;
        job.blocks[i].packed = -1;
    }
    gi8i_pool_run(run->pool, job.m, gi8i_grain(job.k, 16384), quantize_rows, &job);
    if (job.marks != NULL) {
        list_outliers(&job, n_threads);
    }
    if (job.n_outliers > 0) {
        gi8i_pool_run(run->pool, job.m, gi8i_grain(job.n_outliers, 4096), gather_outliers, &job);
    }
    run->outliers->columns += job.k;
    run->outliers->outlier_columns += job.n_outliers;
    int64_t blocks_n = (job.n + GI8I_BLOCK_N - 1) / GI8I_BLOCK_N;
    int64_t rows = job.m < BLOCK_M ? job.m : BLOCK_M;
    int64_t cost = (rows + 7) / 8 * job.k * GI8I_BLOCK_N;
    int64_t grain = gi8i_grain(cost, 262144);
    gi8i_pool_run(run->pool, blocks_n * job.blocks_m, grain, compute_blocks, &job);
}

const gi8i_cpu_op gi8i_cpu_op_mul_mat_int8_mixed = {
    .scratch_bytes = mixed_scratch_bytes, .run = run_mixed, .fuses = true};
