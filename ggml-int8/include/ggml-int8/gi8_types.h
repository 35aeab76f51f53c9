/* gi8_types.h - element types, and the two 16-bit float formats as plain functions. */
#ifndef GI8_TYPES_H
#define GI8_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Element types. The values are part of the ABI and never change. */
typedef enum gi8_type {
    GI8_TYPE_F32 = 0,  /* IEEE 754 binary32                                  */
    GI8_TYPE_F16 = 1,  /* IEEE 754 binary16, stored as uint16_t              */
    GI8_TYPE_BF16 = 2, /* the upper half of a binary32, stored as uint16_t   */
    GI8_TYPE_I8 = 3,   /* int8 codes in [-127, 127]                          */
    GI8_TYPE_I32 = 4,  /* token ids, positions, sequence ids                 */
    GI8_TYPE_COUNT
} gi8_type;

/* Bytes of one element; 0 for a value that is not a gi8_type. Thread-safe. */
GI8_API size_t gi8_type_size(gi8_type type);

/* "F32", "F16", "BF16", "I8", "I32"; "unknown" for any other value. Never NULL. Thread-safe. */
GI8_API const char *gi8_type_name(gi8_type type);

/* True for F32, F16 and BF16. Thread-safe. */
GI8_API int gi8_type_is_float(gi8_type type);

/* One value to or from a 16-bit format. To 16 bits: round to nearest, ties to even; overflow
 * becomes infinity, NaN stays a (quiet) NaN, denormals are kept. From 16 bits: exact.
 * Thread-safe. */
GI8_API float gi8_fp16_to_fp32(uint16_t h);
GI8_API uint16_t gi8_fp32_to_fp16(float f);
GI8_API float gi8_bf16_to_fp32(uint16_t b);
GI8_API uint16_t gi8_fp32_to_bf16(float f);

/* `n` consecutive elements of a float type to fp32, or from it. `src` and `dst` must not overlap;
 * they may be NULL only where n <= 0, which does nothing. Return GI8_OK, or GI8_ERR_TYPE (nothing
 * written) where `type` is not F32, F16 or BF16, whatever n is. Thread-safe. */
GI8_API gi8_status gi8_convert_to_fp32(gi8_type type, const void *src, int64_t n, float *dst);
GI8_API gi8_status gi8_convert_from_fp32(gi8_type type, const float *src, int64_t n, void *dst);

/* How mul_mat_int8_mixed chooses what does not go through int8. */
typedef enum gi8_outliers {
    /* A column is an outlier if any row of the call has |x| >= threshold: the paper's and
     * bitsandbytes' rule. */
    GI8_OUTLIERS_COLUMN = 0,
    /* Each row has outliers of its own: a row's result does not depend on the rows that share the
     * call. */
    GI8_OUTLIERS_PER_TOKEN = 1
} gi8_outliers;

/* The threshold of the paper (Dettmers et al. 2022, section 3.2) and of bitsandbytes. */
#define GI8_DEFAULT_THRESHOLD 6.0f

/* The longest row for which an int32 sum of int8 products cannot overflow:
 * floor((2^31-1) / 127^2). */
#define GI8_INT8_MAX_K 133144

#ifdef __cplusplus
}
#endif

#endif
