/* avx2.c - fused in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
