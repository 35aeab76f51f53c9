/* scalar.c - attention in plain C. */
#include "../simd/scalar.h"
#include "body.h"
