/* scalar.c - binary in plain C. */
#include "../simd/scalar.h"
#include "body.h"
