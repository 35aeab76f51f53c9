/* mul.c - the elementwise product of two tensors, the second repeated. src: a, b. */
#include "build.h"

gi8_tensor *gi8_mul(gi8_context *ctx, gi8_tensor *a, gi8_tensor *b) {
    return gi8i_build_elementwise(ctx, GI8_OP_MUL, a, b);
}
