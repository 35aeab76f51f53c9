/* gemv_s8.cuh - LLM.int8() for one to four rows of x in one kernel, as fast as the weights come.
 *
 * Every block quantizes x by itself into shared memory (while its first weights are under way), so
 * that nothing has to run before. Then it streams its rows of w, 16 bytes a load: a warp computes
 * two rows, of which `slices` warps share the k. The next loads are always on their way while the
 * last ones are summed up. A block's rows lie side by side; the grid fills the device once.
 *
 * Few outlier columns are kept as a list in shared memory. Where there are more, their part is
 * computed beforehand, from the digits of what it takes of x (outliers.cuh): the block makes them
 * chunk by chunk, and reads those units of its rows of w that hold outlier columns. Estimated with
 * all K columns outliers: the bytes of w twice, as many as fp16 weights have; for each unit and row
 * of x 16 dp4a and 4 reads of shared memory beside the 4 and 1 of the codes. For one row of x an
 * H100 issues some 60 instructions for two units in the 27 clocks that they come from memory in
 * (19 bytes a clock and multiprocessor), of 108 that it can; for four rows it needs twice the time.
 */
#ifndef GI8I_CUDA_GEMV_S8_CUH
#define GI8I_CUDA_GEMV_S8_CUH

#include <ptx.cuh>

#include "kernels/epilogue.cuh"
#include "kernels/layer_norm.cuh"
#include "kernels/row_quant.cuh"
#include "launch.cuh"

#define GI8I_GEMV_MAX_M 4

static constexpr int GI8I_GEMV_ROWS = 2;    /* rows of w that a warp computes at a time */
static constexpr int GI8I_GEMV_UNROLL = 2;  /* loads of each row at a time */
static constexpr int GI8I_GEMV_WARPS = 16;  /* of a block, at most */
static constexpr int GI8I_GEMV_LIST = 128;  /* outlier columns in the list */
static constexpr int GI8I_GEMV_DIGITS = 256; /* units of 16 digits in shared memory, for more */

/* How the rows of w are shared among blocks and warps. */
typedef struct gi8i_gemv_shape {
    int warps;           /* of a block */
    int slices;          /* warps that share a row; divides `warps` */
    int tiles_per_block; /* a tile: the rows that the warps of a block compute at a time */
    unsigned blocks;
    size_t shared_bytes;
} gi8i_gemv_shape;

typedef struct gi8i_gemv_args {
    const int8_t *w; /* [K, N] contiguous, aligned to 16 bytes */
    int64_t k, n;    /* k a multiple of 16 */
    int m;           /* 1 to 4 */
    bool aligned;    /* each row of x begins at a multiple of four elements */
    bool decompose;
    int slices, tiles_per_block;
    unsigned long long *counted; /* the number of outlier columns is added */
    bool normalize;              /* x is norm.x, normalized: norm.y, which is written */
    gi8i_layer_norm norm;
    gi8i_epilogue epilogue;      /* of its operands only absmax, bias, x, threshold, per_token */
} gi8i_gemv_args;

namespace {

/* What the threads of a block know of x. */
template <int M> struct gemv_x {
    int8_t *q;      /* [K, M] codes */
    float *scales;  /* [M] a / 127 */
    int *n_columns; /* of outliers */
    float *units;   /* [M] of the outlier part */
    int *columns;   /* [GI8I_GEMV_LIST] where they fit */
    int *values;    /* [GI8I_GEMV_LIST, M] what w is multiplied with there, in units */
    uint32_t *mask; /* [(K + 31) / 32] a bit for each outlier column */
    float *norms;   /* [M, 2] mean and factor of each row that is normalized here */
    const void **rows; /* [M] where the rows of x lie, or of norm.x */
};

/* Element k of row m. */
template <typename T, int M, bool NORM>
__device__ inline float gemv_load(const gi8i_gemv_args &args, const gemv_x<M> &s, int m,
                                  int64_t k) {
    if (NORM) {
        float gain = args.norm.gain != nullptr ? args.norm.gain[k] : 1.0f;
        float bias = args.norm.bias != nullptr ? args.norm.bias[k] : 0.0f;
        float x = static_cast<const float *>(s.rows[m])[k];
        return gi8i_normalize(x, s.norms[2 * m], s.norms[2 * m + 1], gain, bias);
    }
    return gi8i_to_fp32(static_cast<const T *>(s.rows[m])[k]);
}

/* Elements k to k + 3 of row m, which lies at `row`; `vectors`: those of the norm. */
template <typename T, int M, bool NORM>
__device__ inline gi8i_four<float> gemv_load_four(const gi8i_gemv_args &args, const gemv_x<M> &s,
                                                  const T *row, int m, int k,
                                                  const gi8i_norm_vectors &vectors) {
    if (NORM) {
        return gi8i_normalize_four(gi8i_load_four(row, k, args.k, args.norm.x.aligned),
                                   s.norms[2 * m], s.norms[2 * m + 1], vectors, args.k - k);
    }
    return gi8i_load_four(row, k, args.k, args.aligned);
}

/* s.norms: each warp computes what warps of a team of row.cuh would, in the same order. `slots` has
 * 2 * M * GI8I_ROW_THREADS / 32 floats. */
template <int M>
__device__ inline void gemv_norms(const gi8i_gemv_args &args, const gemv_x<M> &s,
                                  const float *const rows[M], float *slots) {
    constexpr int PLACES = GI8I_ROW_THREADS / 32;
    int lane = threadIdx.x % 32;
    int n_warps = blockDim.x / 32;
    int team_warps = gi8i_row_team(args.k) / 32;
    float mean[M] = {};
#pragma unroll
    for (int pass = 0; pass < 2; pass++) { /* the mean, the squares around it */
        float *pass_slots = slots + pass * M * PLACES;
#pragma unroll
        for (int m = 0; m < M; m++) {
            for (int w = threadIdx.x / 32; w < team_warps; w += n_warps) {
                float sum = 0.0f;
#pragma unroll 4
                for (int64_t i = 4 * (w * 32 + lane); i < args.k; i += 128 * team_warps) {
                    gi8i_four<float> x = gi8i_load_four(rows[m], i, args.k, args.norm.x.aligned);
                    if (pass == 0) {
                        gi8i_norm_add(&sum, x);
                    } else {
                        gi8i_norm_add_squares(&sum, x, mean[m], args.k - i);
                    }
                }
                sum = gi8i_warp_reduce<gi8i_add>(sum);
                if (lane == 0) {
                    pass_slots[m * PLACES + w] = sum;
                }
            }
        }
        __syncthreads();
#pragma unroll
        for (int m = 0; m < M; m++) {
            float sum = pass_slots[m * PLACES];
            for (int w = 1; w < team_warps; w++) {
                sum = gi8i_add::combine(sum, pass_slots[m * PLACES + w]);
            }
            if (pass == 0) {
                mean[m] = sum / static_cast<float>(args.k);
            } else if (threadIdx.x == 0) {
                s.norms[2 * m] = mean[m];
                s.norms[2 * m + 1] = gi8i_norm_factor(args.norm, sum, args.k);
            }
        }
    }
    __syncthreads();
}

/* True where elements k to k + 3 of normalized rows are in this block's share of them. */
static __device__ inline bool gemv_is_my_share(const gi8i_gemv_args &args, int k) {
    int share = gi8i_div_up(static_cast<int>(args.k / 4), static_cast<int>(gridDim.x));
    return k / 4 / share == static_cast<int>(blockIdx.x);
}

/* What weights of column k are multiplied with in the outlier part, for each row. */
template <typename T, int M, bool NORM>
__device__ inline void gemv_outlier_values(const gi8i_gemv_args &args, const gemv_x<M> &s,
                                           int64_t k, float values[M]) {
    bool any = false;
    int32_t small_below = gi8i_small_below(args.epilogue.threshold);
#pragma unroll
    for (int m = 0; m < M; m++) {
        values[m] = 0.0f;
        if (m < args.m) {
            float x = gemv_load<T, M, NORM>(args, s, m, k);
            any = any || gi8i_is_outlier(x, small_below, args.decompose);
            values[m] = gi8i_outlier_value(x, s.q[m * args.k + k], s.scales[m],
                                           args.epilogue.threshold, args.epilogue.per_token);
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
        values[m] = any ? values[m] : 0.0f;
    }
}

/* x to codes, factors and, where it is short enough, the list of outlier columns. */
template <typename T, int M, bool NORM>
__device__ inline void gemv_quantize(const gi8i_gemv_args &args, const gemv_x<M> &s,
                                     gi8i_row_max *warp_max, float *slots) {
    int lane = threadIdx.x % 32;
    int n_warps = blockDim.x / 32;
    int n_k = static_cast<int>(args.k);
    int32_t small_below = gi8i_small_below(args.epilogue.threshold);
    const T *x[M];
    gi8i_row_max max[M];
#pragma unroll
    for (int m = 0; m < M; m++) {
        int row = m < args.m ? m : 0;
        x[m] = NORM ? gi8i_row_of<const T>(args.norm.x, row)
                    : static_cast<const T *>(gi8i_row(args.epilogue.x, row));
        max[m] = {0, 0};
    }
    if constexpr (NORM) {
        gemv_norms<M>(args, s, x, slots);
    }
#pragma unroll(4 / M)
    for (int k = 4 * threadIdx.x; k < n_k; k += 4 * blockDim.x) {
        gi8i_norm_vectors vectors = {};
        if (NORM) {
            vectors = gi8i_norm_load(args.norm, k, n_k);
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            gi8i_four<float> four = gemv_load_four<T, M, NORM>(args, s, x[m], m, k, vectors);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                gi8i_row_max_add(&max[m], four.v[i], small_below);
            }
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
        max[m] = gi8i_warp_max(max[m]);
        if (lane == 0) {
            warp_max[threadIdx.x / 32 * M + m] = max[m];
        }
    }
    if (threadIdx.x == 0) {
        *s.n_columns = 0;
    }
    for (int i = threadIdx.x; i < (n_k + 31) / 32; i += blockDim.x) {
        s.mask[i] = 0;
    }
    __syncthreads();
    float factor[M];
#pragma unroll
    for (int m = 0; m < M; m++) {
        max[m] = gi8i_warp_max(warp_max[(lane < n_warps ? lane : 0) * M + m]);
        gi8i_row_factors factors = gi8i_row_factors_of(max[m], args.decompose);
        factor[m] = factors.code;
        if (threadIdx.x == 0) {
            s.rows[m] = x[m];
            s.scales[m] = factors.scale;
            s.units[m] = factors.unit;
        }
    }
#pragma unroll(4 / M)
    for (int k = 4 * threadIdx.x; k < n_k; k += 4 * blockDim.x) {
        bool outlier[4] = {};
        gi8i_norm_vectors vectors = {};
        if (NORM) {
            vectors = gi8i_norm_load(args.norm, k, n_k);
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            gi8i_four<float> four = gemv_load_four<T, M, NORM>(args, s, x[m], m, k, vectors);
            if (NORM && m < args.m && gemv_is_my_share(args, k)) {
                gi8i_store_four(gi8i_row_of<float>(args.norm.y, m), k, n_k, args.norm.y.aligned,
                                four);
            }
            *reinterpret_cast<uint32_t *>(s.q + m * n_k + k) =
                gi8i_four_codes(four, small_below, factor[m]);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                outlier[i] =
                    outlier[i] || gi8i_is_outlier(four.v[i], small_below, args.decompose);
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (outlier[i]) {
                int place = atomicAdd(s.n_columns, 1);
                if (place < GI8I_GEMV_LIST) {
                    s.columns[place] = k + i;
                }
                atomicOr(&s.mask[k / 32], 1u << (k + i) % 32);
            }
        }
    }
    __syncthreads();

    int count = *s.n_columns;
    for (int i = threadIdx.x; count <= GI8I_GEMV_LIST && i < count; i += blockDim.x) {
        float values[M];
        gemv_outlier_values<T, M, NORM>(args, s, s.columns[i], values);
#pragma unroll
        for (int m = 0; m < M; m++) {
            s.values[m * GI8I_GEMV_LIST + i] = gi8i_in_units(values[m], s.units[m]);
        }
    }
    __syncthreads();
}

/* The digits of what the outlier part takes of columns k to k + 3 of row m, a digit a word. */
template <typename T, int M, bool NORM>
__device__ inline void gemv_digits(const gi8i_gemv_args &args, const gemv_x<M> &s, int m, int k,
                                   uint32_t digits[4]) {
    uint32_t mask = k < args.k && m < args.m ? s.mask[k / 32] >> k % 32 & 15u : 0;
    uint32_t v[4] = {};
    if (mask != 0) {
        gi8i_norm_vectors vectors = {};
        if (NORM) {
            vectors = gi8i_norm_load(args.norm, k, args.k);
        }
        gi8i_four<float> x = gemv_load_four<T, M, NORM>(
            args, s, static_cast<const T *>(s.rows[m]), m, k, vectors);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float value = gi8i_outlier_value(x.v[i], s.q[m * args.k + k + i], s.scales[m],
                                             args.epilogue.threshold, args.epilogue.per_token);
            v[i] = (mask >> i & 1u) != 0 ? gi8i_digits(gi8i_in_units(value, s.units[m])) : 0;
        }
    }
    gi8i_transpose_digits(v, digits);
}

/* The outlier part of `rows` rows of w from `n` on, in units: sums[row * M + m]. Chunk by chunk of
 * k, whose digits lie in shared memory, with eight threads a row of w. */
template <typename T, int M, bool NORM>
__device__ inline void gemv_many_outliers(const gi8i_gemv_args &args, const gemv_x<M> &s, int64_t n,
                                          int rows, uint4 *digits, int64_t *sums) {
    constexpr int UNITS = GI8I_GEMV_DIGITS / (4 * M); /* of 16 columns in a chunk */
    int lane = threadIdx.x % 32;
    int step = static_cast<int>(blockDim.x) / 8;
    uint32_t *words = reinterpret_cast<uint32_t *>(digits);
#pragma unroll 1
    for (int first = 0; first < args.k / 16; first += UNITS) {
        for (int i = threadIdx.x; i < UNITS * 4 * M; i += blockDim.x) {
            int m = i / (UNITS * 4);
            int word = i % (UNITS * 4);
            uint32_t four[4];
            gemv_digits<T, M, NORM>(args, s, m, 16 * first + 4 * word, four);
#pragma unroll
            for (int d = 0; d < 4; d++) {
                words[(m * 4 + d) * UNITS * 4 + word] = four[d];
            }
        }
        __syncthreads();
#pragma unroll 1
        for (int i = 0; i < gi8i_div_up(rows, step) * M; i++) {
            int m = i % M; /* after the first, w comes from the level-1 cache */
            int row = i / M * step + static_cast<int>(threadIdx.x) / 8;
            bool valid = row < rows && n + row < args.n;
            const int8_t *w = args.w + (n + row) * args.k + 16 * static_cast<int64_t>(first);
            int32_t sum[4] = {};
#pragma unroll(M == 4 ? 1 : 2)
            for (int unit = lane % 8; unit < UNITS; unit += 8) {
                int k = 16 * (first + unit);
                if (!valid || k >= args.k || (s.mask[k / 32] >> k % 32 & 0xffffu) == 0) {
                    continue;
                }
                uint4 a = *reinterpret_cast<const uint4 *>(w + 16 * unit);
#pragma unroll
                for (int d = 0; d < 4; d++) {
                    uint4 b = digits[(m * 4 + d) * UNITS + unit];
                    sum[d] = __dp4a(static_cast<int>(a.x), static_cast<int>(b.x), sum[d]);
                    sum[d] = __dp4a(static_cast<int>(a.y), static_cast<int>(b.y), sum[d]);
                    sum[d] = __dp4a(static_cast<int>(a.z), static_cast<int>(b.z), sum[d]);
                    sum[d] = __dp4a(static_cast<int>(a.w), static_cast<int>(b.w), sum[d]);
                }
            }
            int64_t all = gi8i_sum_of_digits(sum[0], sum[1], sum[2], sum[3]);
#pragma unroll
            for (int lanes = 4; lanes > 0; lanes /= 2) {
                all += __shfl_xor_sync(0xffffffffu, all, lanes);
            }
            if (valid && lane % 8 == 0) {
                sums[row * M + m] = all + (first > 0 ? sums[row * M + m] : 0);
            }
        }
        __syncthreads();
    }
}

/* The elements of row m, which has Inf, and `rows` rows of w from `n` on: Inf or NaN. What is
 * finite makes no difference. */
template <typename T, int M, bool NORM>
__device__ inline void gemv_infinite_row(const gi8i_gemv_args &args, const gemv_x<M> &s, int m,
                                         int64_t n, int rows) {
    const gi8i_epilogue &e = args.epilogue;
    int64_t end = n + rows < args.n ? n + rows : args.n;
#pragma unroll 1
    for (n += threadIdx.x; n < end; n += blockDim.x) {
        float out = 0.0f;
#pragma unroll 1
        for (int k = 0; k < args.k; k++) {
            float x = gemv_load<T, M, NORM>(args, s, m, k);
            if (gi8i_abs_bits(x) == GI8I_INF_BITS) {
                out = fmaf(x, static_cast<float>(args.w[n * args.k + k]), out);
            }
        }
        gi8i_store(e.out, m, n,
                   gi8i_finish_int8(0, out, 0.0f, gi8i_column_scale(e, n),
                                    gi8i_column_bias(e, n)));
    }
}

/* The outlier part of the list, of element (row, m) in each lane, in units; by a whole warp. */
template <int M>
__device__ inline int64_t gemv_list_outliers(const gi8i_gemv_args &args, const gemv_x<M> &s,
                                             int64_t n, int row, int m) {
    int lane = threadIdx.x % 32;
    int n_columns = *s.n_columns;
    int64_t out = 0;
    for (int first = 0; first < n_columns; first += 32) {
        int w[GI8I_GEMV_ROWS] = {};
        if (first + lane < n_columns) {
            const int8_t *code = args.w + n * args.k + s.columns[first + lane];
            w[0] = *code;
            w[1] = n + 1 < args.n ? code[args.k] : 0;
        }
        int count = n_columns - first < 32 ? n_columns - first : 32;
#pragma unroll(M == 4 ? 2 : 4) /* or it takes too many registers */
        for (int i = 0; i < count; i++) {
            int code = __shfl_sync(0xffffffffu, w[0], i);
            int second = __shfl_sync(0xffffffffu, w[1], i);
            code = row == 0 ? code : second;
            out += static_cast<int64_t>(s.values[m * GI8I_GEMV_LIST + first + i]) * code;
        }
    }
    return out;
}

/* The weights of a warp at a time: loads of UNROLL units of 16 bytes of each of its rows. */
typedef struct gemv_weights {
    uint4 units[GI8I_GEMV_UNROLL][GI8I_GEMV_ROWS];
} gemv_weights;

template <typename T, int M, bool NORM>
__global__ void __launch_bounds__(32 * GI8I_GEMV_WARPS, 2) gemv_s8(gi8i_gemv_args args) {
    constexpr int ROWS = GI8I_GEMV_ROWS;
    constexpr int UNROLL = GI8I_GEMV_UNROLL;
    constexpr int SUMS = ROWS * M;
    GI8I_DYNAMIC_SHARED(uint4, dynamic);
    GI8I_SHARED(gi8i_row_max, warp_max, GI8I_GEMV_WARPS * M);
    GI8I_SHARED(int32_t, partial, 2 * GI8I_GEMV_WARPS * SUMS);
    GI8I_SHARED(float, scales, M);
    GI8I_SHARED(float, norms, 2 * M);
    GI8I_SHARED(const void *, rows, M);
    GI8I_SHARED(int, n_columns, 1);
    GI8I_SHARED(float, row_units, M);
    GI8I_SHARED(int, columns, GI8I_GEMV_LIST);
    GI8I_SHARED(int, values, GI8I_GEMV_LIST * M);
    GI8I_SHARED(uint4, digits, GI8I_GEMV_DIGITS);
    GI8I_SHARED(float, slots, NORM ? 2 * M * GI8I_ROW_THREADS / 32 : 1);
    const gi8i_epilogue &e = args.epilogue;
    int lane = threadIdx.x % 32;
    int warp = threadIdx.x / 32;
    int slice = warp % args.slices;
    int tile_rows = blockDim.x / 32 / args.slices * ROWS;
    int64_t block_row = static_cast<int64_t>(blockIdx.x) * args.tiles_per_block * tile_rows;
    int64_t block_rows = args.n - block_row;
    int n_tiles = args.tiles_per_block;
    if (block_rows < static_cast<int64_t>(n_tiles) * tile_rows) {
        n_tiles = static_cast<int>(gi8i_div_up<int64_t>(block_rows, tile_rows));
    }
    int units = static_cast<int>(args.k / 16);
    int n_steps = gi8i_div_up(units, 32 * UNROLL * args.slices);
    gemv_x<M> s = {reinterpret_cast<int8_t *>(dynamic), scales, n_columns, row_units, columns,
                   values, nullptr, norms, rows};
    /* Behind the codes the sums of outliers of all of the block's elements, then the mask. */
    int64_t *many = reinterpret_cast<int64_t *>(dynamic + M * static_cast<int64_t>(units));
    s.mask = reinterpret_cast<uint32_t *>(many + args.tiles_per_block * tile_rows * M);

    /* Row r of this warp's in a tile; behind the end the last one of w. */
    auto row_of = [&](int tile, int r) {
        int64_t n = block_row + static_cast<int64_t>(tile) * tile_rows + warp / args.slices * ROWS;
        return n + r < args.n ? n + r : args.n - 1;
    };
    auto unit_of = [&](int step, int u) {
        return ((step * UNROLL + u) * args.slices + slice) * 32 + lane;
    };
    auto load = [&](int tile, int step) {
        gemv_weights weights;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const int8_t *row = args.w + row_of(tile, r) * args.k;
#pragma unroll
            for (int u = 0; u < UNROLL; u++) {
                int unit = unit_of(step, u);
                weights.units[u][r] = unit < units
                                          ? gi8i_load_once(row + 16 * static_cast<int64_t>(unit))
                                          : make_uint4(0, 0, 0, 0);
            }
        }
        return weights;
    };

    gemv_weights next = load(0, 0);
    gemv_quantize<T, M, NORM>(args, s, warp_max, slots);
    bool is_listed = *n_columns <= GI8I_GEMV_LIST;
    if (!is_listed) {
        gemv_many_outliers<T, M, NORM>(args, s, block_row, n_tiles * tile_rows, digits, many);
        next = load(0, 0); /* again, to leave registers to all this */
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        *args.counted += static_cast<unsigned long long>(*n_columns);
    }

    int32_t acc[ROWS][M] = {};
    int tile = 0;
    int step = 0;
    while (tile < n_tiles) {
        gemv_weights now = next;
        bool is_last = step + 1 == n_steps;
        int next_tile = is_last ? tile + 1 : tile;
        int next_step = is_last ? 0 : step + 1;
        if (next_tile < n_tiles) {
            next = load(next_tile, next_step);
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int unit = unit_of(step, u);
            unit = unit < units ? unit : 0; /* then the weights are 0 */
#pragma unroll
            for (int m = 0; m < M; m++) {
                uint4 q = dynamic[m * units + unit];
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    uint4 w = now.units[u][r];
                    int32_t sum = acc[r][m];
                    sum = __dp4a(static_cast<int>(w.x), static_cast<int>(q.x), sum);
                    sum = __dp4a(static_cast<int>(w.y), static_cast<int>(q.y), sum);
                    sum = __dp4a(static_cast<int>(w.z), static_cast<int>(q.z), sum);
                    sum = __dp4a(static_cast<int>(w.w), static_cast<int>(q.w), sum);
                    acc[r][m] = sum;
                }
            }
        }
        if (is_last) {
            /* Lane r * M + m gets the sum of element (r, m). */
            int32_t mine = 0;
#pragma unroll
            for (int i = 0; i < SUMS; i++) {
                int32_t sum = acc[i / M][i % M];
#pragma unroll
                for (int lanes = 16; lanes > 0; lanes /= 2) {
                    sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
                }
                mine = lane == i ? sum : mine;
                acc[i / M][i % M] = 0;
            }
            if (args.slices > 1) {
                /* Two sets in turn: the next tile's barrier stands between this one's readers and
                 * the writers of the tile after it. */
                int32_t *set = partial + tile % 2 * GI8I_GEMV_WARPS * SUMS;
                if (lane < SUMS) {
                    set[warp * SUMS + lane] = mine;
                }
                __syncthreads();
                for (int i = 1; i < args.slices && slice == 0 && lane < SUMS; i++) {
                    mine += set[(warp + i) * SUMS + lane];
                }
            }
            if (slice == 0) {
                int row = lane / M;
                int m = lane % M;
                int64_t sum = 0;
                int in_block = tile * tile_rows + warp / args.slices * ROWS + row;
                if (is_listed) {
                    sum = gemv_list_outliers<M>(args, s, row_of(tile, 0), row, m);
                } else if (lane < SUMS) {
                    sum = many[in_block * M + m];
                }
                int64_t n = block_row + in_block;
                if (lane < SUMS && n < args.n && m < args.m && gi8i_has_unit(row_units[m])) {
                    float out = gi8i_sum_to_fp32(sum, row_units[m]);
                    float y = gi8i_finish_int8(mine, out, scales[m], gi8i_column_scale(e, n),
                                               gi8i_column_bias(e, n));
                    gi8i_store(e.out, m, n, y);
                }
            }
        }
        tile = next_tile;
        step = next_step;
    }
#pragma unroll 1
    for (int m = 0; m < args.m; m++) {
        if (!gi8i_has_unit(row_units[m])) {
            gemv_infinite_row<T, M, NORM>(args, s, m, block_row, n_tiles * tile_rows);
        }
    }
}

template <typename T, bool NORM>
gi8_status gemv_launch(const gi8i_cuda_run *run, const gi8i_gemv_shape &shape,
                       const gi8i_gemv_args &args, gi8_error *error) {
    dim3 grid(shape.blocks);
    dim3 block(static_cast<unsigned>(32 * shape.warps));
    auto kernel = gemv_s8<T, 1, NORM>;
    if constexpr (!NORM) {
        kernel = args.m == 1 ? kernel : args.m == 2 ? gemv_s8<T, 2, false> : gemv_s8<T, 4, false>;
    }
    return gi8i_launch("gemv_s8", kernel, grid, block, shape.shared_bytes, run->stream, error,
                       args);
}

} // namespace

/* How to share the work; false where x does not fit in shared memory, or is so large that every
 * block would be busy quantizing. Chosen by a model of the time of the busiest multiprocessor, in
 * bytes at some 25 a nanosecond: its rows of w, with what the last unit of each slice wastes; x,
 * which comes from the level-2 cache and counts half; what starting a tile, and a barrier in it,
 * costs; and half the latency of each step of loads. Not measured. */
static inline bool gi8i_gemv_s8_shape(const gi8i_cuda_device *device, int64_t k, int64_t n,
                                      int64_t m, gi8i_gemv_shape *best) {
    if (k % 16 != 0 || m > GI8I_GEMV_MAX_M || (m > 1 && m * k > 32768)) {
        return false;
    }
    const size_t fixed = 12 * 1024; /* more than the shared memory that is not dynamic */
    const int most_rows = 1024;     /* of a block: they have a place in shared memory each */
    int64_t kernel_m = m == 3 ? 4 : m;
    int64_t best_cost = INT64_MAX;
    for (int warps = 4; warps <= GI8I_GEMV_WARPS; warps *= 2) {
        for (int slices = 1; slices <= warps; slices *= 2) {
            int64_t tile_rows = warps / slices * GI8I_GEMV_ROWS;
            int64_t tiles = gi8i_div_up(n, tile_rows);
            size_t x_bytes = static_cast<size_t>(kernel_m * k + gi8i_div_up<int64_t>(k, 32) * 4);
            size_t room = device->shared_bytes_max / (x_bytes + fixed);
            if (room == 0) {
                return false;
            }
            int64_t per_sm = static_cast<int64_t>(room) < 32 / warps ? static_cast<int64_t>(room)
                                                                     : 32 / warps;
            int64_t per_block = gi8i_div_up(tiles, per_sm * device->n_multiprocessors);
            per_block = per_block < most_rows / tile_rows ? per_block : most_rows / tile_rows;
            size_t shared = x_bytes + static_cast<size_t>(per_block * tile_rows * kernel_m * 8);
            if (shared + fixed > device->shared_bytes_max) {
                continue;
            }
            int64_t blocks = gi8i_div_up(tiles, per_block);
            int64_t on_one = gi8i_div_up<int64_t>(blocks, device->n_multiprocessors);
            int64_t row_bytes = gi8i_div_up<int64_t>(k, 512 * slices) * 512 * slices;
            int64_t tile_cost = tile_rows * row_bytes + (slices > 1 ? 2048 : 512);
            int64_t steps = gi8i_div_up<int64_t>(k, 512 * GI8I_GEMV_UNROLL * slices);
            int64_t cost = on_one * (per_block * tile_cost + 2 * k * m) + per_block * steps * 8192;
            if (cost < best_cost && blocks <= INT32_MAX) {
                best_cost = cost;
                best->warps = warps;
                best->slices = slices;
                best->tiles_per_block = static_cast<int>(per_block);
                best->blocks = static_cast<unsigned>(blocks);
                best->shared_bytes = shared;
            }
        }
    }
    return best_cost < INT64_MAX;
}

/* Enqueues the kernel. Of `args` the fields slices, tiles_per_block and counted are taken from
 * `shape` and `run`. */
static inline gi8_status gi8i_gemv_s8(const gi8i_cuda_run *run, const gi8i_gemv_shape *shape,
                                      gi8i_gemv_args args, gi8_error *error) {
    args.slices = shape->slices;
    args.tiles_per_block = shape->tiles_per_block;
    args.counted = run->outlier_columns;
    if (args.normalize) {
        return gemv_launch<float, true>(run, *shape, args, error);
    }
    switch (args.epilogue.x.type) {
    case GI8_TYPE_F16: return gemv_launch<__half, false>(run, *shape, args, error);
    case GI8_TYPE_BF16: return gemv_launch<__nv_bfloat16, false>(run, *shape, args, error);
    default: return gemv_launch<float, false>(run, *shape, args, error);
    }
}

#endif
