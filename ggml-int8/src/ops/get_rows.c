/* get_rows.c - rows of a table by number. src: table, ids. */
#include "build.h"

gi8_tensor *gi8_get_rows(gi8_context *ctx, gi8_tensor *table, gi8_tensor *ids) {
    enum { TABLE, IDS };
    const gi8i_source sources[] = {
        [TABLE] = {"table", table, GI8I_FLOATS, GI8I_ROWS},
        [IDS] = {"ids", ids, GI8I_I32, GI8I_CONTIGUOUS | GI8I_PLURAL},
    };
    const gi8i_build b = {ctx, GI8_OP_GET_ROWS, NULL, sources, 2};
    if (!gi8i_build_begin(&b) || !gi8i_check_max_dims(&b, TABLE, 2) ||
        !gi8i_check_max_dims(&b, IDS, 1)) {
        return NULL;
    }
    const int64_t ne[] = {table->ne[0], ids->ne[0], 1, 1};
    return gi8i_build_node(&b, GI8_TYPE_F32, ne, NULL);
}
