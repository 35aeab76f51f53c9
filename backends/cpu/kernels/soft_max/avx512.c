/* avx512.c - soft_max in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
