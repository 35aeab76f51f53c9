/* tool.h - what the programs share: exit codes, files read whole, the bundled model. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "ggml-int8/gi8_status.h"

/* Exit codes of every program here. */
enum {
    TOOL_EXIT_OK = 0,
    TOOL_EXIT_USAGE = 2,        /* an option or argument that makes no sense */
    TOOL_EXIT_INPUT = 3,        /* a model or an input that cannot be used */
    TOOL_EXIT_IO = 4,           /* a file that cannot be read, an output that cannot be written */
    TOOL_EXIT_MEMORY = 5,
    TOOL_EXIT_INTERRUPTED = 130 /* 128 + SIGINT, as shells count */
};

/* The exit code that goes with a status of the library; TOOL_EXIT_OK for GI8_OK. */
int tool_exit_code(gi8_status status);

/* Reads a whole file, or standard input where `path` is "-". *data gets *size bytes and a NUL that
 * is not counted; the caller frees it with free(). On failure *data is NULL and *error, which may
 * be NULL, says why: GI8_ERR_IO, GI8_ERR_MEMORY. */
gi8_status tool_read_file(const char *path, char **data, size_t *size, gi8_error *error);

/* Finds the bundled model: where `make install` puts it, next to the program, else in the source
 * tree that the program was built from. `dir` has room for `capacity` characters, 4096 at least.
 * GI8_ERR_IO where it is in neither. */
gi8_status tool_find_bundled_model(char *dir, size_t capacity, gi8_error *error);

/* TOOL_EXIT_OK if all that was written has reached standard output; else TOOL_EXIT_IO, and standard
 * error says why in the name of `program`. */
int tool_finish_output(const char *program);

#endif
