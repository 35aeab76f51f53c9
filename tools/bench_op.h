/* bench_op.h - one matrix product, timed through the public interface: the whole operation, with
 * quantization of the activations, outliers, scales and bias. */
#ifndef BENCH_OP_H
#define BENCH_OP_H

#include "bench_options.h"
#include "ggml-int8/gi8_backend.h"

/* Copies of one random weight. They are used in turns, so that a weight comes from memory as in a
 * model, whose layers push each other out of the cache. */
typedef struct bench_weights bench_weights;

/* Makes copies of at least `rotate_bytes` together, 1 to 4096 of them; with rotate_bytes = 0 one.
 * `home`, which must outlive them, holds the memory. NULL: the library's statuses. */
bench_weights *bench_weights_create(gi8_backend *home, bench_op_kind kind, bench_shape shape,
                                    gi8_outliers rule, size_t rotate_bytes, gi8_error *error);
void bench_weights_free(bench_weights *weights);

/* Bytes that one operation reads: of a copy, with its scales and its bias. */
size_t bench_weights_bytes(const bench_weights *weights);

/* Times the operation on m rows of activations of which `n_outliers` columns are outliers.
 * *seconds is the mean of executions one after the other for about 0.05 s, after a warm-up;
 * *n_copies how many copies they used in turns: as many as the warm-up reached; results count
 * towards the memory that is passed before a copy comes again. GI8_ERR_DEVICE where the backend
 * found other outliers. */
gi8_status bench_op_time(const bench_weights *weights, gi8_backend *backend, int64_t m,
                         int64_t n_outliers, double *seconds, int *n_copies, gi8_error *error);

#endif
