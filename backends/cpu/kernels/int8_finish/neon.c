/* neon.c - int8_finish in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
