/* context.h - the arena and the sticky error, for builders and graphs. */
#ifndef GI8_CONTEXT_H
#define GI8_CONTEXT_H

#include "ggml-int8/gi8.h"

/* Every object of an arena starts at a multiple of this. */
#define GI8I_ARENA_ALIGNMENT ((size_t)16)

/* True where ctx is neither NULL nor in error. */
bool gi8i_context_ok(const gi8_context *ctx);

/* Records the error unless there is one already; returns the context's (first) status. */
gi8_status gi8i_context_fail(gi8_context *ctx, gi8_status status, const char *format, ...)
    GI8_PRINTF(3, 4);

/* gi8i_context_fail() for a va_list; `prefix` and ": " stand before the sentence. */
gi8_status gi8i_context_failv(gi8_context *ctx, gi8_status status, const char *prefix,
                              const char *format, va_list args) GI8_PRINTF(4, 0);

/* `n` objects of `size` bytes in the arena, zeroed; n * size may be 0. NULL and GI8_ERR_ARENA_FULL
 * or GI8_ERR_MEMORY in ctx where there is no room; the arena is then as before. */
void *gi8i_arena_alloc(gi8_context *ctx, size_t n, size_t size);

/* A point in the life of an arena: releasing it frees all that was allocated since, in constant
 * time. */
typedef struct gi8i_arena_mark {
    struct gi8i_arena_block *block;
    size_t offset;
    size_t passed;
} gi8i_arena_mark;

gi8i_arena_mark gi8i_arena_get_mark(const gi8_context *ctx);
void gi8i_arena_release(gi8_context *ctx, gi8i_arena_mark mark);

#endif
