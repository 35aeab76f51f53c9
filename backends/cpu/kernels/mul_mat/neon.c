/* neon.c - mul_mat in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
