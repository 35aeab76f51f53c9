/* panels.h - the inside of the panel layout. */
#ifndef GI8_PANELS_IMPL_H
#define GI8_PANELS_IMPL_H

#include <stdint.h>

/* Writes `k` codes of each of `n` rows, `stride` apart, into rows `slot` on of a panel; `panel`
 * points at the group of four columns where they begin. slot + n <= GI8_PANEL_ROWS. */
void gi8i_pack_panel(const int8_t *rows, int64_t stride, int64_t k, int64_t slot, int64_t n,
                     int8_t *panel);

#endif
