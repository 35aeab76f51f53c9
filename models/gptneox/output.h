/* output.h - writing files so that they appear under their names only when they are complete. */
#ifndef GPTNEOXI_OUTPUT_H
#define GPTNEOXI_OUTPUT_H

#include <stddef.h>

#include "ggml-int8/gi8_status.h"

typedef struct gptneoxi_output {
    int fd;          /* -1: not open */
    char *path;
    char *temporary; /* where the bytes are until then: PATH.tmp */
} gptneoxi_output;

/* Begins DIR/NAME. Then gptneoxi_output_write() any number of times, and gptneoxi_output_close() in
 * any case. All: GI8_ERR_IO (the sentence has the path and the system's reason), GI8_ERR_MEMORY. */
gi8_status gptneoxi_output_open(gptneoxi_output *out, const char *dir, const char *name,
                                gi8_error *error);
gi8_status gptneoxi_output_write(gptneoxi_output *out, const void *data, size_t size,
                                 gi8_error *error);

/* With GI8_OK: the bytes reach the disk, then the file gets its name. With another status, which is
 * returned: what was written is removed. */
gi8_status gptneoxi_output_close(gptneoxi_output *out, gi8_status status, gi8_error *error);

/* Makes a directory unless it is there; GI8_ERR_IO where something else is. */
gi8_status gptneoxi_dir_make(const char *dir, gi8_error *error);

/* Waits until the names in a directory reach the disk. */
gi8_status gptneoxi_dir_sync(const char *dir, gi8_error *error);

/* Removes DIR/NAME if it is there. */
gi8_status gptneoxi_file_remove(const char *dir, const char *name, gi8_error *error);

/* Copies FROM/NAME to TO/NAME byte for byte; nothing happens where there is none. */
gi8_status gptneoxi_file_copy(const char *from, const char *to, const char *name, gi8_error *error);

#endif
