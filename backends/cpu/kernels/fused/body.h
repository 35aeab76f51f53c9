/* body.h - fused: activations and sums on a block, one after another in registers. */
#include "../kernels.h"

#include "../simd/unary.h"

/* What `op` makes of x, elements from `i` on of row `m`, of which `n` are left. */
GI8I_INLINE f32x16 apply(const gi8i_fused_op *op, f32x16 x, int64_t m, int64_t i, int64_t n) {
    if (op->other == NULL) {
        return f_unary(op->kind, f_set1(1.0f), x);
    }
    const float *other = op->other + m * op->stride + i;
    return f_add(x, n >= 16 ? f_load(other) : f_load_n(other, n));
}

void GI8I_VARIANT(fused)(const gi8i_fused_args *args) {
    for (int64_t m = 0; m < args->m; m++) {
        const float *y = args->y + m * args->y_stride;
        float *dst = args->dst + m * args->dst_stride;
        for (int64_t i = 0; i < args->n; i += 16) {
            int64_t rest = args->n - i;
            f32x16 x = rest >= 16 ? f_load(y + i) : f_load_n(y + i, rest);
            for (int k = 0; k < args->n_ops; k++) {
                x = apply(&args->ops[k], x, m, i, rest);
            }
            if (rest >= 16) {
                f_store(dst + i, x);
            } else {
                f_store_n(dst + i, x, rest);
            }
        }
    }
}
