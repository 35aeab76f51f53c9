/* tokenizer_tables.c - the tables of a tokenizer.json: vocabulary, added tokens, merges. */
#include "tokenizer_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static gi8_status out_of_memory(const gptneoxi_loader *l) {
    return gi8_error_set(l->error, GI8_ERR_MEMORY, "%s: out of memory", l->name);
}

static json_t *vocab_of(const gptneoxi_loader *l) {
    return json_object_get(json_object_get(l->root, "model"), "vocab");
}

static const json_t *added_of(const gptneoxi_loader *l) {
    return json_object_get(l->root, "added_tokens");
}

/* The byte that a letter of the byte-level alphabet stands for, or -1. Printable Latin-1 characters
 * stand for themselves; the other 68 bytes, in order, are U+0100 ... U+0143 (GPT-2). */
static int byte_of_letter(int32_t letter) {
    if ((letter >= 0x21 && letter <= 0x7E) ||
        (letter >= 0xA1 && letter <= 0xFF && letter != 0xAD)) {
        return letter;
    }
    int32_t n = letter - 0x100;
    if (n < 0 || n > 0x43) {
        return -1;
    }
    return n <= 0x20 ? n : n <= 0x42 ? n + 0x7F - 0x21 : 0xAD;
}

static const char *arena_copy(gptneoxi_loader *l, const char *data, size_t size) {
    char *copy = l->arena_end;
    memcpy(copy, data, size);
    l->arena_end += size;
    return copy;
}

/* Stores a token at a free id (in range). Its bytes are those that its letters stand for or, if not
 * all of them are of the alphabet, `spelling` itself (the content of added tokens, normalized). */
static void store_token(gptneoxi_loader *l, int32_t id, const char *content, size_t content_size,
                        const char *spelling, size_t spelling_size) {
    gptneoxi_token *token = &l->tokenizer->tokens[id];
    token->content = arena_copy(l, content, content_size);
    token->content_size = (uint32_t)content_size;
    char *bytes = l->arena_end;
    size_t n = 0;
    for (size_t i = 0, length; i < spelling_size; i += length) {
        int byte = byte_of_letter(gptneoxi_utf8_decode(spelling + i, &length));
        if (byte < 0) {
            memcpy(bytes, spelling, spelling_size);
            n = spelling_size;
            break;
        }
        bytes[n++] = (char)(unsigned char)byte;
    }
    l->arena_end += n;
    token->bytes = bytes;
    token->bytes_size = (uint32_t)n;
    l->tokenizer->n_tokens++;
    if (l->tokenizer->max_piece < token->bytes_size) {
        l->tokenizer->max_piece = token->bytes_size;
    }
}

static bool id_in_range(const json_t *id) {
    return json_is_integer(id) && json_integer_value(id) >= 0 &&
           json_integer_value(id) <= GPTNEOXI_MAX_TOKEN_ID;
}

static gi8_status bad_id(const gptneoxi_loader *l, const char *content) {
    return gi8_error_set(l->error, GI8_ERR_FORMAT,
                         "%s: the id of token \"%.64s\" is not a whole number in 0 ... %d", l->name,
                         content, GPTNEOXI_MAX_TOKEN_ID);
}

static gi8_status repeated_id(const gptneoxi_loader *l, const char *content, int32_t id) {
    const gptneoxi_token *other = &l->tokenizer->tokens[id];
    return gi8_error_set(l->error, GI8_ERR_FORMAT,
                         "%s: tokens \"%.*s\" and \"%.64s\" have the same id %d", l->name,
                         (int)(other->content_size < 64 ? other->content_size : 64), other->content,
                         content, (int)id);
}

/* Checks all ids, and allocates the tables of tokens. */
static gi8_status allocate_tokens(gptneoxi_loader *l) {
    json_int_t max_id = -1;
    size_t bytes = 1;
    void *iterator = json_object_iter(vocab_of(l));
    for (; iterator != NULL; iterator = json_object_iter_next(vocab_of(l), iterator)) {
        const json_t *id = json_object_iter_value(iterator);
        const char *content = json_object_iter_key(iterator);
        if (!id_in_range(id)) {
            return bad_id(l, content);
        }
        max_id = json_integer_value(id) > max_id ? json_integer_value(id) : max_id;
        bytes += 2 * strlen(content);
    }
    for (size_t i = 0; i < json_array_size(added_of(l)); i++) {
        const json_t *entry = json_array_get(added_of(l), i);
        const json_t *id = json_object_get(entry, "id");
        const json_t *content = json_object_get(entry, "content");
        if (!json_is_string(content)) {
            return gi8_error_set(l->error, GI8_ERR_FORMAT,
                                 "%s: added_tokens[%zu] has no string \"content\"", l->name, i);
        }
        if (!id_in_range(id)) {
            return bad_id(l, json_string_value(content));
        }
        max_id = json_integer_value(id) > max_id ? json_integer_value(id) : max_id;
        /* Content, bytes and spelling; NFC triples at most. */
        bytes += 7 * json_string_length(content);
    }
    gptneox_tokenizer *t = l->tokenizer;
    t->n_ids = (int32_t)(max_id + 1);
    size_t n_ids = max_id < 0 ? 1 : (size_t)t->n_ids;
    size_t n_added = json_array_size(added_of(l)) + 1;
    t->tokens = calloc(n_ids, sizeof *t->tokens);
    t->by_content = calloc(n_ids, sizeof *t->by_content);
    t->arena = malloc(bytes);
    t->added_raw.entries = calloc(n_added, sizeof *t->added_raw.entries);
    t->added_normalized.entries = calloc(n_added, sizeof *t->added_normalized.entries);
    l->arena_end = t->arena;
    if (t->tokens == NULL || t->by_content == NULL || t->arena == NULL ||
        t->added_raw.entries == NULL || t->added_normalized.entries == NULL) {
        return out_of_memory(l);
    }
    return GI8_OK;
}

static gi8_status read_vocab(gptneoxi_loader *l) {
    void *iterator = json_object_iter(vocab_of(l));
    for (; iterator != NULL; iterator = json_object_iter_next(vocab_of(l), iterator)) {
        const char *content = json_object_iter_key(iterator);
        int32_t id = (int32_t)json_integer_value(json_object_iter_value(iterator));
        if (l->tokenizer->tokens[id].content != NULL) {
            return repeated_id(l, content, id);
        }
        store_token(l, id, content, strlen(content), content, strlen(content));
    }
    for (int32_t letter = 0; letter < 256; letter++) {
        l->tokenizer->byte_id[letter] = -1;
    }
    for (int32_t letter = 0; letter <= 0x143; letter++) {
        int byte = byte_of_letter(letter);
        if (byte >= 0) {
            char key[3] = {(char)letter, '\0', '\0'};
            if (letter >= 0x80) {
                key[0] = (char)(unsigned char)(0xC0 | letter >> 6);
                key[1] = (char)(unsigned char)(0x80 | (letter & 0x3F));
            }
            const json_t *id = json_object_get(vocab_of(l), key);
            l->tokenizer->byte_id[byte] = id == NULL ? -1 : (int32_t)json_integer_value(id);
        }
    }
    return GI8_OK;
}

/* Finds out the id of an added token: the vocabulary's, or else the next free one. The library
 * numbers them so whatever the file says; a file that says otherwise is refused. */
static gi8_status check_added_id(const gptneoxi_loader *l, const char *content, int32_t id,
                                 int32_t *next_id) {
    const json_t *known = json_object_get(vocab_of(l), content);
    int32_t expected = known != NULL ? (int32_t)json_integer_value(known) : *next_id;
    if (id != expected) {
        return gi8_error_set(
            l->error, GI8_ERR_FORMAT,
            "%s: added token \"%.64s\" has id %d, but by the vocabulary and its place in "
            "added_tokens it is %d",
            l->name, content, (int)id, (int)expected);
    }
    if (known == NULL && l->tokenizer->tokens[id].content != NULL) {
        return repeated_id(l, content, id);
    }
    if (id >= *next_id) {
        *next_id = id + 1;
    }
    return GI8_OK;
}

/* Adds one added token. `spelling` is empty scratch memory. */
static gi8_status read_added(gptneoxi_loader *l, const json_t *entry, int32_t *next_id,
                             gptneoxi_bytes *spelling) {
    static const char *const unsupported[] = {"single_word", "lstrip", "rstrip"};
    gptneox_tokenizer *t = l->tokenizer;
    const char *content = json_string_value(json_object_get(entry, "content"));
    size_t size = strlen(content);
    int32_t id = (int32_t)json_integer_value(json_object_get(entry, "id"));
    if (size == 0) {
        return GI8_OK; /* matches nothing; the library ignores it, too */
    }
    char field[96];
    snprintf(field, sizeof field, "added token \"%.64s\"", content);
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++) {
        const json_t *value = json_object_get(entry, unsupported[i]);
        if (value != NULL && !json_is_false(value)) {
            return gi8_error_set(l->error, GI8_ERR_UNSUPPORTED,
                                 "%s: %s has %s that is %s; supported: false", l->name, field,
                                 unsupported[i], gptneoxi_json_kind(value));
        }
    }
    const json_t *special = json_object_get(entry, "special");
    const json_t *normalized = json_object_get(entry, "normalized");
    if (!json_is_boolean(special) || !json_is_boolean(normalized)) {
        return gi8_error_set(l->error, GI8_ERR_FORMAT, "%s: %s has no \"%s\" that is true or false",
                             l->name, field, json_is_boolean(special) ? "normalized" : "special");
    }
    gi8_status status = check_added_id(l, content, id, next_id);
    if (status != GI8_OK) {
        return status;
    }
    bool is_normalized = json_is_true(normalized);
    if (!(is_normalized && t->nfc ? gptneoxi_nfc(content, size, spelling)
                                  : gptneoxi_bytes_append(spelling, content, size))) {
        return out_of_memory(l);
    }
    if (t->tokens[id].content == NULL) {
        store_token(l, id, content, size, spelling->data, spelling->size);
    }
    t->tokens[id].special = json_is_true(special);
    gptneoxi_added_set *set = is_normalized ? &t->added_normalized : &t->added_raw;
    set->entries[set->count++] =
        (gptneoxi_added){arena_copy(l, spelling->data, spelling->size), (uint32_t)spelling->size,
                         id, json_is_true(special)};
    return GI8_OK;
}

/* Sorts an added set; two entries alike are a contradiction. */
static gi8_status finish_added_set(const gptneoxi_loader *l, gptneoxi_added_set *set) {
    gptneoxi_added_set_prepare(set);
    for (uint32_t i = 1; i < set->count; i++) {
        const gptneoxi_added *a = &set->entries[i - 1];
        const gptneoxi_added *b = &set->entries[i];
        if (a->size == b->size && memcmp(a->content, b->content, a->size) == 0) {
            return gi8_error_set(l->error, GI8_ERR_FORMAT,
                                 "%s: added token \"%.*s\" is given twice", l->name,
                                 (int)(a->size < 64 ? a->size : 64), a->content);
        }
    }
    return GI8_OK;
}

static gi8_status read_all_added(gptneoxi_loader *l) {
    int32_t next_id = (int32_t)json_object_size(vocab_of(l));
    gi8_status status = GI8_OK;
    for (size_t i = 0; status == GI8_OK && i < json_array_size(added_of(l)); i++) {
        gptneoxi_bytes spelling = {0};
        status = read_added(l, json_array_get(added_of(l), i), &next_id, &spelling);
        free(spelling.data);
    }
    if (status == GI8_OK) {
        status = finish_added_set(l, &l->tokenizer->added_raw);
    }
    if (status == GI8_OK) {
        status = finish_added_set(l, &l->tokenizer->added_normalized);
    }
    return status;
}

static int compare_tokens(const void *a, const void *b) {
    const gptneoxi_token *const *x = a;
    const gptneoxi_token *const *y = b;
    uint32_t common =
        (*x)->content_size < (*y)->content_size ? (*x)->content_size : (*y)->content_size;
    int order = memcmp((*x)->content, (*y)->content, common);
    return order != 0 ? order
                      : ((*x)->content_size > (*y)->content_size) -
                            ((*x)->content_size < (*y)->content_size);
}

static gi8_status sort_by_content(const gptneoxi_loader *l) {
    gptneox_tokenizer *t = l->tokenizer;
    const gptneoxi_token **sorted = malloc((t->n_tokens + 1) * sizeof *sorted);
    if (sorted == NULL) {
        return out_of_memory(l);
    }
    size_t n = 0;
    for (int32_t id = 0; id < t->n_ids; id++) {
        if (t->tokens[id].content != NULL) {
            sorted[n++] = &t->tokens[id];
        }
    }
    qsort(sorted, n, sizeof *sorted, compare_tokens);
    for (size_t i = 0; i < n; i++) {
        t->by_content[i] = (int32_t)(sorted[i] - t->tokens);
    }
    free(sorted);
    return GI8_OK;
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* The two halves of a merge: "a b", or ["a", "b"]. *key becomes "a\0b", *left_size the size of a.
 * GI8_OK, GI8_ERR_FORMAT (not a merge; no sentence) or GI8_ERR_MEMORY (no sentence). */
static gi8_status merge_halves(const json_t *merge, gptneoxi_bytes *key, size_t *left_size) {
    key->size = 0;
    const char *left = gptneoxi_string_or(json_array_get(merge, 0), NULL);
    const char *right = gptneoxi_string_or(json_array_get(merge, 1), NULL);
    bool ok = true;
    if (json_array_size(merge) == 2 && left != NULL && right != NULL) {
        *left_size = strlen(left);
        ok = gptneoxi_bytes_append(key, left, *left_size + 1) &&
             gptneoxi_bytes_append(key, right, strlen(right) + 1);
    } else {
        const char *both = gptneoxi_string_or(merge, "");
        const char *space = strchr(both, ' ');
        if (space == NULL || strchr(space + 1, ' ') != NULL) {
            return GI8_ERR_FORMAT;
        }
        *left_size = (size_t)(space - both);
        ok = gptneoxi_bytes_append(key, both, strlen(both) + 1);
    }
    if (!ok) {
        return GI8_ERR_MEMORY;
    }
    key->data[*left_size] = '\0';
    return *left_size > 0 && key->data[*left_size + 1] != '\0' ? GI8_OK : GI8_ERR_FORMAT;
}

static gi8_status unknown_in_merge(const gptneoxi_loader *l, size_t rank, const char *token) {
    return gi8_error_set(
        l->error, GI8_ERR_FORMAT,
        "%s: model.merges[%zu] needs the token \"%.64s\", which the vocabulary lacks", l->name,
        rank, token);
}

static gi8_status read_merge(gptneoxi_loader *l, const json_t *merge, size_t rank,
                             gptneoxi_bytes *key) {
    size_t left_size = 0;
    gi8_status status = merge_halves(merge, key, &left_size);
    if (status == GI8_ERR_MEMORY) {
        return out_of_memory(l);
    }
    if (status != GI8_OK) {
        return gi8_error_set(
            l->error, status,
            "%s: model.merges[%zu] is neither \"left right\" nor [\"left\", \"right\"]", l->name,
            rank);
    }
    const char *left = key->data;
    const char *right = key->data + left_size + 1;
    const json_t *left_id = json_object_get(vocab_of(l), left);
    const json_t *right_id = json_object_get(vocab_of(l), right);
    if (left_id == NULL || right_id == NULL) {
        return unknown_in_merge(l, rank, left_id == NULL ? left : right);
    }
    gptneoxi_merge *slot = gptneoxi_merge_slot(l->tokenizer, (int32_t)json_integer_value(left_id),
                                               (int32_t)json_integer_value(right_id));
    uint64_t pair =
        (uint64_t)json_integer_value(left_id) << 32 | (uint64_t)json_integer_value(right_id);
    memmove(key->data + left_size, right, strlen(right) + 1);
    const json_t *merged_id = json_object_get(vocab_of(l), key->data);
    if (merged_id == NULL) {
        return unknown_in_merge(l, rank, key->data);
    }
    *slot = (gptneoxi_merge){pair, (uint32_t)rank, (int32_t)json_integer_value(merged_id)};
    return GI8_OK;
}

static gi8_status read_merges(gptneoxi_loader *l) {
    const json_t *merges = json_object_get(json_object_get(l->root, "model"), "merges");
    if (!json_is_array(merges)) {
        return gi8_error_set(l->error, GI8_ERR_FORMAT, "%s: model.merges is %s, not an array",
                             l->name, gptneoxi_json_kind(merges));
    }
    size_t n = json_array_size(merges);
    if (n > UINT32_MAX / 4) {
        return gi8_error_set(l->error, GI8_ERR_UNSUPPORTED, "%s: model.merges has %zu entries",
                             l->name, n);
    }
    size_t slots = 2;
    while (slots < 2 * n) {
        slots *= 2;
    }
    l->tokenizer->merges = malloc(slots * sizeof *l->tokenizer->merges);
    if (l->tokenizer->merges == NULL) {
        return out_of_memory(l);
    }
    l->tokenizer->merges_mask = slots - 1;
    for (size_t i = 0; i < slots; i++) {
        l->tokenizer->merges[i].pair = GPTNEOXI_NO_PAIR;
    }
    gptneoxi_bytes key = {0};
    gi8_status status = GI8_OK;
    for (size_t i = 0; status == GI8_OK && i < n; i++) {
        status = read_merge(l, json_array_get(merges, i), i, &key);
    }
    free(key.data);
    return status;
}

gi8_status gptneoxi_load_tables(gptneoxi_loader *l) {
    const json_t *added = added_of(l);
    if (!json_is_object(vocab_of(l))) {
        return gi8_error_set(l->error, GI8_ERR_FORMAT, "%s: model.vocab is %s, not an object",
                             l->name, gptneoxi_json_kind(vocab_of(l)));
    }
    if (added != NULL && !json_is_null(added) && !json_is_array(added)) {
        return gi8_error_set(l->error, GI8_ERR_FORMAT, "%s: added_tokens is %s, not an array",
                             l->name, gptneoxi_json_kind(added));
    }
    gi8_status status = allocate_tokens(l);
    if (status == GI8_OK) {
        status = read_vocab(l);
    }
    if (status == GI8_OK) {
        status = read_all_added(l);
    }
    if (status == GI8_OK) {
        status = sort_by_content(l);
    }
    if (status == GI8_OK) {
        status = read_merges(l);
    }
    return status;
}
