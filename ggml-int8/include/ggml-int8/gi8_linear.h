/* gi8_linear.h - a linear layer with int8 weights, made from floating-point ones: the counterpart
 * of bitsandbytes' Linear8bitLt(has_fp16_weights=False) for programs.
 */
#ifndef GI8_LINEAR_H
#define GI8_LINEAR_H

#include "ggml-int8/gi8_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gi8_linear_int8 gi8_linear_int8;

typedef struct gi8_linear_int8_params {
    int64_t in_features;    /* K, 1 .. GI8_INT8_MAX_K */
    int64_t out_features;   /* N, at least 1 */
    bool has_bias;
    gi8_int8_params op;     /* threshold, outlier mode, result type: GI8_INT8_PARAMS_DEFAULT */
    const char *name;       /* for messages and dumps; may be NULL; copied */
    const gi8_allocator *allocator; /* for metadata; NULL: the C library; copied */
} gi8_linear_int8_params;

/* Makes a layer whose weights and bias are zero, in memory of `backend`, which must outlive it.
 * NULL: GI8_ERR_ARGUMENT (a NULL, op.threshold NaN, op.outliers unknown, an allocator that lacks a
 * function), GI8_ERR_TYPE (op.out_type is not F32, F16 or BF16), GI8_ERR_SHAPE, GI8_ERR_MEMORY. */
GI8_API gi8_linear_int8 *gi8_linear_int8_create(gi8_backend *backend,
                                                const gi8_linear_int8_params *params,
                                                gi8_error *error);
GI8_API void gi8_linear_int8_free(gi8_linear_int8 *linear);

/* Quantizes rows [first, first + n) of the weight: `w` points at n contiguous rows of K elements of
 * type F32, F16 or BF16 ([K, n]; a Hugging Face weight [out, in] row by row). The floating-point
 * values are not kept. Call it once with all rows, or tile by tile while a file is read.
 * GI8_ERR_ARGUMENT (rows out of range), GI8_ERR_TYPE, GI8_ERR_NOT_FINITE (the sentence names the
 * layer and counts the NaN and Inf), GI8_ERR_MEMORY, GI8_ERR_DEVICE. Different rows may be loaded
 * by different threads at the same time. */
GI8_API gi8_status gi8_linear_int8_load_rows(gi8_linear_int8 *linear, int64_t first, int64_t n,
                                             gi8_type type, const void *w, gi8_error *error);

/* Takes codes [K, n] and absmax [n] as they are (a checkpoint that holds int8 weights already).
 * GI8_ERR_ARGUMENT; GI8_ERR_FORMAT for a code of -128 or an absmax that is negative or not finite
 * (nothing is written then); GI8_ERR_DEVICE. Threads as for gi8_linear_int8_load_rows(). */
GI8_API gi8_status gi8_linear_int8_load_codes(gi8_linear_int8 *linear, int64_t first, int64_t n,
                                              const int8_t *codes, const float *absmax,
                                              gi8_error *error);

/* Sets the bias, [N] of a float type; kept as F32. GI8_ERR_ARGUMENT (a NULL, or the layer has
 * none), GI8_ERR_TYPE (not F32, F16 or BF16), GI8_ERR_DEVICE. */
GI8_API gi8_status gi8_linear_int8_load_bias(gi8_linear_int8 *linear, gi8_type type,
                                             const void *bias, gi8_error *error);

/* Adds the layer to a graph: x [K, M, ...] -> [N, M, ...]. NULL and an error in ctx as for
 * gi8_mul_mat_int8_mixed(). The layer is not changed and may be in any number of graphs. */
GI8_API gi8_tensor *gi8_linear_int8_forward(gi8_context *ctx, const gi8_linear_int8 *linear,
                                            gi8_tensor *x);

/* The weight that the codes stand for, [K, n] F32 from row `first` on: codes * absmax / 127.
 * GI8_ERR_ARGUMENT (a NULL, rows out of range), GI8_ERR_MEMORY (for a tile of rows, where the
 * layer's memory is a device's or in panels), GI8_ERR_DEVICE. Thread-safe where nobody loads. */
GI8_API gi8_status gi8_linear_int8_dequantize(const gi8_linear_int8 *linear, int64_t first,
                                              int64_t n, float *w, gi8_error *error);

/* Rows [first, first + n) as gi8_linear_int8_load_codes() takes them: codes [K, n] row by row,
 * whatever the layout in memory, and absmax [n]. GI8_ERR_ARGUMENT, GI8_ERR_DEVICE. Thread-safe
 * where nobody loads. */
GI8_API gi8_status gi8_linear_int8_read_codes(const gi8_linear_int8 *linear, int64_t first,
                                              int64_t n, int8_t *codes, float *absmax,
                                              gi8_error *error);

/* Bytes of codes, absmax and bias. 0 for NULL. */
GI8_API size_t gi8_linear_int8_footprint(const gi8_linear_int8 *linear);

/* The layer's leaves: codes [K, N] I8, in the layout that the backend likes best; absmax [N] F32;
 * bias [N] F32 or NULL. Read only. */
GI8_API gi8_tensor *gi8_linear_int8_codes(const gi8_linear_int8 *linear);
GI8_API gi8_tensor *gi8_linear_int8_absmax(const gi8_linear_int8 *linear);
GI8_API gi8_tensor *gi8_linear_int8_bias(const gi8_linear_int8 *linear);

#ifdef __cplusplus
}
#endif

#endif
