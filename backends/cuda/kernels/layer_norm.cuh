/* layer_norm.cuh - the arithmetic of layer normalization: for the kernel that does nothing else,
 * and for those that quantize what comes out. All give the same bits: which elements are added up
 * in which order depends on the row's length alone (row.cuh). */
#ifndef GI8I_CUDA_LAYER_NORM_CUH
#define GI8I_CUDA_LAYER_NORM_CUH

#include "kernels/row.cuh"

typedef struct gi8i_layer_norm {
    gi8i_rows_at x, y;
    const float *gain; /* or NULL */
    const float *bias; /* or NULL */
    bool gain_aligned, bias_aligned;
    float eps;
} gi8i_layer_norm;

static inline gi8i_layer_norm gi8i_layer_norm_of(const gi8_step *step) {
    auto aligned = [](const float *vector) {
        return reinterpret_cast<uintptr_t>(vector) % (4 * sizeof *vector) == 0;
    };
    const gi8_tensor *x = step->node->src[0];
    const void *params = step->node->params;
    gi8i_layer_norm p = {};
    p.x = gi8i_rows_at_of(x, step->src[0], x, false);
    p.y = gi8i_rows_at_of(step->node, step->dst, x, false);
    p.gain = static_cast<const float *>(step->src[1]);
    p.bias = static_cast<const float *>(step->src[2]);
    p.gain_aligned = aligned(p.gain);
    p.bias_aligned = aligned(p.bias);
    p.eps = static_cast<const gi8_layer_norm_params *>(params)->eps;
    return p;
}

/* ---- one thread's part ---- */

/* Adds a unit, which is 0 behind the row's end. */
static __device__ inline void gi8i_norm_add(float *sum, const gi8i_four<float> &x) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        *sum += x.v[j];
    }
}

/* Adds the squares around the mean of those elements of a unit, `left` or 4, that the row has. */
static __device__ inline void gi8i_norm_add_squares(float *squares, const gi8i_four<float> &x,
                                                    float mean, int64_t left) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float d = left > j ? x.v[j] - mean : 0.0f;
        *squares = fmaf(d, d, *squares);
    }
}

static __device__ inline float gi8i_norm_factor(const gi8i_layer_norm &p, float squares,
                                                int64_t n) {
    return 1.0f / sqrtf(squares / static_cast<float>(n) + p.eps);
}

/* What units i to i + 3 are scaled and shifted with. */
typedef struct gi8i_norm_vectors {
    gi8i_four<float> gain, bias;
} gi8i_norm_vectors;

static __device__ inline gi8i_norm_vectors gi8i_norm_load(const gi8i_layer_norm &p, int64_t i,
                                                          int64_t n) {
    gi8i_norm_vectors v = {{{1.0f, 1.0f, 1.0f, 1.0f}}, {{0.0f, 0.0f, 0.0f, 0.0f}}};
    if (p.gain != nullptr) {
        v.gain = gi8i_load_four(p.gain, i, n, p.gain_aligned);
    }
    if (p.bias != nullptr) {
        v.bias = gi8i_load_four(p.bias, i, n, p.bias_aligned);
    }
    return v;
}

static __device__ inline float gi8i_normalize(float x, float mean, float factor, float gain,
                                              float bias) {
    return __fmul_rn(__fmul_rn(x - mean, factor), gain) + bias;
}

/* The same for those elements of a unit, `left` or 4, that the row has; 0 behind them. */
static __device__ inline gi8i_four<float> gi8i_normalize_four(const gi8i_four<float> &x, float mean,
                                                              float factor,
                                                              const gi8i_norm_vectors &v,
                                                              int64_t left) {
    gi8i_four<float> y;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        y.v[j] = left > j ? gi8i_normalize(x.v[j], mean, factor, v.gain.v[j], v.bias.v[j]) : 0.0f;
    }
    return y;
}

/* ---- a row by its team ---- */

/* Hands unit(i, k, y) the units of the normalized row that the calling thread has; k as in
 * gi8i_my_units(). Rows of up to KEPT units a thread are read once, others three times. `slots` is
 * 2 * TEAM / 32 floats of shared memory. */
template <int TEAM, int KEPT, typename Unit>
static __device__ inline void gi8i_layer_norm_row(const gi8i_layer_norm &p, int64_t row,
                                                  float *slots, const Unit &unit) {
    const int64_t n = p.x.at.ne[0];
    const float *x = gi8i_row_of<const float>(p.x, row);
    gi8i_four<float> kept[KEPT > 0 ? KEPT : 1];

    float sum = 0.0f;
    gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
        kept[k] = gi8i_load_four(x, i, n, p.x.aligned);
        gi8i_norm_add(&sum, kept[k]);
    });
    float mean = gi8i_reduce<gi8i_add, TEAM>(sum, slots) / static_cast<float>(n);

    float squares = 0.0f;
    gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
        if (KEPT == 0) {
            kept[k] = gi8i_load_four(x, i, n, p.x.aligned);
        }
        gi8i_norm_add_squares(&squares, kept[k], mean, n - i);
    });
    squares = gi8i_reduce<gi8i_add, TEAM>(squares, slots + TEAM / 32);

    float factor = gi8i_norm_factor(p, squares, n);
    gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
        if (KEPT == 0) {
            kept[k] = gi8i_load_four(x, i, n, p.x.aligned);
        }
        unit(i, k, gi8i_normalize_four(kept[k], mean, factor, gi8i_norm_load(p, i, n), n - i));
    });
}

#endif
