/* neon.c - mul_mat_order in Advanced SIMD. */
#include "../simd/neon.h"
#include "../simd/transpose_neon.h"
#include "body.h"
