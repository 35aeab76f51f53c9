/* tokenizer_load.h - what the two files that read a tokenizer.json share. */
#ifndef GPTNEOX_TOKENIZER_LOAD_H
#define GPTNEOX_TOKENIZER_LOAD_H

#include "tokenizer_internal.h"

#include <jansson.h>

/* A tokenizer being filled from a file. */
typedef struct gptneoxi_loader {
    gptneox_tokenizer *tokenizer; /* zeroed at first */
    json_t *root;
    const char *name; /* of the file; begins every sentence */
    gi8_error *error;
    unsigned n_byte_level; /* ByteLevel components of the field being read */
    char *arena_end;       /* where the next string goes in tokenizer->arena */
} gptneoxi_loader;

/* tokenizer_load.c: `value` if it is a string, else `otherwise`. */
const char *gptneoxi_string_or(const json_t *value, const char *otherwise);

/* tokenizer_tables.c: reads model.vocab, added_tokens and model.merges; the normalizer is known. */
gi8_status gptneoxi_load_tables(gptneoxi_loader *l);

#endif
