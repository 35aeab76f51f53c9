/* epilogue.cuh - what products do with an element of the result before it is stored: scales, the
 * outlier columns and the bias of LLM.int8(), then the fused nodes of the step.
 *
 * Every kernel of mul_mat_int8_mixed gives the same bits for the same acc, whatever its tiles are:
 *
 *   out = unit * the exact sum over the outlier columns o of gi8i_outlier_fixed(o) * w[n][o]
 *   y = gi8i_finish_int8(acc, out, ...)
 *
 * (kernels/outliers.cuh), so that in per-token mode a row does not depend on the rows that share
 * the call, or on the kernel that their number selects.
 *
 * Column mode is computed with the residual identity of docs/int8-semantics.md: all entries below
 * the threshold have codes, and the outlier columns add what the codes of such an entry leave,
 * x - q * (a / 127). Equal to the definition up to fp32 rounding, with one pass over x.
 */
#ifndef GI8I_CUDA_EPILOGUE_CUH
#define GI8I_CUDA_EPILOGUE_CUH

#include <stdint.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda_impl.h"
#include "kernels/activation.cuh"
#include "kernels/four.cuh"
#include "kernels/outliers.cuh"

/* ---- where an element goes ---- */

/* One fused node; all fields are values, so that kernels take it by value. */
typedef struct gi8i_fused_op {
    const float *other; /* ADD: element (m, n) is other[m * stride + n]; NULL: ACTIVATION */
    int64_t stride;     /* 0 where each row adds the same [N] */
    gi8_activation_kind kind;
} gi8i_fused_op;

/* The result of a product, [N, M] contiguous, after the fused nodes. `y` may be the memory of a
 * fused `other`, element for element: the thread that reads other (m, n) stores y (m, n). */
typedef struct gi8i_output {
    void *y;
    int64_t ldy;   /* elements between rows */
    gi8_type type; /* F32, F16 or BF16 */
    int n_fused;
    gi8i_fused_op fused[GI8_MAX_FUSED];
} gi8i_output;

/* The output of a step whose node is [N, M...]. Fused ADDs are contiguous, of the node's shape or
 * [N]: the backend fuses no others. */
static inline gi8i_output gi8i_output_of(const gi8_step *step) {
    gi8i_output out = {};
    out.y = step->dst;
    out.ldy = step->node->ne[0];
    out.type = step->node->type;
    out.n_fused = step->n_fused;
    for (int i = 0; i < step->n_fused; i++) {
        const gi8_fused *f = &step->fused[i];
        if (f->node->op == GI8_OP_ACTIVATION) {
            const void *params = f->node->params;
            out.fused[i].kind = static_cast<const gi8_activation_params *>(params)->kind;
        } else {
            out.fused[i].other = static_cast<const float *>(f->other_data);
            out.fused[i].stride = gi8_same_shape(f->other, step->node) ? out.ldy : 0;
        }
    }
    return out;
}

/* One fused node on a value. It rounds by itself, so that fusing changes no bit. */
static __device__ inline float gi8i_fused_value(const gi8i_fused_op &f, float v, float other) {
    return f.other != nullptr ? __fadd_rn(v, other) : gi8i_activate(f.kind, v);
}

/* The fused nodes, in order, on element (m, n). */
static __device__ inline float gi8i_apply_fused(const gi8i_output &out, int64_t m, int64_t n,
                                                float v) {
#pragma unroll
    for (int i = 0; i < GI8_MAX_FUSED; i++) {
        if (i < out.n_fused) {
            const gi8i_fused_op &f = out.fused[i];
            float other = f.other != nullptr ? f.other[m * f.stride + n] : 0.0f;
            v = gi8i_fused_value(f, v, other);
        }
    }
    return v;
}

/* Element (m, n) through the fused nodes to memory, rounded to the type once. */
static __device__ inline void gi8i_store(const gi8i_output &out, int64_t m, int64_t n, float v) {
    v = gi8i_apply_fused(out, m, n, v);
    int64_t i = m * out.ldy + n;
    switch (out.type) {
    case GI8_TYPE_F16: static_cast<__half *>(out.y)[i] = __float2half_rn(v); break;
    case GI8_TYPE_BF16: static_cast<__nv_bfloat16 *>(out.y)[i] = __float2bfloat16_rn(v); break;
    default: static_cast<float *>(out.y)[i] = v; break;
    }
}

/* True where units of four elements that begin at a multiple of four columns lie at addresses that
 * can be written, and in `other` read, at once. */
static inline bool gi8i_output_is_wide(const gi8i_output &out) {
    uint64_t all = static_cast<uint64_t>(out.ldy) * 4 |
                   reinterpret_cast<uintptr_t>(out.y) * 4 / gi8_type_size(out.type);
    for (int i = 0; i < out.n_fused; i++) {
        all |= reinterpret_cast<uintptr_t>(out.fused[i].other);
    }
    return all % 16 == 0;
}

/* gi8i_store() for those of elements (m, n) to (m, n + 3) that rows of n_end elements have; n is a
 * multiple of 4. `wide`: as gi8i_output_is_wide() said. */
static __device__ inline void gi8i_store_row_four(const gi8i_output &out, int64_t m, int64_t n,
                                                  int64_t n_end, bool wide, gi8i_four<float> y) {
#pragma unroll
    for (int i = 0; i < GI8_MAX_FUSED; i++) {
        if (i < out.n_fused) {
            const gi8i_fused_op &f = out.fused[i];
            gi8i_four<float> other = {};
            if (f.other != nullptr) {
                other = gi8i_load_four(f.other + m * f.stride, n, n_end, wide);
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                y.v[j] = gi8i_fused_value(f, y.v[j], other.v[j]);
            }
        }
    }
    int64_t row = m * out.ldy;
    switch (out.type) {
    case GI8_TYPE_F16:
        gi8i_store_four(static_cast<__half *>(out.y) + row, n, n_end, wide, y);
        break;
    case GI8_TYPE_BF16:
        gi8i_store_four(static_cast<__nv_bfloat16 *>(out.y) + row, n, n_end, wide, y);
        break;
    default: gi8i_store_four(static_cast<float *>(out.y) + row, n, n_end, wide, y); break;
    }
}

/* ---- LLM.int8() ---- */

/* Element i of an array of a float type, as fp32. */
static __device__ inline float gi8i_load_float(const void *p, gi8_type type, int64_t i) {
    switch (type) {
    case GI8_TYPE_F16: return gi8i_to_fp32(static_cast<const __half *>(p)[i]);
    case GI8_TYPE_BF16: return gi8i_to_fp32(static_cast<const __nv_bfloat16 *>(p)[i]);
    default: return static_cast<const float *>(p)[i];
    }
}

/* Rows of contiguous elements at the strides of a tensor: m counts dimension 1 first. */
typedef struct gi8i_rows {
    const void *data;
    gi8_type type;
    int64_t ne1, ne2;
    int64_t nb1, nb2, nb3; /* bytes */
} gi8i_rows;

static inline gi8i_rows gi8i_rows_of(const gi8_tensor *t, const void *data) {
    gi8i_rows rows = {data, t->type, t->ne[1], t->ne[2], static_cast<int64_t>(t->nb[1]),
                      static_cast<int64_t>(t->nb[2]), static_cast<int64_t>(t->nb[3])};
    return rows;
}

/* The first element of row m. */
static __device__ inline const void *gi8i_row(const gi8i_rows &rows, int64_t m) {
    int64_t offset = m * rows.nb1;
    if (m >= rows.ne1) {
        int64_t i2 = m / rows.ne1;
        int64_t i3 = i2 / rows.ne2;
        offset = (m - i2 * rows.ne1) * rows.nb1 + (i2 - i3 * rows.ne2) * rows.nb2 + i3 * rows.nb3;
    }
    return static_cast<const char *>(rows.data) + offset;
}

/* All that turns acc [N, M] into the result. Passed to kernels by value. */
typedef struct gi8i_epilogue {
    const float *row_scale; /* [M] a / 127 of each row of x; NaN for a row without codes */
    const float *row_unit;  /* [M] of the outlier part (outliers.cuh) */
    const float *absmax;    /* [N] of the weights */
    const void *bias;       /* [N] or NULL */
    gi8_type bias_type;

    /* The outlier columns: any number up to K, known on the device only. */
    const int32_t *columns;   /* ascending; NULL: no decomposition, and no column */
    const int32_t *n_columns; /* one number */
    gi8i_rows x;              /* [K, M] */
    const int8_t *q;          /* [ldq, M] codes, 0 at outliers and from K to ldq */
    int64_t ldq;
    float threshold;
    bool per_token;
    const float *sums; /* [N, M] the outlier part, where gi8i_sums_are_given(); NULL: the kernel of
                          the product computes it, however many columns there are */

    gi8i_output out;
} gi8i_epilogue;

/* Outlier columns that the kernel of the product multiplies by itself: a multiply-add in int64 an
 * element and column takes less time than sums that go through memory, 8 bytes an element, as long
 * as there are few. An estimate. */
#define GI8I_FEW_OUTLIERS 16

/* Above, sums of digits (kernels/outlier_product.cuh) may leave 32 bits: 128 * 127 each. */
#define GI8I_MAX_GIVEN_OUTLIERS 131072

/* True where e.sums is to be made, and read. */
static __device__ inline bool gi8i_sums_are_given(const gi8i_epilogue &e) {
    int32_t n_columns = e.columns != nullptr ? *e.n_columns : 0;
    return e.sums != nullptr && n_columns > GI8I_FEW_OUTLIERS &&
           n_columns <= GI8I_MAX_GIVEN_OUTLIERS;
}

/* The columns that the kernel of the product has to multiply. */
static __device__ inline int32_t gi8i_own_columns(const gi8i_epilogue &e) {
    return e.columns == nullptr || gi8i_sums_are_given(e) ? 0 : *e.n_columns;
}

/* What the outlier part multiplies the weight with, of an entry x with code q. */
static __device__ inline float gi8i_outlier_value(float x, int8_t q, float row_scale,
                                                  float threshold, bool per_token) {
    if (fabsf(x) >= threshold) {
        return x;
    }
    return per_token ? 0.0f : fmaf(-row_scale, static_cast<float>(q), x);
}

/* The same for column k of row m. */
static __device__ inline float gi8i_outlier_x(const gi8i_epilogue &e, int64_t m, int64_t k) {
    float x = gi8i_load_float(gi8i_row(e.x, m), e.x.type, k);
    return gi8i_outlier_value(x, e.q[m * e.ldq + k], e.row_scale[m], e.threshold, e.per_token);
}

/* The same as a number of units of the row. */
static __device__ inline int32_t gi8i_outlier_fixed(const gi8i_epilogue &e, int64_t m, int64_t k) {
    return gi8i_in_units(gi8i_outlier_x(e, m, k), e.row_unit[m]);
}

/* The outlier part of element (m, n) of a row with Inf: Inf or NaN, where what is finite makes no
 * difference. `w`: row n of the weights. */
static __device__ inline float gi8i_infinite_part(const gi8i_epilogue &e, const int8_t *w,
                                                  int64_t m) {
    float out = 0.0f;
    for (int32_t i = 0; i < *e.n_columns; i++) {
        int32_t k = e.columns[i];
        float x = gi8i_load_float(gi8i_row(e.x, m), e.x.type, k);
        out = fabsf(x) == __int_as_float(GI8I_INF_BITS) ? fmaf(x, static_cast<float>(w[k]), out)
                                                        : out;
    }
    return out;
}

/* acc and the outlier part to the value before fused nodes:
 * (acc * row_scale + out) * absmax / 127 + bias. `scale` is gi8i_column_scale(), `bias` 0 where
 * there is none. */
static __device__ inline float gi8i_finish_int8(int32_t acc, float out, float row_scale,
                                                float scale, float bias) {
    return fmaf(fmaf(static_cast<float>(acc), row_scale, out), scale, bias);
}

static __device__ inline float gi8i_column_scale(const gi8i_epilogue &e, int64_t n) {
    return __fdiv_rn(e.absmax[n], 127.0f);
}

static __device__ inline float gi8i_column_bias(const gi8i_epilogue &e, int64_t n) {
    return e.bias != nullptr ? gi8i_load_float(e.bias, e.bias_type, n) : 0.0f;
}

#endif
