/* unary.cuh - elementwise functions of one tensor of floats, and conversions. */
#ifndef GI8I_CUDA_UNARY_CUH
#define GI8I_CUDA_UNARY_CUH

#include "kernels/each_unit.cuh"
#include "kernels/four.cuh"
#include "kernels/strided.cuh"

/* y = function(x) in fp32; y may be the memory of x where the types are the same. */
template <typename From, typename To, typename Function> struct gi8i_unary {
    gi8i_rows_at x, y;
    int64_t n; /* elements of a row */
    Function function;

    struct place {
        const From *x;
        To *y;
    };

    __device__ place begin(int64_t row) const {
        return {gi8i_row_of<const From>(x, row), gi8i_row_of<To>(y, row)};
    }

    __device__ void unit(const place &p, int64_t unit) const {
        int64_t i = 4 * unit;
        gi8i_four<float> four = gi8i_load_four(p.x, i, n, x.aligned);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            four.v[j] = function(four.v[j]);
        }
        gi8i_store_four(p.y, i, n, y.aligned, four);
    }
};

template <typename Function>
static gi8_status gi8i_launch_unary(const char *name, const gi8i_cuda_run *run,
                                    const gi8_step *step, Function function, gi8_error *error) {
    const gi8_tensor *x = step->node->src[0];
    bool flat = gi8_is_contiguous(x);
    gi8i_unary<float, float, Function> f = {};
    f.x = gi8i_rows_at_of(x, step->src[0], x, flat);
    f.y = gi8i_rows_at_of(step->node, step->dst, x, flat);
    f.n = f.x.at.ne[0];
    f.function = function;
    return gi8i_launch_each_unit(name, run, f, flat ? 1 : gi8_nrows(x),
                                 gi8i_div_up<int64_t>(f.n, 4), error);
}

#endif
