/* scale.c - a tensor times a number. */
#include "unary.h"

static void run_scale(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_scale_params *params = step->node->params;
    gi8i_cpu_run_unary(run, step, GI8I_UNARY_SCALE, params->factor);
}

const gi8i_cpu_op gi8i_cpu_op_scale = {.run = run_scale};
