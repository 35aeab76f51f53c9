/* tokenizer_internal.h - what the files of the tokenizer share. */
#ifndef GPTNEOX_TOKENIZER_INTERNAL_H
#define GPTNEOX_TOKENIZER_INTERNAL_H

#include "gptneox_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* The largest token id that a file may use. Real vocabularies end below 2^19; the bound keeps a
 * hostile file from asking for gigabytes. */
#define GPTNEOXI_MAX_TOKEN_ID ((1 << 22) - 1)

/* The token of one id; content is NULL if the id has none. */
typedef struct gptneoxi_token {
    const char *content; /* as the file spells it                                     */
    const char *bytes;   /* what it stands for: byte-level letters turned into bytes  */
    uint32_t content_size;
    uint32_t bytes_size;
    bool special;
} gptneoxi_token;

/* Added tokens that are searched together, sorted by their bytes (shorter first). */
typedef struct gptneoxi_added {
    const char *content;
    uint32_t size;
    int32_t id;
    bool special;
} gptneoxi_added;

typedef struct gptneoxi_added_set {
    gptneoxi_added *entries;
    uint32_t count;
    uint32_t first[257]; /* entries that begin with byte b are first[b] ... first[b + 1] - 1 */
} gptneoxi_added_set;

/* A slot of the hash table of merges. */
typedef struct gptneoxi_merge {
    uint64_t pair; /* left id << 32 | right id, or GPTNEOXI_NO_PAIR */
    uint32_t rank;
    int32_t id;
} gptneoxi_merge;

#define GPTNEOXI_NO_PAIR UINT64_MAX

struct gptneox_tokenizer {
    gptneoxi_token *tokens; /* n_ids of them */
    int32_t n_ids;
    size_t n_tokens;
    uint32_t max_piece;     /* the largest bytes_size */
    int32_t *by_content;    /* the n_tokens ids sorted by content */
    char *arena;            /* all contents and bytes */
    gptneoxi_merge *merges; /* a power of two of slots, linear probing */
    uint64_t merges_mask;
    int32_t byte_id[256];                /* id of the single byte, or -1 */
    gptneoxi_added_set added_raw;        /* searched in the text as it is ("normalized": false) */
    gptneoxi_added_set added_normalized; /* searched in the normalized text                      */
    bool nfc;
    bool add_prefix_space;
    pcre2_code *pattern; /* NULL without use_regex: a piece is one word */
};

/* Growable arrays. Each is zero-initialised and freed with free(data). */
typedef struct gptneoxi_bytes {
    char *data;
    size_t size, capacity;
} gptneoxi_bytes;

typedef struct gptneoxi_ids {
    int32_t *data;
    size_t size, capacity;
} gptneoxi_ids;

/* Room for `need` elements of `element` bytes in *data, which doubles at least; false: out of
 * memory. */
bool gptneoxi_reserve(void **data, size_t *capacity, size_t need, size_t element);
bool gptneoxi_bytes_append(gptneoxi_bytes *bytes, const char *data, size_t size);
bool gptneoxi_ids_append(gptneoxi_ids *ids, int32_t id);

/* tokenizer_utf8.c */

/* What the bytes at a position of a text begin with. */
typedef enum gptneoxi_utf8_kind {
    GPTNEOXI_UTF8_VALID,     /* a character                                                */
    GPTNEOXI_UTF8_INVALID,   /* bytes that no continuation makes a character               */
    GPTNEOXI_UTF8_INCOMPLETE /* all bytes up to the end: the beginning of a character      */
} gptneoxi_utf8_kind;

/* Classifies the beginning of s (size >= 1) and says in *length how many bytes belong to it; for
 * invalid bytes the "maximal subpart" of the Unicode standard (section 3.9, U+FFFD
 * substitution). */
gptneoxi_utf8_kind gptneoxi_utf8_next(const char *s, size_t size, size_t *length);

/* The offset of the first byte that is not part of a valid character; `size` if all are. */
size_t gptneoxi_utf8_validate(const char *s, size_t size);

/* Appends s with every invalid or incomplete sequence replaced by U+FFFD; false: out of memory. */
bool gptneoxi_utf8_replace(const char *s, size_t size, gptneoxi_bytes *out);

/* The code point of the valid character at s, and its length in bytes. */
int32_t gptneoxi_utf8_decode(const char *s, size_t *length);

/* tokenizer_nfc.c: appends the NFC form of valid UTF-8; false: out of memory. */
bool gptneoxi_nfc(const char *text, size_t size, gptneoxi_bytes *out);

/* tokenizer_split.c */

/* Compiles the pattern of words. GI8_ERR_MEMORY; GI8_ERR_UNSUPPORTED: PCRE2 without Unicode. */
gi8_status gptneoxi_pattern_compile(pcre2_code **pattern, gi8_error *error);

/* The end of the word that begins at `start` (< size) in a piece of valid UTF-8. GI8_ERR_MEMORY or
 * GI8_ERR_UNSUPPORTED if the matcher fails. */
gi8_status gptneoxi_pattern_next(const pcre2_code *pattern, pcre2_match_data *match,
                                 const char *piece, size_t size, size_t start, size_t *end,
                                 gi8_error *error);

/* Sorts the entries and fills `first`. */
void gptneoxi_added_set_prepare(gptneoxi_added_set *set);

/* Finds the leftmost, and there the longest, added token at or after *start. Sets *start to where
 * it begins and returns it; NULL if there is none. */
const gptneoxi_added *gptneoxi_added_find(const gptneoxi_added_set *set, const char *text,
                                          size_t size, size_t *start);

/* tokenizer_bpe.c */

/* One symbol of a word, linked to its neighbours; a symbol merged into its left neighbour has
 * id -1. */
typedef struct gptneoxi_symbol {
    int32_t id, prev, next;
} gptneoxi_symbol;

/* A merge that was possible when it was queued. */
typedef struct gptneoxi_candidate {
    uint32_t rank;
    int32_t position, id;
} gptneoxi_candidate;

/* Scratch memory, reused from word to word. */
typedef struct gptneoxi_bpe_scratch {
    gptneoxi_symbol *symbols;
    size_t symbols_capacity;
    gptneoxi_candidate *heap;
    size_t heap_size, heap_capacity;
} gptneoxi_bpe_scratch;

/* Appends the ids of one word (size <= INT32_MAX) to *ids; false: out of memory. */
bool gptneoxi_bpe(const gptneox_tokenizer *tokenizer, gptneoxi_bpe_scratch *scratch,
                  const char *word, size_t size, gptneoxi_ids *ids);

/* The slot of a pair: the merge, or the free slot where it belongs. */
gptneoxi_merge *gptneoxi_merge_slot(const gptneox_tokenizer *tokenizer, int32_t left,
                                    int32_t right);

#endif
