/* gemv_f16.cuh - the product of F16, BF16 or F32 weights with at most four rows of x, in fp32: the
 * weights are read once, 16 bytes a load, many loads under way. */
#ifndef GI8I_CUDA_GEMV_F16_CUH
#define GI8I_CUDA_GEMV_F16_CUH

#include "epilogue.cuh"

#include <ptx.cuh>

enum {
    GI8I_GEMV_MAX_M = 4,
    GI8I_GEMV_WARPS = 4,
    GI8I_GEMV_THREADS = 32 * GI8I_GEMV_WARPS,
    GI8I_GEMV_ROWS = 2, /* of w, that a warp has at a time */
    GI8I_GEMV_AHEAD = 4 /* loads of each row that a lane has under way */
};

/* w: rows of k at a stride of ldw elements; rows of w and of x are aligned to 16 bytes. `split`
 * warps (1, 2 or 4) share the k of a group of GI8I_GEMV_ROWS rows; a block has
 * GI8I_GEMV_WARPS / split groups. */
template <typename T, int M>
static __global__ void __launch_bounds__(GI8I_GEMV_THREADS, 4)
    gi8i_gemv(const T *w, int64_t ldw, gi8i_rows x, int64_t k, int64_t n, int split,
              gi8i_output out) {
    constexpr int ROWS = GI8I_GEMV_ROWS;
    constexpr int AHEAD = GI8I_GEMV_AHEAD;
    constexpr int PER_LOAD = 16 / static_cast<int>(sizeof(T));
    GI8I_SHARED(float, sums, GI8I_GEMV_WARPS * ROWS * M);
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int part = warp % split;
    const int64_t group =
        static_cast<int64_t>(blockIdx.x) * (GI8I_GEMV_WARPS / split) + warp / split;
    const int64_t first = group * ROWS;
    const T *rows[ROWS];
    const float *x_rows[M];
#pragma unroll
    for (int r = 0; r < ROWS; r++) { /* behind the last row: the last row once more */
        rows[r] = w + (first + r < n ? first + r : n - 1) * ldw;
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
        x_rows[m] = static_cast<const float *>(gi8i_row(x, m));
    }
    float sum[ROWS][M] = {};
    const int64_t loads = k / PER_LOAD;
    const int64_t stride = 32 * split;
    for (int64_t i = part * 32 + lane; i < loads; i += AHEAD * stride) {
        uint4 raw[AHEAD][ROWS];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                if (i + a * stride < loads) {
                    raw[a][r] = gi8i_load_once(rows[r] + (i + a * stride) * PER_LOAD);
                }
            }
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            if (i + a * stride < loads) {
                float v[ROWS][PER_LOAD];
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    gi8i_unpack(raw[a][r], v[r], T());
                }
#pragma unroll
                for (int m = 0; m < M; m++) {
#pragma unroll
                    for (int j = 0; j < PER_LOAD; j += 4) {
                        const float4 four = *reinterpret_cast<const float4 *>(
                            x_rows[m] + (i + a * stride) * PER_LOAD + j);
#pragma unroll
                        for (int r = 0; r < ROWS; r++) {
                            float s = sum[r][m];
                            s = fmaf(v[r][j], four.x, s);
                            s = fmaf(v[r][j + 1], four.y, s);
                            s = fmaf(v[r][j + 2], four.z, s);
                            sum[r][m] = fmaf(v[r][j + 3], four.w, s);
                        }
                    }
                }
            }
        }
    }
    const int64_t last = loads * PER_LOAD + lane; /* what is left is less than one load */
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int m = 0; m < M; m++) {
            float s = sum[r][m];
            if (part == 0 && last < k) {
                s = fmaf(gi8i_to_fp32(rows[r][last]), x_rows[m][last], s);
            }
            for (int offset = 16; offset > 0; offset /= 2) {
                s += __shfl_xor_sync(0xffffffffu, s, offset);
            }
            if (lane == 0) {
                sums[warp * ROWS * M + r * M + m] = s;
            }
        }
    }
    __syncthreads();
    if (part == 0 && lane < ROWS * M && first + lane / M < n) {
        float s = 0.0f;
        for (int i = 0; i < split; i++) {
            s += sums[(warp + i) * ROWS * M + lane];
        }
        gi8i_store(out, lane % M, first + lane / M, s);
    }
}

#endif
