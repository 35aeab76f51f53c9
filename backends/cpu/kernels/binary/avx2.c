/* avx2.c - binary in AVX2. */
#include "../simd/avx2.h"
#include "body.h"
