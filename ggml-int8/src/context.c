/* context.c - the arena in which tensors and graphs live, and the sticky error.
 *
 *     first block                           later blocks, in growing arenas only
 *     +-------------+---------+------+      +-------+-----------+------+      +-------+---------+
 *     | gi8_context | objects | tail | ---> | block | objects   | free | ---> | block | unused  |
 *     +-------------+---------+------+      +-------+-----------+------+      +-------+---------+
 *     ^                                     ^       |           ^
 *     ctx, ctx->head                        current +-- offset -+
 *
 * A gi8_context starts with the header of the first block, so that a context in the caller's buffer
 * uses no other memory. Invariants:
 *   - blocks before `current` are closed: their tails stay unused until the next reset;
 *   - blocks behind `current` hold nothing: they are left from before a reset and used again;
 *   - bytes in use = passed (sizes of the blocks before `current`) + offset; bytes obtained = size;
 *   - block headers, offsets and objects are multiples of GI8I_ARENA_ALIGNMENT;
 *   - a refused allocation changes nothing but the error.
 * Reset makes the first block current again, whatever was built: so it takes constant time.
 * A new block is as large as all blocks before it, so that n bytes take O(log n) blocks.
 */
#include "context.h"

#include <string.h>

#include "allocator.h"
#include "checked.h"

#define DEFAULT_SIZE ((size_t)64 * 1024)

typedef struct gi8i_arena_block {
    struct gi8i_arena_block *next;
    size_t size; /* with this header */
} gi8i_arena_block;

struct gi8_context {
    gi8i_arena_block head;
    gi8i_arena_block *current;
    size_t offset; /* of the free part of `current` */
    size_t passed;
    size_t size;
    gi8_allocator allocator;
    bool fixed;
    bool owns_head; /* false in the caller's buffer */
    gi8_error error;
};

static size_t header_size(void) {
    return gi8i_round_up(sizeof(gi8i_arena_block), GI8I_ARENA_ALIGNMENT);
}

static size_t context_size(void) {
    return gi8i_round_up(sizeof(gi8_context), GI8I_ARENA_ALIGNMENT);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The caller's memory from the first aligned byte on, or the allocator's; NULL with *error set. */
static void *first_block(const gi8_context_params *params, const gi8_allocator *allocator,
                         size_t *size, gi8_error *error) {
    *size = params->size == 0 && params->buffer == NULL ? DEFAULT_SIZE : params->size;
    size_t skip = 0;
    if (params->buffer != NULL) {
        skip = (size_t)(-(uintptr_t)params->buffer & (GI8I_ARENA_ALIGNMENT - 1));
    }
    if (*size < skip + context_size()) {
        gi8_error_set(error, GI8_ERR_ARGUMENT,
                      "context: size is %zu bytes, the context itself needs %zu", *size,
                      skip + context_size());
        return NULL;
    }
    if (params->buffer != NULL) {
        *size -= skip;
        return (unsigned char *)params->buffer + skip;
    }
    void *memory = gi8i_alloc(allocator, *size, GI8I_ARENA_ALIGNMENT);
    if (memory == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "context: no memory for an arena of %zu bytes", *size);
    }
    return memory;
}

gi8_context *gi8_context_create(const gi8_context_params *params, gi8_error *error) {
    const gi8_context_params defaults = {0};
    if (params == NULL) {
        params = &defaults;
    }
    gi8_allocator allocator;
    if (!gi8i_allocator_or_default(params->allocator, &allocator)) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "context: the allocator lacks a function");
        return NULL;
    }
    size_t size = 0;
    gi8_context *ctx = first_block(params, &allocator, &size, error);
    if (ctx == NULL) {
        return NULL;
    }
    memset(ctx, 0, sizeof *ctx);
    ctx->head.size = size;
    ctx->size = size;
    ctx->allocator = allocator;
    ctx->fixed = params->fixed || params->buffer != NULL;
    ctx->owns_head = params->buffer == NULL;
    gi8_context_reset(ctx);
    return ctx;
}

void gi8_context_free(gi8_context *ctx) {
    if (ctx == NULL) {
        return;
    }
    const gi8_allocator allocator = ctx->allocator;
    gi8i_arena_block *block = ctx->head.next;
    while (block != NULL) {
        gi8i_arena_block *next = block->next;
        gi8i_free(&allocator, block, block->size);
        block = next;
    }
    if (ctx->owns_head) {
        gi8i_free(&allocator, ctx, ctx->head.size);
    }
}

void gi8_context_reset(gi8_context *ctx) {
    if (ctx == NULL) {
        return;
    }
    ctx->current = &ctx->head;
    ctx->offset = context_size();
    ctx->passed = 0;
    gi8_context_clear_error(ctx);
}

size_t gi8_context_used(const gi8_context *ctx) {
    return ctx == NULL ? 0 : ctx->passed + ctx->offset;
}

size_t gi8_context_size(const gi8_context *ctx) {
    return ctx == NULL ? 0 : ctx->size;
}

/* ---- the error ------------------------------------------------------------------------------- */

gi8_status gi8_context_status(const gi8_context *ctx) {
    return ctx == NULL ? GI8_ERR_ARGUMENT : ctx->error.status;
}

const char *gi8_context_message(const gi8_context *ctx) {
    return ctx == NULL ? "" : ctx->error.message;
}

void gi8_context_clear_error(gi8_context *ctx) {
    if (ctx != NULL) {
        ctx->error.status = GI8_OK;
        ctx->error.message[0] = '\0';
    }
}

bool gi8i_context_ok(const gi8_context *ctx) {
    return ctx != NULL && ctx->error.status == GI8_OK;
}

gi8_status gi8i_context_failv(gi8_context *ctx, gi8_status status, const char *prefix,
                              const char *format, va_list args) {
    if (ctx->error.status == GI8_OK) {
        gi8_error sentence;
        gi8_error_setv(&sentence, status, format, args);
        gi8_error_set(&ctx->error, status, "%s: %s", prefix, sentence.message);
    }
    return ctx->error.status;
}

gi8_status gi8i_context_fail(gi8_context *ctx, gi8_status status, const char *format, ...) {
    if (ctx->error.status == GI8_OK) {
        va_list args;
        va_start(args, format);
        gi8_error_setv(&ctx->error, status, format, args);
        va_end(args);
    }
    return ctx->error.status;
}

/* ---- the arena ------------------------------------------------------------------------------- */

/* Puts a block with room for `size` bytes behind `last`, the last one. */
static bool append_block(gi8_context *ctx, gi8i_arena_block *last, size_t size) {
    if (ctx->fixed) {
        gi8i_context_fail(ctx, GI8_ERR_ARENA_FULL,
                          "context: %zu bytes are needed, %zu of the arena's %zu are free", size,
                          ctx->size - gi8_context_used(ctx), ctx->size);
        return false;
    }
    size_t block_size = header_size() + size;
    if (block_size < ctx->size) {
        block_size = ctx->size;
    }
    gi8i_arena_block *block = gi8i_alloc(&ctx->allocator, block_size, GI8I_ARENA_ALIGNMENT);
    if (block == NULL) {
        gi8i_context_fail(ctx, GI8_ERR_MEMORY,
                          "context: no memory for %zu more bytes of the arena, which has %zu",
                          block_size, ctx->size);
        return false;
    }
    *block = (gi8i_arena_block){NULL, block_size};
    last->next = block;
    ctx->size += block_size;
    return true;
}

void *gi8i_arena_alloc(gi8_context *ctx, size_t n, size_t size) {
    size_t bytes = 0;
    if (!gi8i_mul_size(n, size, &bytes) ||
        bytes > GI8I_SIZE_LIMIT - header_size() - GI8I_ARENA_ALIGNMENT) {
        gi8i_context_fail(ctx, GI8_ERR_MEMORY,
                          "context: %zu objects of %zu bytes are more than memory has", n, size);
        return NULL;
    }
    bytes = gi8i_round_up(bytes, GI8I_ARENA_ALIGNMENT);

    gi8i_arena_block *block = ctx->current;
    size_t offset = ctx->offset;
    size_t passed = ctx->passed;
    while (block->size - offset < bytes) {
        if (block->next == NULL && !append_block(ctx, block, bytes)) {
            return NULL;
        }
        passed += block->size;
        block = block->next;
        offset = header_size();
    }
    ctx->current = block;
    ctx->offset = offset + bytes;
    ctx->passed = passed;
    return memset((unsigned char *)block + offset, 0, bytes);
}

gi8i_arena_mark gi8i_arena_get_mark(const gi8_context *ctx) {
    return (gi8i_arena_mark){ctx->current, ctx->offset, ctx->passed};
}

void gi8i_arena_release(gi8_context *ctx, gi8i_arena_mark mark) {
    ctx->current = mark.block;
    ctx->offset = mark.offset;
    ctx->passed = mark.passed;
}
