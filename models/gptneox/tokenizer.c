/* tokenizer.c - the tokenizer's queries, and text to ids: added tokens, NFC, words, merges. */
#include "tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

void gptneox_tokenizer_free(gptneox_tokenizer *tokenizer) {
    if (tokenizer == NULL) {
        return;
    }
    free(tokenizer->tokens);
    free(tokenizer->by_content);
    free(tokenizer->arena);
    free(tokenizer->merges);
    free(tokenizer->added_raw.entries);
    free(tokenizer->added_normalized.entries);
    pcre2_code_free(tokenizer->pattern);
    free(tokenizer);
}

size_t gptneox_tokenizer_n_tokens(const gptneox_tokenizer *tokenizer) {
    return tokenizer == NULL ? 0 : tokenizer->n_tokens;
}

int32_t gptneox_tokenizer_n_ids(const gptneox_tokenizer *tokenizer) {
    return tokenizer == NULL ? 0 : tokenizer->n_ids;
}

int32_t gptneox_tokenizer_id(const gptneox_tokenizer *tokenizer, const char *content, size_t size) {
    if (tokenizer == NULL || content == NULL) {
        return -1;
    }
    size_t low = 0;
    size_t high = tokenizer->n_tokens;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int32_t id = tokenizer->by_content[middle];
        const gptneoxi_token *token = &tokenizer->tokens[id];
        size_t common = size < token->content_size ? size : token->content_size;
        int order = memcmp(content, token->content, common);
        if (order == 0 && size == token->content_size) {
            return id;
        }
        if (order > 0 || (order == 0 && size > token->content_size)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

/* The token of an id, or NULL. */
static const gptneoxi_token *token_of(const gptneox_tokenizer *tokenizer, int32_t id) {
    if (tokenizer == NULL || id < 0 || id >= tokenizer->n_ids ||
        tokenizer->tokens[id].content == NULL) {
        return NULL;
    }
    return &tokenizer->tokens[id];
}

const char *gptneox_tokenizer_piece(const gptneox_tokenizer *tokenizer, int32_t id, size_t *size) {
    const gptneoxi_token *token = token_of(tokenizer, id);
    *size = token == NULL ? 0 : token->bytes_size;
    return token == NULL ? NULL : token->bytes;
}

bool gptneox_tokenizer_is_special(const gptneox_tokenizer *tokenizer, int32_t id) {
    const gptneoxi_token *token = token_of(tokenizer, id);
    return token != NULL && token->special;
}

/* What one call of gptneox_tokenize() works with. */
typedef struct encoder {
    const gptneox_tokenizer *tokenizer;
    bool parse_special;
    gptneoxi_ids ids;
    gptneoxi_bytes normalized;
    gptneoxi_bytes prefixed;
    gptneoxi_bpe_scratch bpe;
    pcre2_match_data *match; /* NULL without a pattern */
    gi8_error *error;
} encoder;

static gi8_status out_of_memory(gi8_error *error) {
    return gi8_error_set(error, GI8_ERR_MEMORY, "out of memory while tokenizing");
}

static gi8_status encode_word(encoder *e, const char *word, size_t size) {
    return gptneoxi_bpe(e->tokenizer, &e->bpe, word, size, &e->ids) ? GI8_OK
                                                                    : out_of_memory(e->error);
}

/* Normalized text without added tokens, not empty: the pre-tokenizer's part and the merges. */
static gi8_status encode_words(encoder *e, const char *piece, size_t size) {
    if (e->tokenizer->add_prefix_space && piece[0] != ' ') {
        e->prefixed.size = 0;
        if (!gptneoxi_bytes_append(&e->prefixed, " ", 1) ||
            !gptneoxi_bytes_append(&e->prefixed, piece, size)) {
            return out_of_memory(e->error);
        }
        piece = e->prefixed.data;
        size = e->prefixed.size;
    }
    if (e->tokenizer->pattern == NULL) {
        return encode_word(e, piece, size);
    }
    gi8_status status = GI8_OK;
    size_t end = 0;
    for (size_t start = 0; status == GI8_OK && start < size; start = end) {
        status = gptneoxi_pattern_next(e->tokenizer->pattern, e->match, piece, size, start, &end,
                                       e->error);
        if (status == GI8_OK) {
            status = encode_word(e, piece + start, end - start);
        }
    }
    return status;
}

/* Splits a text on the added tokens of a set; `encode_rest` takes what lies between them. */
static gi8_status encode_added(encoder *e, const gptneoxi_added_set *set, const char *text,
                               size_t size,
                               gi8_status (*encode_rest)(encoder *, const char *, size_t)) {
    gi8_status status = GI8_OK;
    size_t done = 0;
    size_t at = 0;
    const gptneoxi_added *found;
    while (status == GI8_OK && (found = gptneoxi_added_find(set, text, size, &at)) != NULL) {
        size_t begin = at;
        at += found->size;
        if (found->special && !e->parse_special) {
            continue; /* like the library: the search goes on behind it */
        }
        if (begin > done) {
            status = encode_rest(e, text + done, begin - done);
        }
        done = at;
        if (status == GI8_OK && !gptneoxi_ids_append(&e->ids, found->id)) {
            status = out_of_memory(e->error);
        }
    }
    if (status == GI8_OK && size > done) {
        status = encode_rest(e, text + done, size - done);
    }
    return status;
}

/* Text without raw added tokens: each such piece is normalized on its own. */
static gi8_status encode_raw_piece(encoder *e, const char *piece, size_t size) {
    if (e->tokenizer->nfc) {
        e->normalized.size = 0;
        if (!gptneoxi_nfc(piece, size, &e->normalized)) {
            return out_of_memory(e->error);
        }
        piece = e->normalized.data;
        size = e->normalized.size;
    }
    return encode_added(e, &e->tokenizer->added_normalized, piece, size, encode_words);
}

/* Checks the text, or replaces what is invalid in it into *replaced, and encodes it. */
static gi8_status encode(encoder *e, const char *text, size_t size, unsigned flags,
                         gptneoxi_bytes *replaced) {
    size_t valid = gptneoxi_utf8_validate(text, size);
    if (valid < size) {
        if ((flags & GPTNEOX_TOKENIZE_REPLACE_INVALID) == 0) {
            return gi8_error_set(e->error, GI8_ERR_FORMAT,
                                 "the text is not valid UTF-8: byte %zu is 0x%02X", valid,
                                 (unsigned)(unsigned char)text[valid]);
        }
        if (!gptneoxi_utf8_replace(text, size, replaced)) {
            return out_of_memory(e->error);
        }
        text = replaced->data;
        size = replaced->size;
    }
    if (e->tokenizer->pattern != NULL) {
        e->match = pcre2_match_data_create(1, NULL);
        if (e->match == NULL) {
            return out_of_memory(e->error);
        }
    }
    return encode_added(e, &e->tokenizer->added_raw, text, size, encode_raw_piece);
}

gi8_status gptneox_tokenize(const gptneox_tokenizer *tokenizer, const char *text, size_t size,
                            unsigned flags, int32_t **ids, size_t *n_ids, gi8_error *error) {
    if (ids != NULL) {
        *ids = NULL;
    }
    if (n_ids != NULL) {
        *n_ids = 0;
    }
    if (tokenizer == NULL || (text == NULL && size > 0) || ids == NULL || n_ids == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_tokenize: %s is NULL",
                             tokenizer == NULL ? "tokenizer"
                             : ids == NULL     ? "ids"
                             : n_ids == NULL   ? "n_ids"
                                               : "text");
    }
    if ((flags & ~(GPTNEOX_TOKENIZE_NO_SPECIAL | GPTNEOX_TOKENIZE_REPLACE_INVALID)) != 0) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_tokenize: flags 0x%x are unknown",
                             flags);
    }
    if (size > GPTNEOX_TOKENIZE_MAX_BYTES) { /* words must fit int32_t; NFC triples at most */
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                             "gptneox_tokenize: the text has %zu bytes; at most %zu are supported",
                             size, GPTNEOX_TOKENIZE_MAX_BYTES);
    }
    encoder e = {.tokenizer = tokenizer,
                 .parse_special = (flags & GPTNEOX_TOKENIZE_NO_SPECIAL) == 0,
                 .error = error};
    gptneoxi_bytes replaced = {0};
    gi8_status status = encode(&e, text, size, flags, &replaced);
    if (status == GI8_OK) {
        *ids = e.ids.data;
        *n_ids = e.ids.size;
    } else {
        free(e.ids.data);
    }
    free(replaced.data);
    free(e.normalized.data);
    free(e.prefixed.data);
    free(e.bpe.symbols);
    free(e.bpe.heap);
    pcre2_match_data_free(e.match);
    return status;
}

void gptneox_ids_free(int32_t *ids) {
    free(ids);
}
