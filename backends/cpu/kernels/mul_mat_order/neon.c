/* neon.c - mul_mat_order in Advanced SIMD. */
#include "../simd/neon.h"
#include "../simd/transpose.h"
#include "body.h"
