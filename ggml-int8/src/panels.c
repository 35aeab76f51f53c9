/* panels.c - the panel layout of int8 weights: sizes, and rows in and out. */
#include "ggml-int8/gi8_panels.h"

#include <string.h>

#include "checked.h"
#include "panels.h"

size_t gi8_panels_size(int64_t k, int64_t n) {
    size_t bytes = 0;
    if (k < 1 || n < 1 || (uint64_t)k > GI8I_SIZE_LIMIT || (uint64_t)n > GI8I_SIZE_LIMIT ||
        !gi8i_mul_size(gi8i_round_up((size_t)k, GI8_PANEL_K),
                       gi8i_round_up((size_t)n, GI8_PANEL_ROWS), &bytes)) {
        return 0;
    }
    return bytes;
}

enum { STRIDE = GI8_PANEL_ROWS * GI8_PANEL_STEP };

/* Where row n begins: its codes 0 to 3; the next four lie STRIDE bytes on. */
static size_t row_start(int64_t k, int64_t n) {
    return (size_t)(n / GI8_PANEL_ROWS * GI8_PANEL_ROWS * gi8_panels_k(k) +
                    n % GI8_PANEL_ROWS * GI8_PANEL_STEP);
}

/* Group by group, so that the panel is written from front to back. `n` is a constant where the
 * caller knows it: then the loop over rows unrolls. */
static inline void pack_groups(const int8_t *rows, int64_t stride, int64_t n_groups, int64_t n,
                               int8_t *to) {
    for (int64_t g = 0; g < n_groups; g++) {
        for (int64_t row = 0; row < n; row++) {
            memcpy(to + g * STRIDE + row * GI8_PANEL_STEP, rows + row * stride + g * GI8_PANEL_STEP,
                   GI8_PANEL_STEP);
        }
    }
}

void gi8i_pack_panel(const int8_t *rows, int64_t stride, int64_t k, int64_t slot, int64_t n,
                     int8_t *panel) {
    int8_t *to = panel + slot * GI8_PANEL_STEP;
    const int64_t n_groups = k / GI8_PANEL_STEP;
    if (n == GI8_PANEL_ROWS) {
        pack_groups(rows, stride, n_groups, GI8_PANEL_ROWS, to);
    } else {
        pack_groups(rows, stride, n_groups, n, to);
    }
    const int64_t done = n_groups * GI8_PANEL_STEP;
    for (int64_t row = 0; k > done && row < n; row++) {
        memcpy(to + n_groups * STRIDE + row * GI8_PANEL_STEP, rows + row * stride + done,
               (size_t)(k - done));
    }
}

void gi8_panels_pack(const int8_t *rows, int64_t k, int64_t first, int64_t n, int8_t *panels) {
    for (int64_t row = 0; row < n;) {
        const int64_t slot = (first + row) % GI8_PANEL_ROWS;
        const int64_t room = GI8_PANEL_ROWS - slot;
        const int64_t m = n - row < room ? n - row : room;
        gi8i_pack_panel(rows + row * k, k, k, slot, m,
                        panels + (first + row - slot) * gi8_panels_k(k));
        row += m;
    }
}

void gi8_panels_unpack(const int8_t *panels, int64_t k, int64_t first, int64_t n, int8_t *rows) {
    for (int64_t r = 0; r < n; r++) {
        int8_t *row = rows + r * k;
        const int8_t *from = panels + row_start(k, first + r);
        int64_t i = 0;
        for (; i + GI8_PANEL_STEP <= k; i += GI8_PANEL_STEP) {
            memcpy(row + i, from + i * GI8_PANEL_ROWS, GI8_PANEL_STEP);
        }
        if (i < k) {
            memcpy(row + i, from + i * GI8_PANEL_ROWS, (size_t)(k - i));
        }
    }
}
