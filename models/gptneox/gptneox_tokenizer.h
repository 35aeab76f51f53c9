/* gptneox_tokenizer.h - text to token ids and back, as the `tokenizers` library does it for the
 * GPT-NeoX family (GPT-NeoX-20B, Pythia, dolly-v2, RedPajama-INCITE, StableLM-alpha, polyglot-ko).
 *
 * A tokenizer.json is accepted if it is made of
 *   normalizer      NFC, or null
 *   pre_tokenizer   ByteLevel (add_prefix_space and use_regex as the file says)
 *   model           BPE without dropout, unk_token, byte_fallback, prefixes and suffixes
 *   decoder         ByteLevel
 *   added_tokens    special or not, normalized or not; no lstrip, rstrip or single_word
 * where a Sequence of just these is the same as they are. A post_processor must not add tokens;
 * truncation and padding are ignored, as they concern batches. Anything else is refused with
 * GI8_ERR_UNSUPPORTED and a sentence that names the field and its value.
 *
 * The reference is tokenizers 0.23: normalization by Unicode 9.0 (characters younger than that are
 * left as they are) and letters, numbers and spaces by Unicode 16.0.
 */
#ifndef GPTNEOX_TOKENIZER_H
#define GPTNEOX_TOKENIZER_H

#include "ggml-int8/gi8_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A loaded tokenizer. Immutable after loading: any number of threads may use one at a time. */
typedef struct gptneox_tokenizer gptneox_tokenizer;

/* The longest text that gptneox_tokenize() takes, in bytes (512 MiB). */
#define GPTNEOX_TOKENIZE_MAX_BYTES ((size_t)1 << 29)

/* Flags of gptneox_tokenize(). */
#define GPTNEOX_TOKENIZE_NO_SPECIAL 1u      /* special tokens are text (untrusted text)   */
#define GPTNEOX_TOKENIZE_REPLACE_INVALID 2u /* invalid UTF-8 becomes U+FFFD, not an error */

/* Flags of gptneox_detokenize() and gptneox_stream_init(). */
#define GPTNEOX_DETOKENIZE_SKIP_SPECIAL 1u    /* drop special tokens: <|endoftext|>   */
#define GPTNEOX_DETOKENIZE_REPLACE_INVALID 2u /* make the text valid UTF-8 with U+FFFD */

/* Loads a tokenizer.json file. Returns a new tokenizer that the caller frees with
 * gptneox_tokenizer_free(), or NULL with *error (which may be NULL) set:
 *   GI8_ERR_ARGUMENT     path is NULL
 *   GI8_ERR_IO           the file cannot be opened or read
 *   GI8_ERR_FORMAT       it is not JSON, or contradicts itself
 *   GI8_ERR_UNSUPPORTED  it is a tokenizer of another kind
 *   GI8_ERR_MEMORY       out of memory */
GI8_API gptneox_tokenizer *gptneox_tokenizer_load(const char *path, gi8_error *error);

/* gptneox_tokenizer_load() for `size` bytes of a tokenizer.json in memory; they are not kept. */
GI8_API gptneox_tokenizer *gptneox_tokenizer_load_memory(const char *json, size_t size,
                                                         gi8_error *error);

/* Frees a tokenizer. NULL is fine. No stream may use it any more. */
GI8_API void gptneox_tokenizer_free(gptneox_tokenizer *tokenizer);

/* The number of ids that have a token. 0 for NULL. */
GI8_API size_t gptneox_tokenizer_n_tokens(const gptneox_tokenizer *tokenizer);

/* One more than the largest id that has a token; the model's vocabulary may be padded beyond it.
 * 0 for NULL. */
GI8_API int32_t gptneox_tokenizer_n_ids(const gptneox_tokenizer *tokenizer);

/* The id of the token that the file spells as the `size` bytes of `content`, for instance
 * "<|endoftext|>", or "\xC4\xA0the" for " the" (byte-level spelling); -1 if there is none or an
 * argument is NULL. */
GI8_API int32_t gptneox_tokenizer_id(const gptneox_tokenizer *tokenizer, const char *content,
                                     size_t size);

/* The bytes that an id stands for: a pointer owned by the tokenizer to *size bytes, not
 * NUL-terminated, possibly a part of a character. NULL with *size = 0 if the id has no token.
 * `size` must not be NULL. */
GI8_API const char *gptneox_tokenizer_piece(const gptneox_tokenizer *tokenizer, int32_t id,
                                            size_t *size);

/* Whether an id is a special token: one that marks structure, such as the end of a text, and is not
 * text itself. */
GI8_API bool gptneox_tokenizer_is_special(const gptneox_tokenizer *tokenizer, int32_t id);

/* Turns `size` bytes of UTF-8 into token ids. Nothing is added before or after the text.
 * On success *ids is an array of *n_ids ids that the caller frees with gptneox_ids_free() (NULL if
 * there are none); on failure *ids is NULL and *n_ids 0. `text` may be NULL if size is 0. `flags`
 * is an or of GPTNEOX_TOKENIZE_*. The time is O(size log size) whatever the text.
 *   GI8_ERR_ARGUMENT     a pointer is NULL, an unknown flag
 *   GI8_ERR_FORMAT       the text is not valid UTF-8; the sentence says at which byte offset
 *   GI8_ERR_UNSUPPORTED  more than GPTNEOX_TOKENIZE_MAX_BYTES, or a failure of the pattern matcher
 *   GI8_ERR_MEMORY       out of memory
 * Thread-safe. */
GI8_API gi8_status gptneox_tokenize(const gptneox_tokenizer *tokenizer, const char *text,
                                    size_t size, unsigned flags, int32_t **ids, size_t *n_ids,
                                    gi8_error *error);

/* Frees what gptneox_tokenize() returned. NULL is fine. */
GI8_API void gptneox_ids_free(int32_t *ids);

/* Turns `n_ids` ids into the bytes that they stand for. Ids without a token (also negative ones)
 * vanish. On success *text is a buffer of *size bytes, followed by a NUL that is not counted, which
 * the caller frees with gptneox_text_free(); on failure *text is NULL and *size 0. `ids` may be
 * NULL if n_ids is 0. `flags` is an or of GPTNEOX_DETOKENIZE_*.
 *   GI8_ERR_ARGUMENT  a pointer is NULL, an unknown flag
 *   GI8_ERR_MEMORY    out of memory
 * Thread-safe. */
GI8_API gi8_status gptneox_detokenize(const gptneox_tokenizer *tokenizer, const int32_t *ids,
                                      size_t n_ids, unsigned flags, char **text, size_t *size,
                                      gi8_error *error);

/* Frees what gptneox_detokenize() returned. NULL is fine. */
GI8_API void gptneox_text_free(char *text);

/* Turns ids into text one by one, as a model produces them, and never shows a part of a character:
 * bytes of an unfinished one are held back until the next id finishes it or shows that it never
 * will be. All that a stream returns, in order, equals what gptneox_detokenize() returns for all
 * ids with the same flags. The fields are private. A stream needs no freeing; it belongs to one
 * thread and must not outlive its tokenizer. */
typedef struct gptneox_stream {
    const gptneox_tokenizer *tokenizer;
    unsigned flags;
    unsigned n_held;
    char held[4];
} gptneox_stream;

/* Starts a stream, or starts it anew. `flags` is an or of GPTNEOX_DETOKENIZE_*.
 *   GI8_ERR_ARGUMENT  a pointer is NULL, an unknown flag */
GI8_API gi8_status gptneox_stream_init(gptneox_stream *stream, const gptneox_tokenizer *tokenizer,
                                       unsigned flags, gi8_error *error);

/* The number of bytes that no single push or flush exceeds. 0 for NULL. */
GI8_API size_t gptneox_stream_capacity(const gptneox_tokenizer *tokenizer);

/* Takes the next id and writes the text that it completes, *size bytes without a NUL, into `out`,
 * which has room for `capacity` bytes (it may be NULL if capacity is 0).
 *   GI8_ERR_ARGUMENT  a pointer is NULL, or capacity is too small: then *size is what is needed and
 *                     the stream has not taken the id */
GI8_API gi8_status gptneox_stream_push(gptneox_stream *stream, int32_t id, char *out,
                                       size_t capacity, size_t *size, gi8_error *error);

/* Ends the stream: writes the bytes held back, or U+FFFD for them if invalid UTF-8 is replaced; as
 * gptneox_stream_push(). The stream may then be used for another text. */
GI8_API gi8_status gptneox_stream_flush(gptneox_stream *stream, char *out, size_t capacity,
                                        size_t *size, gi8_error *error);

#ifdef __cplusplus
}
#endif

#endif
