/* weights_read.h - moving one tensor of a checkpoint to where it stays, tile by tile. */
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

/* Buffers of a few MiB, and who is told how far it is. */
typedef struct gptneoxi_tile_reader {
    void *raw;     /* as in the file */
    float *wide;   /* as F32 */
    void *narrow;  /* as kept */
    float *absmax; /* of the rows of a tile */
    uint64_t done; /* bytes of values */
    uint64_t total;
    const gptneox_model_params *params; /* its progress callback */
} gptneoxi_tile_reader;

/* `total`: the bytes of all values that will be read. GI8_ERR_MEMORY. */
gi8_status gptneoxi_tile_reader_init(gptneoxi_tile_reader *reader, uint64_t total,
                                     const gptneox_model_params *params, gi8_error *error);
void gptneoxi_tile_reader_free(gptneoxi_tile_reader *reader);

/* The element type of a tensor in a file; false where it is none of F32, F16, BF16 and I8. */
bool gptneoxi_source_type(const gptneoxi_source *source, gi8_type *type);

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
