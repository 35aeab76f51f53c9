/* avx512.c - layer_norm in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
