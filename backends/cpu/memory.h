/* memory.h - 64-byte aligned memory from the caller's allocator or the system's. */
#ifndef GI8I_CPU_MEMORY_H
#define GI8I_CPU_MEMORY_H

#include "ggml-int8/gi8_status.h"

#define GI8I_CPU_ALIGNMENT 64

/* From this size on memory is mapped by itself, in huge pages where the system has them. It is
 * their size on x86-64, and on AArch64 with pages of 4 KiB. */
#define GI8I_CPU_HUGE_PAGE ((size_t)2 << 20)

/* The system's memory as a gi8_allocator: malloc's, or mapped, from GI8I_CPU_HUGE_PAGE bytes on. */
extern const gi8_allocator gi8i_cpu_system_allocator;

/* `size` bytes aligned to GI8I_CPU_ALIGNMENT, or NULL; not zeroed, or zeroed. What is mapped is
 * zero already and is not touched. */
void *gi8i_cpu_alloc(const gi8_allocator *allocator, size_t size);
void *gi8i_cpu_alloc_zeroed(const gi8_allocator *allocator, size_t size);
void gi8i_cpu_free(const gi8_allocator *allocator, void *pointer, size_t size);

#endif
