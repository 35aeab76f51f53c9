/* int8_reference.h - the definitions of the int8 product for tests, one value at a time. */
#ifndef INT8_REFERENCE_H
#define INT8_REFERENCE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* What a test writes behind an output to see that nothing else does. */
#define GUARD 0x5a

/* rint(x * factor) with the product rounded to fp32 first; 0 for a factor that is 0 or infinite. */
static inline int8_t reference_code(float x, float factor) {
    volatile float product = x * factor;
    return factor == 0.0f || isinf(factor) ? 0 : (int8_t)nearbyint((double)product);
}

/* An entry that goes through int8: finite, and below the threshold where there is one. */
static inline int is_small(float x, float threshold) {
    return isfinite(x) && (threshold <= 0.0f || fabsf(x) < threshold);
}

static inline int is_outlier_entry(float x, float threshold) {
    return threshold > 0.0f && fabsf(x) >= threshold;
}

/* malloc() that fails the test; a size of 0 is fine. */
static inline void *allocate(size_t size) {
    void *memory = malloc(size > 0 ? size : 1);
    assert_non_null(memory);
    return memory;
}

#endif
