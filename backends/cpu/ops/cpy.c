/* cpy.c - a copy into another tensor: src[1] into src[0]. */
#include "copy.h"

static void run_cpy(const gi8i_cpu_run *run, const gi8_step *step) {
    gi8i_cpu_copy(run, step->node->src[1], step->src[1], step->node->src[0], step->src[0]);
}

const gi8i_cpu_op gi8i_cpu_op_cpy = {.run = run_cpy};
