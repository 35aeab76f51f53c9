/* avx512.c - mul_mat_order in AVX-512. */
#include "../simd/avx512.h"
#include "../simd/transpose_avx512.h"
#include "body.h"
