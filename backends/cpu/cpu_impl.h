/* cpu_impl.h - what the files of the CPU backend share: the table of operations, one execution's
 * state, and rows of strided tensors.
 */
#ifndef GI8I_CPU_IMPL_H
#define GI8I_CPU_IMPL_H

#include "ggml-int8/gi8_backend_impl.h"
#include "kernels/kernels.h"
#include "threads.h"

/* What an operation finds while a plan executes. */
typedef struct gi8i_cpu_run {
    const gi8i_kernels *kernels;
    gi8i_pool *pool;
    void *scratch;               /* as many bytes as the operation's scratch_bytes() asked for */
    void *kept;                  /* and kept_bytes(), for an operation that has this */
    gi8_outlier_stats *outliers; /* mul_mat_int8_mixed adds to it */
    bool weights_once; /* the plan has more int8 weights than a cache can make use of */
} gi8i_cpu_run;

/* One operation: a file in ops/ each. */
typedef struct gi8i_cpu_op {
    /* Working memory for a step; SIZE_MAX where the number overflows. NULL: none is needed. */
    size_t (*scratch_bytes)(const gi8_step *step, int n_threads);
    /* Memory that the steps of this operation in a plan share, from one execution to the next:
     * zeros at first, then what they leave there. NULL: none is needed. */
    size_t (*kept_bytes)(const gi8_step *step);
    void (*run)(const gi8i_cpu_run *run, const gi8_step *step);
    bool fuses; /* run() computes what is fused with its node */
} gi8i_cpu_op;

/* A missing operation is a link error. */
#define GI8_VIEW_OP(ENUM, name, params)
#define GI8_OP(ENUM, name, n_src, params, flags) extern const gi8i_cpu_op gi8i_cpu_op_##name;
#include "ggml-int8/ops.def"
#undef GI8_VIEW_OP
#undef GI8_OP

/* Where row `row` (over ne[1], ne[2], ne[3]) of t begins, in bytes from its first element. */
static inline size_t gi8i_row_offset(const gi8_tensor *t, int64_t row) {
    int64_t i1 = row % t->ne[1];
    int64_t rest = row / t->ne[1];
    return (size_t)i1 * t->nb[1] + (size_t)(rest % t->ne[2]) * t->nb[2] +
           (size_t)(rest / t->ne[2]) * t->nb[3];
}

/* The same for the row of t that meets row `row` of `shape`; dimensions that are 1 are repeated. */
static inline size_t gi8i_repeated_row_offset(const gi8_tensor *t, const gi8_tensor *shape,
                                              int64_t row) {
    int64_t i1 = row % shape->ne[1];
    int64_t rest = row / shape->ne[1];
    int64_t i2 = rest % shape->ne[2];
    int64_t i3 = rest / shape->ne[2];
    return (t->ne[1] == 1 ? 0 : (size_t)i1 * t->nb[1]) +
           (t->ne[2] == 1 ? 0 : (size_t)i2 * t->nb[2]) +
           (t->ne[3] == 1 ? 0 : (size_t)i3 * t->nb[3]);
}

/* Rows in a piece of work, so that one piece takes some microseconds: `row_cost` is the number of
 * elements (or products of one vector lane) that a row costs. */
static inline int64_t gi8i_grain(int64_t row_cost, int64_t piece_cost) {
    return row_cost >= piece_cost ? 1 : piece_cost / (row_cost > 0 ? row_cost : 1);
}

#endif
