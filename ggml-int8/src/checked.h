/* checked.h - sums and products of sizes that refuse to exceed PTRDIFF_MAX, the largest object. */
#ifndef GI8_CHECKED_H
#define GI8_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GI8I_SIZE_LIMIT ((size_t)PTRDIFF_MAX)

/* *out = a + b, or a * b. False, with *out untouched, where that exceeds GI8I_SIZE_LIMIT. */
static inline bool gi8i_add_size(size_t a, size_t b, size_t *out) {
    if (a > GI8I_SIZE_LIMIT || b > GI8I_SIZE_LIMIT - a) {
        return false;
    }
    *out = a + b;
    return true;
}

static inline bool gi8i_mul_size(size_t a, size_t b, size_t *out) {
    if (b != 0 && a > GI8I_SIZE_LIMIT / b) {
        return false;
    }
    *out = a * b;
    return true;
}

/* `size` <= GI8I_SIZE_LIMIT rounded up to a multiple of `alignment`, a power of two. */
static inline size_t gi8i_round_up(size_t size, size_t alignment) {
    return (size + alignment - 1) & ~(alignment - 1);
}

#endif
