/* cpy.c - a copy into another tensor. src: b, a (the destination first: the result is a view of
 * it). */
#include "build.h"

#include <inttypes.h>

#include "tensor.h"

/* True where the bytes that they span overlap; their elements may still be different ones. */
static bool may_overlap(const gi8_tensor *a, const gi8_tensor *b) {
    const gi8_tensor *a_root = a->view_src != NULL ? a->view_src : a;
    const gi8_tensor *b_root = b->view_src != NULL ? b->view_src : b;
    return a_root == b_root && a->view_offset < b->view_offset + gi8_nbytes(b) &&
           b->view_offset < a->view_offset + gi8_nbytes(a);
}

gi8_tensor *gi8_cpy(gi8_context *ctx, gi8_tensor *a, gi8_tensor *b) {
    const gi8i_source sources[] = {{"b", b, GI8I_ANY_TYPE, 0}, {"a", a, GI8I_ANY_TYPE, 0}};
    const gi8i_build build = {ctx, GI8_OP_CPY, NULL, sources, 2};
    if (!gi8i_build_begin(&build)) {
        return NULL;
    }
    if (a->type != b->type && !(gi8_type_is_float(a->type) && gi8_type_is_float(b->type))) {
        return gi8i_refuse(&build, GI8_ERR_TYPE, "a has type %s, which is not converted to b's %s",
                           gi8_type_name(a->type), gi8_type_name(b->type));
    }
    if (gi8_nelements(a) != gi8_nelements(b)) {
        return gi8i_refuse(&build, GI8_ERR_SHAPE,
                           "a has %" PRId64 " elements, b has %" PRId64 ", expected as many",
                           gi8_nelements(a), gi8_nelements(b));
    }
    if (!gi8i_is_injective(b)) {
        return gi8i_refuse(&build, GI8_ERR_SHAPE, "elements of b share memory");
    }
    if (may_overlap(a, b)) {
        return gi8i_refuse(&build, GI8_ERR_ARGUMENT, "a and b span the same bytes of a tensor");
    }
    return gi8i_build_view(&build, b->ne, b->nb, 0, NULL);
}
