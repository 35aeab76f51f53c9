/* attention.c - causal attention over a cache. src: q, k, v, positions, sequences. */
#include "build.h"

#include <inttypes.h>

/* Any other tensor would not be ordered behind the kv_store that fills it. */
static bool check_is_cache(const gi8i_build *b, int s) {
    const gi8i_source *source = &b->sources[s];
    if (source->t->op == GI8_OP_NONE || source->t->op == GI8_OP_KV_STORE) {
        return true;
    }
    gi8i_refuse(b, GI8_ERR_ARGUMENT, "%s is a result of %s, expected one of kv_store or a leaf",
                source->name, gi8_op_get_info(source->t->op)->name);
    return false;
}

gi8_tensor *gi8_attention(gi8_context *ctx, gi8_tensor *q, gi8_tensor *k, gi8_tensor *v,
                          gi8_tensor *positions, gi8_tensor *sequences, float scale) {
    enum { Q, K, V, POSITIONS, SEQUENCES };
    const gi8i_source sources[] = {
        [Q] = {"q", q, GI8I_F32, GI8I_ROWS},
        [K] = {"k", k, GI8I_F32 | GI8I_F16, GI8I_CONTIGUOUS},
        [V] = {"v", v, GI8I_F32 | GI8I_F16, GI8I_CONTIGUOUS},
        [POSITIONS] = {"positions", positions, GI8I_I32, GI8I_CONTIGUOUS | GI8I_PLURAL},
        [SEQUENCES] = {"sequences", sequences, GI8I_I32, GI8I_CONTIGUOUS | GI8I_PLURAL},
    };
    const gi8i_build b = {ctx, GI8_OP_ATTENTION, NULL, sources, 5};
    if (!gi8i_build_begin(&b) || !gi8i_check_max_dims(&b, Q, 3) ||
        !gi8i_check_equal(&b, Q, 0, K, 0) || !gi8i_check_same_shape(&b, K, V) ||
        !gi8i_check_max_dims(&b, POSITIONS, 1) || !gi8i_check_equal(&b, POSITIONS, 0, Q, 2) ||
        !gi8i_check_max_dims(&b, SEQUENCES, 1) || !gi8i_check_equal(&b, SEQUENCES, 0, Q, 2) ||
        !check_is_cache(&b, K) || !check_is_cache(&b, V) ||
        !gi8i_check_finite(&b, "scale", scale)) {
        return NULL;
    }
    if (k->type != v->type) {
        return gi8i_refuse(&b, GI8_ERR_TYPE, "k has type %s, v has type %s, expected the same",
                           gi8_type_name(k->type), gi8_type_name(v->type));
    }
    if (k->ne[2] == 0 ? q->ne[1] != 0 : q->ne[1] % k->ne[2] != 0) {
        return gi8i_refuse(&b, GI8_ERR_SHAPE,
                           "q has ne[1] = %" PRId64 ", expected a multiple of k's ne[2] = %" PRId64,
                           q->ne[1], k->ne[2]);
    }
    return gi8i_build_node(&b, GI8_TYPE_F32, q->ne, &(gi8_attention_params){scale});
}
