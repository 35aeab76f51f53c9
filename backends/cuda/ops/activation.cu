/* activation.cu - relu, silu, gelu and its tanh approximation. */
#include "kernels/activation.cuh"
#include "kernels/unary.cuh"

template <gi8_activation_kind KIND> struct activation {
    __device__ float operator()(float x) const { return gi8i_activate(KIND, x); }
};

template <gi8_activation_kind KIND>
static gi8_status launch_kind(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    return gi8i_launch_unary("activation", run, step, activation<KIND>{}, error);
}

static gi8_status launch_activation(const gi8i_cuda_run *run, const gi8_step *step,
                                    gi8_error *error) {
    const void *params = step->node->params;
    switch (static_cast<const gi8_activation_params *>(params)->kind) {
    case GI8_ACTIVATION_RELU: return launch_kind<GI8_ACTIVATION_RELU>(run, step, error);
    case GI8_ACTIVATION_SILU: return launch_kind<GI8_ACTIVATION_SILU>(run, step, error);
    case GI8_ACTIVATION_GELU: return launch_kind<GI8_ACTIVATION_GELU>(run, step, error);
    default: return launch_kind<GI8_ACTIVATION_GELU_TANH>(run, step, error);
    }
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_activation = {NULL, NULL, NULL, launch_activation};
