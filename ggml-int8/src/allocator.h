/* allocator.h - the caller's memory functions, or the C library's in their place. */
#ifndef GI8_ALLOCATOR_H
#define GI8_ALLOCATOR_H

#include <stdbool.h>

#include "ggml-int8/gi8_status.h"

/* *allocator = *given, or the C library's functions where `given` is NULL. False where `given`
 * lacks a function: GI8_ERR_ARGUMENT for the caller to report. Thread-safe. */
bool gi8i_allocator_or_default(const gi8_allocator *given, gi8_allocator *allocator);

/* `size` > 0 bytes aligned to `alignment`, or NULL. */
void *gi8i_alloc(const gi8_allocator *allocator, size_t size, size_t alignment);

/* Takes back what gi8i_alloc() returned for `size` bytes. NULL is allowed. */
void gi8i_free(const gi8_allocator *allocator, void *pointer, size_t size);

/* An array of n elements of `size` bytes, aligned to 16; NULL where there is no memory or the size
 * overflows. An empty array is not NULL. gi8i_free_array() takes it back with the same n and size;
 * NULL is allowed. */
void *gi8i_alloc_array(const gi8_allocator *allocator, size_t n, size_t size);
void gi8i_free_array(const gi8_allocator *allocator, void *array, size_t n, size_t size);

#endif
