/* tokenizer_decode.c - ids to text, all at once or as a stream. */
#include "tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#define ALL_FLAGS (GPTNEOX_DETOKENIZE_SKIP_SPECIAL | GPTNEOX_DETOKENIZE_REPLACE_INVALID)

/* The bytes of an id under the flags; *size is 0 where it vanishes. */
static const char *visible_piece(const gptneox_tokenizer *tokenizer, int32_t id, unsigned flags,
                                 size_t *size) {
    const char *piece = gptneox_tokenizer_piece(tokenizer, id, size);
    if ((flags & GPTNEOX_DETOKENIZE_SKIP_SPECIAL) != 0 &&
        gptneox_tokenizer_is_special(tokenizer, id)) {
        *size = 0;
    }
    return piece;
}

gi8_status gptneox_detokenize(const gptneox_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                              unsigned flags, char **text, size_t *size, gi8_error *error) {
    if (text != NULL) {
        *text = NULL;
    }
    if (size != NULL) {
        *size = 0;
    }
    if (tokenizer == NULL || (ids == NULL && n_ids > 0) || text == NULL || size == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_detokenize: %s is NULL",
                             tokenizer == NULL ? "tokenizer"
                             : text == NULL    ? "text"
                             : size == NULL    ? "size"
                                               : "ids");
    }
    if ((flags & ~ALL_FLAGS) != 0) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_detokenize: flags 0x%x are unknown",
                             flags);
    }
    gptneoxi_bytes out = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < n_ids; i++) {
        size_t piece_size;
        const char *piece = visible_piece(tokenizer, ids[i], flags, &piece_size);
        ok = gptneoxi_bytes_append(&out, piece, piece_size);
    }
    if (ok && (flags & GPTNEOX_DETOKENIZE_REPLACE_INVALID) != 0 &&
        gptneoxi_utf8_validate(out.data, out.size) < out.size) {
        gptneoxi_bytes replaced = {0};
        ok = gptneoxi_utf8_replace(out.data, out.size, &replaced);
        free(out.data);
        out = replaced;
    }
    size_t text_size = out.size;
    ok = ok && gptneoxi_bytes_append(&out, "", 1);
    if (!ok) {
        free(out.data);
        return gi8_error_set(error, GI8_ERR_MEMORY, "out of memory while detokenizing %zu ids",
                             n_ids);
    }
    *text = out.data;
    *size = text_size;
    return GI8_OK;
}

void gptneox_text_free(char *text) {
    free(text);
}

gi8_status gptneox_stream_init(gptneox_stream *stream, const gptneox_tokenizer *tokenizer,
                               unsigned flags, gi8_error *error) {
    if (stream == NULL || tokenizer == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_stream_init: %s is NULL",
                             stream == NULL ? "stream" : "tokenizer");
    }
    if ((flags & ~ALL_FLAGS) != 0) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_stream_init: flags 0x%x are unknown",
                             flags);
    }
    *stream = (gptneox_stream){.tokenizer = tokenizer, .flags = flags};
    return GI8_OK;
}

size_t gptneox_stream_capacity(const gptneox_tokenizer *tokenizer) {
    /* The longest piece and 3 bytes held back, each of which may become U+FFFD. */
    return tokenizer == NULL ? 0 : 3 * ((size_t)tokenizer->max_piece + 3);
}

/* Where a stream writes; size counts what does not fit, too. */
typedef struct output {
    char *data;
    size_t capacity, size;
} output;

static void put(output *out, const char *bytes, size_t size) {
    if (size <= out->capacity && out->size <= out->capacity - size) {
        memcpy(out->data + out->size, bytes, size);
    }
    out->size += size;
}

/* Writes `size` bytes of the kind; what is incomplete is held back instead. */
static void put_kind(gptneox_stream *stream, gptneoxi_utf8_kind kind, const char *bytes,
                     size_t size, output *out) {
    if (kind == GPTNEOXI_UTF8_INCOMPLETE) {
        memcpy(stream->held, bytes, size);
        stream->n_held = (unsigned)size;
    } else if (kind == GPTNEOXI_UTF8_INVALID &&
               (stream->flags & GPTNEOX_DETOKENIZE_REPLACE_INVALID) != 0) {
        put(out, "\xEF\xBF\xBD", 3);
    } else {
        put(out, bytes, size);
    }
}

/* Feeds the bytes of one piece to the stream. */
static void feed(gptneox_stream *stream, const char *piece, size_t size, output *out) {
    size_t at = 0;
    size_t length;
    if (stream->n_held > 0 && size > 0) {
        /* At most 3 bytes held back and up to 4 new ones decide what the held ones are. */
        char window[8];
        size_t n_held = stream->n_held;
        size_t n_new = size < 4 ? size : 4;
        memcpy(window, stream->held, n_held);
        memcpy(window + n_held, piece, n_new);
        stream->n_held = 0;
        size_t used = 0;
        while (used < n_held) {
            gptneoxi_utf8_kind kind =
                gptneoxi_utf8_next(window + used, n_held + n_new - used, &length);
            put_kind(stream, kind, window + used, length, out);
            used += length;
        }
        at = used - n_held;
    }
    while (at < size) {
        gptneoxi_utf8_kind kind = gptneoxi_utf8_next(piece + at, size - at, &length);
        put_kind(stream, kind, piece + at, length, out);
        at += length;
    }
}

/* Runs one step of a stream on a copy of it, which becomes the stream if the output fits. */
static gi8_status step(gptneox_stream *stream, const char *piece, size_t piece_size, bool end,
                       char *out, size_t capacity, size_t *size, gi8_error *error) {
    gptneox_stream next = *stream;
    output written = {out, capacity, 0};
    if (!end) {
        feed(&next, piece, piece_size, &written);
    } else if (stream->n_held > 0) {
        next.n_held = 0;
        put_kind(&next, GPTNEOXI_UTF8_INVALID, stream->held, stream->n_held, &written);
    }
    *size = written.size;
    if (written.size > capacity) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "the stream has %zu bytes to write, the buffer holds %zu",
                             written.size, capacity);
    }
    *stream = next;
    return GI8_OK;
}

/* The arguments that push and flush share. */
static gi8_status check_step(const gptneox_stream *stream, const char *out, size_t capacity,
                             size_t *size, const char *function, gi8_error *error) {
    if (size != NULL) {
        *size = 0;
    }
    if (stream == NULL || stream->tokenizer == NULL || (out == NULL && capacity > 0) ||
        size == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "%s: %s is NULL", function,
                             stream == NULL              ? "stream"
                             : stream->tokenizer == NULL ? "the tokenizer of the stream"
                             : size == NULL              ? "size"
                                                         : "out");
    }
    return GI8_OK;
}

gi8_status gptneox_stream_push(gptneox_stream *stream, int32_t id, char *out, size_t capacity,
                               size_t *size, gi8_error *error) {
    gi8_status status = check_step(stream, out, capacity, size, "gptneox_stream_push", error);
    if (status != GI8_OK) {
        return status;
    }
    size_t piece_size;
    const char *piece = visible_piece(stream->tokenizer, id, stream->flags, &piece_size);
    return step(stream, piece, piece_size, false, out, capacity, size, error);
}

gi8_status gptneox_stream_flush(gptneox_stream *stream, char *out, size_t capacity, size_t *size,
                                gi8_error *error) {
    gi8_status status = check_step(stream, out, capacity, size, "gptneox_stream_flush", error);
    if (status != GI8_OK) {
        return status;
    }
    return step(stream, NULL, 0, true, out, capacity, size, error);
}
