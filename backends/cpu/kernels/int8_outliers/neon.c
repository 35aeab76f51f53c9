/* neon.c - int8_outliers in Advanced SIMD. */
#include "../simd/neon.h"
#include "body.h"
