/* allocator.h - the caller's memory functions, or the C library's in their place. */
#ifndef GI8_ALLOCATOR_H
#define GI8_ALLOCATOR_H

#include <stdbool.h>

#include "ggml-int8/gi8_status.h"

/* Copies `given` to *out; NULL gives the C library's functions. False (nothing written) where one of
 * the two functions is NULL. Thread-safe. */
bool gi8i_allocator_init(gi8_allocator *out, const gi8_allocator *given);

/* `size` > 0 bytes aligned to `alignment`, or NULL. */
void *gi8i_alloc(const gi8_allocator *allocator, size_t size, size_t alignment);

/* Takes back what gi8i_alloc() returned for `size` bytes. NULL is allowed. */
void gi8i_free(const gi8_allocator *allocator, void *pointer, size_t size);

#endif
