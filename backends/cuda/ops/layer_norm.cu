/* layer_norm.cu - layer normalization of rows: the mean, the variance around it, the scaling. */
#include <ptx.cuh>

#include "kernels/layer_norm.cuh"

template <int TEAM, int KEPT>
static __global__ void layer_norm_kernel(gi8i_layer_norm p, int64_t n_rows) {
    GI8I_SHARED(float, slots, 2 * GI8I_ROW_THREADS / 32);
    const int64_t teams = GI8I_ROW_THREADS / TEAM;
    const int64_t n = p.x.at.ne[0];
    for (int64_t row = blockIdx.x * teams + threadIdx.x / TEAM; row < n_rows;
         row += gridDim.x * teams) {
        float *y = gi8i_row_of<float>(p.y, row);
        gi8i_layer_norm_row<TEAM, KEPT>(
            p, row, slots, [&](int64_t i, int, const gi8i_four<float> &four) {
                gi8i_store_four(y, i, n, p.y.aligned, four);
            });
    }
}

template <int TEAM, int KEPT> struct layer_norm_of {
    static void (*function())(gi8i_layer_norm, int64_t) { return layer_norm_kernel<TEAM, KEPT>; }
};

static gi8_status launch_layer_norm(const gi8i_cuda_run *run, const gi8_step *step,
                                    gi8_error *error) {
    const gi8_tensor *x = step->node->src[0];
    return gi8i_launch_rows<layer_norm_of>("layer_norm", run, gi8i_layer_norm_of(step),
                                           gi8_nrows(x), x->ne[0], error);
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_layer_norm = {NULL, NULL, NULL, launch_layer_norm};
