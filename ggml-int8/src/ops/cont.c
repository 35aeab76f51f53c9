/* cont.c - a contiguous copy. src: a. */
#include "build.h"

gi8_tensor *gi8_cont(gi8_context *ctx, gi8_tensor *a) {
    const gi8i_source sources[] = {{"a", a, GI8I_ANY_TYPE, 0}};
    const gi8i_build b = {ctx, GI8_OP_CONT, NULL, sources, 1};
    if (!gi8i_build_begin(&b)) {
        return NULL;
    }
    return gi8i_build_node(&b, a->type, a->ne, NULL);
}
