/* checkpoint_fixture.h - checkpoints made by a test in a temporary directory. */
#ifndef CHECKPOINT_FIXTURE_H
#define CHECKPOINT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8_backend_impl.h"
#include "gptneox.h"

/* ---- a temporary directory ------------------------------------------------------------------- */

typedef struct temp_dir {
    char path[256];
    char joined[512]; /* what temp_path() returned last */
} temp_dir;

temp_dir temp_dir_create(void);
void temp_dir_remove(temp_dir *dir); /* with the files in it */
const char *temp_path(temp_dir *dir, const char *name);
void temp_write(temp_dir *dir, const char *name, const void *data, size_t size);
void temp_write_text(temp_dir *dir, const char *name, const char *text);

/* ---- a checkpoint ---------------------------------------------------------------------------- */

typedef struct fixture_tensor {
    char name[96];
    const char *dtype;
    int n_dims; /* < 0: leave the tensor out when writing */
    int64_t shape[4];
    size_t size;   /* bytes */
    uint8_t *data; /* F32 where nothing else was asked for */
} fixture_tensor;

#define FIXTURE_MAX_TENSORS 96

typedef struct fixture_checkpoint {
    int n;
    fixture_tensor tensors[FIXTURE_MAX_TENSORS];
} fixture_checkpoint;

/* vocab 20, hidden 8, 2 heads, 2 layers, intermediate 12, rotary on half of the head. */
#define TINY_CONFIG                                                                     \
    "{\"model_type\": \"gpt_neox\", \"vocab_size\": 20, \"hidden_size\": 8, "           \
    "\"num_attention_heads\": 2, \"num_hidden_layers\": 2, \"intermediate_size\": 12, " \
    "\"rotary_pct\": 0.5, \"bos_token_id\": 0, \"eos_token_id\": 0%s}"
enum { TINY_VOCAB = 20, TINY_HIDDEN = 8, TINY_LAYERS = 2, TINY_WIDE = 12 };

/* All tensors of that model, F32, replayable values in (-1, 1). */
fixture_checkpoint *tiny_checkpoint(void);
void tiny_checkpoint_free(fixture_checkpoint *c);

fixture_tensor *tiny_find(fixture_checkpoint *c, const char *name);
fixture_tensor *tiny_add(fixture_checkpoint *c, const char *name, const char *dtype, int n_dims,
                         const int64_t *shape, const void *data, size_t size);
/* Converts a tensor's F32 data. */
void tiny_convert(fixture_tensor *t, gi8_type type);

/* The bytes of a safetensors file with tensors [first, first + n); freed with free(). */
uint8_t *safetensors_bytes(const fixture_checkpoint *c, int first, int n, size_t *size);
/* A file of a header, given as text, and `data_size` bytes of zeros. */
uint8_t *safetensors_of_header(const char *header, size_t data_size, size_t *size);

void safetensors_write(temp_dir *dir, const char *name, const fixture_checkpoint *c, int first,
                       int n);

/* A directory with TINY_CONFIG (`extra` goes into it, e.g. ", \"a\": 1") and model.safetensors. */
temp_dir tiny_write(const fixture_checkpoint *c, const char *extra);

/* ---- a backend that only has memory ---------------------------------------------------------- */

typedef struct memory_backend {
    gi8_backend base;
    int64_t n_live;     /* allocations that were not freed */
    size_t live_bytes;
    int64_t fail_after; /* < 0: never; else so many calls succeed, then every one fails */
    gi8_status failure; /* with this */
} memory_backend;

memory_backend memory_backend_init(void);

/* Expects that loading fails with this status and that the sentence holds every text of the list,
 * which ends with NULL. Nothing may stay allocated. `params` may be NULL. */
void expect_load_error(const char *dir, const gptneox_model_params *params, gi8_status status, ...);

#endif
