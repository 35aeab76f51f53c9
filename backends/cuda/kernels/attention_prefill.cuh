/* attention_prefill.cuh - attention of many tokens over an F16 cache on the tensor cores: a block
 * has 64 tokens of one head and goes through tiles of keys and values in shared memory, with a
 * running maximum and sum for each token (FlashAttention-2, Dao 2023).
 *
 * Rounding. q is multiplied by a power of two of its row so that its largest entry lies in
 * [2^13, 2^14), and rounded to fp16: any finite q is taken, with 11 bits of every entry above 2^-28
 * of the largest. The weights exp(score - top), times 2^15, are rounded to fp16 too; the sum of the
 * weights is not. Products accumulate in fp32. So, with the score's own bound
 * e = 2^-11 |scale| sum_d |q_d k_d| + 2^-38 |scale| max |q| sum_d |k_d|,
 *   |y - exact| <= (exp(2 e) - 1 + 2^-11) sum_j w_j |v_j|   and what fp32 accumulation adds.
 *
 * Tokens of a block may be of several sequences: those of one sequence are taken together, one
 * sequence after the other. A weight that is 0 because the token does not see the key must not meet
 * a NaN or an Inf: where such a value is in a tile that not all tokens see, they are computed one
 * by one in fp32 instead.
 */
#ifndef GI8I_CUDA_ATTENTION_PREFILL_CUH
#define GI8I_CUDA_ATTENTION_PREFILL_CUH

#include <float.h>

#include "attention_decode.cuh"

enum { GI8I_PREFILL_THREADS = 128, GI8I_PREFILL_WARPS = 4, GI8I_PREFILL_TOKENS = 64 };

/* Tiles are rows of STRIDE halves: the 16 bytes at the end put the eight rows that ldmatrix reads
 * into different banks. */
template <int D, int KEYS> struct gi8i_prefill_shape {
    static constexpr int STRIDE = D + 8;
    static constexpr int TOKENS_SIZE = GI8I_PREFILL_TOKENS * STRIDE;
    static constexpr int KEYS_SIZE = KEYS * STRIDE;
    static constexpr size_t BYTES = (TOKENS_SIZE + 2 * KEYS_SIZE) * sizeof(__half);
    static constexpr bool Q_IN_REGISTERS = D <= 64;
};

static __device__ inline uint32_t gi8i_pack_halves(float low, float high) {
    const uint32_t l = __half_as_ushort(__float2half_rn(low));
    const uint32_t h = __half_as_ushort(__float2half_rn(high));
    return l | h << 16;
}

/* The query of one token to shared memory, by a warp. Returns what its scores are multiplied with
 * so that exp2() makes weights of them. */
template <int D>
static __device__ inline float gi8i_stage_query(const float *query, float scale, __half *to) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float values[(D + 31) / 32];
    float largest = 0.0f;
#pragma unroll
    for (int i = 0; i < (D + 31) / 32; i++) {
        const int d = lane + 32 * i;
        values[i] = d < D ? query[d] : 0.0f;
        const float size = fabsf(values[i]);
        largest = size <= FLT_MAX ? fmaxf(largest, size) : largest; /* no Inf, no NaN */
    }
    int exponent = 0; /* of the largest entry, and then of the factor that is split off */
    frexpf(gi8i_warp_max(largest), &exponent);
    exponent = exponent < -86 ? -100 : exponent - 14;
    const float up = ldexpf(1.0f, -exponent);
#pragma unroll
    for (int i = 0; i < (D + 31) / 32; i++) {
        if (lane + 32 * i < D) {
            to[lane + 32 * i] = __float2half_rn(values[i] * up);
        }
    }
    return ldexpf(scale * 1.44269504f, exponent); /* log2(e) */
}

/* Starts the copy of rows [first, first + KEYS) of keys or values; zeros from row n on. */
template <int D, int KEYS>
static __device__ inline void gi8i_stage_keys(const __half *from, int64_t first, int64_t n,
                                              __half *to) {
    constexpr int CHUNKS = D / 8;
#pragma unroll 2
    for (int i = 0; i < KEYS * CHUNKS; i += GI8I_PREFILL_THREADS) {
        const int at = i + static_cast<int>(threadIdx.x);
        const int row = at / CHUNKS;
        const int d = at % CHUNKS * 8;
        if (KEYS * CHUNKS % GI8I_PREFILL_THREADS == 0 || row < KEYS) {
            const bool valid = first + row < n;
            gi8i_cp_async_16(to + row * gi8i_prefill_shape<D, KEYS>::STRIDE + d,
                             from + (valid ? (first + row) * D + d : 0), valid);
        }
    }
}

/* True where this thread's part of a tile has a NaN or an Inf. */
template <int D, int KEYS> static __device__ inline bool gi8i_not_finite(const __half *tile) {
    bool found = false;
    for (int at = static_cast<int>(threadIdx.x); at < KEYS * D / 8; at += GI8I_PREFILL_THREADS) {
        const __half *from =
            tile + at / (D / 8) * gi8i_prefill_shape<D, KEYS>::STRIDE + at % (D / 8) * 8;
        const uint4 raw = *reinterpret_cast<const uint4 *>(from);
        const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            found = found || (words[i] & 0x7c00u) == 0x7c00u ||
                    (words[i] & 0x7c000000u) == 0x7c000000u;
        }
    }
    return found;
}

/* The warp's 16 tokens: d[..] are products of 16 x 8, rows g = lane / 4 and g + 8. */
template <int D, int KEYS> struct gi8i_prefill_warp {
    float y[D / 8][4];
    float top[2];
    float sum[2]; /* this thread's columns only */
};

/* score[n] = tokens times keys 8n .. 8n + 7 */
template <int D, int KEYS>
static __device__ inline void gi8i_score_tile(const __half *queries, const uint32_t (*q_kept)[4],
                                              const __half *keys, float score[KEYS / 8][4]) {
    constexpr int STRIDE = gi8i_prefill_shape<D, KEYS>::STRIDE;
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
        score[n][0] = score[n][1] = score[n][2] = score[n][3] = 0.0f;
    }
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        uint32_t q[4];
        if (gi8i_prefill_shape<D, KEYS>::Q_IN_REGISTERS) {
            q[0] = q_kept[d][0];
            q[1] = q_kept[d][1];
            q[2] = q_kept[d][2];
            q[3] = q_kept[d][3];
        } else {
            gi8i_ldmatrix_x4(q, queries + lane % 16 * STRIDE + d * 16 + lane / 16 * 8);
        }
#pragma unroll
        for (int n = 0; n < KEYS / 8; n += 2) {
            uint32_t k[4]; /* two matrices b: keys 8n .. 8n + 7, and the next eight */
            const int key = n * 8 + lane % 8 + lane / 16 * 8;
            gi8i_ldmatrix_x4(k, keys + key * STRIDE + d * 16 + lane / 8 % 2 * 8);
            gi8i_mma_f16(score[n], q, k);
            gi8i_mma_f16(score[n + 1], q, k + 2);
        }
    }
}

/* Scores become weights 2^15 exp(scale score - top), y is rescaled. Token g sees the first seen[0]
 * keys of the tile, token g + 8 the first seen[1]. */
template <int D, int KEYS>
static __device__ inline void gi8i_weigh_tile(gi8i_prefill_warp<D, KEYS> &w, const float factor[2],
                                              const int seen[2], float score[KEYS / 8][4]) {
    const int column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
    for (int side = 0; side < 2; side++) {
        float top = w.top[side];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float &s = score[n][side * 2 + i];
                s = n * 8 + column + i < seen[side] ? s * factor[side] : -INFINITY;
                top = fmaxf(top, s);
            }
        }
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float from = gi8i_softmax_top(top);
        const float rescale = exp2f(w.top[side] - from);
        w.top[side] = top;
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float &s = score[n][side * 2 + i];
                s = exp2f(s - from + 15.0f);
                sum += s;
            }
        }
        w.sum[side] = fmaf(w.sum[side], rescale, sum);
#pragma unroll
        for (int d = 0; d < D / 8; d++) {
            w.y[d][side * 2] *= rescale;
            w.y[d][side * 2 + 1] *= rescale;
        }
    }
}

/* y += weights times values */
template <int D, int KEYS>
static __device__ inline void gi8i_add_tile(gi8i_prefill_warp<D, KEYS> &w,
                                            const float weight[KEYS / 8][4], const __half *values) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n += 2) {
        const uint32_t p[4] = {gi8i_pack_halves(weight[n][0], weight[n][1]),
                               gi8i_pack_halves(weight[n][2], weight[n][3]),
                               gi8i_pack_halves(weight[n + 1][0], weight[n + 1][1]),
                               gi8i_pack_halves(weight[n + 1][2], weight[n + 1][3])};
        const __half *row = values + (n * 8 + lane % 16) * gi8i_prefill_shape<D, KEYS>::STRIDE;
#pragma unroll
        for (int d = 0; d < D / 8; d += 2) {
            uint32_t v[4]; /* two matrices b: elements 8d .. 8d + 7, and the next eight */
            gi8i_ldmatrix_x4_trans(v, row + d * 8 + lane / 16 * 8);
            gi8i_mma_f16(w.y[d], p, v);
            gi8i_mma_f16(w.y[d + 1], p, v + 2);
        }
    }
}

/* How many of the `keys` keys from `first` on a token at `position` sees. */
static __device__ inline int gi8i_keys_seen(int32_t position, int64_t first, int keys) {
    const int64_t seen = position - first + 1;
    return seen < 0 ? 0 : seen > keys ? keys : static_cast<int>(seen);
}

/* Block ((tile * h + head) * n_parts + part): a tile of tokens, one head, every n_parts-th of the
 * sequences in the tile. */
template <int D, int KEYS>
static __global__ void __launch_bounds__(GI8I_PREFILL_THREADS, 2)
    gi8i_attention_prefill(gi8i_attention a, int n_parts) {
    using shape = gi8i_prefill_shape<D, KEYS>;
    GI8I_DYNAMIC_SHARED(__half, queries);
    GI8I_SHARED(float, factors, GI8I_PREFILL_TOKENS);
    GI8I_SHARED(int32_t, positions, GI8I_PREFILL_TOKENS);
    GI8I_SHARED(int32_t, sequences, GI8I_PREFILL_TOKENS); /* -1: no place of the cache */
    GI8I_SHARED(int32_t, begins, GI8I_PREFILL_TOKENS);    /* the first token of its sequence */
    __half *keys = queries + shape::TOKENS_SIZE;
    __half *values = keys + shape::KEYS_SIZE;
    const int thread = static_cast<int>(threadIdx.x);
    const int warp = thread / 32;
    const int lane = thread % 32;
    const int part = static_cast<int>(blockIdx.x % static_cast<unsigned>(n_parts));
    const int64_t item = blockIdx.x / static_cast<unsigned>(n_parts);
    const int64_t head = item % a.h;
    /* The last tiles see the most keys: they go first. */
    const int64_t n_tiles = (a.t + GI8I_PREFILL_TOKENS - 1) / GI8I_PREFILL_TOKENS;
    const int64_t first_token = (n_tiles - 1 - item / a.h) * GI8I_PREFILL_TOKENS;

    if (thread < GI8I_PREFILL_TOKENS) {
        const int64_t t = first_token + thread;
        const bool valid = t < a.t && gi8i_in_cache(a, t);
        sequences[thread] = valid ? a.sequences[t] : -1;
        positions[thread] = valid ? a.positions[t] : -1;
    }
    for (int i = 0; i < 16; i++) {
        const int64_t t = first_token + warp * 16 + i;
        const int64_t some = t < a.t ? t : a.t - 1; /* rows behind the last token: any query */
        const float factor = gi8i_stage_query<D>(gi8i_query(a, head, some), a.scale,
                                                 queries + (warp * 16 + i) * shape::STRIDE);
        if (lane == 0) {
            factors[warp * 16 + i] = factor;
        }
    }
    __syncthreads();
    if (thread < GI8I_PREFILL_TOKENS) {
        bool begin = sequences[thread] >= 0;
        for (int i = 0; i < thread; i++) {
            begin = begin && sequences[i] != sequences[thread];
        }
        begins[thread] = begin;
    }
    for (int i = warp; i < GI8I_PREFILL_TOKENS && part == 0; i += GI8I_PREFILL_WARPS) {
        if (first_token + i < a.t && sequences[i] < 0) {
            for (int d = lane; d < D; d += 32) {
                a.y[((first_token + i) * a.h + head) * D + d] = NAN;
            }
        }
    }
    const __half *my_queries = queries + warp * 16 * shape::STRIDE;
    uint32_t q[shape::Q_IN_REGISTERS ? D / 16 : 1][4];
    if (shape::Q_IN_REGISTERS) {
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
            gi8i_ldmatrix_x4(q[d], my_queries + lane % 16 * shape::STRIDE + d * 16 + lane / 16 * 8);
        }
    }
    const int mine[2] = {warp * 16 + lane / 4, warp * 16 + lane / 4 + 8}; /* tokens */
    const float factor[2] = {factors[mine[0]], factors[mine[1]]};
    __syncthreads();

    int n_before = 0;
    for (int begin = 0; begin < GI8I_PREFILL_TOKENS; begin++) {
        if (begins[begin] == 0 || n_before++ % n_parts != part) {
            continue;
        }
        const int32_t sequence = sequences[begin];
        int32_t last = -1;           /* the largest position */
        int32_t least = INT32_MAX;   /* the smallest */
        int32_t warp_last = -1;      /* the largest of this warp; -1: it has nothing to do */
        for (int i = 0; i < GI8I_PREFILL_TOKENS; i++) {
            if (sequences[i] == sequence) {
                last = positions[i] > last ? positions[i] : last;
                least = positions[i] < least ? positions[i] : least;
                if (i / 16 == warp && positions[i] > warp_last) {
                    warp_last = positions[i];
                }
            }
        }
        const __half *k = gi8i_cached<__half>(a, a.k, head, sequence);
        const __half *v = gi8i_cached<__half>(a, a.v, head, sequence);
        const int64_t n = static_cast<int64_t>(last) + 1;
        gi8i_prefill_warp<D, KEYS> w;
#pragma unroll
        for (int d = 0; d < D / 8; d++) {
            w.y[d][0] = w.y[d][1] = w.y[d][2] = w.y[d][3] = 0.0f;
        }
        w.top[0] = w.top[1] = -INFINITY;
        w.sum[0] = w.sum[1] = 0.0f;
        gi8i_stage_keys<D, KEYS>(k, 0, n, keys);
        gi8i_cp_async_commit();
        gi8i_stage_keys<D, KEYS>(v, 0, n, values);
        gi8i_cp_async_commit();
        bool one_by_one = false;
        for (int64_t first = 0; first < n && !one_by_one; first += KEYS) {
            float score[KEYS / 8][4];
            const bool busy = first <= warp_last;
            gi8i_cp_async_wait<1>();
            __syncthreads(); /* the keys have landed */
            if (busy) {
                gi8i_score_tile<D, KEYS>(my_queries, q, keys, score);
            }
            __syncthreads(); /* and have been read */
            if (first + KEYS < n) {
                gi8i_stage_keys<D, KEYS>(k, first + KEYS, n, keys);
            }
            gi8i_cp_async_commit();
            if (busy) {
                const int seen[2] = {gi8i_keys_seen(positions[mine[0]], first, KEYS),
                                     gi8i_keys_seen(positions[mine[1]], first, KEYS)};
                gi8i_weigh_tile<D, KEYS>(w, factor, seen, score);
            }
            gi8i_cp_async_wait<1>();
            __syncthreads(); /* the values have landed */
            if (first + KEYS > static_cast<int64_t>(least) + 1) {
                one_by_one = __syncthreads_or(gi8i_not_finite<D, KEYS>(values)) != 0;
            }
            if (busy && !one_by_one) {
                gi8i_add_tile<D, KEYS>(w, score, values);
            }
            __syncthreads(); /* and have been read */
            if (first + KEYS < n && !one_by_one) {
                gi8i_stage_keys<D, KEYS>(v, first + KEYS, n, values);
            }
            gi8i_cp_async_commit();
        }
        gi8i_cp_async_wait<0>();
        __syncthreads();
        if (one_by_one) {
            for (int i = 0; i < GI8I_PREFILL_TOKENS; i++) {
                if (sequences[i] == sequence) {
                    gi8i_attend_row<D>(a, head, first_token + i, reinterpret_cast<float *>(keys));
                }
            }
        } else if (warp_last >= 0) {
#pragma unroll
            for (int side = 0; side < 2; side++) {
                float sum = w.sum[side];
                sum += __shfl_xor_sync(0xffffffffu, sum, 1);
                sum += __shfl_xor_sync(0xffffffffu, sum, 2);
                if (sequences[mine[side]] == sequence) {
                    float *y = a.y + ((first_token + mine[side]) * a.h + head) * D + lane % 4 * 2;
#pragma unroll
                    for (int d = 0; d < D / 8; d++) {
                        y[d * 8] = w.y[d][side * 2] / sum;
                        y[d * 8 + 1] = w.y[d][side * 2 + 1] / sum;
                    }
                }
            }
        }
    }
}

#endif
