/* activation.c - relu, silu, gelu and its tanh approximation. */
#include "unary.h"

gi8i_unary gi8i_cpu_activation_kind(const gi8_tensor *node) {
    static const gi8i_unary kinds[] = {
        [GI8_ACTIVATION_RELU] = GI8I_UNARY_RELU,
        [GI8_ACTIVATION_SILU] = GI8I_UNARY_SILU,
        [GI8_ACTIVATION_GELU] = GI8I_UNARY_GELU,
        [GI8_ACTIVATION_GELU_TANH] = GI8I_UNARY_GELU_TANH,
    };
    return kinds[((const gi8_activation_params *)node->params)->kind];
}

static void run_activation(const gi8i_cpu_run *run, const gi8_step *step) {
    gi8i_cpu_run_unary(run, step, gi8i_cpu_activation_kind(step->node), 0.0f);
}

const gi8i_cpu_op gi8i_cpu_op_activation = {.run = run_activation};
