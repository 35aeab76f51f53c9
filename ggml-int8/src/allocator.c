/* allocator.c - the caller's memory functions, or the C library's in their place. */
#include "allocator.h"

#include <stdlib.h>

#include "checked.h"

#define ARRAY_ALIGNMENT ((size_t)16)

static void *libc_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    if (size > GI8I_SIZE_LIMIT - alignment) {
        return NULL;
    }
    return aligned_alloc(alignment, gi8i_round_up(size, alignment)); /* which wants a multiple */
}

static void libc_free(void *user, void *pointer, size_t size) {
    (void)user;
    (void)size;
    free(pointer);
}

bool gi8i_allocator_or_default(const gi8_allocator *given, gi8_allocator *allocator) {
    *allocator = given != NULL ? *given : (gi8_allocator){libc_alloc, libc_free, NULL};
    return allocator->alloc != NULL && allocator->free != NULL;
}

void *gi8i_alloc(const gi8_allocator *allocator, size_t size, size_t alignment) {
    return allocator->alloc(allocator->user, size, alignment);
}

void gi8i_free(const gi8_allocator *allocator, void *pointer, size_t size) {
    if (pointer != NULL) {
        allocator->free(allocator->user, pointer, size);
    }
}

/* Allocators are never asked for 0 bytes. */
static size_t at_least_one(size_t bytes) {
    return bytes == 0 ? 1 : bytes;
}

void *gi8i_alloc_array(const gi8_allocator *allocator, size_t n, size_t size) {
    size_t bytes = 0;
    if (!gi8i_mul_size(n, size, &bytes)) {
        return NULL;
    }
    return gi8i_alloc(allocator, at_least_one(bytes), ARRAY_ALIGNMENT);
}

void gi8i_free_array(const gi8_allocator *allocator, void *array, size_t n, size_t size) {
    gi8i_free(allocator, array, at_least_one(n * size));
}
