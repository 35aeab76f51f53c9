/* tokenizer_fixture.h - reads the tokenizer fixtures; make_tokenizer_fixtures.py describes them. */
#ifndef TOKENIZER_FIXTURE_H
#define TOKENIZER_FIXTURE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "gptneox_tokenizer.h"

#define FIXTURE_DIR GI8_TEST_REFERENCE_DIR "/tokenizer/"

/* A growing text. */
typedef struct fixture_text {
    char *data;
    size_t size, capacity;
} fixture_text;

static inline void fixture_append(fixture_text *text, const char *data, size_t size) {
    if (text->size + size + 1 > text->capacity) {
        text->capacity = 2 * (text->size + size + 1);
        text->data = realloc(text->data, text->capacity);
        assert_non_null(text->data);
    }
    if (size > 0) {
        memcpy(text->data + text->size, data, size);
    }
    text->size += size;
    text->data[text->size] = '\0';
}

static inline void fixture_append_character(fixture_text *text, unsigned c) {
    char utf8[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        utf8[i] = (char)(unsigned char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    utf8[0] = (char)(unsigned char)(n == 1 ? c : (0xF00u >> n & 0xFF) | c);
    fixture_append(text, utf8, n);
}

/* Appends what the notation from `at` to `end` stands for. Repetitions do not nest. */
static inline void fixture_expand(const char *at, const char *end, fixture_text *text) {
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        fixture_append(text, at, (size_t)((escape != NULL ? escape : end) - at));
        if (escape == NULL) {
            return;
        }
        char kind = escape[1];
        char *next;
        at = escape + 2;
        if (kind == 'x') {
            char digits[3] = {at[0], at[1], '\0'};
            char byte = (char)(unsigned char)strtoul(digits, NULL, 16);
            fixture_append(text, &byte, 1);
            at += 2;
        } else if (kind == 'u') {
            fixture_append_character(text, (unsigned)strtoul(at + 1, &next, 16));
            at = next + 1;
        } else {
            /* \r{N:UNIT} or \s{FIRST-LAST:PRE:POST}: fields begin behind ':', the unit may hold
             * \u{}. */
            fixture_text parts[2] = {{0}, {0}};
            unsigned long first = strtoul(at + 1, &next, kind == 'r' ? 10 : 16);
            unsigned long last = kind == 's' ? strtoul(next + 1, &next, 16) : first;
            for (size_t i = 0; i < (kind == 's' ? 2u : 1u); i++) {
                const char *begin = next + 1;
                int depth = 0;
                for (next++; depth > 0 || (*next != ':' && *next != '}'); next++) {
                    depth += (*next == '{') - (*next == '}');
                }
                fixture_append(&parts[i], "", 0);
                fixture_expand(begin, next, &parts[i]);
            }
            at = next + 1;
            for (unsigned long i = 0; kind == 'r' && i < first; i++) {
                fixture_append(text, parts[0].data, parts[0].size);
            }
            for (unsigned long c = first; kind == 's' && c <= last; c++) {
                fixture_append(text, parts[0].data, parts[0].size);
                fixture_append_character(text, (unsigned)c);
                fixture_append(text, parts[1].data, parts[1].size);
            }
            free(parts[0].data);
            free(parts[1].data);
        }
    }
}

/* The text of a field in the notation; the caller frees .data. */
static inline fixture_text fixture_parse_text(const char *field) {
    fixture_text text = {0};
    fixture_append(&text, "", 0);
    fixture_expand(field, field + strlen(field), &text);
    return text;
}

/* FNV-1a of bytes. */
static inline uint64_t fixture_hash(uint64_t hash, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

#define FIXTURE_HASH_START UINT64_C(0xCBF29CE484222325)

/* Whether a "#COUNT HASH" field is that of n elements with this hash. */
static inline bool fixture_same_hash(const char *field, size_t n, uint64_t hash) {
    char expected[64];
    snprintf(expected, sizeof expected, "#%zu %016llx", n, (unsigned long long)hash);
    return strcmp(field, expected) == 0;
}

/* The ids of a field that is a list; the caller frees them. */
static inline int32_t *fixture_parse_ids(const char *field, size_t *n_ids) {
    size_t capacity = 64;
    int32_t *ids = malloc(capacity * sizeof *ids);
    *n_ids = 0;
    char *next;
    for (; *field != '\0'; field = *next == ' ' ? next + 1 : next) {
        int32_t id = (int32_t)strtol(field, &next, 10);
        size_t n = *next == '*' ? (size_t)strtol(next + 1, &next, 10) : 1;
        if (*n_ids + n > capacity) {
            capacity = 2 * (*n_ids + n);
            ids = realloc(ids, capacity * sizeof *ids);
        }
        assert_non_null(ids);
        for (; n > 0; n--) {
            ids[(*n_ids)++] = id;
        }
    }
    return ids;
}

/* Whether `ids` are those of a field: a list, or count and hash. */
static inline bool fixture_same_ids(const char *field, const int32_t *ids, size_t n_ids) {
    if (field[0] == '#') {
        uint64_t hash = FIXTURE_HASH_START;
        for (size_t i = 0; i < n_ids; i++) {
            uint32_t id = (uint32_t)ids[i];
            unsigned char bytes[4];
            for (size_t k = 0; k < 4; k++) {
                bytes[k] = (unsigned char)(id >> 8 * k);
            }
            hash = fixture_hash(hash, bytes, 4);
        }
        return fixture_same_hash(field, n_ids, hash);
    }
    size_t n_expected;
    int32_t *expected = fixture_parse_ids(field, &n_expected);
    bool same =
        n_ids == n_expected && (n_ids == 0 || memcmp(ids, expected, n_ids * sizeof *ids) == 0);
    free(expected);
    return same;
}

/* A fixture file read line by line and cut at tabs. */
typedef struct fixture_file {
    FILE *file;
    char *line;
    size_t capacity;
    char *fields[3];
} fixture_file;

static inline fixture_file fixture_open(const char *path) {
    fixture_file f = {.file = fopen(path, "rb")};
    if (f.file == NULL) {
        fail_msg("%s cannot be opened", path);
    }
    return f;
}

/* The next line's fields; absent ones are "". False at the end. */
static inline bool fixture_next(fixture_file *f) {
    ssize_t length = getline(&f->line, &f->capacity, f->file);
    if (length < 0) {
        fclose(f->file);
        free(f->line);
        return false;
    }
    assert_int_equal(f->line[length - 1], '\n');
    f->line[length - 1] = '\0';
    char *at = f->line;
    for (size_t i = 0; i < 3; i++) {
        f->fields[i] = at;
        char *tab = strchr(at, '\t');
        if (tab != NULL) {
            *tab = '\0';
        }
        at = tab != NULL ? tab + 1 : at + strlen(at);
    }
    return true;
}

/* Loads a tokenizer or fails the test with the reason. */
static inline gptneox_tokenizer *fixture_load(const char *path) {
    gi8_error error = GI8_ERROR_INIT;
    gptneox_tokenizer *tokenizer = gptneox_tokenizer_load(path, &error);
    if (tokenizer == NULL) {
        fail_msg("%s", error.message);
    }
    return tokenizer;
}

#endif
