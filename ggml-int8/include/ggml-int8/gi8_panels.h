/* gi8_panels.h - the panel layout of int8 weights.
 *
 * A product y = w x reads the codes of 16 output features at a time, 4 along k each: that is what a
 * 512-bit register holds, and what one int8 dot-product instruction (VNNI, SDOT, a row of an AMX
 * tile) multiplies with 4 codes of x that all features share. Panels store w in just that order, so
 * that every kernel reads it from front to back and no sum across lanes is ever needed:
 *
 *   w [K, N] rows                         panel p: features 16p .. 16p + 15
 *
 *          k = 0 1 2 3 | 4 5 6 7 | ...      byte  0  1  2  3 | 4  5  6  7 | ... | 60 .. 63
 *   n = 0      a a a a   e e e e                  a  a  a  a   b  b  b  b      (n = 15, k = 0..3)
 *   n = 1      b b b b   f f f f            byte 64 ..
 *   ...                                           e  e  e  e   f  f  f  f  ...  (n = 0.., k = 4..7)
 *
 *   offset of (k, n) = (n / 16) * 16 * Kp + (k / 4) * 64 + (n % 16) * 4 + k % 4
 *
 * Kp is K rounded up to a multiple of 64, N is rounded up to a multiple of 16; what is added is
 * zero. The same blocked order is called VNNI4 in libxsmm and `BA16a64b4a` in oneDNN.
 */
#ifndef GI8_PANELS_H
#define GI8_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"
#include "ggml-int8/gi8_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GI8_PANEL_ROWS 16 /* output features in a panel */
#define GI8_PANEL_STEP 4  /* codes along k that lie together */
#define GI8_PANEL_K 64    /* K is rounded up to a multiple of this */

/* K rounded up: the bytes of a panel are 16 times that. k >= 0, far from INT64_MAX. */
static inline int64_t gi8_panels_k(int64_t k) {
    return (k + GI8_PANEL_K - 1) / GI8_PANEL_K * GI8_PANEL_K;
}

/* Bytes of w [k, n] in panels; 0 where k or n is 0 or negative or the size exceeds PTRDIFF_MAX.
 * Thread-safe. */
GI8_API size_t gi8_panels_size(int64_t k, int64_t n);

/* Writes rows [first, first + n) of w, k codes each and contiguous, into panels that lie in memory
 * of gi8_panels_size() bytes, zeroed before the first call: padding is not written. Threads may
 * write different rows at the same time. */
GI8_API void gi8_panels_pack(const int8_t *rows, int64_t k, int64_t first, int64_t n,
                             int8_t *panels);

/* Reads rows [first, first + n) back. Thread-safe. */
GI8_API void gi8_panels_unpack(const int8_t *panels, int64_t k, int64_t first, int64_t n,
                               int8_t *rows);

/* gi8_int8_quantize_weight_rows() with the codes in panels: `w` holds rows [first, first + n), k
 * elements each, `absmax` is that of these rows, `panels` begins with the panel of row 0. Memory
 * and threads as for gi8_panels_pack(); statuses as there, and GI8_ERR_SHAPE for first < 0. */
GI8_API gi8_status gi8_int8_quantize_weight_panels(gi8_type type, const void *w, int64_t k,
                                                   int64_t first, int64_t n, int8_t *panels,
                                                   float *absmax, int64_t *n_not_finite);

#ifdef __cplusplus
}
#endif

#endif
