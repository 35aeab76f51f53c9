/* scalar.c - mul_mat_panels in plain C. */
#include "../simd/scalar.h"
#include "../simd/transpose.h"

enum { TILE_M = 2, TILE_P = 1 };

/* Compilers do so by themselves. */
static inline void keep_in_registers(f32x16 *sum) {
    (void)sum;
}

#include "body.h"
