/* transpose.h - 16 x 16 elements, rows to columns, by way of memory; included after the header of
 * the instruction set. */
#ifndef GI8I_SIMD_TRANSPOSE_H
#define GI8I_SIMD_TRANSPOSE_H

#include <stddef.h>

#include "weights.h"

/* to[i * to_stride + r] = element i of row r as fp32. The rows are aligned as load_weights()
 * wants. `type` is a constant where this is inlined. */
GI8I_INLINE void f_store_transposed(gi8_type type, const char *rows, size_t stride_bytes, float *to,
                                    int64_t to_stride) {
    for (int r = 0; r < 16; r++) {
        float row[16];
        f_store(row, load_weights(type, rows + (size_t)r * stride_bytes));
        for (int i = 0; i < 16; i++) {
            to[i * to_stride + r] = row[i];
        }
    }
}

#endif
