/* avx512.c - int8_outliers in AVX-512. */
#include "../simd/avx512.h"
#include "body.h"
