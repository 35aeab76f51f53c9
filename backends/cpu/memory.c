/* memory.c - aligned memory; in huge pages where there is much of it. */
#define _GNU_SOURCE
#include "memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A page for every 4 KiB of weights is a fault each when they are loaded, and more of them than the
 * processor's tables hold when they are read. */
static void *map_pages(size_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t spare = GI8I_CPU_HUGE_PAGE;
    if (size > PTRDIFF_MAX - spare - page) {
        return NULL;
    }
    size = (size + page - 1) / page * page;
    char *pages =
        mmap(NULL, size + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    const size_t before = (spare - (uintptr_t)pages % spare) % spare; /* so that it is aligned */
    if (before > 0) {
        munmap(pages, before);
    }
    munmap(pages + before + size, spare - before);
#if defined(MADV_HUGEPAGE)
    (void)madvise(pages + before, size, MADV_HUGEPAGE); /* advice only: failing is harmless */
#endif
    return pages + before;
}

static bool is_mapped(size_t size) {
    return size >= GI8I_CPU_HUGE_PAGE;
}

static void *system_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    if (size > SIZE_MAX - alignment) {
        return NULL;
    }
    if (is_mapped(size)) {
        return map_pages(size);
    }
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void system_free(void *user, void *pointer, size_t size) {
    (void)user;
    if (is_mapped(size)) {
        munmap(pointer, size);
    } else {
        free(pointer);
    }
}

const gi8_allocator gi8i_cpu_system_allocator = {system_alloc, system_free, NULL};

void *gi8i_cpu_alloc(const gi8_allocator *allocator, size_t size) {
    return allocator->alloc(allocator->user, size, GI8I_CPU_ALIGNMENT);
}

void *gi8i_cpu_alloc_zeroed(const gi8_allocator *allocator, size_t size) {
    void *memory = gi8i_cpu_alloc(allocator, size);
    if (memory != NULL && !(allocator->alloc == system_alloc && is_mapped(size))) {
        memset(memory, 0, size);
    }
    return memory;
}

void gi8i_cpu_free(const gi8_allocator *allocator, void *pointer, size_t size) {
    if (pointer != NULL) {
        allocator->free(allocator->user, pointer, size);
    }
}
