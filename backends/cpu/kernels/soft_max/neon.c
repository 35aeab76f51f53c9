/* neon.c - soft_max in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
