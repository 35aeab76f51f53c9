/* mul_mat_int8_mixed.c - the product of LLM.int8(). src: codes, absmax, bias or NULL, x. */
#include "build.h"

#include <inttypes.h>
#include <math.h>

gi8_status gi8i_check_int8_params(const gi8_int8_params *params, gi8_error *error) {
    if (isnan(params->threshold)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "threshold is NaN, expected a number");
    }
    if (params->outliers != GI8_OUTLIERS_COLUMN && params->outliers != GI8_OUTLIERS_PER_TOKEN) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "outliers is %d, expected a gi8_outliers",
                             (int)params->outliers);
    }
    if (!gi8_type_is_float(params->out_type)) {
        return gi8_error_set(error, GI8_ERR_TYPE, "out_type is %s, expected F32, F16 or BF16",
                             gi8_type_name(params->out_type));
    }
    return GI8_OK;
}

gi8_tensor *gi8_mul_mat_int8_mixed(gi8_context *ctx, gi8_tensor *codes, gi8_tensor *absmax,
                                   gi8_tensor *bias, gi8_tensor *x, const gi8_int8_params *params) {
    enum { CODES, ABSMAX, BIAS, X };
    const gi8i_source sources[] = {
        [CODES] = {"codes", codes, GI8I_I8, GI8I_CONTIGUOUS | GI8I_PANELS | GI8I_PLURAL},
        [ABSMAX] = {"absmax", absmax, GI8I_F32, GI8I_CONTIGUOUS},
        [BIAS] = {"bias", bias, GI8I_FLOATS, GI8I_CONTIGUOUS | GI8I_OPTIONAL},
        [X] = {"x", x, GI8I_FLOATS, GI8I_ROWS},
    };
    const gi8_int8_params defaults = GI8_INT8_PARAMS_DEFAULT;
    if (params == NULL) {
        params = &defaults;
    }
    const gi8i_build b = {ctx, GI8_OP_MUL_MAT_INT8_MIXED, NULL, sources, 4};
    if (!gi8i_build_begin(&b) || !gi8i_check_max_dims(&b, CODES, 2) ||
        !gi8i_check_equal(&b, CODES, 0, X, 0) || !gi8i_check_max_dims(&b, ABSMAX, 1) ||
        !gi8i_check_equal(&b, ABSMAX, 0, CODES, 1) || !gi8i_check_max_dims(&b, BIAS, 1) ||
        !gi8i_check_equal(&b, BIAS, 0, CODES, 1)) {
        return NULL;
    }
    gi8_error reason = GI8_ERROR_INIT;
    if (gi8i_check_int8_params(params, &reason) != GI8_OK) {
        return gi8i_refuse(&b, reason.status, "%s", reason.message);
    }
    if (codes->ne[0] < 1 || codes->ne[0] > GI8_INT8_MAX_K) {
        return gi8i_refuse(&b, GI8_ERR_SHAPE, "codes have ne[0] = %" PRId64 ", expected 1 to %d",
                           codes->ne[0], GI8_INT8_MAX_K);
    }
    const int64_t ne[] = {codes->ne[1], x->ne[1], x->ne[2], x->ne[3]};
    return gi8i_build_node(&b, params->out_type, ne, params);
}
