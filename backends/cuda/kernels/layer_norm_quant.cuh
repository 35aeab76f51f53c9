/* layer_norm_quant.cuh - layer_norm and row_quant in one kernel: the normalized rows, their codes
 * and the outlier columns, with the bits that the two kernels give one after the other. */
#ifndef GI8I_CUDA_LAYER_NORM_QUANT_CUH
#define GI8I_CUDA_LAYER_NORM_QUANT_CUH

#include "kernels/layer_norm.cuh"
#include "kernels/row_quant.cuh"

typedef struct gi8i_layer_norm_quant_args {
    gi8i_layer_norm norm;
    gi8i_row_quant_args quant; /* x: the rows norm.y */
} gi8i_layer_norm_quant_args;

namespace {

/* The maximum over a team of threads, as gi8i_reduce(). */
template <int TEAM>
__device__ inline gi8i_row_max team_max(gi8i_row_max max, gi8i_row_max *slot) {
    max = gi8i_warp_max(max);
    if (TEAM > 32) {
        if (threadIdx.x % 32 == 0) {
            slot[threadIdx.x / 32] = max;
        }
        __syncthreads();
        max = gi8i_warp_max(slot[threadIdx.x % (TEAM / 32)]);
    }
    return max;
}

template <int TEAM, int KEPT>
__global__ void __launch_bounds__(GI8I_ROW_THREADS)
    layer_norm_quant(gi8i_layer_norm_quant_args args, int64_t n_rows) {
    GI8I_SHARED(float, slots, 2 * GI8I_ROW_THREADS / 32);
    GI8I_SHARED(gi8i_row_max, max_slot, GI8I_ROW_THREADS / 32);
    GI8I_SHARED(int32_t, sums, GI8I_ROW_THREADS / 32);
    GI8I_SHARED(uint32_t, blocks_before, 1);
    const gi8i_row_quant_args &quant = args.quant;
    const bool decompose = quant.columns != nullptr;
    const int32_t small_below = gi8i_small_below(quant.threshold);
    const int64_t teams = GI8I_ROW_THREADS / TEAM;
    const int64_t n = quant.k;
    for (int64_t row = blockIdx.x * teams + threadIdx.x / TEAM; row < n_rows;
         row += gridDim.x * teams) {
        float *y = gi8i_row_of<float>(args.norm.y, row);
        gi8i_four<float> kept[KEPT > 0 ? KEPT : 1] = {}; /* 0 behind the row's end */
        gi8i_row_max max = {0, 0};
        gi8i_layer_norm_row<TEAM, KEPT>(
            args.norm, row, slots, [&](int64_t i, int k, const gi8i_four<float> &four) {
                kept[k] = four;
                gi8i_store_four(y, i, n, args.norm.y.aligned, four);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    gi8i_row_max_add(&max, four.v[j], small_below);
                }
            });
        gi8i_row_factors factors =
            gi8i_row_factors_of(team_max<TEAM>(max, max_slot), decompose);
        int8_t *q = quant.q + row * quant.ldq;
        gi8i_my_units<TEAM, KEPT>(quant.ldq, [&](int64_t i, int k) {
            if (KEPT == 0) { /* what this very thread has stored */
                kept[k] = gi8i_load_four(y, i, n, args.norm.y.aligned);
            }
            gi8i_quantize_four(quant, q, kept[k], i, small_below, factors.code);
        });
        if (threadIdx.x % TEAM == 0) {
            quant.row_scale[row] = factors.scale;
            quant.row_unit[row] = factors.unit;
        }
    }
    if (decompose) {
        gi8i_finish_columns(quant, blocks_before, sums);
    }
}

template <int TEAM, int KEPT> struct layer_norm_quant_of {
    static void (*function())(gi8i_layer_norm_quant_args, int64_t) {
        return layer_norm_quant<TEAM, KEPT>;
    }
};

} // namespace

/* Enqueues the kernel; `quant` as for gi8i_row_quant(). */
static inline gi8_status gi8i_layer_norm_quant(const gi8i_cuda_run *run,
                                               const gi8i_layer_norm &norm,
                                               const gi8i_row_quant_args &quant,
                                               gi8_error *error) {
    gi8i_layer_norm_quant_args args = {norm, gi8i_row_quant_with_state(run, quant)};
    return gi8i_launch_rows<layer_norm_quant_of>("layer_norm_quant", run, args, quant.m, quant.k,
                                                 error);
}

#endif
