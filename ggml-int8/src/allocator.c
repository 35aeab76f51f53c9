/* allocator.c - the caller's memory functions, or the C library's in their place. */
#include "allocator.h"

#include <stdint.h>
#include <stdlib.h>

static void *libc_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    if (size > PTRDIFF_MAX - alignment) {
        return NULL;
    }
    /* aligned_alloc() wants a multiple of the alignment. */
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void libc_free(void *user, void *pointer, size_t size) {
    (void)user;
    (void)size;
    free(pointer);
}

bool gi8i_allocator_init(gi8_allocator *out, const gi8_allocator *given) {
    if (given == NULL) {
        *out = (gi8_allocator){libc_alloc, libc_free, NULL};
        return true;
    }
    if (given->alloc == NULL || given->free == NULL) {
        return false;
    }
    *out = *given;
    return true;
}

void *gi8i_alloc(const gi8_allocator *allocator, size_t size, size_t alignment) {
    return allocator->alloc(allocator->user, size, alignment);
}

void gi8i_free(const gi8_allocator *allocator, void *pointer, size_t size) {
    if (pointer != NULL) {
        allocator->free(allocator->user, pointer, size);
    }
}
