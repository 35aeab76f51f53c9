/* neon.c - unary in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
