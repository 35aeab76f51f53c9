/* neon.c - binary in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
