/* avx2.c - int8_outliers in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
