/* rope_store.cuh - rows of queries, keys and values in one pass: turned by their positions (rotary
 * position embedding, half-rotation form), stored, and stored into a cache. The CPU backend's
 * operations, and so its bits: products are written __fmul_rn() and __dmul_rn(), so that the
 * compiler fuses none of them with a sum. */
#ifndef GI8I_CUDA_ROPE_STORE_CUH
#define GI8I_CUDA_ROPE_STORE_CUH

#include <math.h>
#include <ptx.cuh>

#include "kernels/four.cuh"
#include "kernels/strided.cuh"
#include "launch.cuh"

static constexpr int GI8I_ROPE_SETS = 3;
static constexpr int64_t GI8I_ROPE_PAIRS = 256;   /* that one launch turns */
static constexpr int64_t GI8I_ROPE_THREADS = 256; /* of a block */

/* The rows of a tensor [D, H, T], and where they go. */
typedef struct gi8i_rope_set {
    gi8i_rows_at x;
    gi8i_rows_at y;     /* [D, H, T]; data NULL: nowhere */
    gi8i_rows_at cache; /* [D, C, H, S]; data NULL: nowhere */
    bool turned;
} gi8i_rope_set;

typedef struct gi8i_rope_store_args {
    gi8i_rope_set sets[GI8I_ROPE_SETS]; /* of one D and T */
    int n_sets;
    const int32_t *positions; /* [T] */
    const int32_t *sequences; /* [T]; not read where there is no cache */
    int64_t half;             /* pairs of a turned row: i and i + half */
    int64_t first;            /* the first pair of this launch */
    int64_t n_pairs;          /* and how many */
    int64_t n_rest;           /* dimensions behind the pairs that this launch copies */
    float frequencies[GI8I_ROPE_PAIRS]; /* set up to a multiple of 4 pairs */
} gi8i_rope_store_args;

namespace {

/* sin and cos of an fp32 angle, computed in double and rounded once. pi/2 is taken away in three
 * parts, the first two of 33 bits (Cody and Waite 1980). */
__device__ inline void sin_cos(float angle, float *sine, float *cosine) {
    double a = static_cast<double>(angle);
    if (!(fabs(a) < 2147483648.0)) { /* only a base far below 1 leads here */
        *sine = static_cast<float>(sin(a));
        *cosine = static_cast<float>(cos(a));
        return;
    }
    double turns = rint(__dmul_rn(a, 0.63661977236758134308));
    double r = a - __dmul_rn(turns, 1.5707963267341256e+00);
    r -= __dmul_rn(turns, 6.0771005063039660e-11);
    r -= __dmul_rn(turns, 2.0222662487959506e-21);
    double r2 = __dmul_rn(r, r);
    /* Taylor series: |r| <= pi/4, so that the first term left out is below 1e-13. */
    double s = 1.0 / 6227020800.0;
    s = __dmul_rn(s, r2) - 1.0 / 39916800;
    s = __dmul_rn(s, r2) + 1.0 / 362880;
    s = __dmul_rn(s, r2) - 1.0 / 5040;
    s = __dmul_rn(s, r2) + 1.0 / 120;
    s = __dmul_rn(s, r2) - 1.0 / 6;
    s = __dmul_rn(s, r2) + 1.0;
    s = __dmul_rn(s, r);
    double c = 1.0 / 479001600;
    c = __dmul_rn(c, r2) - 1.0 / 3628800;
    c = __dmul_rn(c, r2) + 1.0 / 40320;
    c = __dmul_rn(c, r2) - 1.0 / 720;
    c = __dmul_rn(c, r2) + 1.0 / 24;
    c = __dmul_rn(c, r2) - 1.0 / 2;
    c = __dmul_rn(c, r2) + 1.0;
    int quadrant = static_cast<int>(turns) & 3;
    double sin_value = (quadrant & 1) != 0 ? c : s;
    double cos_value = (quadrant & 1) != 0 ? s : c;
    *sine = static_cast<float>((quadrant & 2) != 0 ? -sin_value : sin_value);
    *cosine = static_cast<float>(quadrant == 1 || quadrant == 2 ? -cos_value : cos_value);
}

/* A row on its way. */
template <typename T> struct rope_row {
    const float *x;
    float *y; /* or NULL */
    T *cache; /* or NULL */
    bool x_aligned, y_aligned, cache_aligned;
};

template <typename T>
__device__ inline rope_row<T> rope_row_of(const gi8i_rope_store_args &p, const gi8i_rope_set &set,
                                          int64_t token, int64_t head) {
    rope_row<T> row = {};
    row.x = reinterpret_cast<const float *>(set.x.data + head * set.x.at.nb[1] +
                                            token * set.x.at.nb[2]);
    row.x_aligned = set.x.aligned;
    if (set.y.data != nullptr) {
        row.y = reinterpret_cast<float *>(set.y.data + head * set.y.at.nb[1] +
                                          token * set.y.at.nb[2]);
        row.y_aligned = set.y.aligned;
    }
    if (set.cache.data != nullptr) {
        const gi8i_strided &cache = set.cache.at;
        int64_t position = p.positions[token];
        int64_t sequence = p.sequences[token];
        if (position >= 0 && position < cache.ne[1] && sequence >= 0 && sequence < cache.ne[3]) {
            row.cache = reinterpret_cast<T *>(set.cache.data + position * cache.nb[1] +
                                              head * cache.nb[2] + sequence * cache.nb[3]);
            row.cache_aligned = set.cache.aligned;
        }
    }
    return row;
}

/* Elements i to i + 3 of the n that begin at element `from` of a row. */
template <typename T>
__device__ inline gi8i_four<float> rope_load(const rope_row<T> &row, int64_t from, int64_t i,
                                             int64_t n) {
    return gi8i_load_four(row.x + from, i, n, row.x_aligned && from % 4 == 0);
}

template <typename T>
__device__ inline void rope_store(const rope_row<T> &row, int64_t from, int64_t i, int64_t n,
                                  const gi8i_four<float> &four) {
    if (row.y != nullptr) {
        gi8i_store_four(row.y + from, i, n, row.y_aligned && from % 4 == 0, four);
    }
    if (row.cache != nullptr) {
        gi8i_store_four(row.cache + from, i, n, row.cache_aligned && from % 4 == 0, four);
    }
}

/* Turns pairs i to i + 3 of those of this launch. */
template <typename T>
__device__ inline void rope_turn(const gi8i_rope_store_args &p, const rope_row<T> &row,
                                 const float *cosine, const float *sine, int64_t i) {
    gi8i_four<float> low = rope_load(row, p.first, i, p.n_pairs);
    gi8i_four<float> high = rope_load(row, p.first + p.half, i, p.n_pairs);
    gi8i_four<float> new_low;
    gi8i_four<float> new_high;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float c = cosine[i + j];
        float s = sine[i + j];
        new_low.v[j] = __fmul_rn(low.v[j], c) - __fmul_rn(high.v[j], s);
        new_high.v[j] = __fmul_rn(high.v[j], c) + __fmul_rn(low.v[j], s);
    }
    rope_store(row, p.first, i, p.n_pairs, new_low);
    rope_store(row, p.first + p.half, i, p.n_pairs, new_high);
}

/* A block takes a token and some of the heads of all sets, a row of threads a head. */
template <typename T> __global__ void rope_kernel(gi8i_rope_store_args p) {
    GI8I_SHARED(float, cosine, GI8I_ROPE_PAIRS);
    GI8I_SHARED(float, sine, GI8I_ROPE_PAIRS);
    const int64_t n_tokens = p.sets[0].x.at.ne[2];
    const int64_t pair_units = gi8i_div_up<int64_t>(p.n_pairs, 4);
    for (int64_t token = blockIdx.x; token < n_tokens; token += gridDim.x) {
        float position = static_cast<float>(p.positions[token]);
        for (unsigned i = threadIdx.y * blockDim.x + threadIdx.x; i < 4 * pair_units;
             i += blockDim.x * blockDim.y) {
            sin_cos(__fmul_rn(position, p.frequencies[i]), sine + i, cosine + i);
        }
        __syncthreads();
        int64_t head = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y;
        for (int s = 0; s < p.n_sets; s++) {
            const gi8i_rope_set &set = p.sets[s];
            const int64_t n_heads = set.x.at.ne[1];
            const int64_t turned = set.turned ? pair_units : 0;
            const int64_t from = set.turned ? 2 * p.half : 0; /* what is copied */
            const int64_t n = set.turned ? p.n_rest : set.x.at.ne[0];
            for (; head < n_heads; head += static_cast<int64_t>(gridDim.y) * blockDim.y) {
                const rope_row<T> row = rope_row_of<T>(p, set, token, head);
                for (int64_t unit = threadIdx.x; 4 * (unit - turned) < n; unit += blockDim.x) {
                    if (unit < turned) {
                        rope_turn(p, row, cosine, sine, 4 * unit);
                    } else {
                        int64_t i = 4 * (unit - turned);
                        rope_store(row, from, i, n, rope_load(row, from, i, n));
                    }
                }
            }
            head -= n_heads;
        }
        __syncthreads(); /* before the tables are made anew */
    }
}

/* As the CPU backend computes them. */
void set_frequencies(gi8i_rope_store_args *p, const gi8_rope_params *params) {
    for (int64_t i = 0; i < p->n_pairs; i++) {
        /* Rounded to fp32 where PyTorch rounds: the exponent, the power, its inverse. */
        float exponent = static_cast<float>(2 * (p->first + i)) /
                         static_cast<float>(params->n_rot);
        float power = static_cast<float>(
            pow(static_cast<double>(params->base), static_cast<double>(exponent)));
        p->frequencies[i] = 1.0f / power * params->freq_scale;
    }
}

} // namespace

/* Enqueues the kernel, with caches of T. `params`: NULL where nothing is turned. The fields half,
 * first, n_pairs, n_rest and frequencies are set here. */
template <typename T>
static gi8_status gi8i_rope_store(const char *name, const gi8i_cuda_run *run,
                                  gi8i_rope_store_args p, const gi8_rope_params *params,
                                  gi8_error *error) {
    const int64_t d = p.sets[0].x.at.ne[0];
    const int64_t n_tokens = p.sets[0].x.at.ne[2];
    int64_t n_heads = 0;
    for (int i = 0; i < p.n_sets; i++) {
        n_heads += p.sets[i].x.at.ne[1];
    }
    if (d == 0 || n_tokens == 0 || n_heads == 0) {
        return GI8_OK;
    }
    int64_t width = 1;
    while (width < GI8I_ROPE_THREADS && width < gi8i_div_up<int64_t>(d, 4)) {
        width *= 2;
    }
    const int64_t height = GI8I_ROPE_THREADS / width;
    const int64_t most = static_cast<int64_t>(run->device->n_multiprocessors) * 8;
    const int64_t columns = n_tokens < most ? n_tokens : most;
    const int64_t wanted = gi8i_div_up(n_heads, height);
    const int64_t rest_of_most = gi8i_div_up(most, columns);
    const int64_t parts = wanted < rest_of_most ? wanted : rest_of_most;
    p.half = params != nullptr ? params->n_rot / 2 : 0;
    gi8_status status = GI8_OK;
    p.first = 0;
    do {
        p.n_pairs = p.half - p.first < GI8I_ROPE_PAIRS ? p.half - p.first : GI8I_ROPE_PAIRS;
        p.n_rest = p.first == 0 ? d - 2 * p.half : 0;
        if (params != nullptr) {
            set_frequencies(&p, params);
        }
        status = gi8i_launch(name, rope_kernel<T>,
                             dim3(static_cast<unsigned>(columns), static_cast<unsigned>(parts)),
                             dim3(static_cast<unsigned>(width), static_cast<unsigned>(height)), 0,
                             run->stream, error, p);
        p.first += GI8I_ROPE_PAIRS;
    } while (status == GI8_OK && p.first < p.half);
    return status;
}

#endif
