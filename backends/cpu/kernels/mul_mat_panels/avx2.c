/* avx2.c - mul_mat_panels in AVX2. */
#include "../simd/avx2.h"
#include "../simd/transpose_avx2.h"

enum { TILE_M = 6, TILE_P = 1 };

/* One register for the sum before and after: gcc 12 takes two, and then stores most of the sums of
 * a tile at every step. */
static inline void keep_in_registers(f32x16 *sum) {
    __asm__("" : "+x"(sum->low), "+x"(sum->high));
}

#include "body.h"
