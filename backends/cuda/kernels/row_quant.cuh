/* row_quant.cuh - rows of activations to int8 codes, and the list of outlier columns, without a
 * word to the host.
 *
 * One pass for both modes (docs/int8-semantics.md): every entry below the threshold gets a code.
 * Columns of outliers are bits of a mask in run->state that the blocks OR into; the last block to
 * finish turns it into an ascending list with its length, both on the device, and zeroes it.
 */
#ifndef GI8I_CUDA_ROW_QUANT_CUH
#define GI8I_CUDA_ROW_QUANT_CUH

#include <ptx.cuh>

#include "kernels/epilogue.cuh"
#include "launch.cuh"

/* ---- one entry, one row: shared with the kernels that quantize by themselves ---- */

static __device__ inline int32_t gi8i_abs_bits(float x) {
    return __float_as_int(x) & 0x7fffffff;
}

/* Entries with smaller abs bits get codes. Magnitudes compare as bit patterns, NaN above Inf. */
static __device__ inline int32_t gi8i_small_below(float threshold) {
    return threshold > 0.0f ? __float_as_int(threshold) : GI8I_INF_BITS;
}

/* |x| >= threshold; never NaN, and nothing where there is no decomposition. */
static __device__ inline bool gi8i_is_outlier(float x, int32_t small_below, bool decompose) {
    int32_t bits = gi8i_abs_bits(x);
    return decompose && bits >= small_below && bits <= GI8I_INF_BITS;
}

/* The largest abs bits of a row: of all entries, and of those with codes. */
typedef struct gi8i_row_max {
    int32_t all, small;
} gi8i_row_max;

static __device__ inline void gi8i_row_max_add(gi8i_row_max *max, float x, int32_t small_below) {
    int32_t bits = gi8i_abs_bits(x);
    max->all = bits > max->all ? bits : max->all;
    max->small = bits < small_below && bits > max->small ? bits : max->small;
}

/* The maximum over the lanes of the warp. */
static __device__ inline gi8i_row_max gi8i_warp_max(gi8i_row_max max) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        int32_t all = __shfl_xor_sync(0xffffffffu, max.all, lanes);
        int32_t small = __shfl_xor_sync(0xffffffffu, max.small, lanes);
        max.all = all > max.all ? all : max.all;
        max.small = small > max.small ? small : max.small;
    }
    return max;
}

/* What a row's codes are made with. */
typedef struct gi8i_row_factors {
    float code;  /* 127 / a; 0 where that overflows, and for a row without codes */
    float scale; /* a / 127; NaN for a row without codes: one with NaN, or Inf that is no outlier */
    float unit;  /* of its outlier part (outliers.cuh) */
} gi8i_row_factors;

static __device__ inline gi8i_row_factors gi8i_row_factors_of(gi8i_row_max max, bool decompose) {
    gi8i_row_factors f = {0.0f, 0.0f, 1.0f};
    if (max.all > GI8I_INF_BITS || (!decompose && max.all == GI8I_INF_BITS)) {
        f.scale = __int_as_float(GI8I_INF_BITS + 0x400000);
        return f;
    }
    float a = __int_as_float(max.small);
    if (max.small > 0x02fe0000) { /* 127 * 2^-128: up to it 127 / a overflows */
        f.code = __fdiv_rn(127.0f, a);
    }
    f.scale = __fdiv_rn(a, 127.0f);
    /* The outlier part takes outliers, and what codes leave: up to half of f.scale, or all. */
    int32_t rest = f.code > 0.0f ? __float_as_int(f.scale) : max.small;
    f.unit = gi8i_unit_above(max.all > max.small ? max.all : rest);
    return f;
}

/* rint(x * factor), or 0 for what has no code. The same bits as on the CPU. */
static __device__ inline int8_t gi8i_code(float x, int32_t small_below, float factor) {
    if (gi8i_abs_bits(x) >= small_below || factor == 0.0f) {
        return 0;
    }
    return static_cast<int8_t>(__float2int_rn(__fmul_rn(x, factor)));
}

/* Four entries to four codes, the first in the lowest byte. */
static __device__ inline uint32_t gi8i_four_codes(const gi8i_four<float> &x, int32_t small_below,
                                                  float factor) {
    uint32_t four = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t code = static_cast<uint8_t>(gi8i_code(x.v[i], small_below, factor));
        four |= code << (8 * i);
    }
    return four;
}

/* ---- the kernel ---- */

typedef struct gi8i_row_quant_args {
    gi8i_rows x; /* [K, M] */
    int64_t k, m;
    float threshold;
    bool aligned;     /* each row of x begins at a multiple of four elements */
    int8_t *q;        /* [ldq, M], zero behind K; aligned to 4 bytes */
    int64_t ldq;      /* a multiple of 4 */
    float *row_scale; /* [M] */
    float *row_unit;  /* [M] */
    /* Without decomposition NULL, all of them. */
    int32_t *columns;            /* [K] */
    int32_t *n_columns;          /* 1 */
    uint32_t *mask;              /* [(K + 31) / 32] zeros, and zeros again afterwards */
    uint32_t *blocks_done;       /* 0, and 0 again */
    unsigned long long *counted; /* n_columns is added */
} gi8i_row_quant_args;

/* The mask and the counter within run->state. */
#define GI8I_ROW_QUANT_MASK_WORDS ((GI8_INT8_MAX_K + 31) / 32)

namespace {

/* Marks those of columns k to k + 3 that hold an outlier. */
__device__ inline void mark_outliers(uint32_t *mask, const gi8i_four<float> &x, int64_t k,
                                     int32_t small_below) {
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        bits |= static_cast<uint32_t>(gi8i_is_outlier(x.v[i], small_below, true)) << i;
    }
    if (bits != 0) {
        bits <<= k % 32;
        uint32_t *word = mask + k / 32;
        /* The same columns in every row: mostly they are marked already. */
        if ((gi8i_load_relaxed(word) & bits) != bits) {
            atomicOr(word, bits);
        }
    }
}

/* The mask as an ascending list; by one block. `sums` has a place for each warp and one more. */
__device__ inline void list_columns(const gi8i_row_quant_args &args, int32_t *sums) {
    int lane = threadIdx.x % 32;
    int warp = threadIdx.x / 32;
    int n_warps = blockDim.x / 32;
    int64_t words = (args.k + 31) / 32;
    int32_t total = 0;
    for (int64_t first = 0; first < words; first += blockDim.x) {
        int64_t at = first + threadIdx.x;
        uint32_t word = at < words ? __ldcg(args.mask + at) : 0;
        int32_t count = __popc(word);
        int32_t sum = count; /* of this lane and those before it */
#pragma unroll
        for (int lanes = 1; lanes < 32; lanes *= 2) {
            int32_t before = __shfl_up_sync(0xffffffffu, sum, lanes);
            sum += lane >= lanes ? before : 0;
        }
        if (lane == 31) {
            sums[warp] = sum;
        }
        __syncthreads();
        int32_t place = total + sum - count;
        for (int i = 0; i < n_warps; i++) {
            place += i < warp ? sums[i] : 0;
            total += sums[i];
        }
        if (word != 0) {
            args.mask[at] = 0;
        }
        for (; word != 0; word &= word - 1) {
            args.columns[place] = static_cast<int32_t>(at * 32) + __ffs(static_cast<int>(word)) - 1;
            place++;
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        *args.n_columns = total;
        *args.counted += static_cast<unsigned long long>(total);
    }
}

/* By every block when its rows are done; the last one makes the list. */
__device__ inline void gi8i_finish_columns(const gi8i_row_quant_args &args,
                                           uint32_t *blocks_before, int32_t *sums) {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        *blocks_before = atomicInc(args.blocks_done, gridDim.x - 1); /* the last one: 0 again */
    }
    __syncthreads();
    if (*blocks_before == gridDim.x - 1) {
        __threadfence();
        list_columns(args, sums);
    }
}

/* Codes of entries k to k + 3 of a row, and their outlier columns. */
__device__ inline void gi8i_quantize_four(const gi8i_row_quant_args &args, int8_t *q,
                                          const gi8i_four<float> &x, int64_t k,
                                          int32_t small_below, float factor) {
    *reinterpret_cast<uint32_t *>(q + k) = gi8i_four_codes(x, small_below, factor);
    if (args.columns != nullptr) {
        mark_outliers(args.mask, x, k, small_below);
    }
}

/* A block takes row after row. Blocks are whole warps, at most 32. */
template <typename T> __global__ void __launch_bounds__(1024) row_quant(gi8i_row_quant_args args) {
    GI8I_SHARED(gi8i_row_max, warp_max, 32);
    GI8I_SHARED(int32_t, sums, 32);
    GI8I_SHARED(uint32_t, blocks_before, 1);
    int lane = threadIdx.x % 32;
    int warp = threadIdx.x / 32;
    int n_warps = blockDim.x / 32;
    bool decompose = args.columns != nullptr;
    int32_t small_below = gi8i_small_below(args.threshold);

    for (int64_t m = blockIdx.x; m < args.m; m += gridDim.x) {
        const T *x = static_cast<const T *>(gi8i_row(args.x, m));
        gi8i_row_max max = {0, 0};
#pragma unroll 4
        for (int64_t k = 4 * threadIdx.x; k < args.k; k += 4 * blockDim.x) {
            gi8i_four<float> four = gi8i_load_four(x, k, args.k, args.aligned);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                gi8i_row_max_add(&max, four.v[i], small_below);
            }
        }
        max = gi8i_warp_max(max);
        if (lane == 0) {
            warp_max[warp] = max;
        }
        __syncthreads();
        if (lane < n_warps) {
            max = warp_max[lane];
        }
        max = gi8i_warp_max(max);
        __syncthreads(); /* before the next row's maxima */

        gi8i_row_factors factors = gi8i_row_factors_of(max, decompose);
        int8_t *q = args.q + m * args.ldq;
#pragma unroll 4
        for (int64_t k = 4 * threadIdx.x; k < args.ldq; k += 4 * blockDim.x) {
            gi8i_quantize_four(args, q, gi8i_load_four(x, k, args.k, args.aligned), k,
                               small_below, factors.code);
        }
        if (threadIdx.x == 0) {
            args.row_scale[m] = factors.scale;
            args.row_unit[m] = factors.unit;
        }
    }
    if (decompose) {
        gi8i_finish_columns(args, blocks_before, sums);
    }
}

} // namespace

/* `args` with mask, blocks_done and counted from run. */
static inline gi8i_row_quant_args gi8i_row_quant_with_state(const gi8i_cuda_run *run,
                                                            gi8i_row_quant_args args) {
    if (args.columns != nullptr) {
        args.mask = static_cast<uint32_t *>(run->state);
        args.blocks_done = args.mask + GI8I_ROW_QUANT_MASK_WORDS;
        args.counted = run->outlier_columns;
    }
    return args;
}

/* Enqueues the kernel. `args` as described, mask, blocks_done and counted excepted, which are
 * taken from run. */
static inline gi8_status gi8i_row_quant(const gi8i_cuda_run *run, gi8i_row_quant_args args,
                                        gi8_error *error) {
    args = gi8i_row_quant_with_state(run, args);
    /* Two units of four a thread, where that gives whole warps and at most 1024 threads. */
    int64_t threads = gi8i_div_up<int64_t>(args.ldq, 8);
    threads = gi8i_div_up<int64_t>(threads < 1024 ? threads : 1024, 32) * 32;
    int64_t resident = run->device->n_multiprocessors * (2048 / threads);
    dim3 grid(static_cast<unsigned>(args.m < resident ? args.m : resident));
    dim3 block(static_cast<unsigned>(threads));
    const char *name = "row_quant";
    switch (args.x.type) {
    case GI8_TYPE_F16:
        return gi8i_launch(name, row_quant<__half>, grid, block, 0, run->stream, error, args);
    case GI8_TYPE_BF16:
        return gi8i_launch(name, row_quant<__nv_bfloat16>, grid, block, 0, run->stream, error,
                           args);
    default:
        return gi8i_launch(name, row_quant<float>, grid, block, 0, run->stream, error, args);
    }
}

#endif
