/* attention_decode.cuh - attention of few tokens over an F16 cache, in fp32: the keys of a row are
 * split among blocks, so that one token keeps the whole device reading (flash-decoding; Dao et al.
 * 2023). The splits of a row are merged in their order by the block that finishes last: the result
 * does not depend on which one that is.
 */
#ifndef GI8I_CUDA_ATTENTION_DECODE_CUH
#define GI8I_CUDA_ATTENTION_DECODE_CUH

#include "attention.cuh"
#include "four.cuh"

/* How a warp reads keys of D halves: LANES lanes share a key, each with CHUNKS times 16 bytes;
 * AHEAD keys of each lane are under way at a time. */
template <int D> struct gi8i_decode_shape {
    static constexpr int LANES = D == 80 ? 2 : D == 128 ? 8 : D == 256 ? 16 : 4;
    static constexpr int CHUNKS = D / 8 / LANES;
    static constexpr int GROUPS = 32 / LANES;
    static constexpr int AHEAD = CHUNKS > 2 ? 2 : 4;
    static constexpr int WARP_KEYS = GROUPS * AHEAD;
    static constexpr int PART = D + 2; /* floats of a partial result: top, sum, y [D] */
};

enum {
    GI8I_DECODE_THREADS = 128,
    GI8I_DECODE_WARPS = 4,
    GI8I_DECODE_RESIDENT = 3, /* blocks that a multiprocessor has registers for */
    GI8I_DECODE_SPLITS = 64 /* of a row's keys, at most */
};

/* The softmax so far of the keys that a lane's group has seen: the largest score, the sum of
 * exp(score - top), and the weighted sum of the lane's part of the values. */
template <int D> struct gi8i_softmax {
    float top;
    float sum;
    float y[gi8i_decode_shape<D>::CHUNKS * 8];
};

/* The keys of [begin, end) that are this warp's turn, AHEAD at a time a lane. Afterwards the lanes
 * of group 0 hold what the whole warp has seen. All lanes take part. */
template <int D, int AHEAD>
static __device__ inline void gi8i_attend_keys(gi8i_softmax<D> &state, const float *query,
                                               const __half *k, const __half *v, int64_t begin,
                                               int64_t end, int warp, float scale) {
    using shape = gi8i_decode_shape<D>;
    constexpr int KEYS = shape::GROUPS * AHEAD;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int group = lane / shape::LANES;
    const int part = lane % shape::LANES;
    float q[shape::CHUNKS * 8];
#pragma unroll
    for (int i = 0; i < shape::CHUNKS * 8; i++) {
        q[i] = query[(part + i / 8 * shape::LANES) * 8 + i % 8];
        state.y[i] = 0.0f;
    }
    state.top = -INFINITY;
    state.sum = 0.0f;
    for (int64_t turn = begin; turn < end; turn += GI8I_DECODE_WARPS * KEYS) { /* for all warps */
        const int64_t first = turn + warp * KEYS;
        uint4 keys[AHEAD][shape::CHUNKS];
        uint4 values[AHEAD][shape::CHUNKS];
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            const int64_t key = first + j * shape::GROUPS + group;
#pragma unroll
            for (int c = 0; c < shape::CHUNKS; c++) {
                const int64_t at = key * D + (part + c * shape::LANES) * 8;
                keys[j][c] = make_uint4(0, 0, 0, 0);
                values[j][c] = make_uint4(0, 0, 0, 0);
                if (key < end) {
                    keys[j][c] = gi8i_load_once(k + at);
                    values[j][c] = gi8i_load_once(v + at);
                }
            }
        }
        float score[AHEAD];
        float top = state.top;
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            float s = 0.0f;
#pragma unroll
            for (int c = 0; c < shape::CHUNKS; c++) {
                float x[8];
                gi8i_unpack(keys[j][c], x, __half());
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    s = fmaf(q[c * 8 + i], x[i], s);
                }
            }
#pragma unroll
            for (int offset = shape::LANES / 2; offset > 0; offset /= 2) {
                s += __shfl_xor_sync(0xffffffffu, s, offset);
            }
            score[j] = first + j * shape::GROUPS + group < end ? s * scale : -INFINITY;
            top = fmaxf(top, score[j]);
        }
        const float from = gi8i_softmax_top(top);
        const float rescale = expf(state.top - from);
        state.top = top;
        state.sum *= rescale;
#pragma unroll
        for (int i = 0; i < shape::CHUNKS * 8; i++) {
            state.y[i] *= rescale;
        }
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            const float w = expf(score[j] - from);
            state.sum += w;
#pragma unroll
            for (int c = 0; c < shape::CHUNKS; c++) {
                float x[8];
                gi8i_unpack(values[j][c], x, __half());
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    state.y[c * 8 + i] = fmaf(w, x[i], state.y[c * 8 + i]);
                }
            }
        }
    }
#pragma unroll 1
    for (int offset = shape::LANES; offset < 32; offset *= 2) {
        const float other_top = __shfl_xor_sync(0xffffffffu, state.top, offset);
        const float other_sum = __shfl_xor_sync(0xffffffffu, state.sum, offset);
        const float top = fmaxf(state.top, other_top);
        const float from = gi8i_softmax_top(top);
        const float mine = expf(state.top - from);
        const float others = expf(other_top - from);
        state.top = top;
        state.sum = fmaf(state.sum, mine, other_sum * others);
#pragma unroll
        for (int i = 0; i < shape::CHUNKS * 8; i++) {
            const float y = __shfl_xor_sync(0xffffffffu, state.y[i], offset);
            state.y[i] = fmaf(state.y[i], mine, y * others);
        }
    }
}

/* Keys [begin, end) of one row by the whole block: a partial result of each warp to `parts` in
 * shared memory. */
template <int D, int AHEAD>
static __device__ inline void gi8i_attend_block(const gi8i_attention &a, int64_t head, int64_t t,
                                                int64_t begin, int64_t end, float *parts) {
    using shape = gi8i_decode_shape<D>;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    gi8i_softmax<D> state;
    gi8i_attend_keys<D, AHEAD>(state, gi8i_query(a, head, t),
                               gi8i_cached<__half>(a, a.k, head, a.sequences[t]),
                               gi8i_cached<__half>(a, a.v, head, a.sequences[t]), begin, end, warp,
                               a.scale);
    float *mine = parts + warp * shape::PART;
    if (lane == 0) {
        mine[0] = state.top;
        mine[1] = state.sum;
    }
    if (lane < shape::LANES) {
#pragma unroll
        for (int i = 0; i < shape::CHUNKS * 8; i++) {
            mine[2 + (lane + i / 8 * shape::LANES) * 8 + i % 8] = state.y[i];
        }
    }
    __syncthreads();
}

/* Partial results to be merged: the top of i is heads[i * stride], its sum the float behind that,
 * and its y [D] begins at values[i * PART + 2]. `heads` is shared memory; `values` too where SHARED
 * is true, else global memory that other blocks wrote. */
template <int D, bool SHARED> struct gi8i_parts {
    const float *heads;
    int stride;
    const float *values;

    __device__ float top(int64_t i) const { return heads[i * stride]; }
    __device__ float sum(int64_t i) const { return heads[i * stride + 1]; }
    __device__ float y(int64_t i, int d) const {
        const float *at = values + i * gi8i_decode_shape<D>::PART + 2 + d;
        return SHARED ? *at : __ldcg(at);
    }
};

/* Merges `n` partial results, in their order. `out` is y [D] of the row where `last`, else another
 * partial result. All threads of the block. */
template <int D, bool SHARED>
static __device__ inline void gi8i_merge_parts(const gi8i_parts<D, SHARED> &parts, int64_t n,
                                               bool last, float *out) {
    float top = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        top = fmaxf(top, parts.top(i));
    }
    const float from = gi8i_softmax_top(top);
    float sum = 0.0f;
    for (int64_t i = 0; i < n; i++) {
        sum = fmaf(parts.sum(i), expf(parts.top(i) - from), sum);
    }
    for (int d = static_cast<int>(threadIdx.x); d < D; d += GI8I_DECODE_THREADS) {
        float y = 0.0f;
#pragma unroll 4
        for (int64_t i = 0; i < n; i++) {
            y = fmaf(parts.y(i, d), expf(parts.top(i) - from), y);
        }
        out[last ? d : 2 + d] = last ? y / sum : y;
    }
    if (!last && threadIdx.x == 0) {
        out[0] = top;
        out[1] = sum;
    }
}

/* The same for the partial results of this block's warps. */
template <int D>
static __device__ inline void gi8i_merge_warps(const float *parts, bool last, float *out) {
    const gi8i_parts<D, true> mine = {parts, gi8i_decode_shape<D>::PART, parts};
    gi8i_merge_parts(mine, GI8I_DECODE_WARPS, last, out);
}

/* One row by the whole block, with few registers; `parts` has space for a partial result of each
 * warp. */
template <int D>
static __device__ inline void gi8i_attend_row(const gi8i_attention &a, int64_t head, int64_t t,
                                              float *parts) {
    gi8i_attend_block<D, 1>(a, head, t, 0, static_cast<int64_t>(a.positions[t]) + 1, parts);
    gi8i_merge_warps<D>(parts, true, a.y + (t * a.h + head) * D);
    __syncthreads();
}

/* Block (row * n_splits + split); n_splits is GI8I_DECODE_SPLITS at most. `parts` has [n_splits] of
 * partial results and `done` a zero for each row, which it is again afterwards; neither is used
 * where n_splits is 1. */
template <int D>
static __global__ void __launch_bounds__(GI8I_DECODE_THREADS, GI8I_DECODE_RESIDENT)
    gi8i_attention_decode(gi8i_attention a, int n_splits, float *parts, unsigned *done) {
    using shape = gi8i_decode_shape<D>;
    GI8I_SHARED(float, warp_parts, GI8I_DECODE_WARPS * shape::PART);
    GI8I_SHARED(float, heads, 2 * GI8I_DECODE_SPLITS);
    GI8I_SHARED(unsigned, before, 1);
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t row = blockIdx.x / static_cast<unsigned>(n_splits);
    const int64_t split = blockIdx.x % static_cast<unsigned>(n_splits);
    const int64_t head = row % a.h;
    const int64_t t = row / a.h;
    float *y = a.y + row * D;
    if (!gi8i_in_cache(a, t)) {
        for (int d = thread; d < D && split == 0; d += GI8I_DECODE_THREADS) {
            y[d] = NAN;
        }
        return;
    }
    /* As many splits as there is work for; the blocks of the others have nothing to do. */
    constexpr int64_t block_keys = GI8I_DECODE_WARPS * shape::WARP_KEYS;
    const int64_t n = static_cast<int64_t>(a.positions[t]) + 1;
    const int64_t share = (n + n_splits * block_keys - 1) / (n_splits * block_keys) * block_keys;
    const int64_t begin = split * share;
    if (begin >= n) {
        return;
    }
    gi8i_attend_block<D, shape::AHEAD>(a, head, t, begin, begin + share < n ? begin + share : n,
                                       warp_parts);
    if (share >= n) { /* the only split */
        gi8i_merge_warps<D>(warp_parts, true, y);
        return;
    }
    float *row_parts = parts + row * n_splits * shape::PART;
    gi8i_merge_warps<D>(warp_parts, false, row_parts + split * shape::PART);
    __threadfence();
    __syncthreads();
    if (thread == 0) {
        before[0] = atomicAdd(done + row, 1u);
    }
    __syncthreads();
    const int64_t n_parts = (n + share - 1) / share;
    if (static_cast<int64_t>(before[0]) + 1 != n_parts) {
        return;
    }
    __threadfence();
    /* Tops and sums at once: one after the other they would take longer than all the rest. */
    for (int i = thread; i < n_parts; i += GI8I_DECODE_THREADS) {
        heads[2 * i] = __ldcg(row_parts + i * shape::PART);
        heads[2 * i + 1] = __ldcg(row_parts + i * shape::PART + 1);
    }
    __syncthreads();
    const gi8i_parts<D, false> all = {heads, 2, row_parts};
    gi8i_merge_parts(all, n_parts, true, y);
    if (thread == 0) {
        atomicExch(done + row, 0u);
    }
}

#endif
