/* scalar.c - fused in plain C. */
#include "../simd/scalar.h"
#include "body.h"
