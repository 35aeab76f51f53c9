/* tensor.h - layouts of tensors: sizes and strides that cannot overflow. */
#ifndef GI8_TENSOR_H
#define GI8_TENSOR_H

#include "ggml-int8/gi8.h"

/* Strides of a contiguous tensor. False where an ne is negative, or where the tensor would exceed
 * PTRDIFF_MAX bytes, dimensions of 0 counted as 1: so no product of dimensions ever overflows. */
bool gi8i_contiguous_strides(gi8_type type, const int64_t ne[GI8_MAX_DIMS],
                             size_t nb[GI8_MAX_DIMS]);

/* *extent = bytes from the first byte to behind the last one; 0 where some ne is 0. False where
 * that exceeds PTRDIFF_MAX. ne as accepted by gi8i_contiguous_strides(). */
bool gi8i_extent(gi8_type type, const int64_t ne[GI8_MAX_DIMS], const size_t nb[GI8_MAX_DIMS],
                 size_t *extent);

/* True where no two elements share bytes. False also for some exotic interleaved strides. */
bool gi8i_is_injective(const gi8_tensor *t);

/* "[64, 7]": the dimensions without trailing ones. Returns `text`. */
#define GI8I_SHAPE_TEXT 96
const char *gi8i_shape_text(const int64_t ne[GI8_MAX_DIMS], char text[GI8I_SHAPE_TEXT]);

#endif
