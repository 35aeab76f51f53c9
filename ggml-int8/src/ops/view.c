/* view.c - view, reshape, permute, transpose: another look at a tensor's memory. src: a. */
#include "build.h"

#include "checked.h"
#include "tensor.h"

/* ---- view ------------------------------------------------------------------------------------ */

/* nb[1..3] are byte strides; nb[0] is filled in. */
static gi8_tensor *view(gi8_context *ctx, gi8_tensor *a, const int64_t ne[GI8_MAX_DIMS],
                        size_t nb[GI8_MAX_DIMS], size_t offset) {
    const gi8i_source sources[] = {{"a", a, GI8I_ANY_TYPE, 0}};
    const gi8i_build b = {ctx, GI8_OP_VIEW, NULL, sources, 1};
    if (!gi8i_build_begin(&b)) {
        return NULL;
    }
    const size_t size = gi8_type_size(a->type);
    if (a->nb[0] != size) {
        return gi8i_refuse(&b, GI8_ERR_SHAPE, "a has nb[0] = %zu, expected the element size %zu",
                           a->nb[0], size);
    }
    if (offset % size != 0) {
        return gi8i_refuse(&b, GI8_ERR_SHAPE, "offset %zu is no multiple of the element size %zu",
                           offset, size);
    }
    nb[0] = size;
    for (int i = 1; i < GI8_MAX_DIMS; i++) {
        if (nb[i] % size != 0 || nb[i] > GI8I_SIZE_LIMIT) {
            return gi8i_refuse(&b, GI8_ERR_SHAPE,
                               "nb[%d] = %zu is no multiple of the element size %zu or too large",
                               i, nb[i], size);
        }
    }
    return gi8i_build_view(&b, ne, nb, offset, NULL);
}

/* The stride of a dimension of one element behind one of `ne` with stride `nb`; 0 where it would
 * overflow, in which case it is never used or gi8i_build_view() refuses the view. */
static size_t stride_behind(int64_t ne, size_t nb) {
    size_t stride = 0;
    if (ne < 0 || !gi8i_mul_size(ne == 0 ? 1 : (size_t)ne, nb, &stride)) {
        return 0;
    }
    return stride;
}

gi8_tensor *gi8_view_1d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, size_t offset) {
    const size_t nb1 = a == NULL ? 0 : stride_behind(ne0, gi8_type_size(a->type));
    return view(ctx, a, (const int64_t[]){ne0, 1, 1, 1}, (size_t[]){0, nb1, nb1, nb1}, offset);
}

gi8_tensor *gi8_view_2d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1, size_t nb1,
                        size_t offset) {
    const size_t nb2 = stride_behind(ne1, nb1);
    return view(ctx, a, (const int64_t[]){ne0, ne1, 1, 1}, (size_t[]){0, nb1, nb2, nb2}, offset);
}

gi8_tensor *gi8_view_3d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1, int64_t ne2,
                        size_t nb1, size_t nb2, size_t offset) {
    const size_t nb3 = stride_behind(ne2, nb2);
    return view(ctx, a, (const int64_t[]){ne0, ne1, ne2, 1}, (size_t[]){0, nb1, nb2, nb3}, offset);
}

gi8_tensor *gi8_view_4d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1, int64_t ne2,
                        int64_t ne3, size_t nb1, size_t nb2, size_t nb3, size_t offset) {
    const int64_t ne[] = {ne0, ne1, ne2, ne3};
    return view(ctx, a, ne, (size_t[]){0, nb1, nb2, nb3}, offset);
}

/* ---- reshape --------------------------------------------------------------------------------- */

static gi8_tensor *reshape(gi8_context *ctx, gi8_tensor *a, const int64_t ne[GI8_MAX_DIMS]) {
    const gi8i_source sources[] = {{"a", a, GI8I_ANY_TYPE, GI8I_CONTIGUOUS}};
    const gi8i_build b = {ctx, GI8_OP_RESHAPE, NULL, sources, 1};
    if (!gi8i_build_begin(&b)) {
        return NULL;
    }
    size_t nb[GI8_MAX_DIMS];
    if (!gi8i_contiguous_strides(a->type, ne, nb) ||
        ne[0] * ne[1] * ne[2] * ne[3] != gi8_nelements(a)) {
        char from[GI8I_SHAPE_TEXT];
        char to[GI8I_SHAPE_TEXT];
        return gi8i_refuse(&b, GI8_ERR_SHAPE, "a has shape %s, %s has another number of elements",
                           gi8i_shape_text(a->ne, from), gi8i_shape_text(ne, to));
    }
    return gi8i_build_view(&b, ne, nb, 0, NULL);
}

gi8_tensor *gi8_reshape_1d(gi8_context *ctx, gi8_tensor *a, int64_t ne0) {
    return reshape(ctx, a, (const int64_t[]){ne0, 1, 1, 1});
}

gi8_tensor *gi8_reshape_2d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1) {
    return reshape(ctx, a, (const int64_t[]){ne0, ne1, 1, 1});
}

gi8_tensor *gi8_reshape_3d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1, int64_t ne2) {
    return reshape(ctx, a, (const int64_t[]){ne0, ne1, ne2, 1});
}

gi8_tensor *gi8_reshape_4d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1, int64_t ne2,
                           int64_t ne3) {
    return reshape(ctx, a, (const int64_t[]){ne0, ne1, ne2, ne3});
}

/* ---- permute and transpose ------------------------------------------------------------------- */

static gi8_tensor *exchange(const gi8i_build *b, const int axis[GI8_MAX_DIMS], const void *params) {
    const gi8_tensor *a = b->sources[0].t;
    int64_t ne[GI8_MAX_DIMS];
    size_t nb[GI8_MAX_DIMS];
    for (int i = 0; i < GI8_MAX_DIMS; i++) {
        ne[axis[i]] = a->ne[i];
        nb[axis[i]] = a->nb[i];
    }
    return gi8i_build_view(b, ne, nb, 0, params);
}

gi8_tensor *gi8_permute(gi8_context *ctx, gi8_tensor *a, int axis0, int axis1, int axis2,
                        int axis3) {
    const gi8i_source sources[] = {{"a", a, GI8I_ANY_TYPE, 0}};
    const gi8i_build b = {ctx, GI8_OP_PERMUTE, NULL, sources, 1};
    const gi8_permute_params params = {{axis0, axis1, axis2, axis3}};
    if (!gi8i_build_begin(&b)) {
        return NULL;
    }
    unsigned seen = 0;
    for (int i = 0; i < GI8_MAX_DIMS; i++) {
        if (params.axis[i] >= 0 && params.axis[i] < GI8_MAX_DIMS) {
            seen |= 1u << params.axis[i];
        }
    }
    if (seen != (1u << GI8_MAX_DIMS) - 1) {
        return gi8i_refuse(&b, GI8_ERR_ARGUMENT,
                           "the axes are %d, %d, %d, %d, expected a permutation of 0, 1, 2, 3",
                           axis0, axis1, axis2, axis3);
    }
    return exchange(&b, params.axis, &params);
}

gi8_tensor *gi8_transpose(gi8_context *ctx, gi8_tensor *a) {
    const gi8i_source sources[] = {{"a", a, GI8I_ANY_TYPE, 0}};
    const gi8i_build b = {ctx, GI8_OP_TRANSPOSE, NULL, sources, 1};
    if (!gi8i_build_begin(&b)) {
        return NULL;
    }
    return exchange(&b, (const int[]){1, 0, 2, 3}, NULL);
}
