/* layer_norm.cu - layer normalization of rows: the mean, the variance around it, the scaling. */
#include <ptx.cuh>

#include "kernels/row.cuh"

typedef struct layer_norm_rows {
    gi8i_rows_at x, y;
    const float *gain; /* or NULL */
    const float *bias; /* or NULL */
    bool gain_aligned, bias_aligned;
    float eps;
} layer_norm_rows;

/* Elements of a row stay in registers where KEPT says how many; else they are read three times. */
template <int TEAM, int KEPT>
static __global__ void layer_norm_kernel(layer_norm_rows p, int64_t n_rows) {
    GI8I_SHARED(float, slots, 2 * GI8I_ROW_THREADS / 32);
    float *slot = slots;
    float *other_slot = slots + GI8I_ROW_THREADS / 32;
    const int64_t teams = GI8I_ROW_THREADS / TEAM;
    const int64_t n = p.x.at.ne[0];
    for (int64_t row = blockIdx.x * teams + threadIdx.x / TEAM; row < n_rows;
         row += gridDim.x * teams) {
        const float *x = gi8i_row_of<const float>(p.x, row);
        float *y = gi8i_row_of<float>(p.y, row);
        gi8i_four<float> kept[KEPT > 0 ? KEPT : 1];

        float sum = 0.0f;
        gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
            kept[k] = gi8i_load_four(x, i, n, p.x.aligned);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                sum += kept[k].v[j]; /* 0 behind the row's end */
            }
        });
        float mean = gi8i_reduce<gi8i_add, TEAM>(sum, slot) / static_cast<float>(n);

        float squares = 0.0f;
        gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
            if (KEPT == 0) {
                kept[k] = gi8i_load_four(x, i, n, p.x.aligned);
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float d = n - i > j ? kept[k].v[j] - mean : 0.0f;
                squares = fmaf(d, d, squares);
            }
        });
        float variance = gi8i_reduce<gi8i_add, TEAM>(squares, other_slot) / static_cast<float>(n);

        float factor = 1.0f / sqrtf(variance + p.eps);
        gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
            if (KEPT == 0) {
                kept[k] = gi8i_load_four(x, i, n, p.x.aligned);
            }
            gi8i_four<float> gain = {{1.0f, 1.0f, 1.0f, 1.0f}};
            gi8i_four<float> bias = {{0.0f, 0.0f, 0.0f, 0.0f}};
            if (p.gain != nullptr) {
                gain = gi8i_load_four(p.gain, i, n, p.gain_aligned);
            }
            if (p.bias != nullptr) {
                bias = gi8i_load_four(p.bias, i, n, p.bias_aligned);
            }
            gi8i_four<float> four;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                four.v[j] = __fmul_rn(__fmul_rn(kept[k].v[j] - mean, factor), gain.v[j]) +
                            bias.v[j];
            }
            gi8i_store_four(y, i, n, p.y.aligned, four);
        });
    }
}

template <int TEAM, int KEPT> struct layer_norm_of {
    static void (*function())(layer_norm_rows, int64_t) { return layer_norm_kernel<TEAM, KEPT>; }
};

static bool aligned(const float *vector) {
    return reinterpret_cast<uintptr_t>(vector) % (4 * sizeof *vector) == 0;
}

static gi8_status launch_layer_norm(const gi8i_cuda_run *run, const gi8_step *step,
                                    gi8_error *error) {
    const gi8_tensor *x = step->node->src[0];
    const void *params = step->node->params;
    layer_norm_rows p = {};
    p.x = gi8i_rows_at_of(x, step->src[0], x, false);
    p.y = gi8i_rows_at_of(step->node, step->dst, x, false);
    p.gain = static_cast<const float *>(step->src[1]);
    p.bias = static_cast<const float *>(step->src[2]);
    p.gain_aligned = aligned(p.gain);
    p.bias_aligned = aligned(p.bias);
    p.eps = static_cast<const gi8_layer_norm_params *>(params)->eps;
    return gi8i_launch_rows<layer_norm_of>("layer_norm", run, p, gi8_nrows(x), x->ne[0], error);
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_layer_norm = {NULL, NULL, NULL, launch_layer_norm};
