/* scale.cu - a tensor times a number. */
#include "kernels/unary.cuh"

struct times {
    float factor;
    __device__ float operator()(float x) const { return x * factor; }
};

static gi8_status launch_scale(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const void *params = step->node->params;
    times function = {static_cast<const gi8_scale_params *>(params)->factor};
    return gi8i_launch_unary("scale", run, step, function, error);
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_scale = {NULL, NULL, NULL, launch_scale};
