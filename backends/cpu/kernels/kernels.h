/* kernels.h - the kernels: what each computes, and the table of those that a backend uses.
 *
 * Every variant of a kernel gives the same bits: each fixes one order of operations, vectors of 16
 * lanes in all of them. So what a model says does not depend on the machine.
 * All pointers may have any alignment that their element type allows. Strides are in elements
 * unless they are called _bytes.
 */
#ifndef GI8I_CPU_KERNELS_H
#define GI8I_CPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "ggml-int8/gi8_backend_impl.h"
#include "ggml-int8/gi8_panels.h"
#include "gi8_cpu.h"

/* Before a loop over a register tile in a vector variant: its bounds are constants, and its arrays
 * become registers. */
#if !defined(__AVX2__) && !defined(GI8I_CPU_NEON)
#define GI8I_UNROLL
#elif defined(__clang__)
#define GI8I_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GI8I_UNROLL _Pragma("GCC unroll 16")
#endif

/* Rows of quantized activations are padded with zeros to a multiple of this many codes. */
#define GI8I_CODES_ALIGN GI8_PANEL_K
/* Rows of w (columns of y) that the kernels of the int8 op work on at a time, at most. */
#define GI8I_BLOCK_N 64
/* Queries of one call of the attention kernel, at most. */
#define GI8I_ATTENTION_TILE 12

/* Elements along k that mul_mat sums at a time. */
#define GI8I_MUL_MAT_K 2048

/* y[m][n] = sum over k of w[n][k] * x[m][k] in fp32 with fused multiply-add. In each block of
 * GI8I_MUL_MAT_K elements: lane k mod 16 of 16 accumulators, k ascending (zeros make up the last
 * 16), then the lanes as f_sum() does; then the sums of the blocks from left to right. */
typedef struct gi8i_mul_mat_args {
    gi8_type w_type; /* F32, F16, BF16 */
    const char *w;
    const char *x; /* F32 */
    float *y;
    size_t w_stride_bytes;
    size_t x_stride_bytes;
    size_t y_stride_bytes;
    int64_t k, n, m;
    bool fetch; /* a hint: these rows of w are not in a cache, and m is too small to hide that */
} gi8i_mul_mat_args;
typedef void gi8i_mul_mat_fn(const gi8i_mul_mat_args *args);

/* x for mul_mat_panels, lane by lane: element k of row m goes to
 *   ordered[k / K * block_stride + m * GI8I_ORDERED_ROW + k % 16 * K / 16 + k % K / 16]
 * with K = GI8I_MUL_MAT_K; zeros make up the last 16. */
typedef struct gi8i_mul_mat_order_args {
    const char *x; /* F32 */
    float *ordered;
    size_t x_stride_bytes;
    int64_t block_stride;
    int64_t k, m;
} gi8i_mul_mat_order_args;
typedef void gi8i_mul_mat_order_fn(const gi8i_mul_mat_order_args *args);

/* No multiple of 4 KiB, so that not all rows fall into one set of a cache, and the same for every
 * k: a register tile has more rows than a processor has registers for their addresses. */
#define GI8I_ORDERED_ROW (GI8I_MUL_MAT_K + 16)
/* Floats of a panel: 16 rows of w with a block of k, lane by lane, the rows in turns. Room for 16
 * numbers follows each lane, so that not all lanes fall into one set. */
#define GI8I_MUL_MAT_PANEL (16 * (GI8I_MUL_MAT_K + 16))

/* mul_mat for many rows of x: the same result, k >= 1. Packs w into panels, block by block. */
typedef struct gi8i_mul_mat_panels_args {
    gi8_type w_type; /* F32, F16, BF16 */
    const char *w;
    const float *x; /* as mul_mat_order() leaves it */
    float *y;
    float *panels; /* memory to work in, GI8I_MUL_MAT_PANEL floats for each 16 rows of w */
    size_t w_stride_bytes;
    size_t y_stride_bytes;
    int64_t x_block_stride;
    int64_t k, n, m;
    const char *next; /* as many rows of w that will be wanted next, a hint; may be NULL */
} gi8i_mul_mat_panels_args;
typedef void gi8i_mul_mat_panels_fn(const gi8i_mul_mat_panels_args *args);

/* One row of gi8_int8_quantize_rows() without outlier columns: codes q[0..k), zeros up to the next
 * multiple of GI8I_CODES_ALIGN, and their sum. On the way marks[i] becomes 1 where |x[i]| >=
 * threshold > 0 (Inf is, NaN is not), and stays as it is elsewhere. `marks` may be NULL. */
typedef void gi8i_quantize_fn(const float *x, int64_t k, float threshold, uint8_t *marks, int8_t *q,
                              float *absmax, int32_t *sum);

/* gi8_int8_quantize_weight_panels() for the 16 rows of one panel: w [k, 16] of a float type at any
 * address, absmax [16]. Where a row holds NaN or Inf its absmax is NaN. Returns how many
 * elements are NaN or Inf. */
typedef int64_t gi8i_quantize_panel_fn(gi8_type type, const void *w, int64_t k, int8_t *panel,
                                       float *absmax);

/* acc[m][n] = sum over k of q[m][k] * w[n][k], exact. */
typedef struct gi8i_int8_dot_args {
    const int8_t *w;      /* panels of w (gi8_panels.h), one after another */
    const int8_t *q;      /* m rows of k codes */
    const int32_t *q_sum; /* the sum of each row of q */
    int32_t *acc;         /* m rows of GI8I_BLOCK_N; 16 sums for each panel */
    int64_t k;            /* rounded up to a multiple of GI8_PANEL_K, with zeros in q */
    int64_t n_panels, m;  /* n_panels * GI8_PANEL_ROWS <= GI8I_BLOCK_N */
    const int8_t *next;   /* as many panels that will be wanted next, a hint; may be NULL */
    bool once; /* a hint: the caches do better to keep something else than w */
} gi8i_int8_dot_args;
typedef void gi8i_int8_dot_fn(const gi8i_int8_dot_args *args);

/* out[m][n] = sum over i, ascending, of x[m][i] * w[n][columns[i]], in double. Products of an fp32
 * number and a code are exact, so that fused or not is the same. */
typedef struct gi8i_int8_outliers_args {
    const int8_t *w;        /* panels of w (gi8_panels.h), one after another */
    const int32_t *columns; /* [count] */
    const float *x;         /* m rows of count */
    double *out;            /* m rows of GI8I_BLOCK_N; 16 sums for each panel */
    int64_t k;              /* of the panels, rounded up to a multiple of GI8_PANEL_K */
    int64_t n_panels, m;    /* n_panels * GI8_PANEL_ROWS <= GI8I_BLOCK_N */
    int64_t count;
} gi8i_int8_outliers_args;
typedef void gi8i_int8_outliers_fn(const gi8i_int8_outliers_args *args);

/* y[m][n] = (float)(acc[m][n] * scale_x[m] * scale[n] + out[m][n] * scale[n] + bias[n])
 * in double, every operation rounded, sums from left to right. Scales are absmax / 127, too. */
typedef struct gi8i_int8_finish_args {
    const int32_t *acc;    /* m rows of GI8I_BLOCK_N */
    const double *out;     /* m rows of GI8I_BLOCK_N, or NULL */
    const float *absmax_x; /* [m] */
    const float *absmax;   /* [n] */
    const float *bias;     /* [n], or NULL */
    float *y;
    int64_t y_stride;
    int64_t n, m; /* n <= GI8I_BLOCK_N */
} gi8i_int8_finish_args;
typedef void gi8i_int8_finish_fn(const gi8i_int8_finish_args *args);

/* Elementwise. y may be x (or a). */
typedef enum gi8i_unary {
    GI8I_UNARY_SCALE, /* x * factor */
    GI8I_UNARY_RELU,
    GI8I_UNARY_SILU,
    GI8I_UNARY_GELU,
    GI8I_UNARY_GELU_TANH
} gi8i_unary;
typedef void gi8i_unary_fn(gi8i_unary kind, float factor, const float *x, float *y, int64_t n);

/* y = a + b or a * b; `repeat`: b has one element for all. */
typedef void gi8i_binary_fn(bool multiply, const float *a, const float *b, bool repeat, float *y,
                            int64_t n);

/* dst[m][n] = y[m][n] after `n_ops` operations, each as unary() or binary() computes it. dst may be
 * the addends of an operation, with the same stride. */
typedef struct gi8i_fused_op {
    const float *other; /* added; NULL: the activation `kind` */
    int64_t stride;     /* of the rows of `other`; 0: one row for all */
    gi8i_unary kind;
} gi8i_fused_op;
typedef struct gi8i_fused_args {
    const float *y;
    float *dst;
    int64_t y_stride, dst_stride;
    int64_t n, m;
    int n_ops;
    gi8i_fused_op ops[GI8_MAX_FUSED];
} gi8i_fused_args;
typedef void gi8i_fused_fn(const gi8i_fused_args *args);

/* One row: mean, then variance around it, in 16 lanes; gain and bias may be NULL. n >= 1. */
typedef void gi8i_layer_norm_fn(const float *x, const float *gain, const float *bias, float eps,
                                float *y, int64_t n);

/* One row: y = softmax(x * factor + mask); `mask` has n elements, or one (`repeat`), or is NULL. */
typedef void gi8i_soft_max_fn(const float *x, const float *mask, bool repeat, float factor,
                              float *y, int64_t n);

/* Queries at consecutive positions of one sequence: query i against the keys and values of
 * positions 0 .. n + i - 1, in blocks of 64 with a running maximum and sum (Milakov and Gimelshein
 * 2018, algorithm 3). The result of a query does not depend on the others of the call, and nothing
 * is read of a position that none of them sees. */
typedef struct gi8i_attention_args {
    const float *q; /* m rows of d elements */
    gi8_type type;  /* of k and v: F32 or F16 */
    const char *k;  /* n + m - 1 rows of d elements */
    const char *v;
    float *y; /* m rows of d elements */
    size_t q_stride_bytes;
    size_t k_stride_bytes;
    size_t v_stride_bytes;
    size_t y_stride_bytes;
    float scale;
    int64_t d, n, m; /* d, n >= 1; 1 <= m <= GI8I_ATTENTION_TILE */
    bool once; /* a hint: the caches do better to keep something else than k and v */
} gi8i_attention_args;
typedef void gi8i_attention_fn(const gi8i_attention_args *args);

/* y[i] = x[i] in fp16, ties to even; a NaN keeps its upper bits and becomes quiet. */
typedef void gi8i_store_f16_fn(const float *x, int64_t n, uint16_t *y);

/* The table that a backend uses. */
typedef struct gi8i_kernels {
#define GI8I_KERNEL(kernel) gi8i_##kernel##_fn *kernel;
#define GI8I_KERNEL_VARIANT(kernel, variant, isa)
#include "kernels.def"
#undef GI8I_KERNEL
#undef GI8I_KERNEL_VARIANT
} gi8i_kernels;

#define GI8I_KERNEL(kernel)
#define GI8I_KERNEL_VARIANT(kernel, variant, isa) gi8i_##kernel##_fn gi8i_##kernel##_##variant;
#include "kernels.def"
#undef GI8I_KERNEL
#undef GI8I_KERNEL_VARIANT

/* The best variant of each kernel for `isa`. */
void gi8i_kernels_choose(gi8_cpu_isa isa, gi8i_kernels *kernels);

#endif
