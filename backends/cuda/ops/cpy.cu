/* cpy.cu - a copy into another tensor, src[1] into src[0], with conversion between float types. */
#include "kernels/copy.cuh"

template <typename From>
static gi8_status launch_from(const gi8i_copy *copy, gi8_error *error) {
    switch (copy->dst->type) {
    case GI8_TYPE_F16: return gi8i_launch_converting_copy<From, __half>(copy, error);
    case GI8_TYPE_BF16: return gi8i_launch_converting_copy<From, __nv_bfloat16>(copy, error);
    default: return gi8i_launch_converting_copy<From, float>(copy, error);
    }
}

static gi8_status launch_cpy(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    gi8i_copy copy = gi8i_copy_of("cpy", run, step->node->src[1], step->src[1], step->node->src[0],
                                  step->src[0]);
    if (copy.src->type == copy.dst->type) {
        return gi8i_launch_copy(&copy, error);
    }
    switch (copy.src->type) {
    case GI8_TYPE_F16: return launch_from<__half>(&copy, error);
    case GI8_TYPE_BF16: return launch_from<__nv_bfloat16>(&copy, error);
    default: return launch_from<float>(&copy, error);
    }
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_cpy = {NULL, NULL, NULL, launch_cpy};
