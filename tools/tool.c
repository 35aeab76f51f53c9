/* tool.c - what the programs share: exit codes, files read whole, the end of the output. */
#include "tool.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tool_exit_code(gi8_status status) {
    switch (status) {
    case GI8_OK: return TOOL_EXIT_OK;
    case GI8_ERR_IO: return TOOL_EXIT_IO;
    case GI8_ERR_MEMORY:
    case GI8_ERR_ARENA_FULL: return TOOL_EXIT_MEMORY;
    case GI8_ERR_CANCELLED: return TOOL_EXIT_INTERRUPTED;
    case GI8_ERR_ARGUMENT:
    case GI8_ERR_SHAPE:
    case GI8_ERR_TYPE:
    case GI8_ERR_UNSUPPORTED:
    case GI8_ERR_NOT_FINITE:
    case GI8_ERR_FORMAT:
    case GI8_ERR_DEVICE: return TOOL_EXIT_INPUT;
    }
    return TOOL_EXIT_INPUT;
}

/* Reads `file` to its end; `name` is for the sentence. */
static gi8_status read_stream(FILE *file, const char *name, char **data, size_t *size,
                              gi8_error *error) {
    size_t capacity = 4096;
    size_t used = 0;
    char *bytes = malloc(capacity);
    while (bytes != NULL) {
        used += fread(bytes + used, 1, capacity - 1 - used, file);
        if (ferror(file)) {
            int reason = errno;
            free(bytes);
            return gi8_error_set(error, GI8_ERR_IO, "%s cannot be read: %s", name,
                                 strerror(reason));
        }
        if (feof(file)) {
            bytes[used] = '\0';
            *data = bytes;
            *size = used;
            return GI8_OK;
        }
        if (used + 1 < capacity) {
            continue;
        }
        char *larger = capacity <= SIZE_MAX / 2 ? realloc(bytes, capacity * 2) : NULL;
        if (larger == NULL) {
            free(bytes);
        }
        bytes = larger;
        capacity *= 2;
    }
    return gi8_error_set(error, GI8_ERR_MEMORY, "%s does not fit into memory", name);
}

gi8_status tool_read_file(const char *path, char **data, size_t *size, gi8_error *error) {
    *data = NULL;
    *size = 0;
    if (strcmp(path, "-") == 0) {
        return read_stream(stdin, "standard input", data, size, error);
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return gi8_error_set(error, GI8_ERR_IO, "%s cannot be opened: %s", path, strerror(errno));
    }
    gi8_status status = read_stream(file, path, data, size, error);
    fclose(file);
    return status;
}

int tool_finish_output(const char *program) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return TOOL_EXIT_OK;
    }
    fprintf(stderr, "%s: standard output cannot be written%s%s\n", program,
            errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    return TOOL_EXIT_IO;
}
