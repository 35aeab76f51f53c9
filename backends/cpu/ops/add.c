/* add.c - the elementwise sum of two tensors. */
#include "binary.h"

static void run_add(const gi8i_cpu_run *run, const gi8_step *step) {
    gi8i_cpu_run_binary(run, step, false);
}

const gi8i_cpu_op gi8i_cpu_op_add = {.run = run_add};
