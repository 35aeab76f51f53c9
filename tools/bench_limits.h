/* bench_limits.h - what this machine could do at most: int8 and fp32 arithmetic, reading memory. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include <stddef.h>

#include "ggml-int8/gi8_status.h"

typedef enum bench_limit {
    BENCH_LIMIT_INT8, /* multiplications and additions of int8 products per second, in int32 */
    BENCH_LIMIT_FP32, /* the same of fp32 */
    BENCH_LIMIT_READ, /* bytes read from memory per second */
    BENCH_LIMIT_COUNT
} bench_limit;

typedef struct bench_limits bench_limits;

/* Gets the memory that is read, several times the last-level cache. NULL: GI8_ERR_MEMORY. */
bench_limits *bench_limits_create(gi8_error *error);
void bench_limits_free(bench_limits *limits);

/* Measures each limit with `n_threads` threads (1 to 1024) at once, all in about 0.15 s. NaN where
 * there is no loop for this processor. GI8_ERR_MEMORY, GI8_ERR_DEVICE (no thread was started). */
gi8_status bench_limits_measure(bench_limits *limits, int n_threads,
                                double rates[BENCH_LIMIT_COUNT], gi8_error *error);

/* How a limit is measured: "vpdpbusd zmm"; "n/a" where it is not. */
const char *bench_limits_method(bench_limit limit);

/* Bytes of all last-level caches together; 32 MiB where the system does not say. */
size_t bench_last_level_cache(void);

#endif
