/* ops_info.c - the table of operations, generated from ops.def. */
#include "ggml-int8/gi8.h"

static const gi8_op_info infos[GI8_OP_COUNT] = {
    [GI8_OP_NONE] = {"leaf", 0, 0, 0},
#define GI8_VIEW_OP(ENUM, name, params) \
    [GI8_OP_##ENUM] = {#name, 1, sizeof(params), GI8_OP_IS_VIEW},
#define GI8_OP(ENUM, name, n_src, params, flags) \
    [GI8_OP_##ENUM] = {#name, n_src, sizeof(params), flags},
#include "ggml-int8/ops.def"
#undef GI8_VIEW_OP
#undef GI8_OP
};

const gi8_op_info *gi8_op_get_info(gi8_op op) {
    return (unsigned)op < GI8_OP_COUNT ? &infos[op] : NULL;
}
