/* neon.c - fused in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
