/* soft_max.c - softmax of rows. src: x, mask or NULL. */
#include "build.h"

gi8_tensor *gi8_soft_max(gi8_context *ctx, gi8_tensor *x, gi8_tensor *mask, float factor) {
    enum { X, MASK };
    const gi8i_source sources[] = {
        [X] = {"x", x, GI8I_F32, GI8I_ROWS},
        [MASK] = {"mask", mask, GI8I_F32, GI8I_ROWS | GI8I_OPTIONAL},
    };
    const gi8i_build b = {ctx, GI8_OP_SOFT_MAX, NULL, sources, 2};
    if (!gi8i_build_begin(&b) || !gi8i_check_repeats(&b, MASK, X) ||
        !gi8i_check_finite(&b, "factor", factor)) {
        return NULL;
    }
    return gi8i_build_node(&b, GI8_TYPE_F32, x->ne, &(gi8_soft_max_params){factor});
}
