/* fused.h - what a product does with a block of its result before it stores it. */
#ifndef GI8I_CPU_OPS_FUSED_H
#define GI8I_CPU_OPS_FUSED_H

#include "../cpu_impl.h"

/* A block of a result: `rows` rows from `row` on (over ne[1], ne[2], ne[3]), `columns` columns from
 * `column` on. */
typedef struct gi8i_cpu_block {
    int64_t row, rows;
    int64_t column, columns;
} gi8i_cpu_block;

/* True where the sources of `next` lie so that gi8i_cpu_finish_block() can compute it: rows of
 * which each is as far from the one before. */
bool gi8i_cpu_can_finish(const gi8_tensor *next);

/* Computes what is fused with a step's node on a block of the node's result, rows `stride` elements
 * apart, and stores what comes of it. */
void gi8i_cpu_finish_block(const gi8i_cpu_run *run, const gi8_step *step,
                           const gi8i_cpu_block *block, const float *y, int64_t stride);

/* Fetches what gi8i_cpu_finish_block() will add, into a cache. */
void gi8i_cpu_prefetch_block(const gi8_step *step, const gi8i_cpu_block *block);

#endif
