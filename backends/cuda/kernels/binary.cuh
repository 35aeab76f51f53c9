/* binary.cuh - sums and products of two tensors, the second repeated. */
#ifndef GI8I_CUDA_BINARY_CUH
#define GI8I_CUDA_BINARY_CUH

#include "kernels/each_unit.cuh"
#include "kernels/four.cuh"
#include "kernels/strided.cuh"

/* y may be the memory of a, element for element. */
template <bool MULTIPLY> struct gi8i_binary {
    gi8i_rows_at a, b, y;
    int64_t n;       /* elements of a row */
    bool one_of_b;   /* a row of b has one element, which is repeated */

    struct place {
        const float *a, *b;
        float *y;
    };

    __device__ place begin(int64_t row) const {
        return {gi8i_row_of<const float>(a, row), gi8i_row_of<const float>(b, row),
                gi8i_row_of<float>(y, row)};
    }

    __device__ void unit(const place &p, int64_t unit) const {
        int64_t i = 4 * unit;
        gi8i_four<float> left = gi8i_load_four(p.a, i, n, a.aligned);
        gi8i_four<float> right;
        if (one_of_b) {
            right = {{p.b[0], p.b[0], p.b[0], p.b[0]}};
        } else {
            right = gi8i_load_four(p.b, i, n, b.aligned);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            left.v[j] = MULTIPLY ? left.v[j] * right.v[j] : left.v[j] + right.v[j];
        }
        gi8i_store_four(p.y, i, n, y.aligned, left);
    }
};

template <bool MULTIPLY>
static gi8_status gi8i_launch_binary(const char *name, const gi8i_cuda_run *run,
                                     const gi8_step *step, gi8_error *error) {
    const gi8_tensor *a = step->node->src[0];
    const gi8_tensor *b = step->node->src[1];
    bool flat = gi8_is_contiguous(a) && gi8_is_contiguous(b) && gi8_same_shape(a, b);
    gi8i_binary<MULTIPLY> f = {};
    f.a = gi8i_rows_at_of(a, step->src[0], a, flat);
    f.b = gi8i_rows_at_of(b, step->src[1], a, flat);
    f.y = gi8i_rows_at_of(step->node, step->dst, a, flat);
    f.n = f.a.at.ne[0];
    f.one_of_b = !flat && b->ne[0] != a->ne[0];
    return gi8i_launch_each_unit(name, run, f, flat ? 1 : gi8_nrows(a),
                                 gi8i_div_up<int64_t>(f.n, 4), error);
}

#endif
