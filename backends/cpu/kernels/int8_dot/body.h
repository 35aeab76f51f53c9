/* body.h - int8_dot: register tiles of dot products along k. The including file has
 *   WIDTH             codes in a vector
 *   TILE_N, TILE_M    rows of w and of q in a tile; MAX_TILE_N: of w where q is one row
 *   OFFSET            what `weights` adds to each code of w (0 or 128)
 *   vector            32-bit sums;  vector zero(void);  int32_t reduce(vector)
 *   weights           codes of w made ready;  weights prepare(const int8_t *), prepare_n(.., n)
 *   vector dot(vector acc, weights w, const int8_t *q)     acc + products, summed in groups of four
 *
 * With OFFSET = 128 a sum is sum(q w) + 128 sum(q) modulo 2^32; taking 128 sum(q) away, also modulo
 * 2^32, leaves the exact sum, which fits into int32 for k <= GI8_INT8_MAX_K.
 */
#include "../kernels.h"

static inline __attribute__((always_inline)) void tile(const gi8i_int8_dot_args *args, int64_t n,
                                                       int64_t m, const int tile_n,
                                                       const int tile_m) {
    vector acc[MAX_TILE_N][TILE_M];
    const int8_t *w = args->w + n * args->k;
    const int8_t *q = args->q + m * args->q_stride;
    GI8I_UNROLL
    for (int i = 0; i < tile_n; i++) {
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            acc[i][j] = zero();
        }
    }
    int64_t k = 0;
    for (; k + WIDTH <= args->k; k += WIDTH) {
        weights a[MAX_TILE_N];
        GI8I_UNROLL
        for (int i = 0; i < tile_n; i++) {
            a[i] = prepare(w + i * args->k + k);
        }
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            GI8I_UNROLL
            for (int i = 0; i < tile_n; i++) {
                acc[i][j] = dot(acc[i][j], a[i], q + j * args->q_stride + k);
            }
        }
    }
    if (k < args->k) {
        weights a[MAX_TILE_N];
        GI8I_UNROLL
        for (int i = 0; i < tile_n; i++) {
            a[i] = prepare_n(w + i * args->k + k, args->k - k);
        }
        GI8I_UNROLL
        for (int j = 0; j < tile_m; j++) {
            GI8I_UNROLL
            for (int i = 0; i < tile_n; i++) {
                acc[i][j] = dot(acc[i][j], a[i], q + j * args->q_stride + k);
            }
        }
    }
    GI8I_UNROLL
    for (int j = 0; j < tile_m; j++) {
        uint32_t excess = OFFSET * (uint32_t)args->q_sum[m + j];
        GI8I_UNROLL
        for (int i = 0; i < tile_n; i++) {
            uint32_t sum = (uint32_t)reduce(acc[i][j]) - excess;
            args->acc[(m + j) * GI8I_BLOCK_N + n + i] = (int32_t)sum;
        }
    }
}

static inline __attribute__((always_inline)) void rows_of_w(const gi8i_int8_dot_args *args, int64_t n,
                                                            const int tile_n) {
    int64_t m = 0;
    for (; m + TILE_M <= args->m; m += TILE_M) {
        tile(args, n, m, tile_n, TILE_M);
    }
    for (; m + 2 <= args->m; m += 2) {
        tile(args, n, m, tile_n, 2);
    }
    if (m < args->m) {
        tile(args, n, m, tile_n, 1);
    }
}

static inline void int8_dot(const gi8i_int8_dot_args *args) {
    int64_t n = 0;
    if (args->m == 1) {
        /* More rows in flight: the weights come from memory, and each is used once. */
        for (; n + MAX_TILE_N <= args->n; n += MAX_TILE_N) {
            tile(args, n, 0, MAX_TILE_N, 1);
        }
    }
    for (; n + TILE_N <= args->n; n += TILE_N) {
        rows_of_w(args, n, TILE_N);
    }
    for (; n < args->n; n++) {
        rows_of_w(args, n, 1);
    }
}
