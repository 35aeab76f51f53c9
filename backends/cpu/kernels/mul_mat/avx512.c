/* avx512.c - mul_mat in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
