/* avx512.c - binary in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
