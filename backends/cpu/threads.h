/* threads.h - the thread pool: one caller and n - 1 workers share the items of a job. */
#ifndef GI8I_CPU_THREADS_H
#define GI8I_CPU_THREADS_H

#include <stdint.h>

#include "ggml-int8/gi8_status.h"

typedef struct gi8i_pool gi8i_pool;

/* Computes items [begin, end) of a job. `thread` is in [0, n_threads) and no two calls of it run at
 * the same time, so it selects working memory; which thread gets which items is left to chance. */
typedef void gi8i_job_fn(void *arg, int64_t begin, int64_t end, int thread);

/* Starts n_threads - 1 workers, which block all signals. They spin for some microseconds between
 * two jobs and then sleep. NULL: GI8_ERR_MEMORY, GI8_ERR_DEVICE. */
gi8i_pool *gi8i_pool_create(int n_threads, const gi8_allocator *allocator, gi8_error *error);
void gi8i_pool_free(gi8i_pool *pool);

int gi8i_pool_n_threads(const gi8i_pool *pool);

/* Runs fn over [0, n_items) in pieces of at most `grain` items. The caller works too, and never
 * waits for a worker that has not begun: a job ends as soon as its last piece does. No more threads
 * are woken than there are pieces; one piece is a plain call. One caller at a time. */
void gi8i_pool_run(gi8i_pool *pool, int64_t n_items, int64_t grain, gi8i_job_fn *fn, void *arg);

#endif
