/* gi8_quantize.h - 8-bit quantizers as plain functions, for programs that only want those.
 *
 * First the quantizers that the LLM.int8() paper compares (Dettmers et al. 2022, arXiv 2208.07339,
 * section 2): absmax, zero-point, row-wise and vector-wise. Then the numerics of the op
 * MUL_MAT_INT8_MIXED itself (section 3): how its weights and its activations become codes, and the
 * whole product as a plain loop, the reference that every kernel is tested against.
 * docs/int8-semantics.md says the same in prose.
 *
 * What holds for every function here:
 *   Shapes    are in GGML order: a matrix [k, n] is n rows of k consecutive elements, so element
 *             (i, row) lies at row * k + i. All indices are 64 bits wide.
 *   Codes     are int8 in [-127, 127]; -128 never occurs.
 *   rint()    is round half to even. Arithmetic is fp32 unless a comment says otherwise, with no
 *             fused multiply-add, in the default floating-point environment (round to nearest, no
 *             flush to zero); then codes and absmax have the same bits on every machine.
 *   NaN, Inf  are found by their bit patterns and are never converted to an integer.
 *   Memory    is the caller's; outputs must not overlap inputs or each other. Nothing is allocated.
 *   NULL      for a pointer whose comment does not allow it is GI8_ERR_ARGUMENT, except that an
 *             array without elements may be NULL.
 *   Failure   GI8_ERR_ARGUMENT, GI8_ERR_SHAPE and GI8_ERR_TYPE leave every output as it was.
 *             GI8_ERR_SHAPE also stands for a matrix whose bytes as F32 exceed PTRDIFF_MAX.
 *   Threads   every function is thread-safe as long as no two calls write to the same memory.
 */
#ifndef GI8_QUANTIZE_H
#define GI8_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"
#include "ggml-int8/gi8_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The quantizers of the paper ------------------------------------------------------------- */

/* The factor from values to codes: 127 / absmax, one fp32 division. It is 0 where there is no
 * usable factor, and then all codes are 0:
 *   absmax is 0, negative, NaN or infinite, or
 *   the division would overflow, which is so for absmax <= 127 * 2^-128 (about 3.73e-37); what is
 *   lost then is smaller than that.
 * For |x| <= absmax, rint(x * factor) lies in [-127, 127]. */
GI8_API float gi8_int8_factor(float absmax);

/* Absmax quantization of a whole array (paper, section 2): one constant for all of x.
 *   x       [n]    F32
 *   codes   [n]    I8, out
 *   absmax  [1]    F32, out: max |x[i]|, 0 for n = 0
 * It equals
 *   c = gi8_int8_factor(absmax);  codes[i] = (int8_t)rint(x[i] * c);
 * Where x holds NaN or Inf: all codes 0, absmax NaN.
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_SHAPE for n < 0; GI8_ERR_NOT_FINITE for NaN or Inf in x. */
GI8_API gi8_status gi8_quantize_absmax(const float *x, int64_t n, int8_t *codes, float *absmax);

/* Back from gi8_quantize_absmax(): x[i] = codes[i] * absmax / 127, in double, rounded once.
 *   codes   [n]    I8
 *   x       [n]    F32, out
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_SHAPE for n < 0. */
GI8_API gi8_status gi8_dequantize_absmax(const int8_t *codes, int64_t n, float absmax, float *x);

/* Zero-point quantization of a whole array (paper, section 2): the range of x is moved onto all of
 * [-127, 127].
 *   x           [n]    F32
 *   codes       [n]    I8, out
 *   scale       [1]    F32, out: the step between two codes, the paper's 1 / nd_x
 *   zero_point  [1]    I32, out: the code of 0.0, in [-127, 127]
 * It equals, in double,
 *   lo = min(0, min x[i]);  hi = max(0, max x[i]);
 *   scale = (float)((hi - lo) / 254);
 *   zero_point = (int32_t)rint(-127 - lo / scale);
 *   codes[i] = (int8_t)clamp(rint(x[i] / scale) + zero_point, -127, 127);
 * The range always takes in 0, so that 0.0 comes back exactly; for an x of both signs it is the
 * paper's range. Where (hi - lo) / 254 is below FLT_MIN (x is zero or nearly so, or n = 0):
 * scale 0, zero_point 0, all codes 0. Where x holds NaN or Inf: scale NaN, zero_point 0, all
 * codes 0.
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_SHAPE for n < 0; GI8_ERR_NOT_FINITE for NaN or Inf in x. */
GI8_API gi8_status gi8_quantize_zeropoint(const float *x, int64_t n, int8_t *codes, float *scale,
                                          int32_t *zero_point);

/* Back from gi8_quantize_zeropoint(): x[i] = (codes[i] - zero_point) * scale, in double, rounded
 * once.
 *   codes   [n]    I8
 *   x       [n]    F32, out
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_SHAPE for n < 0. */
GI8_API gi8_status gi8_dequantize_zeropoint(const int8_t *codes, int64_t n, float scale,
                                            int32_t zero_point, float *x);

/* Row-wise quantization (paper, section 2): one constant a row.
 *   x       [k, rows]    F32
 *   codes   [k, rows]    I8, out
 *   absmax  [rows]       F32, out
 * It equals gi8_quantize_absmax() on every row. A row with NaN or Inf gets codes 0 and absmax NaN,
 * and the other rows are quantized all the same.
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_SHAPE for k < 0 or rows < 0; GI8_ERR_NOT_FINITE for NaN or Inf
 * in x. */
GI8_API gi8_status gi8_quantize_rowwise(const float *x, int64_t k, int64_t rows, int8_t *codes,
                                        float *absmax);

/* Back from gi8_quantize_rowwise(): x = codes * absmax[row] / 127, in double, rounded once.
 *   codes   [k, rows]    I8
 *   absmax  [rows]       F32
 *   x       [k, rows]    F32, out
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_SHAPE for k < 0 or rows < 0. */
GI8_API gi8_status gi8_dequantize_rowwise(const int8_t *codes, const float *absmax, int64_t k,
                                          int64_t rows, float *x);

/* Vector-wise quantization (paper, section 3.1): each inner product of a matrix product gets two
 * constants of its own, one for each row of X and one for each column of W. Both matrices are
 * quantized along the inner dimension of the product, the one that is summed over; `axis` names it.
 *   x       [ne0, ne1]    F32
 *   codes   [ne0, ne1]    I8, out
 *   axis    0: the vectors run along dimension 0: activations [K, M], and weights stored as an
 *              nn.Linear stores them, [K, N]: one row an output feature
 *           1: the vectors run along dimension 1: weights stored as the paper writes them, K rows
 *              of N values, [N, K]
 *   absmax  F32, out: [ne1] for axis 0, [ne0] for axis 1
 * It equals gi8_quantize_absmax() on every vector; for axis 0 that is gi8_quantize_rowwise(). A
 * vector with NaN or Inf gets codes 0 and absmax NaN, and the others are quantized all the same.
 * GI8_OK; GI8_ERR_ARGUMENT (also for another axis); GI8_ERR_SHAPE for ne0 < 0 or ne1 < 0;
 * GI8_ERR_NOT_FINITE for NaN or Inf in x. */
GI8_API gi8_status gi8_quantize_vectorwise(const float *x, int64_t ne0, int64_t ne1, int axis,
                                           int8_t *codes, float *absmax);

/* Back from gi8_quantize_vectorwise(): x = codes * absmax[vector] / 127, in double, rounded once.
 * Shapes and statuses as there, without GI8_ERR_NOT_FINITE. */
GI8_API gi8_status gi8_dequantize_vectorwise(const int8_t *codes, const float *absmax, int64_t ne0,
                                             int64_t ne1, int axis, float *x);

/* ---- The numerics of MUL_MAT_INT8_MIXED ------------------------------------------------------ */

/* The factor from weights to codes: 127 * (1 / absmax) in fp32, in this order; 0 where that is
 * infinite or absmax is 0, negative, NaN or infinite, as in gi8_int8_factor(). The reciprocal comes
 * first because bitsandbytes' CPU code computes it so: the last bit of the factor decides entries
 * that are exactly half of absmax (63.5), and with it an fp16 weight gets the codes of bitsandbytes
 * bit for bit. */
GI8_API float gi8_int8_weight_factor(float absmax);

/* The weights of the op, once, at load: one constant per output feature.
 *   type    F32, F16 or BF16, the type of w
 *   w       [k, n]    rows contiguous; need not be aligned
 *   codes   [k, n]    I8, out
 *   absmax  [n]       F32, out: max |w| of the row (bitsandbytes calls it SCB); the scale is
 *                     absmax / 127
 *   n_not_finite      out, may be NULL: how many elements of w are NaN or Inf
 * It equals, a row,
 *   absmax = max |w[i]|;  c = gi8_int8_weight_factor(absmax);  codes[i] = (int8_t)rint(w[i] * c);
 * A row with NaN or Inf gets codes 0 and absmax NaN; all rows are looked at, so the count is the
 * whole tensor's.
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_TYPE; GI8_ERR_SHAPE for k < 1, k > GI8_INT8_MAX_K or n < 0;
 * GI8_ERR_NOT_FINITE where the count is not 0. */
GI8_API gi8_status gi8_int8_quantize_weight_rows(gi8_type type, const void *w, int64_t k, int64_t n,
                                                 int8_t *codes, float *absmax,
                                                 int64_t *n_not_finite);

/* Back to floats: w[i] = codes[i] * absmax / 127 a row, in double, rounded once.
 *   codes   [k, n]    I8
 *   absmax  [n]       F32
 *   w       [k, n]    F32, out
 * GI8_OK; GI8_ERR_ARGUMENT; GI8_ERR_SHAPE for k < 1, k > GI8_INT8_MAX_K or n < 0. */
GI8_API gi8_status gi8_int8_dequantize_weight_rows(const int8_t *codes, const float *absmax,
                                                   int64_t k, int64_t n, float *w);

/* The outlier columns of one call (paper, section 3.2): is_outlier[i] = some row of x has
 * |x[i]| >= threshold there. Inf is an outlier, NaN is not. A threshold <= 0 turns the
 * decomposition off: nothing is an outlier.
 *   x           [k, m]    F32; row r begins r * row_stride_bytes after x
 *   is_outlier  [k]       out: 0 or 1
 *   count       [1]       out, may be NULL: the sum of is_outlier
 * m = 0 gives no outliers.
 * GI8_OK; GI8_ERR_ARGUMENT (also for a threshold that is NaN); GI8_ERR_SHAPE for k < 1,
 * k > GI8_INT8_MAX_K, m < 0, or, where m > 1, a stride that is no multiple of 4 or below 4 * k. */
GI8_API gi8_status gi8_int8_outlier_columns(const float *x, int64_t k, int64_t m,
                                            size_t row_stride_bytes, float threshold,
                                            uint8_t *is_outlier, int64_t *count);

/* The activations of the op, a row at a time.
 *   x           [k, m]    F32; row r begins r * row_stride_bytes after x
 *   is_outlier  [k]       GI8_OUTLIERS_COLUMN: the columns to leave out, from
 *                         gi8_int8_outlier_columns(); NULL leaves out no column as a whole, which
 *                         gives the codes of GI8_OUTLIERS_PER_TOKEN.
 *                         GI8_OUTLIERS_PER_TOKEN: not read, may be NULL.
 *   q           [k, m]    I8, out; rows contiguous
 *   absmax      [m]       F32, out
 * It equals, a row, with small(v) = (threshold <= 0 || |v| < threshold),
 *   absmax = max |x[i]| over the i with small(x[i]), 0 if there are none;
 *   c = gi8_int8_factor(absmax);
 *   q[i] = small(x[i]) && !(column mode && is_outlier && is_outlier[i]) ? rint(x[i] * c) : 0;
 * Entries, not columns, leave the maximum: a small entry of an outlier column counts for absmax.
 * A row with NaN, or with Inf where threshold <= 0, gets q = 0 and absmax NaN, which makes every
 * output of that row NaN and touches no other row. It is no error: GI8_OK.
 * GI8_OK; GI8_ERR_ARGUMENT (also for a threshold that is NaN, or a mode that is no gi8_outliers);
 * GI8_ERR_SHAPE as in gi8_int8_outlier_columns(). */
GI8_API gi8_status gi8_int8_quantize_rows(const float *x, int64_t k, int64_t m,
                                          size_t row_stride_bytes, float threshold,
                                          gi8_outliers mode, const uint8_t *is_outlier, int8_t *q,
                                          float *absmax);

/* Bytes of scratch that gi8_int8_mul_mat_mixed_reference() needs for rows of k elements. */
#define GI8_INT8_REFERENCE_SCRATCH(k) (2 * (size_t)(k))

/* The whole op as a plain loop: the reference of every kernel. It is slow and does not allocate.
 *   codes    [k, n]    I8 in [-127, 127]     the weight, one row an output feature
 *   absmax   [n]       F32                   its row maxima
 *   bias     [n]       F32, may be NULL
 *   x        [k, m]    F32, rows contiguous  the activations, one row a token
 *   y        [n, m]    F32, out
 *   scratch  GI8_INT8_REFERENCE_SCRATCH(k) bytes of any alignment, overwritten
 * With O the outlier columns of the call (column mode) or of the row (per-token mode), and q and a
 * from gi8_int8_quantize_rows(), it equals
 *   acc = sum over i of q[i] * codes[i]                                             in int32, exact
 *   out = sum over i in O, ascending, of x[i] * codes[i] * (absmax[row] / 127)      in double
 *   y   = (float)(acc * (a / 127) * (absmax[row] / 127) + out + bias[row])          in double
 * so y is rounded once. Inf in x with threshold > 0 follows IEEE arithmetic: Inf times a code,
 * NaN where the code is 0. NaN in x, or Inf with threshold <= 0, makes its row of y NaN and no
 * other.
 * GI8_OK; GI8_ERR_ARGUMENT (also for a threshold that is NaN, or a mode that is no gi8_outliers);
 * GI8_ERR_SHAPE for k < 1, k > GI8_INT8_MAX_K, n < 0 or m < 0. */
GI8_API gi8_status gi8_int8_mul_mat_mixed_reference(const int8_t *codes, const float *absmax,
                                                    const float *bias, const float *x, int64_t k,
                                                    int64_t n, int64_t m, float threshold,
                                                    gi8_outliers mode, float *y, void *scratch);

#ifdef __cplusplus
}
#endif

#endif
