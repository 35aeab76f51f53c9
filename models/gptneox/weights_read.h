/* weights_read.h - moving one tensor of a checkpoint to where it stays, several tiles at a time. */
#ifndef GPTNEOXI_WEIGHTS_READ_H
#define GPTNEOXI_WEIGHTS_READ_H

#include "checkpoint.h"
#include "gptneox.h"
#include "ggml-int8/gi8_linear.h"

/* A matrix of `rows` rows, or a vector: one row. */
typedef struct gptneoxi_matrix {
    const gptneoxi_source *values; /* float, or int8 codes */
    const gptneoxi_source *absmax; /* F32 [rows], of int8 codes (bitsandbytes: SCB); else NULL */
    int64_t rows;
    int64_t cols;
} gptneoxi_matrix;

/* Who reads, and who is told how far it is. */
typedef struct gptneoxi_tile_reader {
    gi8_backend *backend; /* whose threads share the tiles */
    uint64_t done;        /* bytes of values */
    uint64_t reported;
    uint64_t total;
    const gptneox_model_params *params; /* its progress callback; may be NULL */
} gptneoxi_tile_reader;

/* The element type of a tensor in a file; false where it is none of F32, F16, BF16 and I8. */
bool gptneoxi_source_type(const gptneoxi_source *source, gi8_type *type);

/* The functions below take at most some MiB of memory at a time, whatever the number of threads.
 * Where several tiles fail, the first one's sentence is given. */

/* Fills a leaf of a float type, converting through F32. GI8_ERR_IO, GI8_ERR_NOT_FINITE (a number
 * that is too large for the leaf's type), GI8_ERR_CANCELLED, GI8_ERR_DEVICE. */
gi8_status gptneoxi_read_leaf(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                              gi8_tensor *leaf, gi8_error *error);

/* Quantizes a matrix into a layer, or takes its codes. GI8_ERR_IO, GI8_ERR_NOT_FINITE (the sentence
 * has the tensor's name and the number of NaN and Inf in all of it), GI8_ERR_FORMAT (impossible
 * codes), GI8_ERR_CANCELLED, GI8_ERR_MEMORY, GI8_ERR_DEVICE. */
gi8_status gptneoxi_read_int8_weight(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                                     gi8_linear_int8 *linear, gi8_error *error);
gi8_status gptneoxi_read_int8_bias(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                                   gi8_linear_int8 *linear, gi8_error *error);

#endif
