/* file.h - reading files that nobody vouched for: regular files, whole reads or an error. */
#ifndef GPTNEOXI_FILE_H
#define GPTNEOXI_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"

typedef struct gptneoxi_file {
    int fd;        /* -1: not open */
    uint64_t size; /* bytes, when it was opened */
    char *path;
} gptneoxi_file;

/* GI8_ERR_IO with a sentence of path, what could not be done, and the system's reason for `number`,
 * an errno. */
gi8_status gptneoxi_io_error(gi8_error *error, const char *path, const char *what, int number);

/* DIR/NAME in memory for free(), or NULL with GI8_ERR_MEMORY. */
char *gptneoxi_path_join(const char *dir, const char *name, gi8_error *error);

/* Is there something (a file, a folder, a link, even one that leads nowhere) by this name? Also
 * true where that cannot be found out: opening it will say why. */
bool gptneoxi_path_exists(const char *path);

/* GI8_OK where `dir` is a directory that can be read; else GI8_ERR_IO with the system's reason. */
gi8_status gptneoxi_dir_check(const char *dir, gi8_error *error);

/* Opens a regular file for reading. GI8_ERR_IO (the sentence has the path and the system's reason),
 * GI8_ERR_MEMORY; then *file is left closed. */
gi8_status gptneoxi_file_open(gptneoxi_file *file, const char *path, gi8_error *error);
void gptneoxi_file_close(gptneoxi_file *file);

/* Reads exactly `size` bytes from `offset` on; GI8_ERR_IO where the file ends before, e.g. because
 * it was cut since it was opened. Any number of threads may read at once. */
gi8_status gptneoxi_file_read(const gptneoxi_file *file, uint64_t offset, void *data, size_t size,
                              gi8_error *error);

/* Says that a range, which may be any, will be read soon: the system begins to fetch it. */
void gptneoxi_file_announce(const gptneoxi_file *file, uint64_t offset, uint64_t size);

#endif
