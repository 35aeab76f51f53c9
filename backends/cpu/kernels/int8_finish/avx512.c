/* avx512.c - int8_finish in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
