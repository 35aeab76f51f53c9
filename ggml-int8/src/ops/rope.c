/* rope.c - rotary position embedding. src: x, positions. */
#include "build.h"

#include <inttypes.h>

static bool check_params(const gi8i_build *b, const gi8_rope_params *params, int64_t head_dim) {
    if (params == NULL) {
        gi8i_refuse(b, GI8_ERR_ARGUMENT, "params is NULL");
        return false;
    }
    if (params->n_rot <= 0 || params->n_rot % 2 != 0 || params->n_rot > head_dim) {
        gi8i_refuse(b, GI8_ERR_ARGUMENT,
                    "n_rot is %" PRId32 ", expected an even number from 2 to x's ne[0] = %" PRId64,
                    params->n_rot, head_dim);
        return false;
    }
    if (!gi8i_check_finite(b, "base", params->base) ||
        !gi8i_check_finite(b, "freq_scale", params->freq_scale)) {
        return false;
    }
    if (params->base <= 0.0f) {
        gi8i_refuse(b, GI8_ERR_ARGUMENT, "base is %g, expected more than 0", (double)params->base);
        return false;
    }
    return true;
}

gi8_tensor *gi8_rope(gi8_context *ctx, gi8_tensor *x, gi8_tensor *positions,
                     const gi8_rope_params *params) {
    enum { X, POSITIONS };
    const gi8i_source sources[] = {
        [X] = {"x", x, GI8I_F32, GI8I_ROWS},
        [POSITIONS] = {"positions", positions, GI8I_I32, GI8I_CONTIGUOUS | GI8I_PLURAL},
    };
    const gi8i_build b = {ctx, GI8_OP_ROPE, NULL, sources, 2};
    if (!gi8i_build_begin(&b) || !gi8i_check_max_dims(&b, X, 3) ||
        !gi8i_check_max_dims(&b, POSITIONS, 1) || !gi8i_check_equal(&b, POSITIONS, 0, X, 2) ||
        !check_params(&b, params, x->ne[0])) {
        return NULL;
    }
    return gi8i_build_node(&b, GI8_TYPE_F32, x->ne, params);
}
