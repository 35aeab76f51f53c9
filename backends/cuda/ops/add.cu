/* add.cu - the elementwise sum of two tensors. */
#include "kernels/binary.cuh"

static gi8_status launch_add(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    return gi8i_launch_binary<false>("add", run, step, error);
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_add = {NULL, NULL, NULL, launch_add};
