/* avx2.c - mul_mat_order in AVX2. */
#include "../simd/avx2.h"
#include "../simd/transpose_avx2.h"
#include "body.h"
