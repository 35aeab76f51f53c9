/* add.c - the sum of two tensors, the second repeated. src: a, b. */
#include "build.h"

gi8_tensor *gi8_add(gi8_context *ctx, gi8_tensor *a, gi8_tensor *b) {
    return gi8i_build_elementwise(ctx, GI8_OP_ADD, a, b);
}
