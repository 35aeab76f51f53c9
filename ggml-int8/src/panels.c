/* panels.c - the panel layout of int8 weights: sizes, and rows in and out. */
#include "ggml-int8/gi8_panels.h"

#include <string.h>

#include "checked.h"

size_t gi8_panels_size(int64_t k, int64_t n) {
    size_t bytes = 0;
    if (k < 1 || n < 1 || (uint64_t)k > GI8I_SIZE_LIMIT || (uint64_t)n > GI8I_SIZE_LIMIT ||
        !gi8i_mul_size(gi8i_round_up((size_t)k, GI8_PANEL_K),
                       gi8i_round_up((size_t)n, GI8_PANEL_ROWS), &bytes)) {
        return 0;
    }
    return bytes;
}

/* Where row n begins: its codes 0 to 3; the next four lie 64 bytes on. */
static size_t row_start(int64_t k, int64_t n) {
    return (size_t)(n / GI8_PANEL_ROWS * GI8_PANEL_ROWS * gi8_panels_k(k) +
                    n % GI8_PANEL_ROWS * GI8_PANEL_STEP);
}

enum { STRIDE = GI8_PANEL_ROWS * GI8_PANEL_STEP };

void gi8_panels_pack(const int8_t *rows, int64_t k, int64_t first, int64_t n, int8_t *panels) {
    for (int64_t r = 0; r < n; r++) {
        const int8_t *row = rows + r * k;
        int8_t *to = panels + row_start(k, first + r);
        int64_t i = 0;
        for (; i + GI8_PANEL_STEP <= k; i += GI8_PANEL_STEP, to += STRIDE) {
            memcpy(to, row + i, GI8_PANEL_STEP);
        }
        memcpy(to, row + i, (size_t)(k - i));
    }
}

void gi8_panels_unpack(const int8_t *panels, int64_t k, int64_t first, int64_t n, int8_t *rows) {
    for (int64_t r = 0; r < n; r++) {
        int8_t *row = rows + r * k;
        const int8_t *from = panels + row_start(k, first + r);
        int64_t i = 0;
        for (; i + GI8_PANEL_STEP <= k; i += GI8_PANEL_STEP, from += STRIDE) {
            memcpy(row + i, from, GI8_PANEL_STEP);
        }
        memcpy(row + i, from, (size_t)(k - i));
    }
}
