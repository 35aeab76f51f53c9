/* activation.c - relu, silu, gelu, gelu_tanh: one operation of four kinds. src: x. */
#include "build.h"

static gi8_tensor *activation(gi8_context *ctx, const char *name, gi8_tensor *x,
                              gi8_activation_kind kind) {
    const gi8i_source sources[] = {{"x", x, GI8I_F32, GI8I_ROWS}};
    const gi8i_build b = {ctx, GI8_OP_ACTIVATION, name, sources, 1};
    if (!gi8i_build_begin(&b)) {
        return NULL;
    }
    return gi8i_build_node(&b, GI8_TYPE_F32, x->ne, &(gi8_activation_params){kind});
}

gi8_tensor *gi8_relu(gi8_context *ctx, gi8_tensor *x) {
    return activation(ctx, "relu", x, GI8_ACTIVATION_RELU);
}

gi8_tensor *gi8_silu(gi8_context *ctx, gi8_tensor *x) {
    return activation(ctx, "silu", x, GI8_ACTIVATION_SILU);
}

gi8_tensor *gi8_gelu(gi8_context *ctx, gi8_tensor *x) {
    return activation(ctx, "gelu", x, GI8_ACTIVATION_GELU);
}

gi8_tensor *gi8_gelu_tanh(gi8_context *ctx, gi8_tensor *x) {
    return activation(ctx, "gelu_tanh", x, GI8_ACTIVATION_GELU_TANH);
}
