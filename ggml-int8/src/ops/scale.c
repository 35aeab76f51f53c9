/* scale.c - a tensor times a number. src: x. */
#include "build.h"

gi8_tensor *gi8_scale(gi8_context *ctx, gi8_tensor *x, float factor) {
    const gi8i_source sources[] = {{"x", x, GI8I_F32, GI8I_ROWS}};
    const gi8i_build b = {ctx, GI8_OP_SCALE, NULL, sources, 1};
    if (!gi8i_build_begin(&b) || !gi8i_check_finite(&b, "factor", factor)) {
        return NULL;
    }
    return gi8i_build_node(&b, GI8_TYPE_F32, x->ne, &(gi8_scale_params){factor});
}
