/* avx2.c - attention in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
