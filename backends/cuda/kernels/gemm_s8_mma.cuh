/* gemm_s8_mma.cuh - y = epilogue(q w) for int8 codes on tensor cores, one template for all shapes.
 *
 * A block computes a tile of BN columns of y (rows of w) by BM rows of y (rows of q). Rows of w are
 * the 16-row operand of the mma, rows of q the 8-column one, so that 5 rows of q waste little and
 * neighbouring lanes store neighbouring elements of y. Both pass through shared memory in slices of
 * BK bytes of k: cp.async fills a ring of 2 to 4 stages while the tensor cores empty it. Chunks of
 * 16 bytes lie at their index XOR the row's, so that the 8 rows of an ldmatrix, and the lanes of a
 * copy, use all banks once.
 *
 * Where there are fewer tiles than multiprocessors, gridDim.y blocks share a tile's sum over k:
 * each stores its int32 sums, and the one that comes last adds them up (in any order: integers) and
 * finishes the tile.
 */
#ifndef GI8I_CUDA_GEMM_S8_MMA_CUH
#define GI8I_CUDA_GEMM_S8_MMA_CUH

#include <ptx.cuh>

#include "kernels/gemm_s8.cuh"
#include "launch.cuh"

/* Arguments of the kernel. */
typedef struct gi8i_gemm_s8_job {
    const int8_t *w;
    int64_t k, n, m;
    int tiles_n, tiles_m;
    int slices;        /* of BK bytes of k, for each of the blocks that share a tile */
    int stages;
    int outlier_chunk; /* outlier columns that shared memory holds at a time */
    int4 *partial;     /* sums of blocks that share tiles */
    uint32_t *counters; /* how many of a tile's blocks are done */
    gi8i_epilogue epilogue;
} gi8i_gemm_s8_job;

/* A tile, and the part of it that a warp computes: I by J products of 16 x 8. */
template <int BN_, int BM_, int BK_, int WARPS_N_, int WARPS_M_> struct gi8i_gemm_s8_tile {
    static constexpr int BN = BN_, BM = BM_, BK = BK_, WARPS_N = WARPS_N_, WARPS_M = WARPS_M_;
    static constexpr int WARPS = WARPS_N * WARPS_M, THREADS = 32 * WARPS;
    static constexpr int WN = BN / WARPS_N, WM = BM / WARPS_M;
    static constexpr int I = WN / 16, J = WM / 8;
    static constexpr int CHUNKS = BK / 16;              /* of 16 bytes in a row of a stage */
    static constexpr int ROWS_A_PASS = THREADS / CHUNKS; /* that all threads copy at once */
    static constexpr int STAGE_BYTES = (BN + BM) * BK;
    /* Blocks that the registers of a multiprocessor shall have room for. */
    static constexpr int RESIDENT = I * J <= 8 ? 4 : I * J <= 16 ? 3 : 1;
    /* A row of weights and a row of entries for each outlier column; the odd 4 spread banks. */
    static constexpr int OUTLIER_W = BN + 4, OUTLIER_X = BM + 4;
    static constexpr int OUTLIER_BYTES = (OUTLIER_W + OUTLIER_X) * 4;
    /* In front of them, a place for each element of a slice. */
    static constexpr int PARTS_BYTES = I * 8 * THREADS * 4;
    static_assert(BK == 64 || BK == 128, "what the swizzle is made for");
    static_assert(WN % 16 == 0 && WM % 16 == 0, "whole ldmatrix.x4");
    static_assert(ROWS_A_PASS % 8 == 0 && BN % ROWS_A_PASS == 0 && BM % ROWS_A_PASS == 0,
                  "whole passes, each with the swizzle of the first");
};

/* Where 16 bytes of a row lie in a tile of rows of BK bytes. */
template <int BK> static __device__ inline int gi8i_swizzle(int row, int chunk) {
    int line = BK == 128 ? row & 7 : row >> 1 & 3; /* two rows of 64 bytes share all banks */
    return row * BK + ((chunk ^ line) << 4);
}

/* Starts the copy of ROWS rows of BK bytes from k on, zeros behind the last row and the last k. */
template <class T, int ROWS>
static __device__ inline void gi8i_gemm_s8_copy(unsigned char *to, const int8_t *from, int64_t ld,
                                                int64_t rows, int64_t k, int64_t k_end) {
    int chunk = static_cast<int>(threadIdx.x) % T::CHUNKS;
    int row = static_cast<int>(threadIdx.x) / T::CHUNKS;
    unsigned char *shared = to + gi8i_swizzle<T::BK>(row, chunk);
    int64_t at = k + chunk * 16;
    bool inside = at < k_end;
    const int8_t *global = from + row * ld + at;
#pragma unroll
    for (int r = 0; r < ROWS; r += T::ROWS_A_PASS) {
        bool valid = inside && row + r < rows;
        gi8i_cp_async_16(shared + r * T::BK, valid ? global + r * ld : from, valid);
    }
}

/* acc += this warp's part of one stage. */
template <class T>
static __device__ inline void gi8i_gemm_s8_multiply(const unsigned char *w, const unsigned char *q,
                                                    int32_t (&acc)[T::I][T::J][4]) {
    int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    int w_row = warp % T::WARPS_N * T::WN + lane % 16, w_chunk = lane / 16;
    int q_row = warp / T::WARPS_N * T::WM + lane % 8 + lane / 16 * 8, q_chunk = lane / 8 % 2;
#pragma unroll
    for (int step = 0; step < T::BK / 32; step++) {
        uint32_t a[T::I][4], b[T::J / 2][4];
#pragma unroll
        for (int i = 0; i < T::I; i++) {
            gi8i_ldmatrix_x4(a[i], w + gi8i_swizzle<T::BK>(w_row, step * 2 + w_chunk) +
                                       i * 16 * T::BK);
        }
#pragma unroll
        for (int j = 0; j < T::J / 2; j++) {
            gi8i_ldmatrix_x4(b[j], q + gi8i_swizzle<T::BK>(q_row, step * 2 + q_chunk) +
                                       j * 16 * T::BK);
        }
#pragma unroll
        for (int i = 0; i < T::I; i++) {
#pragma unroll
            for (int j = 0; j < T::J; j++) {
                gi8i_mma_s8(acc[i][j], a[i], b[j / 2] + j % 2 * 2);
            }
        }
    }
}

/* acc = the sums over this block's slices of k. `n` and `m` are the tile's first. */
template <class T>
static __device__ inline void gi8i_gemm_s8_sum(const gi8i_gemm_s8_job &job, unsigned char *shared,
                                               int64_t n, int64_t m,
                                               int32_t (&acc)[T::I][T::J][4]) {
    const int8_t *w = job.w + n * job.k, *q = job.epilogue.q + m * job.epilogue.ldq;
    int64_t k = static_cast<int64_t>(blockIdx.y) * job.slices * T::BK; /* of the next copy */
    auto copy = [&](int slice, int stage) {
        if (slice < job.slices && k < job.k) {
            unsigned char *to = shared + stage * T::STAGE_BYTES;
            gi8i_gemm_s8_copy<T, T::BN>(to, w, job.k, job.n - n, k, job.k);
            gi8i_gemm_s8_copy<T, T::BM>(to + T::BN * T::BK, q, job.epilogue.ldq, job.m - m, k,
                                        job.k);
            k += T::BK;
        }
        gi8i_cp_async_commit(); /* always, so that groups count slices */
    };
    for (int stage = 0; stage < job.stages - 1; stage++) {
        copy(stage, stage);
    }
    int64_t left = (job.k - static_cast<int64_t>(blockIdx.y) * job.slices * T::BK + T::BK - 1) /
                   T::BK;
    int slices = left < job.slices ? static_cast<int>(left) : job.slices;
    int stage = 0, free_stage = job.stages - 1;
    for (int slice = 0; slice < slices; slice++) {
        switch (job.stages) {
        case 4: gi8i_cp_async_wait<2>(); break;
        case 3: gi8i_cp_async_wait<1>(); break;
        default: gi8i_cp_async_wait<0>(); break;
        }
        __syncthreads(); /* the slice is there for all; all have left the stage to be filled */
        copy(slice + job.stages - 1, free_stage);
        const unsigned char *from = shared + stage * T::STAGE_BYTES;
        gi8i_gemm_s8_multiply<T>(from, from + T::BN * T::BK, acc);
        free_stage = stage;
        stage = stage + 1 < job.stages ? stage + 1 : 0;
    }
}

/* Hands over this block's sums. True in the block that is the tile's last: acc is the whole sum
 * there. Uses the stages' memory, which all have left. */
template <class T>
static __device__ inline bool gi8i_gemm_s8_join(const gi8i_gemm_s8_job &job, unsigned char *shared,
                                                int32_t (&acc)[T::I][T::J][4]) {
    uint32_t *before = reinterpret_cast<uint32_t *>(shared);
    constexpr int64_t SIZE = T::I * T::J * T::THREADS;
    int4 *tile = job.partial + static_cast<int64_t>(blockIdx.x) * gridDim.y * SIZE + threadIdx.x;
    int4 *mine = tile + blockIdx.y * SIZE;
#pragma unroll
    for (int i = 0; i < T::I; i++) {
#pragma unroll
        for (int j = 0; j < T::J; j++) {
            mine[(i * T::J + j) * T::THREADS] =
                make_int4(acc[i][j][0], acc[i][j][1], acc[i][j][2], acc[i][j][3]);
        }
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        *before = atomicAdd(&job.counters[blockIdx.x], 1u);
    }
    __syncthreads();
    if (*before + 1 != gridDim.y) {
        return false;
    }
    __threadfence();
    for (unsigned split = 0; split < gridDim.y; split++) {
        if (split == blockIdx.y) {
            continue;
        }
        const int4 *other = tile + split * SIZE;
#pragma unroll
        for (int i = 0; i < T::I; i++) {
#pragma unroll
            for (int j = 0; j < T::J; j++) {
                int4 sum = other[(i * T::J + j) * T::THREADS];
                acc[i][j][0] += sum.x;
                acc[i][j][1] += sum.y;
                acc[i][j][2] += sum.z;
                acc[i][j][3] += sum.w;
            }
        }
    }
    if (threadIdx.x == 0) {
        gi8i_reset_counter(&job.counters[blockIdx.x]); /* for the next product */
    }
    return true;
}

/* Outlier columns first .. first + count - 1 to shared memory: the tile's weights, and what they
 * are multiplied with, in units of the row (outliers.cuh), for the rows of `slices` slices of 16
 * from `slice` on of each warp. What a thread needs of a column, the rows of its own fragments, is
 * contiguous. */
template <class T>
static __device__ inline void gi8i_gemm_s8_gather(const gi8i_gemm_s8_job &job, int32_t *w,
                                                  int32_t *x, int64_t n, int64_t m, int first,
                                                  int count, int slice, int slices) {
    int shift = 0; /* 2^shift threads for the columns of a row */
    while (1 << shift < count) {
        shift++;
    }
    int mask = (1 << shift) - 1;
    const int32_t *columns = job.epilogue.columns + first;
    for (int i = static_cast<int>(threadIdx.x); i < T::BN << shift; i += T::THREADS) {
        int column = i & mask, row = i >> shift;
        if (column < count) {
            int place = row / T::WN * T::WN + row % 8 * (T::WN / 8) + row % T::WN / 8;
            w[column * T::OUTLIER_W + place] =
                n + row < job.n ? job.w[(n + row) * job.k + columns[column]] : 0;
        }
    }
    for (int i = static_cast<int>(threadIdx.x); i < (T::WARPS_M * slices * 16) << shift;
         i += T::THREADS) {
        int column = i & mask, row = i >> shift;
        row = row / (slices * 16) * T::WM + slice * 16 + row % (slices * 16);
        if (column < count) {
            int place = row / 16 * 16 + row % 8 / 2 * 4 + row % 16 / 8 * 2 + row % 2;
            x[column * T::OUTLIER_X + place] =
                m + row < job.m ? gi8i_outlier_fixed(job.epilogue, m + row, columns[column]) : 0;
        }
    }
}

/* The fused nodes on this thread's elements of a slice. One node after the other, so that the reads
 * of all elements are under way at once. */
template <class T>
static __device__ inline void gi8i_gemm_s8_fused(const gi8i_gemm_s8_job &job, const int64_t (&n)[2],
                                                 const int64_t (&m)[4], float (&v)[T::I][2][4]) {
    const gi8i_output &out = job.epilogue.out;
    auto activate = [&](gi8_activation_kind kind) {
#pragma unroll
        for (int i = 0; i < T::I * 8; i++) {
            v[i / 8][i / 4 % 2][i % 4] = gi8i_activate(kind, v[i / 8][i / 4 % 2][i % 4]);
        }
    };
#pragma unroll 1
    for (int f = 0; f < out.n_fused; f++) {
        const float *other = out.fused[f].other;
        int64_t stride = out.fused[f].stride;
        if (other != nullptr) {
#pragma unroll
            for (int i = 0; i < T::I * 8; i++) {
                int64_t column = n[i / 2 % 2] + i / 8 * 16, row = m[i / 4 % 2 * 2 + i % 2];
                if (column < job.n && row < job.m) {
                    float &value = v[i / 8][i / 4 % 2][i % 4];
                    value = __fadd_rn(value, other[row * stride + column]);
                }
            }
            continue;
        }
        switch (out.fused[f].kind) { /* one decision for all elements */
        case GI8_ACTIVATION_RELU: activate(GI8_ACTIVATION_RELU); break;
        case GI8_ACTIVATION_SILU: activate(GI8_ACTIVATION_SILU); break;
        case GI8_ACTIVATION_GELU: activate(GI8_ACTIVATION_GELU); break;
        case GI8_ACTIVATION_GELU_TANH: activate(GI8_ACTIVATION_GELU_TANH); break;
        }
    }
}

/* What a thread has of rows with Inf: without acc, which makes no difference there. `n` and `m` are
 * its first column and row. */
template <class T>
static __device__ inline void gi8i_gemm_s8_infinite(const gi8i_gemm_s8_job &job, int64_t n,
                                                    int64_t m) {
    const gi8i_epilogue &e = job.epilogue;
#pragma unroll 1
    for (int i = 0; i < T::J * 2; i++) {
        int64_t row = m + i / 2 * 8 + i % 2;
        if (row >= job.m || gi8i_has_unit(e.row_unit[row])) {
            continue;
        }
#pragma unroll 1
        for (int64_t column = n; column < n + T::WN && column < job.n; column += 8) {
            float part = gi8i_infinite_part(e, job.w + column * job.k, row);
            gi8i_store(e.out, row, column,
                       gi8i_finish_int8(0, part, 0.0f, gi8i_column_scale(e, column),
                                        gi8i_column_bias(e, column)));
        }
    }
}

/* The outlier part of this thread's elements of a slice to its places in shared memory: beside acc
 * there are not enough registers for it. */
template <class T>
static __device__ inline void gi8i_gemm_s8_outliers(const gi8i_gemm_s8_job &job,
                                                    unsigned char *shared, int64_t n, int64_t m,
                                                    int slice, int n_outliers) {
    int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    int warp_m = warp / T::WARPS_N * T::WM + slice * 16;
    float *parts = reinterpret_cast<float *>(shared) + threadIdx.x;
    int32_t *w = reinterpret_cast<int32_t *>(shared + T::PARTS_BYTES);
    int32_t *x = w + job.outlier_chunk * T::OUTLIER_W;
    const int32_t *my_w = w + warp % T::WARPS_N * T::WN + lane / 4 * (T::WN / 8);
    const int32_t *my_x = x + warp_m + lane % 4 * 4;
    bool all = n_outliers <= job.outlier_chunk; /* gathered once for all slices */
#pragma unroll 1
    for (int i = 0; i < T::I; i++) {
        int64_t sum[8] = {};
#pragma unroll 1
        for (int first = 0; first < n_outliers; first += job.outlier_chunk) {
            int rest = n_outliers - first;
            int count = rest < job.outlier_chunk ? rest : job.outlier_chunk;
            if (i + slice == 0 || !all) {
                __syncthreads(); /* nobody reads any more what lies there */
                gi8i_gemm_s8_gather<T>(job, w, x, n, m, first, count, slice,
                                       all ? T::J / 2 : 1);
                __syncthreads();
            }
            for (int o = 0; o < count; o++) {
                int4 v = *reinterpret_cast<const int4 *>(my_x + o * T::OUTLIER_X);
                int2 code = *reinterpret_cast<const int2 *>(my_w + o * T::OUTLIER_W + i * 2);
                sum[0] += static_cast<int64_t>(v.x) * code.x;
                sum[1] += static_cast<int64_t>(v.y) * code.x;
                sum[2] += static_cast<int64_t>(v.x) * code.y;
                sum[3] += static_cast<int64_t>(v.y) * code.y;
                sum[4] += static_cast<int64_t>(v.z) * code.x;
                sum[5] += static_cast<int64_t>(v.w) * code.x;
                sum[6] += static_cast<int64_t>(v.z) * code.y;
                sum[7] += static_cast<int64_t>(v.w) * code.y;
            }
        }
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int64_t row = m + warp_m + lane % 4 * 2 + j / 4 * 8 + j % 2;
            float unit = row < job.m ? job.epilogue.row_unit[row] : 0.0f;
            parts[(i * 8 + j) * T::THREADS] = gi8i_sum_to_fp32(sum[j], unit);
        }
    }
}

/* The same from memory. `n` and `m` are the thread's first column and row. */
template <class T>
static __device__ inline void gi8i_gemm_s8_load_sums(const gi8i_gemm_s8_job &job, float *parts,
                                                     int64_t n, int64_t m) {
#pragma unroll 2
    for (int i = 0; i < T::I * 2; i++) {
        int64_t column = n + i / 2 * 16;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int64_t to = column + j / 2 * 8, row = m + i % 2 * 8 + j % 2;
            if (to < job.n && row < job.m) {
                parts[(i * 4 + j) * T::THREADS] = job.epilogue.sums[row * job.n + to];
            }
        }
    }
}

/* From acc to y. */
template <class T>
static __device__ inline void gi8i_gemm_s8_finish(const gi8i_gemm_s8_job &job,
                                                  unsigned char *shared, int64_t n, int64_t m,
                                                  const int32_t (&acc)[T::I][T::J][4]) {
    const gi8i_epilogue &e = job.epilogue;
    int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    int g = lane / 4, t = lane % 4;
    int warp_n = warp % T::WARPS_N * T::WN, warp_m = warp / T::WARPS_N * T::WM;
    int64_t columns[2] = {n + warp_n + g, n + warp_n + g + 8}; /* of y, and 16 i on */
    float scale[T::I][2], bias[T::I][2];
#pragma unroll
    for (int i = 0; i < T::I * 2; i++) {
        int64_t column = columns[i % 2] + i / 2 * 16;
        column = column < job.n ? column : job.n - 1;
        scale[i / 2][i % 2] = gi8i_column_scale(e, column);
        bias[i / 2][i % 2] = gi8i_column_bias(e, column);
    }
    float *parts = reinterpret_cast<float *>(shared) + threadIdx.x; /* a place for each element */
    bool decompose = e.columns != nullptr && *e.n_columns > 0;
    if (decompose) {
        __syncthreads(); /* all have left the stages */
    }
    constexpr int SLICES = T::J / 2;
#pragma unroll 1
    for (int slice = 0; slice < SLICES; slice++) {
        int64_t row = m + warp_m + slice * 16 + t * 2;
        if (decompose) {
            int own = gi8i_own_columns(e);
            if (own > 0) {
                gi8i_gemm_s8_outliers<T>(job, shared, n, m, slice, own);
            } else {
                gi8i_gemm_s8_load_sums<T>(job, parts, columns[0], row);
            }
        }
        int64_t rows[4] = {row, row + 1, row + 8, row + 9};
        float row_scale[4];
#pragma unroll
        for (int r = 0; r < 4; r++) {
            row_scale[r] = rows[r] < job.m ? e.row_scale[rows[r]] : 0.0f;
            if (decompose && rows[r] < job.m && !gi8i_has_unit(e.row_unit[rows[r]])) {
                rows[r] = job.m; /* left to gi8i_gemm_s8_infinite() */
            }
        }
        float v[T::I][2][4] = {}; /* the outlier part, then the result */
        if (decompose) {
#pragma unroll
            for (int i = 0; i < T::I * 8; i++) {
                v[i / 8][i / 4 % 2][i % 4] = parts[i * T::THREADS];
            }
        }
#pragma unroll
        for (int s = 0; s < SLICES; s++) { /* registers have no index that varies */
            if (s == slice) {
#pragma unroll
                for (int i = 0; i < T::I; i++) {
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        float &value = v[i][j / 4][j % 4];
                        value = gi8i_finish_int8(acc[i][s * 2 + j / 4][j % 4], value,
                                                 row_scale[j / 4 * 2 + j % 2],
                                                 scale[i][j / 2 % 2], bias[i][j / 2 % 2]);
                    }
                }
            }
        }
        gi8i_gemm_s8_fused<T>(job, columns, rows, v);
        gi8i_output plain = e.out;
        plain.n_fused = 0;
#pragma unroll
        for (int i = 0; i < T::I; i++) {
#pragma unroll
            for (int j = 0; j < 8; j++) {
                int64_t column = columns[j / 2 % 2] + i * 16, to = rows[j / 4 * 2 + j % 2];
                if (column < job.n && to < job.m) {
                    gi8i_store(plain, to, column, v[i][j / 4][j % 4]);
                }
            }
        }
    }
    if (decompose) {
        gi8i_gemm_s8_infinite<T>(job, columns[0], m + warp_m + t * 2);
    }
}

/* The first column and row of y of tile `tile`: eight tiles of rows of q at a time, and before the
 * next eight all rows of w, so that what blocks read at the same time fits in the L2 cache. */
template <class T>
static __device__ inline void gi8i_gemm_s8_place(const gi8i_gemm_s8_job &job, int64_t tile,
                                                 int64_t *n, int64_t *m) {
    int64_t group = tile / (8 * static_cast<int64_t>(job.tiles_n)) * 8;
    int64_t within = tile - group * job.tiles_n;
    int64_t height = job.tiles_m - group < 8 ? job.tiles_m - group : 8;
    *n = within / height * T::BN;
    *m = (group + within % height) * T::BM;
}

/* Grid: (tiles, blocks that share a tile). Dynamic shared memory: the stages. There is no other, or
 * two blocks of 32 KiB would not fit in the 64 KiB of a multiprocessor of Turing. */
template <class T>
static __global__ void __launch_bounds__(T::THREADS, T::RESIDENT)
    gi8i_gemm_s8_mma(const gi8i_gemm_s8_job job) {
    GI8I_DYNAMIC_SHARED(unsigned char, shared);
    int64_t n, m;
    gi8i_gemm_s8_place<T>(job, blockIdx.x, &n, &m);
    int32_t acc[T::I][T::J][4] = {};
    gi8i_gemm_s8_sum<T>(job, shared, n, m, acc);
    if (gridDim.y > 1 && !gi8i_gemm_s8_join<T>(job, shared, acc)) {
        return;
    }
    gi8i_gemm_s8_finish<T>(job, shared, n, m, acc);
}

#endif
