/* avx512.c - fused in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
