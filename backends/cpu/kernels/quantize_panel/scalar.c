/* scalar.c - quantize_panel in plain C: the reference of the core. */
#include "../kernels.h"

int64_t gi8i_quantize_panel_scalar(gi8_type type, const void *w, int64_t k, int8_t *panel,
                                   float *absmax) {
    int64_t not_finite = 0;
    gi8_int8_quantize_weight_panels(type, w, k, 0, GI8_PANEL_ROWS, panel, absmax, &not_finite);
    return not_finite;
}
