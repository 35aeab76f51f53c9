/* avx2.c - layer_norm in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
