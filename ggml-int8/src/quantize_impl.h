/* quantize_impl.h - what the quantizers of quantize.c and int8_mixed.c share. */
#ifndef GI8_QUANTIZE_IMPL_H
#define GI8_QUANTIZE_IMPL_H

#include <stdint.h>

#include "ggml-int8/gi8_status.h"

/* GI8_OK where a matrix of n rows of k elements is well-formed and its bytes as F32 can be counted. */
gi8_status gi8i_check_matrix(int64_t k, int64_t n);

/* codes[i] = rint(x[i] * factor); a factor of 0 gives 0 whatever x is. */
void gi8i_codes(const float *x, int64_t n, float factor, int8_t *codes);

/* x[i] = codes[i] * absmax / 127, in double, rounded once. */
void gi8i_values(const int8_t *codes, int64_t n, float absmax, float *x);

#endif
