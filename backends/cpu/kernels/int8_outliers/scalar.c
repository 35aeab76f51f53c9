/* scalar.c - int8_outliers in plain C. */
#include "../simd/scalar.h"
#include "body.h"
