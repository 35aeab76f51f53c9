/* mul.c - the elementwise product of two tensors. */
#include "binary.h"

static void run_mul(const gi8i_cpu_run *run, const gi8_step *step) {
    gi8i_cpu_run_binary(run, step, true);
}

const gi8i_cpu_op gi8i_cpu_op_mul = {.run = run_mul};
