/* memory.h - device memory for weights, caches and plans, and copies to and from it.
 * Thread-safe. */
#ifndef GI8I_CUDA_MEMORY_H
#define GI8I_CUDA_MEMORY_H

#include "cuda_impl.h"

typedef struct gi8i_cuda_memory gi8i_cuda_memory;

/* Bytes of one staging buffer, and their number: page-locked host memory through which copies go,
 * so that they run while the next piece is prepared and from several threads. */
#define GI8I_STAGING_BYTES ((size_t)1 << 20)
#define GI8I_STAGING_BUFFERS 4

/* `separate`: each piece is an allocation of its own, of its very size (for tests with guards).
 * NULL on failure. */
gi8i_cuda_memory *gi8i_cuda_memory_create(const gi8i_cuda_device *device, bool separate,
                                          gi8_error *error);
/* All memory must have been freed. NULL is allowed. */
void gi8i_cuda_memory_free(gi8i_cuda_memory *memory);

/* Zeroed device memory aligned to GI8I_CUDA_ALIGN, `size` > 0. NULL: GI8_ERR_MEMORY,
 * GI8_ERR_DEVICE. */
void *gi8i_cuda_memory_take(gi8i_cuda_memory *memory, size_t size, gi8_error *error);
void gi8i_cuda_memory_give(gi8i_cuda_memory *memory, void *address);

/* Copies to the device: `src` may change when it returns, the copy itself ends later, in order with
 * everything else of this file. */
gi8_status gi8i_cuda_memory_write(gi8i_cuda_memory *memory, void *dst, const void *src, size_t size,
                                  gi8_error *error);

/* Copies from the device, and waits. */
gi8_status gi8i_cuda_memory_read(gi8i_cuda_memory *memory, void *dst, const void *src, size_t size,
                                 gi8_error *error);

/* What is enqueued to `stream` from now on waits for the writes (and zeros) so far. Not during
 * capture. */
gi8_status gi8i_cuda_memory_order(gi8i_cuda_memory *memory, cudaStream_t stream, gi8_error *error);

/* Bytes in use, and bytes obtained from the device for them. */
typedef struct gi8i_cuda_memory_stats {
    size_t used, obtained;
} gi8i_cuda_memory_stats;
gi8i_cuda_memory_stats gi8i_cuda_memory_get_stats(gi8i_cuda_memory *memory);

#endif
