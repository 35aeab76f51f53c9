/* scalar.c - unary in plain C. */
#include "../simd/scalar.h"
#include "body.h"
