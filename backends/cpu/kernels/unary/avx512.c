/* avx512.c - unary in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
