/* mul_mat.cu - the product with floating-point weights: which of three ways.
 *
 *   gemv    at most four rows of x: fp32, the weights are read once
 *   lt      more rows, one matrix of weights: cuBLASLt, x rounded to the type of 16-bit weights; a
 *           fused bias is added there, and what follows it in a pass of its own
 *   plain   all else (batches of weights, strides and alignments that the others refuse, and types
 *           that cuBLASLt has no algorithm for on the device): fp32
 */
#include "../cublaslt.h"
#include "../kernels/convert.cuh"
#include "../kernels/gemm_plain.cuh"
#include "../kernels/gemv_f16.cuh"
#include "../kernels/strided.cuh"
#include "../launch.cuh"

typedef enum route {
    ROUTE_NONE, /* nothing to compute */
    ROUTE_GEMV,
    ROUTE_LT,
    ROUTE_PLAIN
} route;

/* Where the parts of scratch begin for ROUTE_LT, in bytes; SIZE_MAX where they overflow. */
typedef struct layout {
    size_t x;     /* [ldx, m] of the weights' type */
    size_t scale; /* [m] F32 */
    size_t y;     /* [n, m] F32 */
    size_t end;
} layout;

static bool aligned(const void *p, size_t alignment) {
    return reinterpret_cast<uintptr_t>(p) % alignment == 0;
}

static bool rows_aligned(const gi8_tensor *t, const void *data) {
    return gi8i_rows_aligned(gi8i_strided_of(t, t), data, 16);
}

/* All rows of a tensor lie at one stride. */
static bool rows_even(const gi8_tensor *t) {
    return (t->ne[2] == 1 || t->nb[2] == t->nb[1] * static_cast<size_t>(t->ne[1])) &&
           (t->ne[3] == 1 ||
            t->nb[3] == t->nb[1] * static_cast<size_t>(t->ne[1]) * static_cast<size_t>(t->ne[2]));
}

static int64_t n_rows(const gi8_tensor *t) {
    return t->ne[1] * t->ne[2] * t->ne[3];
}

/* Elements between rows; of a single row, its length. */
static int64_t leading_dimension(const gi8_tensor *t) {
    return n_rows(t) == 1 ? t->ne[0] : static_cast<int64_t>(t->nb[1] / gi8_type_size(t->type));
}

/* The bias of a step that cuBLASLt can add: the first fused node is a sum with one row. */
static const float *lt_bias(const gi8_step *step) {
    const gi8_fused *first = &step->fused[0];
    const bool is_row = step->n_fused > 0 && first->node->op == GI8_OP_ADD &&
                        !gi8_same_shape(first->other, step->node);
    return is_row && aligned(first->other_data, 16) ? static_cast<const float *>(first->other_data)
                                                    : nullptr;
}

static gi8i_cublaslt_shape lt_shape(const gi8_tensor *node, bool bias) {
    const gi8_tensor *w = node->src[0];
    const gi8_tensor *x = node->src[1];
    gi8i_cublaslt_shape shape = {};
    shape.type = w->type;
    shape.k = w->ne[0];
    shape.n = w->ne[1];
    shape.m = n_rows(x);
    shape.ldw = leading_dimension(w);
    shape.ldx = w->type == GI8_TYPE_F32 ? leading_dimension(x)
                                        : gi8i_div_up(w->ne[0], static_cast<int64_t>(8)) * 8;
    shape.ldy = w->ne[1];
    shape.bias = bias;
    return shape;
}

static bool lt_takes(const gi8_step *step) {
    const gi8_tensor *w = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    const gi8i_cublaslt_shape shape = lt_shape(step->node, false);
    return w->ne[0] > 0 && rows_aligned(w, step->src[0]) && shape.ldw >= shape.k &&
           (w->type != GI8_TYPE_F32 ||
            (rows_even(x) && rows_aligned(x, step->src[1]) && shape.ldx >= shape.k)) &&
           gi8i_cublaslt_supports(&shape);
}

static route route_of(const gi8_step *step) {
    const gi8_tensor *w = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    if (gi8_nelements(step->node) == 0) {
        return ROUTE_NONE;
    }
    if (w->ne[2] != 1 || w->ne[3] != 1) {
        return ROUTE_PLAIN;
    }
    if (n_rows(x) <= GI8I_GEMV_MAX_M) {
        return rows_aligned(w, step->src[0]) && rows_aligned(x, step->src[1]) ? ROUTE_GEMV
                                                                             : ROUTE_PLAIN;
    }
    return lt_takes(step) ? ROUTE_LT : ROUTE_PLAIN;
}

/* cuBLASLt must not write over what a fused ADD is to read. */
static bool adds_matrix(const gi8_step *step) {
    for (int i = 0; i < step->n_fused; i++) {
        if (step->fused[i].node->op == GI8_OP_ADD &&
            gi8_same_shape(step->fused[i].other, step->node)) {
            return true;
        }
    }
    return false;
}

/* A part of rows * row_bytes bytes at `begin`: where the next one begins. */
static size_t part_end(size_t begin, int64_t rows, int64_t row_bytes) {
    size_t size = 0;
    if (begin == SIZE_MAX ||
        __builtin_mul_overflow(static_cast<size_t>(rows), static_cast<size_t>(row_bytes), &size) ||
        size > SIZE_MAX - begin - GI8I_CUDA_ALIGN) {
        return SIZE_MAX;
    }
    return gi8i_div_up(begin + size, GI8I_CUDA_ALIGN) * GI8I_CUDA_ALIGN;
}

static layout layout_of(const gi8_step *step) {
    const gi8i_cublaslt_shape shape = lt_shape(step->node, false);
    const bool convert = shape.type != GI8_TYPE_F32;
    layout l = {};
    l.scale = convert ? part_end(l.x, shape.m, shape.ldx * 2) : l.x;
    l.y = convert ? part_end(l.scale, shape.m, 4) : l.scale;
    l.end = adds_matrix(step) ? part_end(l.y, shape.m, shape.n * 4) : l.y;
    return l;
}

static size_t scratch_bytes(const gi8i_cuda_run *run, const gi8_step *step) {
    (void)run;
    return route_of(step) == ROUTE_LT ? layout_of(step).end : 0;
}

/* What cuBLASLt reads as x and where it puts y. */
static const void *lt_x(const gi8i_cuda_run *run, const gi8_step *step, const layout &l) {
    return step->node->src[0]->type == GI8_TYPE_F32 ? step->src[1]
                                                    : static_cast<char *>(run->scratch) + l.x;
}

static float *lt_y(const gi8i_cuda_run *run, const gi8_step *step, const layout &l) {
    void *y = adds_matrix(step) ? static_cast<char *>(run->scratch) + l.y : step->dst;
    return static_cast<float *>(y);
}

static gi8_status prepare_lt(const gi8i_cuda_run *run, const gi8_step *step, const float *bias,
                             gi8_error *error) {
    const gi8i_cublaslt_shape shape = lt_shape(step->node, bias != nullptr);
    const layout l = layout_of(step);
    return gi8i_cublaslt_prepare(run->lt, &shape, step->src[0], lt_x(run, step, l), bias,
                                 lt_y(run, step, l), run->stream, error);
}

static gi8_status prepare(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    if (route_of(step) != ROUTE_LT) {
        return GI8_OK;
    }
    const float *bias = lt_bias(step);
    gi8_status status = prepare_lt(run, step, bias, error);
    if (status == GI8_ERR_UNSUPPORTED && bias != nullptr) {
        status = prepare_lt(run, step, nullptr, error);
    }
    return status == GI8_ERR_UNSUPPORTED ? GI8_OK : status; /* launch() does without */
}

static dim3 blocks(const gi8i_cuda_run *run, int64_t wanted) {
    const int64_t most = static_cast<int64_t>(run->device->n_multiprocessors) * 32;
    return dim3(static_cast<unsigned>(wanted < most ? wanted : most));
}

template <typename T>
static gi8_status convert(const gi8i_cuda_run *run, const gi8_step *step,
                          const gi8i_cublaslt_shape &shape, void *to, float *scale,
                          gi8_error *error) {
    const gi8_tensor *x = step->node->src[1];
    return gi8i_launch("convert_rows", gi8i_convert_rows<T>, blocks(run, shape.m),
                       dim3(GI8I_CONVERT_THREADS), 0, run->stream, error,
                       gi8i_rows_of(x, step->src[1]), rows_aligned(x, step->src[1]), shape.k,
                       shape.m, static_cast<T *>(to), shape.ldx, scale);
}

/* `bias`: what cuBLASLt has added, or NULL. */
static gi8_status finish(const gi8i_cuda_run *run, const gi8_step *step, const float *y,
                         const float *scale, const float *bias, gi8_error *error) {
    gi8i_finish f = {};
    f.y = y;
    f.scale = scale;
    f.bias = bias;
    f.out = gi8i_output_of(step);
    if (bias != nullptr) {
        f.out.n_fused--;
        for (int i = 0; i < f.out.n_fused; i++) {
            f.out.fused[i] = f.out.fused[i + 1];
        }
    }
    if (scale == nullptr && f.out.n_fused == 0) {
        return GI8_OK;
    }
    f.n = step->node->ne[0];
    f.m = n_rows(step->node);
    f.wide = gi8i_output_is_wide(f.out) && aligned(y, 16);
    /* where no node is left, hardly any row has something to do */
    const int64_t wanted = static_cast<int64_t>(run->device->n_multiprocessors) *
                           (f.out.n_fused > 0 ? 16 : 2);
    const int64_t rows = f.m < wanted ? f.m : wanted;
    const int64_t parts = gi8i_div_up(f.n, static_cast<int64_t>(4 * GI8I_CONVERT_THREADS));
    const int64_t most_parts = gi8i_div_up(wanted, rows);
    return gi8i_launch("finish_rows", gi8i_finish_rows,
                       dim3(static_cast<unsigned>(rows),
                            static_cast<unsigned>(parts < most_parts ? parts : most_parts)),
                       dim3(GI8I_CONVERT_THREADS), 0, run->stream, error, f);
}

static gi8_status launch_lt(const gi8i_cuda_run *run, const gi8_step *step, const float *bias,
                            gi8_error *error) {
    const gi8i_cublaslt_shape shape = lt_shape(step->node, bias != nullptr);
    const layout l = layout_of(step);
    char *scratch = static_cast<char *>(run->scratch);
    void *scale_at = shape.type == GI8_TYPE_F32 ? nullptr : scratch + l.scale;
    float *scale = static_cast<float *>(scale_at);
    float *y = lt_y(run, step, l);
    /* before anything is enqueued that would be in vain */
    gi8_status status = gi8i_cublaslt_find(run->lt, &shape, step->src[0], lt_x(run, step, l), bias,
                                           y, error);
    if (status == GI8_OK && shape.type == GI8_TYPE_F16) {
        status = convert<__half>(run, step, shape, scratch + l.x, scale, error);
    } else if (status == GI8_OK && shape.type == GI8_TYPE_BF16) {
        status = convert<__nv_bfloat16>(run, step, shape, scratch + l.x, scale, error);
    }
    if (status == GI8_OK) {
        status = gi8i_cublaslt_run(run->lt, &shape, step->src[0], lt_x(run, step, l), bias, y,
                                   run->stream, error);
    }
    return status == GI8_OK ? finish(run, step, y, scale, bias, error) : status;
}

template <typename T, int M>
static gi8_status gemv(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const gi8_tensor *w = step->node->src[0];
    /* Warps share the long rows of a small matrix until the device has eight a multiprocessor. */
    const int64_t groups = gi8i_div_up(w->ne[1], static_cast<int64_t>(GI8I_GEMV_ROWS));
    const int64_t wanted = static_cast<int64_t>(run->device->n_multiprocessors) * 8;
    const int64_t loads = w->ne[0] * static_cast<int64_t>(sizeof(T)) / 16;
    int split = 1;
    while (split < GI8I_GEMV_WARPS && groups * split < wanted && loads > 32 * split) {
        split *= 2;
    }
    const int64_t n_blocks =
        gi8i_div_up(groups, static_cast<int64_t>(GI8I_GEMV_WARPS / split));
    if (n_blocks > INT32_MAX) {
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                             "mul_mat: more rows of weights than one launch has blocks");
    }
    return gi8i_launch("gemv", gi8i_gemv<T, M>, dim3(static_cast<unsigned>(n_blocks)),
                       dim3(GI8I_GEMV_THREADS), 0, run->stream, error,
                       static_cast<const T *>(step->src[0]), leading_dimension(w),
                       gi8i_rows_of(step->node->src[1], step->src[1]), w->ne[0], w->ne[1], split,
                       gi8i_output_of(step));
}

template <typename T>
static gi8_status launch_gemv(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    switch (n_rows(step->node->src[1])) {
    case 1: return gemv<T, 1>(run, step, error);
    case 2: return gemv<T, 2>(run, step, error);
    case 3: return gemv<T, 3>(run, step, error);
    default: return gemv<T, 4>(run, step, error);
    }
}

static gi8i_plain_matrix plain_matrix(const gi8_tensor *t, const void *data) {
    gi8i_plain_matrix matrix = {data, static_cast<int64_t>(t->nb[1]),
                                static_cast<int64_t>(t->nb[2]), static_cast<int64_t>(t->nb[3])};
    return matrix;
}

template <typename T>
static gi8_status launch_plain(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const gi8_tensor *w = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    gi8i_plain p = {};
    p.w = plain_matrix(w, step->src[0]);
    p.x = plain_matrix(x, step->src[1]);
    p.k = w->ne[0];
    p.n = w->ne[1];
    p.m = x->ne[1];
    p.c2 = x->ne[2];
    p.c3 = x->ne[3];
    p.repeat2 = x->ne[2] / w->ne[2];
    p.repeat3 = x->ne[3] / w->ne[3];
    const int64_t side = GI8I_PLAIN_TILE;
    return gi8i_launch("gemm_plain", gi8i_gemm_plain<T>,
                       blocks(run, gi8i_div_up(p.n, side) * gi8i_div_up(p.m, side) * p.c2 * p.c3),
                       dim3(GI8I_PLAIN_THREADS), 0, run->stream, error, p, gi8i_output_of(step));
}

template <typename T>
static gi8_status launch_kernel(const gi8i_cuda_run *run, const gi8_step *step, route chosen,
                                gi8_error *error) {
    return chosen == ROUTE_GEMV ? launch_gemv<T>(run, step, error)
                                : launch_plain<T>(run, step, error);
}

static gi8_status launch(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const route chosen = route_of(step);
    if (chosen == ROUTE_NONE) {
        return GI8_OK;
    }
    if (chosen == ROUTE_LT) {
        const float *bias = lt_bias(step);
        gi8_status status = launch_lt(run, step, bias, error);
        if (status == GI8_ERR_UNSUPPORTED && bias != nullptr) {
            status = launch_lt(run, step, nullptr, error);
        }
        if (status != GI8_ERR_UNSUPPORTED) {
            return status;
        }
    }
    switch (step->node->src[0]->type) {
    case GI8_TYPE_F16: return launch_kernel<__half>(run, step, chosen, error);
    case GI8_TYPE_BF16: return launch_kernel<__nv_bfloat16>(run, step, chosen, error);
    default: return launch_kernel<float>(run, step, chosen, error);
    }
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_mul_mat = {nullptr, scratch_bytes, prepare, launch};
