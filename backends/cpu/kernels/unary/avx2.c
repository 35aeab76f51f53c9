/* avx2.c - unary in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
