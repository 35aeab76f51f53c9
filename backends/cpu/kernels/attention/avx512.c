/* avx512.c - attention in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
