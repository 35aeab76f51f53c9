/* gemm_plain.cuh - the product of any matrices that gi8_mul_mat() takes, in fp32: any strides,
 * alignment and batches. */
#ifndef GI8I_CUDA_GEMM_PLAIN_CUH
#define GI8I_CUDA_GEMM_PLAIN_CUH

#include "gemv_f16.cuh"

enum {
    GI8I_PLAIN_TILE = 64,    /* rows of w, and of x */
    GI8I_PLAIN_K = 16,       /* elements of them at a time */
    GI8I_PLAIN_SIDE = 16,    /* threads along each side of a tile, */
    GI8I_PLAIN_THREADS = 256 /* each with 4 x 4 elements of the result */
};

typedef struct gi8i_plain_matrix {
    const void *data;
    int64_t nb1, nb2, nb3; /* bytes */
} gi8i_plain_matrix;

/* y [n, m, c2, c3]: matrix (i2, i3) of x meets (i2 / repeat2, i3 / repeat3) of w. */
typedef struct gi8i_plain {
    gi8i_plain_matrix w, x;
    int64_t k, n, m, c2, c3, repeat2, repeat3;
} gi8i_plain;

template <typename T>
static __device__ inline const T *gi8i_plain_row(const gi8i_plain_matrix &matrix, int64_t i1,
                                                 int64_t i2, int64_t i3) {
    const char *row = static_cast<const char *>(matrix.data) + i1 * matrix.nb1 + i2 * matrix.nb2 +
                      i3 * matrix.nb3;
    return reinterpret_cast<const T *>(row);
}

template <typename T>
static __global__ void __launch_bounds__(GI8I_PLAIN_THREADS)
    gi8i_gemm_plain(gi8i_plain p, gi8i_output out) {
    constexpr int LD = GI8I_PLAIN_TILE + 1;
    constexpr int EACH = GI8I_PLAIN_TILE / GI8I_PLAIN_SIDE;
    GI8I_SHARED(float, w_tile, GI8I_PLAIN_K * LD); /* [k][n] */
    GI8I_SHARED(float, x_tile, GI8I_PLAIN_K * LD); /* [k][m] */
    const int thread = static_cast<int>(threadIdx.x);
    const int tn = thread % GI8I_PLAIN_SIDE;
    const int tm = thread / GI8I_PLAIN_SIDE;
    const int64_t tiles_n = (p.n + GI8I_PLAIN_TILE - 1) / GI8I_PLAIN_TILE;
    const int64_t tiles_m = (p.m + GI8I_PLAIN_TILE - 1) / GI8I_PLAIN_TILE;
    const int64_t n_tiles = tiles_n * tiles_m * p.c2 * p.c3;
    for (int64_t tile = blockIdx.x; tile < n_tiles; tile += gridDim.x) {
        const int64_t first_m = tile % tiles_m * GI8I_PLAIN_TILE;
        const int64_t first_n = tile / tiles_m % tiles_n * GI8I_PLAIN_TILE;
        const int64_t matrix = tile / tiles_m / tiles_n;
        const int64_t i2 = matrix % p.c2;
        const int64_t i3 = matrix / p.c2;
        float sum[EACH][EACH] = {};
        for (int64_t k = 0; k < p.k; k += GI8I_PLAIN_K) {
            for (int i = thread; i < GI8I_PLAIN_TILE * GI8I_PLAIN_K; i += GI8I_PLAIN_THREADS) {
                const int row = i / GI8I_PLAIN_K;
                const int at = i % GI8I_PLAIN_K;
                float w = 0.0f;
                float x = 0.0f;
                if (k + at < p.k && first_n + row < p.n) {
                    w = gi8i_to_fp32(gi8i_plain_row<T>(p.w, first_n + row, i2 / p.repeat2,
                                                       i3 / p.repeat3)[k + at]);
                }
                if (k + at < p.k && first_m + row < p.m) {
                    x = gi8i_plain_row<float>(p.x, first_m + row, i2, i3)[k + at];
                }
                w_tile[at * LD + row] = w;
                x_tile[at * LD + row] = x;
            }
            __syncthreads();
            for (int at = 0; at < GI8I_PLAIN_K; at++) {
                float w[EACH];
                float x[EACH];
#pragma unroll
                for (int i = 0; i < EACH; i++) {
                    w[i] = w_tile[at * LD + tn + i * GI8I_PLAIN_SIDE];
                    x[i] = x_tile[at * LD + tm + i * GI8I_PLAIN_SIDE];
                }
#pragma unroll
                for (int i = 0; i < EACH; i++) {
#pragma unroll
                    for (int j = 0; j < EACH; j++) {
                        sum[i][j] = fmaf(w[j], x[i], sum[i][j]);
                    }
                }
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int64_t m = first_m + tm + i * GI8I_PLAIN_SIDE;
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                const int64_t n = first_n + tn + j * GI8I_PLAIN_SIDE;
                if (m < p.m && n < p.n) {
                    gi8i_store(out, matrix * p.m + m, n, sum[i][j]);
                }
            }
        }
    }
}

#endif
