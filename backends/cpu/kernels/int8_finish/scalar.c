/* scalar.c - int8_finish in plain C. */
#include "../simd/scalar.h"
#include "body.h"
