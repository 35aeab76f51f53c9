/* soft_max.cu - softmax of each row, with an optional mask. */
#include <ptx.cuh>

#include "kernels/functions.cuh"
#include "kernels/row.cuh"

typedef struct soft_max_rows {
    gi8i_rows_at x, y;
    gi8i_rows_at mask; /* data NULL: no mask */
    bool one_of_mask;  /* a row of the mask has one element, which is repeated */
    float factor;
} soft_max_rows;

/* Elements i to i + 3 times the factor plus the mask; -Inf behind the row's end. */
static __device__ inline gi8i_four<float> logits(const soft_max_rows &p, const float *x,
                                                 const float *mask, int64_t i) {
    const int64_t n = p.x.at.ne[0];
    gi8i_four<float> four = gi8i_load_four(x, i, n, p.x.aligned);
    gi8i_four<float> add = {{0.0f, 0.0f, 0.0f, 0.0f}};
    if (mask != nullptr && p.one_of_mask) {
        add = {{mask[0], mask[0], mask[0], mask[0]}};
    } else if (mask != nullptr) {
        add = gi8i_load_four(mask, i, n, p.mask.aligned);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        four.v[j] = n - i > j ? __fmul_rn(four.v[j], p.factor) + add.v[j]
                              : gi8i_largest::identity();
    }
    return four;
}

/* Logits stay in registers where KEPT says how many; else they are computed three times. A NaN may
 * not be seen in the maximum, but makes the sum NaN; a row of -Inf gives -Inf - -Inf = NaN. */
template <int TEAM, int KEPT>
static __global__ void soft_max_kernel(soft_max_rows p, int64_t n_rows) {
    GI8I_SHARED(float, slots, 2 * GI8I_ROW_THREADS / 32);
    float *slot = slots;
    float *other_slot = slots + GI8I_ROW_THREADS / 32;
    const int64_t teams = GI8I_ROW_THREADS / TEAM;
    const int64_t n = p.x.at.ne[0];
    for (int64_t row = blockIdx.x * teams + threadIdx.x / TEAM; row < n_rows;
         row += gridDim.x * teams) {
        const float *x = gi8i_row_of<const float>(p.x, row);
        const float *mask = p.mask.data != nullptr ? gi8i_row_of<const float>(p.mask, row)
                                                   : nullptr;
        float *y = gi8i_row_of<float>(p.y, row);
        gi8i_four<float> kept[KEPT > 0 ? KEPT : 1];

        float top = gi8i_largest::identity();
        gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
            kept[k] = logits(p, x, mask, i);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                top = gi8i_largest::combine(kept[k].v[j], top);
            }
        });
        top = gi8i_reduce<gi8i_largest, TEAM>(top, slot);

        float sum = 0.0f;
        gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
            if (KEPT == 0) {
                kept[k] = logits(p, x, mask, i);
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                kept[k].v[j] = gi8i_exp(kept[k].v[j] - top);
                sum += n - i > j ? kept[k].v[j] : 0.0f;
            }
        });
        sum = gi8i_reduce<gi8i_add, TEAM>(sum, other_slot);

        gi8i_my_units<TEAM, KEPT>(n, [&](int64_t i, int k) {
            gi8i_four<float> four = kept[k];
            if (KEPT == 0) {
                four = logits(p, x, mask, i);
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float e = KEPT == 0 ? gi8i_exp(four.v[j] - top) : four.v[j];
                four.v[j] = __fdiv_rn(e, sum);
            }
            gi8i_store_four(y, i, n, p.y.aligned, four);
        });
    }
}

template <int TEAM, int KEPT> struct soft_max_of {
    static void (*function())(soft_max_rows, int64_t) { return soft_max_kernel<TEAM, KEPT>; }
};

static gi8_status launch_soft_max(const gi8i_cuda_run *run, const gi8_step *step,
                                  gi8_error *error) {
    const gi8_tensor *x = step->node->src[0];
    const gi8_tensor *mask = step->node->src[1];
    const void *params = step->node->params;
    soft_max_rows p = {};
    p.x = gi8i_rows_at_of(x, step->src[0], x, false);
    p.y = gi8i_rows_at_of(step->node, step->dst, x, false);
    if (mask != NULL) {
        p.mask = gi8i_rows_at_of(mask, step->src[1], x, false);
        p.one_of_mask = mask->ne[0] != x->ne[0];
    }
    p.factor = static_cast<const gi8_soft_max_params *>(params)->scale;
    return gi8i_launch_rows<soft_max_of>("soft_max", run, p, gi8_nrows(x), x->ne[0], error);
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_soft_max = {NULL, NULL, NULL, launch_soft_max};
