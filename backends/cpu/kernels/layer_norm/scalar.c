/* scalar.c - layer_norm in plain C. */
#include "../simd/scalar.h"
#include "body.h"
