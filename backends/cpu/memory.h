/* memory.h - 64-byte aligned memory from the caller's allocator or the C library's. */
#ifndef GI8I_CPU_MEMORY_H
#define GI8I_CPU_MEMORY_H

#include "ggml-int8/gi8_status.h"

#define GI8I_CPU_ALIGNMENT 64

/* The C library's memory as a gi8_allocator. */
extern const gi8_allocator gi8i_cpu_libc_allocator;

/* `size` bytes aligned to GI8I_CPU_ALIGNMENT, not zeroed, or NULL. */
void *gi8i_cpu_alloc(const gi8_allocator *allocator, size_t size);
void gi8i_cpu_free(const gi8_allocator *allocator, void *pointer, size_t size);

#endif
