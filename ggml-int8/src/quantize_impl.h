/* quantize_impl.h - what the quantizers of quantize.c, int8_weights.c and int8_mixed.c share. */
#ifndef GI8_QUANTIZE_IMPL_H
#define GI8_QUANTIZE_IMPL_H

#include <stdint.h>

#include "ggml-int8/gi8_status.h"

/* GI8_OK, or GI8_ERR_SHAPE where k or n is negative or the bytes of [k, n] as F32 overflow. */
gi8_status gi8i_check_matrix(int64_t k, int64_t n);

/* The same for a weight, with 1 <= k <= GI8_INT8_MAX_K. */
gi8_status gi8i_check_weight_shape(int64_t k, int64_t n);

/* codes[i] = rint(x[i] * factor); a factor of 0 gives 0 whatever x is. */
void gi8i_codes(const float *x, int64_t n, float factor, int8_t *codes);

/* x[i] = codes[i] * absmax / 127, in double, rounded once. */
void gi8i_values(const int8_t *codes, int64_t n, float absmax, float *x);

#endif
