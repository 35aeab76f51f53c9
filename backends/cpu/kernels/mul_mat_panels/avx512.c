/* avx512.c - mul_mat_panels in AVX-512. */
#include "../simd/avx512.h"
#include "../simd/transpose_avx512.h"

enum { TILE_M = 14, TILE_P = 2 };

/* One register for the sum before and after: gcc 12 takes two, and then stores most of the sums of
 * a tile at every step. */
static inline void keep_in_registers(f32x16 *sum) {
    __asm__("" : "+v"(*sum));
}

#include "body.h"
