/* attention.cuh - what the kernels of attention are given, and the one that takes any case. */
#ifndef GI8I_CUDA_ATTENTION_CUH
#define GI8I_CUDA_ATTENTION_CUH

#include <math.h>
#include <stdint.h>

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <ptx.cuh>

/* One call. "Row" is a head of a token: t * h + head. Passed to kernels by value. */
typedef struct gi8i_attention {
    const float *q;       /* [d, h, t] */
    int64_t q_nb1, q_nb2; /* its strides in bytes */
    const void *k, *v;    /* [d, c, g, s], contiguous */
    const int32_t *positions, *sequences;
    float *y; /* [d, h, t], contiguous */
    int64_t d, c, g, s, h, t;
    float scale;
} gi8i_attention;

/* Token t names a place of the cache. */
static __device__ inline bool gi8i_in_cache(const gi8i_attention &a, int64_t t) {
    int32_t position = a.positions[t];
    int32_t sequence = a.sequences[t];
    return position >= 0 && position < a.c && sequence >= 0 && sequence < a.s;
}

static __device__ inline const float *gi8i_query(const gi8i_attention &a, int64_t head, int64_t t) {
    const char *q = reinterpret_cast<const char *>(a.q) + head * a.q_nb1 + t * a.q_nb2;
    return reinterpret_cast<const float *>(q);
}

/* The first key, or value, that a head reads of a sequence. */
template <typename T>
static __device__ inline const T *gi8i_cached(const gi8i_attention &a, const void *cache,
                                              int64_t head, int64_t sequence) {
    int64_t group = head / (a.h / a.g);
    return static_cast<const T *>(cache) + (sequence * a.g + group) * a.c * a.d;
}

static __device__ inline float gi8i_warp_sum(float v) {
    for (int offset = 16; offset > 0; offset /= 2) {
        v += __shfl_xor_sync(0xffffffffu, v, offset);
    }
    return v;
}

static __device__ inline float gi8i_warp_max(float v) {
    for (int offset = 16; offset > 0; offset /= 2) {
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, offset));
    }
    return v;
}

/* What exponents are taken relative to: the largest score; 0 where there is none but -Inf, so that
 * all weights are 0 then and the result is 0 / 0. */
static __device__ inline float gi8i_softmax_top(float top) {
    return top == -INFINITY ? 0.0f : top;
}

static __device__ inline float gi8i_as_float(float v) {
    return v;
}

static __device__ inline float gi8i_as_float(__half v) {
    return __half2float(v);
}

/* Any head size, either type, any alignment, in fp32: a block for each row, blocks of keys with a
 * running maximum and sum (Milakov and Gimelshein 2018), y itself holding the sums. */
enum { GI8I_ATTENTION_ANY_THREADS = 128 };

template <typename T> static __global__ void gi8i_attention_any(gi8i_attention a) {
    constexpr int WARPS = GI8I_ATTENTION_ANY_THREADS / 32;
    constexpr int64_t KEYS = GI8I_ATTENTION_ANY_THREADS;
    GI8I_SHARED(float, weight, KEYS);
    GI8I_SHARED(float, warp_top, WARPS);
    GI8I_SHARED(float, warp_sum, WARPS);
    const int thread = static_cast<int>(threadIdx.x);
    const int warp = thread / 32;
    const int lane = thread % 32;
    for (int64_t row = blockIdx.x; row < a.h * a.t; row += gridDim.x) {
        const int64_t head = row % a.h;
        const int64_t t = row / a.h;
        float *y = a.y + row * a.d;
        if (!gi8i_in_cache(a, t)) {
            for (int64_t i = thread; i < a.d; i += GI8I_ATTENTION_ANY_THREADS) {
                y[i] = NAN;
            }
            continue;
        }
        const float *q = gi8i_query(a, head, t);
        const T *k = gi8i_cached<T>(a, a.k, head, a.sequences[t]);
        const T *v = gi8i_cached<T>(a, a.v, head, a.sequences[t]);
        const int64_t n = static_cast<int64_t>(a.positions[t]) + 1;
        float top = -INFINITY;
        float sum = 0.0f;
        for (int64_t first = 0; first < n; first += KEYS) {
            const int64_t count = n - first < KEYS ? n - first : KEYS;
            for (int j = warp; j < KEYS; j += WARPS) {
                float score = 0.0f;
                for (int64_t i = lane; i < a.d && j < count; i += 32) {
                    score = fmaf(q[i], gi8i_as_float(k[(first + j) * a.d + i]), score);
                }
                score = gi8i_warp_sum(score);
                if (lane == 0) {
                    weight[j] = j < count ? score * a.scale : -INFINITY;
                }
            }
            __syncthreads();
            const float score = weight[thread];
            const float largest = gi8i_warp_max(score);
            if (lane == 0) {
                warp_top[warp] = largest;
            }
            __syncthreads();
            float new_top = top;
            for (int i = 0; i < WARPS; i++) {
                new_top = fmaxf(new_top, warp_top[i]);
            }
            const float from = gi8i_softmax_top(new_top);
            const float rescale = expf(top - from);
            top = new_top;
            const float w = expf(score - from);
            weight[thread] = w;
            const float part = gi8i_warp_sum(w);
            if (lane == 0) {
                warp_sum[warp] = part;
            }
            __syncthreads();
            float added = 0.0f;
            for (int i = 0; i < WARPS; i++) {
                added += warp_sum[i];
            }
            sum = fmaf(sum, rescale, added);
            for (int64_t i = thread; i < a.d; i += GI8I_ATTENTION_ANY_THREADS) {
                float o = first == 0 ? 0.0f : y[i] * rescale;
                for (int j = 0; j < count; j++) {
                    o = fmaf(weight[j], gi8i_as_float(v[(first + j) * a.d + i]), o);
                }
                y[i] = first + KEYS < n ? o : o / sum;
            }
            __syncthreads();
        }
    }
}

#endif
