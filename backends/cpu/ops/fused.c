/* fused.c - activations and sums on a block of a product. */
#include "fused.h"

#include "unary.h"

static bool is_row(const gi8_tensor *t) {
    return gi8_nelements(t) == t->ne[0];
}

bool gi8i_cpu_can_finish(const gi8_tensor *next) {
    for (int i = 0; i < GI8_MAX_SRC && next->src[i] != NULL; i++) {
        const gi8_tensor *t = next->src[i];
        bool one_matrix = t->ne[2] == 1 && t->ne[3] == 1;
        if (!is_row(t) && !one_matrix && !gi8_is_contiguous(t)) {
            return false;
        }
    }
    return true;
}

static int64_t row_stride(const gi8_tensor *other) {
    if (is_row(other)) {
        return 0;
    }
    return gi8_is_contiguous(other) ? other->ne[0] : (int64_t)(other->nb[1] / sizeof(float));
}

static const float *addends(const gi8_fused *fused, const gi8i_cpu_block *block) {
    return (const float *)fused->other_data + block->row * row_stride(fused->other) +
           block->column;
}

void gi8i_cpu_finish_block(const gi8i_cpu_run *run, const gi8_step *step,
                           const gi8i_cpu_block *block, const float *y, int64_t stride) {
    int64_t width = step->node->ne[0];
    gi8i_fused_args args = {
        .y = y,
        .dst = (float *)step->dst + block->row * width + block->column,
        .y_stride = stride,
        .dst_stride = width,
        .n = block->columns,
        .m = block->rows,
        .n_ops = step->n_fused,
    };
    for (int i = 0; i < step->n_fused; i++) {
        const gi8_fused *fused = &step->fused[i];
        if (fused->other == NULL) {
            args.ops[i].kind = gi8i_cpu_activation_kind(fused->node);
        } else {
            args.ops[i].other = addends(fused, block);
            args.ops[i].stride = row_stride(fused->other);
        }
    }
    run->kernels->fused(&args);
}

void gi8i_cpu_prefetch_block(const gi8_step *step, const gi8i_cpu_block *block) {
    for (int i = 0; i < step->n_fused; i++) {
        const gi8_fused *fused = &step->fused[i];
        bool one_row = fused->other != NULL && is_row(fused->other); /* small, and often read */
        for (int64_t row = 0; fused->other != NULL && !one_row && row < block->rows; row++) {
            const float *at = addends(fused, block) + row * row_stride(fused->other);
            for (int64_t column = 0; column < block->columns; column += 16) {
                __builtin_prefetch(at + column, 0, 2);
            }
        }
    }
}
