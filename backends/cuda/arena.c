/* arena.c - chunks that are cut into pieces: best fit, neighbours that are free become one. */
#include "arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#define GRANULE ((size_t)2 << 20) /* what cudaMalloc() rounds up to */
#define SPARE_MIN ((size_t)32 << 20)

/* A piece of a chunk, in use or free. The pieces of a chunk are in the order of their addresses,
 * and no two free ones are neighbours. */
typedef struct piece {
    struct piece *previous, *next;
    char *start;
    size_t size;
    bool in_use;
} piece;

struct gi8i_cuda_arena_chunk {
    gi8i_cuda_arena_chunk *next;
    char *memory;
    size_t size;
    piece *pieces;
};

/* How large a chunk for a piece of `size` is. A piece just above a multiple of 2 MiB would waste
 * the most of the next 2 MiB. Models have many pieces of one size, so the chunk gets room for as
 * many as make the rest small, as long as that asks for little beside what is in use. */
static size_t chunk_size(const gi8i_cuda_arena *arena, size_t size) {
    size_t spare = arena->used / 16 > SPARE_MIN ? arena->used / 16 : SPARE_MIN;
    size_t pieces = size;
    for (;;) {
        size_t chunk = (pieces + GRANULE - 1) / GRANULE * GRANULE;
        if (chunk - pieces <= chunk / 64 || pieces + size > spare) {
            return chunk;
        }
        pieces += size;
    }
}

/* A new chunk with one free piece, for a piece of `size`. */
static gi8i_cuda_arena_chunk *add_chunk(gi8i_cuda_arena *arena, size_t size) {
    gi8i_cuda_arena_chunk *chunk = malloc(sizeof *chunk);
    piece *first = malloc(sizeof *first);
    char *memory = NULL;
    size_t obtained = size;
    if (chunk != NULL && first != NULL) {
        if (!arena->separate) {
            obtained = chunk_size(arena, size);
            memory = arena->obtain(arena->user, obtained);
        }
        if (memory == NULL) {
            obtained = size;
            memory = arena->obtain(arena->user, obtained);
        }
    }
    if (memory == NULL) {
        free(chunk);
        free(first);
        return NULL;
    }
    *first = (piece){.start = memory, .size = obtained};
    *chunk = (gi8i_cuda_arena_chunk){arena->chunks, memory, obtained, first};
    arena->chunks = chunk;
    arena->obtained += obtained;
    return chunk;
}

static void remove_chunk(gi8i_cuda_arena *arena, gi8i_cuda_arena_chunk *chunk) {
    gi8i_cuda_arena_chunk **link = &arena->chunks;
    while (*link != chunk) {
        link = &(*link)->next;
    }
    *link = chunk->next;
    arena->obtained -= chunk->size;
    arena->release(arena->user, chunk->memory, chunk->size);
    free(chunk->pieces);
    free(chunk);
}

/* The smallest free piece that is large enough. */
static piece *find_free(const gi8i_cuda_arena *arena, size_t size) {
    piece *best = NULL;
    for (gi8i_cuda_arena_chunk *chunk = arena->chunks; chunk != NULL; chunk = chunk->next) {
        for (piece *p = chunk->pieces; p != NULL; p = p->next) {
            if (!p->in_use && p->size >= size && (best == NULL || p->size < best->size)) {
                best = p;
            }
        }
    }
    return best;
}

void *gi8i_cuda_arena_alloc(gi8i_cuda_arena *arena, size_t size) {
    if (size > PTRDIFF_MAX - GRANULE) {
        return NULL;
    }
    size_t rounded = (size + GI8I_CUDA_ALIGN - 1) / GI8I_CUDA_ALIGN * GI8I_CUDA_ALIGN;
    piece *rest = malloc(sizeof *rest);
    if (rest == NULL) {
        return NULL;
    }
    if (arena->separate) {
        rounded = size;
    }
    piece *found = arena->separate ? NULL : find_free(arena, rounded);
    if (found == NULL) {
        gi8i_cuda_arena_chunk *chunk = add_chunk(arena, rounded);
        if (chunk == NULL) {
            free(rest);
            return NULL;
        }
        found = chunk->pieces;
    }
    if (found->size > rounded) {
        *rest = (piece){found, found->next, found->start + rounded, found->size - rounded, false};
        if (rest->next != NULL) {
            rest->next->previous = rest;
        }
        found->next = rest;
        found->size = rounded;
    } else {
        free(rest);
    }
    found->in_use = true;
    arena->used += rounded;
    return found->start;
}

/* Makes one piece of `p` and the next one. */
static void join_next(piece *p) {
    piece *next = p->next;
    p->size += next->size;
    p->next = next->next;
    if (p->next != NULL) {
        p->next->previous = p;
    }
    free(next);
}

void gi8i_cuda_arena_free(gi8i_cuda_arena *arena, void *memory) {
    uintptr_t address = (uintptr_t)memory;
    gi8i_cuda_arena_chunk *chunk = arena->chunks;
    while (chunk != NULL && address - (uintptr_t)chunk->memory >= chunk->size) {
        chunk = chunk->next;
    }
    assert(chunk != NULL);
    piece *p = chunk->pieces;
    while (p->start != memory) {
        p = p->next;
        assert(p != NULL);
    }
    assert(p->in_use);
    p->in_use = false;
    arena->used -= p->size;
    if (p->next != NULL && !p->next->in_use) {
        join_next(p);
    }
    if (p->previous != NULL && !p->previous->in_use) {
        p = p->previous;
        join_next(p);
    }
    if (p->size == chunk->size) {
        remove_chunk(arena, chunk);
    }
}
