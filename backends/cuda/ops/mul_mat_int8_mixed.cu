/* mul_mat_int8_mixed.cu - LLM.int8(): which kernels compute a step. src: codes, absmax, bias or
 * NULL, x. docs/int8-semantics.md; column mode with the residual identity
 * (kernels/epilogue.cuh). The kernels want rows of weights at multiples of 16 bytes, as
 * all known models have them; others are copied to such rows, with zeros behind each, at each
 * use. */
#include "cublaslt.h"
#include "kernels/dequant_epilogue.cuh"
#include "kernels/each_unit.cuh"
#include "kernels/gemm_s8.cuh"
#include "kernels/gemv_s8.cuh"
#include "kernels/layer_norm_quant.cuh"
#include "kernels/outlier_product.cuh"
#include "kernels/row_quant.cuh"

namespace {

typedef enum mixed_path {
    PATH_GEMV,    /* gemv_s8 alone */
    PATH_GEMM,    /* row_quant, outlier_product from OUTLIER_PRODUCT_MIN_M rows on, gemm_s8 */
    PATH_CUBLASLT /* row_quant, outlier_product, cuBLASLt to int32, dequant_epilogue */
} mixed_path;

/* Rows from which on many outlier columns are left to outlier_product. With fewer, what its two
 * launches cost where there are few columns, 2 us, is more than it saves unless there are hundreds:
 * 256 columns take 3 us at M = 32, N = 4096 on an H100 in the epilogue. */
constexpr int64_t OUTLIER_PRODUCT_MIN_M = 33;

typedef struct mixed_job {
    mixed_path path;
    gi8i_gemv_shape gemv;
    int64_t k, n, m;
    int64_t ldq; /* k, rounded up to a multiple of 16 */
    bool x_aligned; /* each row of x begins at a multiple of four elements */
    gi8_int8_params params;
    /* Scratch, but for PATH_GEMV. */
    int8_t *w;          /* [ldq, N]: the weights, where they do not lie in rows of ldq; or NULL */
    int8_t *q;          /* [ldq, M] */
    float *row_scale;   /* [M] */
    float *row_unit;    /* [M] */
    int32_t *columns;   /* [K] */
    int32_t *n_columns; /* 1 */
    gi8i_outlier_product_args outliers; /* its memory; sums NULL: not used */
    void *sums;         /* PATH_GEMM: what it splits k with; PATH_CUBLASLT: int32 [N, M] */
} mixed_job;

/* True where cuBLASLt with a detour of its sums through memory (8 bytes an element, written and
 * read) is taken to be faster than gemm_s8, which stores results alone. The detour costs 46 % of
 * the product at K = 2048 on an H200, 15 % at 6144. From Hopper on, cuBLASLt has instructions with
 * about 1.6 times the rate of those of gemm_s8; before, the same ones, and the more careful loop. A
 * rule from these figures, not from measurements of the two. */
bool detour_pays(const gi8i_cuda_device *device, int64_t k, int64_t m) {
    return m > 128 && k >= (device->major >= 9 ? 2048 : 8192);
}

gi8i_cublaslt_shape lt_shape(const mixed_job *job) {
    gi8i_cublaslt_shape shape = {};
    shape.type = GI8_TYPE_I8;
    shape.k = job->ldq;
    shape.n = job->n;
    shape.m = job->m;
    shape.ldw = job->ldq;
    shape.ldx = job->ldq;
    shape.ldy = job->n;
    return shape;
}

/* `pad`: the weights are to be copied to aligned rows. */
mixed_path choose_path(const gi8i_cuda_device *device, mixed_job *job, bool pad) {
    if (!pad && gi8i_gemv_s8_shape(device, job->k, job->n, job->m, &job->gemv)) {
        return PATH_GEMV;
    }
    gi8i_cublaslt_shape shape = lt_shape(job);
    return detour_pays(device, job->k, job->m) && gi8i_cublaslt_supports(&shape) ? PATH_CUBLASLT
                                                                                 : PATH_GEMM;
}

/* Hands out parts of the scratch, or adds up their sizes where base is 0. */
typedef struct scratch_layout {
    uintptr_t base;
    size_t used; /* SIZE_MAX: too much */
} scratch_layout;

void *take(scratch_layout *l, int64_t count, int64_t each) {
    size_t bytes = 0;
    if (l->used == SIZE_MAX || __builtin_mul_overflow(count, each, &bytes) ||
        bytes > PTRDIFF_MAX - l->used - GI8I_CUDA_ALIGN) {
        l->used = SIZE_MAX;
        return nullptr;
    }
    void *p = l->base != 0 ? reinterpret_cast<void *>(l->base + l->used) : nullptr;
    l->used += gi8i_div_up(bytes, GI8I_CUDA_ALIGN) * GI8I_CUDA_ALIGN;
    return p;
}

/* Of n elements of four bytes. */
int64_t row_bytes(int64_t n) {
    int64_t bytes = 0;
    return __builtin_mul_overflow(n, static_cast<int64_t>(4), &bytes) ? INT64_MAX : bytes;
}

/* `scratch` NULL: sizes alone. */
mixed_job make_job(const gi8i_cuda_run *run, const gi8_step *step, void *scratch, size_t *bytes) {
    const gi8_tensor *node = step->node;
    mixed_job job = {};
    job.params = *static_cast<const gi8_int8_params *>(node->params);
    job.k = node->src[0]->ne[0];
    job.n = node->ne[0];
    const gi8_tensor *x = node->src[3];
    job.m = gi8_nrows(x);
    job.x_aligned = gi8i_rows_aligned(gi8i_strided_of(x, x), step->src[3],
                                      4 * gi8_type_size(x->type));
    job.ldq = gi8i_div_up<int64_t>(job.k, 16) * 16;
    const bool pad = job.k != job.ldq || reinterpret_cast<uintptr_t>(step->src[0]) % 16 != 0;
    job.path = choose_path(run->device, &job, pad);
    scratch_layout l = {reinterpret_cast<uintptr_t>(scratch), 0};
    if (pad) {
        job.w = static_cast<int8_t *>(take(&l, job.ldq, job.n));
    }
    if (job.path != PATH_GEMV) {
        job.q = static_cast<int8_t *>(take(&l, job.ldq, job.m));
        job.row_scale = static_cast<float *>(take(&l, job.m, 4));
        job.row_unit = static_cast<float *>(take(&l, job.m, 4));
        job.columns = static_cast<int32_t *>(take(&l, job.k, 4));
        job.n_columns = static_cast<int32_t *>(take(&l, 1, 4));
    }
    bool at_once = job.path == PATH_GEMV ||
                   (job.path == PATH_GEMM && job.m < OUTLIER_PRODUCT_MIN_M);
    if (!at_once && job.params.threshold > 0.0f) {
        int64_t ld = gi8i_outlier_ld(job.k);
        job.outliers.packed = static_cast<int8_t *>(take(&l, job.n, ld));
        job.outliers.digits =
            static_cast<int8_t *>(take(&l, gi8i_outlier_digit_rows(job.m), ld));
        job.outliers.sums = static_cast<float *>(take(&l, job.m, row_bytes(job.n)));
    }
    if (job.path == PATH_CUBLASLT) {
        job.sums = take(&l, job.m, row_bytes(job.n));
    } else if (job.path == PATH_GEMM) {
        size_t size = gi8i_gemm_s8_scratch_bytes(run->device, job.ldq, job.n, job.m);
        job.sums = size > 0 ? take(&l, static_cast<int64_t>(size), 1) : nullptr;
    }
    *bytes = l.used;
    return job;
}

size_t mixed_scratch_bytes(const gi8i_cuda_run *run, const gi8_step *step) {
    size_t bytes = 0;
    make_job(run, step, nullptr, &bytes);
    return bytes;
}

gi8_status mixed_prepare(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    size_t bytes = 0;
    mixed_job job = make_job(run, step, run->scratch, &bytes);
    if (job.path != PATH_CUBLASLT) {
        return GI8_OK;
    }
    gi8i_cublaslt_shape shape = lt_shape(&job);
    const void *w = job.w != nullptr ? job.w : step->src[0];
    gi8_status status = gi8i_cublaslt_prepare(run->lt, &shape, w, job.q, nullptr, job.sums,
                                              run->stream, error);
    return status == GI8_ERR_UNSUPPORTED ? GI8_OK : status; /* mixed_launch() does without */
}

gi8i_epilogue make_epilogue(const mixed_job *job, const gi8_step *step) {
    const gi8_tensor *bias = step->node->src[2];
    gi8i_epilogue e = {};
    e.row_scale = job->row_scale;
    e.row_unit = job->row_unit;
    e.absmax = static_cast<const float *>(step->src[1]);
    e.bias = bias != nullptr ? step->src[2] : nullptr;
    e.bias_type = bias != nullptr ? bias->type : GI8_TYPE_F32;
    e.columns = job->params.threshold > 0.0f ? job->columns : nullptr;
    e.n_columns = job->n_columns;
    e.x = gi8i_rows_of(step->node->src[3], step->src[3]);
    e.q = job->q;
    e.ldq = job->ldq;
    e.threshold = job->params.threshold;
    e.per_token = job->params.outliers == GI8_OUTLIERS_PER_TOKEN;
    e.sums = job->outliers.sums;
    e.out = gi8i_output_of(step);
    return e;
}

/* `norm`: the step before, where its launch is left to this one, or NULL. */
gi8_status launch_gemv(const gi8i_cuda_run *run, const mixed_job *job, const gi8_step *norm,
                       const gi8i_epilogue &e, const int8_t *w, gi8_error *error) {
    gi8i_gemv_args args = {};
    args.w = w;
    args.k = job->k;
    args.n = job->n;
    args.m = static_cast<int>(job->m);
    args.aligned = job->x_aligned;
    args.decompose = job->params.threshold > 0.0f;
    args.normalize = norm != nullptr;
    if (norm != nullptr) {
        args.norm = gi8i_layer_norm_of(norm);
    }
    args.epilogue = e;
    return gi8i_gemv_s8(run, &job->gemv, args, error);
}

gi8_status launch_row_quant(const gi8i_cuda_run *run, const mixed_job *job, const gi8_step *norm,
                            const gi8i_epilogue &e, gi8_error *error) {
    gi8i_row_quant_args args = {};
    args.x = e.x;
    args.aligned = job->x_aligned;
    args.k = job->k;
    args.m = job->m;
    args.threshold = e.threshold;
    args.q = job->q;
    args.ldq = job->ldq;
    args.row_scale = job->row_scale;
    args.row_unit = job->row_unit;
    args.columns = job->params.threshold > 0.0f ? job->columns : nullptr;
    args.n_columns = job->n_columns;
    return norm != nullptr ? gi8i_layer_norm_quant(run, gi8i_layer_norm_of(norm), args, error)
                           : gi8i_row_quant(run, args, error);
}

gi8_status launch_gemm(const gi8i_cuda_run *run, const mixed_job *job, const gi8i_epilogue &e,
                       const int8_t *w, gi8_error *error) {
    gi8i_gemm_s8_args args = {};
    args.w = w;
    args.k = job->ldq;
    args.n = job->n;
    args.m = job->m;
    args.epilogue = e;
    args.scratch = job->sums;
    args.counters = reinterpret_cast<uint32_t *>(static_cast<char *>(run->state) +
                                                 GI8I_CUDA_STATE_BYTES) -
                    GI8I_GEMM_S8_COUNTERS;
    return gi8i_gemm_s8(run, &args, error);
}

/* Rows of k codes at any address to rows of ldw, a multiple of 4, with zeros behind each. */
struct pad_rows {
    const int8_t *w;
    int64_t k;
    int8_t *to;
    int64_t ldw;

    struct place {
        const int8_t *from;
        uint32_t *to;
    };

    __device__ place begin(int64_t row) const {
        return {w + row * k, reinterpret_cast<uint32_t *>(to + row * ldw)};
    }

    __device__ void unit(const place &p, int64_t unit) const {
        uint32_t four = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (4 * unit + i < k) {
                const uint8_t code = static_cast<uint8_t>(p.from[4 * unit + i]);
                four |= static_cast<uint32_t>(code) << (8 * i);
            }
        }
        p.to[unit] = four;
    }
};

gi8_status launch_both(const gi8i_cuda_run *run, const gi8_step *norm, const gi8_step *step,
                       gi8_error *error) {
    size_t bytes = 0;
    mixed_job job = make_job(run, step, run->scratch, &bytes);
    gi8i_epilogue e = make_epilogue(&job, step);
    const int8_t *w = static_cast<const int8_t *>(step->src[0]);
    if (job.path == PATH_GEMV) {
        return launch_gemv(run, &job, norm, e, w, error);
    }
    gi8_status status = launch_row_quant(run, &job, norm, e, error);
    if (status == GI8_OK && job.w != nullptr) {
        const pad_rows pad = {w, job.k, job.w, job.ldq};
        status = gi8i_launch_each_unit("pad_rows", run, pad, job.n, job.ldq / 4, error);
        w = job.w;
    }
    if (status == GI8_OK && e.sums != nullptr) {
        gi8i_outlier_product_args args = job.outliers;
        args.w = w;
        args.k = job.ldq;
        args.n = job.n;
        args.m = job.m;
        args.epilogue = e;
        status = gi8i_outlier_product(run, args, error);
    }
    if (status == GI8_OK && job.path == PATH_GEMM) {
        return launch_gemm(run, &job, e, w, error);
    }
    if (status == GI8_OK && job.path == PATH_CUBLASLT) {
        gi8i_cublaslt_shape shape = lt_shape(&job);
        status = gi8i_cublaslt_run(run->lt, &shape, w, job.q, nullptr, job.sums, run->stream,
                                   error);
        if (status == GI8_ERR_UNSUPPORTED) { /* on this device; the sums are not those of gemm_s8 */
            job.sums = nullptr;
            return launch_gemm(run, &job, e, w, error);
        }
    }
    if (status != GI8_OK) {
        return status;
    }
    gi8i_dequant_args args = {};
    args.acc = static_cast<const int32_t *>(job.sums);
    args.w = w;
    args.k = job.ldq;
    args.n = job.n;
    args.m = job.m;
    args.epilogue = e;
    return gi8i_dequant_epilogue(run, &args, error);
}

gi8_status mixed_launch(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    return launch_both(run, nullptr, step, error);
}

/* gemv_s8 has registers to normalize one row, and reads what the norm reads while it writes the
 * product, for which the planner may have taken memory that nobody needs behind the norm. */
bool norm_fits(const gi8i_cuda_run *run, const gi8_step *norm, const gi8_step *step) {
    if (norm->node->op != GI8_OP_LAYER_NORM || step->node->op != GI8_OP_MUL_MAT_INT8_MIXED ||
        step->node->src[3] != norm->node || gi8_nelements(step->node) == 0 ||
        gi8_nelements(norm->node) == 0) {
        return false;
    }
    size_t bytes = 0;
    mixed_job job = make_job(run, step, nullptr, &bytes);
    if (job.path != PATH_GEMV) {
        return true;
    }
    bool apart = job.m == 1;
    for (int i = 0; i < 3; i++) {
        const gi8_tensor *src = norm->node->src[i];
        apart = apart && (src == nullptr || !gi8i_overlap(norm->src[i], gi8_nbytes(src), step->dst,
                                                          gi8_nbytes(step->node)));
    }
    return apart;
}

int64_t norm_group_length(const gi8i_cuda_run *run, const gi8_step *steps, int64_t n) {
    return n >= 2 && norm_fits(run, steps, steps + 1) ? 2 : 1;
}

gi8_status norm_group_launch(const gi8i_cuda_run *run, const gi8_step *steps, int64_t,
                             gi8_error *error) {
    return launch_both(run, steps, steps + 1, error);
}

} // namespace

static_assert((GI8I_ROW_QUANT_MASK_WORDS + 1 + GI8I_GEMM_S8_COUNTERS) * 4 <= GI8I_CUDA_STATE_BYTES,
              "the mask of outlier columns, its counter and those of gemm_s8 lie side by side");

extern "C" const gi8i_cuda_op gi8i_cuda_op_mul_mat_int8_mixed = {
    nullptr, mixed_scratch_bytes, mixed_prepare, mixed_launch};

extern "C" const gi8i_cuda_group gi8i_cuda_layer_norm_int8 = {norm_group_length,
                                                                norm_group_launch};
