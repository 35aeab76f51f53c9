/* scalar.c - soft_max in plain C. */
#include "../simd/scalar.h"
#include "body.h"
