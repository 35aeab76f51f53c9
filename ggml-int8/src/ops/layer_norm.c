/* layer_norm.c - normalization of rows. src: x, gain or NULL, bias or NULL. */
#include "build.h"

gi8_tensor *gi8_layer_norm(gi8_context *ctx, gi8_tensor *x, gi8_tensor *gain, gi8_tensor *bias,
                           float eps) {
    enum { X, GAIN, BIAS };
    const gi8i_source sources[] = {
        [X] = {"x", x, GI8I_F32, GI8I_ROWS},
        [GAIN] = {"gain", gain, GI8I_F32, GI8I_CONTIGUOUS | GI8I_OPTIONAL},
        [BIAS] = {"bias", bias, GI8I_F32, GI8I_CONTIGUOUS | GI8I_OPTIONAL},
    };
    const gi8i_build b = {ctx, GI8_OP_LAYER_NORM, NULL, sources, 3};
    if (!gi8i_build_begin(&b) || !gi8i_check_max_dims(&b, GAIN, 1) ||
        !gi8i_check_equal(&b, GAIN, 0, X, 0) || !gi8i_check_max_dims(&b, BIAS, 1) ||
        !gi8i_check_equal(&b, BIAS, 0, X, 0) || !gi8i_check_finite(&b, "eps", eps)) {
        return NULL;
    }
    if (eps < 0.0f) {
        return gi8i_refuse(&b, GI8_ERR_ARGUMENT, "eps is %g, expected at least 0", (double)eps);
    }
    return gi8i_build_node(&b, GI8_TYPE_F32, x->ne, &(gi8_layer_norm_params){eps});
}
