/* kv_store.c - keys or values into a cache. src: cache, x, positions, sequences; the result is a
 * view of the cache. */
#include "build.h"

gi8_tensor *gi8_kv_store(gi8_context *ctx, gi8_tensor *cache, gi8_tensor *x, gi8_tensor *positions,
                         gi8_tensor *sequences) {
    enum { CACHE, X, POSITIONS, SEQUENCES };
    const gi8i_source sources[] = {
        [CACHE] = {"cache", cache, GI8I_F32 | GI8I_F16, GI8I_CONTIGUOUS},
        [X] = {"x", x, GI8I_F32, GI8I_ROWS},
        [POSITIONS] = {"positions", positions, GI8I_I32, GI8I_CONTIGUOUS | GI8I_PLURAL},
        [SEQUENCES] = {"sequences", sequences, GI8I_I32, GI8I_CONTIGUOUS | GI8I_PLURAL},
    };
    const gi8i_build b = {ctx, GI8_OP_KV_STORE, NULL, sources, 4};
    if (!gi8i_build_begin(&b) || !gi8i_check_max_dims(&b, X, 3) ||
        !gi8i_check_equal(&b, X, 0, CACHE, 0) || !gi8i_check_equal(&b, X, 1, CACHE, 2) ||
        !gi8i_check_max_dims(&b, POSITIONS, 1) || !gi8i_check_equal(&b, POSITIONS, 0, X, 2) ||
        !gi8i_check_max_dims(&b, SEQUENCES, 1) || !gi8i_check_equal(&b, SEQUENCES, 0, X, 2)) {
        return NULL;
    }
    if (cache->op != GI8_OP_NONE) {
        return gi8i_refuse(&b, GI8_ERR_ARGUMENT, "cache is a result of %s, expected a leaf",
                           gi8_op_get_info(cache->op)->name);
    }
    if (x == cache || x->view_src == cache) {
        return gi8i_refuse(&b, GI8_ERR_ARGUMENT, "x looks at the cache itself");
    }
    return gi8i_build_view(&b, cache->ne, cache->nb, 0, NULL);
}
