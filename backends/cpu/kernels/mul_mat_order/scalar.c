/* scalar.c - mul_mat_order in plain C. */
#include "../simd/scalar.h"
#include "../simd/transpose.h"
#include "body.h"
