/* scalar.c - mul_mat in plain C. */
#include "../simd/scalar.h"
#include "body.h"
