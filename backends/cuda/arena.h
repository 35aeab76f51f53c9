/* arena.h - many pieces of device memory out of few allocations. cudaMalloc() rounds each up to
 * 2 MiB, and a model has a piece for every layer. Knows addresses only: it never reads or writes
 * the memory. */
#ifndef GI8I_CUDA_ARENA_H
#define GI8I_CUDA_ARENA_H

#include "cuda_impl.h"

typedef struct gi8i_cuda_arena_chunk gi8i_cuda_arena_chunk;

/* Not thread-safe. A zeroed one is empty; `obtain` and `release` are called with `user`. */
typedef struct gi8i_cuda_arena {
    void *(*obtain)(void *user, size_t size); /* memory aligned to GI8I_CUDA_ALIGN, or NULL */
    void (*release)(void *user, void *memory, size_t size);
    void *user;
    bool separate; /* each piece has a chunk of its own, of its very size: for tests with guards */
    gi8i_cuda_arena_chunk *chunks;
    size_t used;     /* bytes of pieces, rounded up to GI8I_CUDA_ALIGN */
    size_t obtained; /* bytes of chunks */
} gi8i_cuda_arena;

/* `size` > 0 bytes, aligned to GI8I_CUDA_ALIGN; NULL where obtain() has none, or malloc(). */
void *gi8i_cuda_arena_alloc(gi8i_cuda_arena *arena, size_t size);

/* Takes back a piece that gi8i_cuda_arena_alloc() gave. A chunk that has become empty is
 * released. */
void gi8i_cuda_arena_free(gi8i_cuda_arena *arena, void *memory);

#endif
