/* mul_mat.c - the product of matrices of floating-point numbers. src: w, x. */
#include "build.h"

#include <inttypes.h>

gi8_tensor *gi8_mul_mat(gi8_context *ctx, gi8_tensor *w, gi8_tensor *x) {
    enum { W, X };
    const gi8i_source sources[] = {
        [W] = {"w", w, GI8I_FLOATS, GI8I_ROWS},
        [X] = {"x", x, GI8I_F32, GI8I_ROWS},
    };
    const gi8i_build b = {ctx, GI8_OP_MUL_MAT, NULL, sources, 2};
    if (!gi8i_build_begin(&b) || !gi8i_check_equal(&b, W, 0, X, 0)) {
        return NULL;
    }
    for (int i = 2; i < GI8_MAX_DIMS; i++) {
        if (w->ne[i] == 0 ? x->ne[i] != 0 : x->ne[i] % w->ne[i] != 0) {
            return gi8i_refuse(&b, GI8_ERR_SHAPE,
                               "x has ne[%d] = %" PRId64 ", expected a multiple of w's %" PRId64, i,
                               x->ne[i], w->ne[i]);
        }
    }
    const int64_t ne[] = {w->ne[1], x->ne[1], x->ne[2], x->ne[3]};
    return gi8i_build_node(&b, GI8_TYPE_F32, ne, NULL);
}
