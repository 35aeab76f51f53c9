/* neon.c - mul_mat_panels in Advanced SIMD. */
#include "../simd/neon.h"
#include "../simd/transpose_neon.h"

enum { TILE_M = 6, TILE_P = 1 };

/* Compilers do so by themselves. */
static inline void keep_in_registers(f32x16 *sum) {
    (void)sum;
}

#include "body.h"
