/* cont.c - a contiguous copy. */
#include "copy.h"

static void run_cont(const gi8i_cpu_run *run, const gi8_step *step) {
    gi8i_cpu_copy(run, step->node->src[0], step->src[0], step->node, step->dst);
}

const gi8i_cpu_op gi8i_cpu_op_cont = {.run = run_cont};
