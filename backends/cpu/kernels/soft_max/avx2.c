/* avx2.c - soft_max in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
