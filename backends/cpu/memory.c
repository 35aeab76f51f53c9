/* memory.c - aligned memory. */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>

static void *libc_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    if (size > SIZE_MAX - alignment) {
        return NULL;
    }
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void libc_free(void *user, void *pointer, size_t size) {
    (void)user;
    (void)size;
    free(pointer);
}

const gi8_allocator gi8i_cpu_libc_allocator = {libc_alloc, libc_free, NULL};

void *gi8i_cpu_alloc(const gi8_allocator *allocator, size_t size) {
    return allocator->alloc(allocator->user, size, GI8I_CPU_ALIGNMENT);
}

void gi8i_cpu_free(const gi8_allocator *allocator, void *pointer, size_t size) {
    if (pointer != NULL) {
        allocator->free(allocator->user, pointer, size);
    }
}
