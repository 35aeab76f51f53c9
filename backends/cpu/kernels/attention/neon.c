/* neon.c - attention in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
