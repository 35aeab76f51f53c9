/* avx2.c - mul_mat in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
