/* neon.c - layer_norm in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
