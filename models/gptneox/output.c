/* output.c - writing files so that they appear under their names only when they are complete. */
#define _POSIX_C_SOURCE 200809L
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define COPY_BYTES ((size_t)1 << 18)

gi8_status gptneoxi_output_open(gptneoxi_output *out, const char *dir, const char *name,
                                gi8_error *error) {
    *out = (gptneoxi_output){.fd = -1};
    out->path = gptneoxi_path_join(dir, name, error);
    if (out->path == NULL) {
        return GI8_ERR_MEMORY;
    }
    const size_t length = strlen(out->path);
    out->temporary = malloc(length + sizeof ".tmp");
    if (out->temporary == NULL) {
        return gptneoxi_output_close(
            out, gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for the path", out->path),
            error);
    }
    memcpy(out->temporary, out->path, length);
    memcpy(out->temporary + length, ".tmp", sizeof ".tmp");
    out->fd = open(out->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (out->fd < 0) {
        return gptneoxi_output_close(
            out, gptneoxi_io_error(error, out->temporary, "cannot make the file", errno), error);
    }
    return GI8_OK;
}

gi8_status gptneoxi_output_write(gptneoxi_output *out, const void *data, size_t size,
                                 gi8_error *error) {
    const char *next = data;
    while (size > 0) {
        ssize_t n = write(out->fd, next, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return gptneoxi_io_error(error, out->temporary, "cannot write the file", errno);
        }
        next += n;
        size -= (size_t)n;
    }
    return GI8_OK;
}

gi8_status gptneoxi_output_close(gptneoxi_output *out, gi8_status status, gi8_error *error) {
    if (out->fd >= 0) {
        if (status == GI8_OK && fsync(out->fd) != 0) {
            status = gptneoxi_io_error(error, out->temporary, "cannot write the file", errno);
        }
        if (close(out->fd) != 0 && status == GI8_OK) {
            status = gptneoxi_io_error(error, out->temporary, "cannot write the file", errno);
        }
        if (status == GI8_OK && rename(out->temporary, out->path) != 0) {
            status = gptneoxi_io_error(error, out->path, "cannot name the file", errno);
        }
        if (status != GI8_OK) {
            unlink(out->temporary);
        }
    }
    free(out->path);
    free(out->temporary);
    *out = (gptneoxi_output){.fd = -1};
    return status;
}

gi8_status gptneoxi_dir_make(const char *dir, gi8_error *error) {
    struct stat info;
    if (mkdir(dir, 0777) == 0) {
        return GI8_OK;
    }
    const int reason = errno;
    if (reason != EEXIST) {
        return gptneoxi_io_error(error, dir, "cannot make the directory", reason);
    }
    if (stat(dir, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return gi8_error_set(error, GI8_ERR_IO, "%s: expected a directory, found a file", dir);
    }
    return GI8_OK;
}

gi8_status gptneoxi_dir_sync(const char *dir, gi8_error *error) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems have nothing to sync in a directory, and say EINVAL. */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) {
        const int reason = errno;
        if (fd >= 0) {
            close(fd);
        }
        return gptneoxi_io_error(error, dir, "cannot write the directory", reason);
    }
    close(fd);
    return GI8_OK;
}

gi8_status gptneoxi_file_remove(const char *dir, const char *name, gi8_error *error) {
    char *path = gptneoxi_path_join(dir, name, error);
    if (path == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_status status = GI8_OK;
    if (unlink(path) != 0 && errno != ENOENT) {
        status = gptneoxi_io_error(error, path, "cannot remove the file", errno);
    }
    free(path);
    return status;
}

static gi8_status copy(const gptneoxi_file *file, gptneoxi_output *out, gi8_error *error) {
    char *bytes = malloc(COPY_BYTES);
    if (bytes == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory to copy it", file->path);
    }
    gi8_status status = GI8_OK;
    for (uint64_t done = 0; status == GI8_OK && done < file->size;) {
        const uint64_t left = file->size - done;
        const size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        status = gptneoxi_file_read(file, done, bytes, n, error);
        if (status == GI8_OK) {
            status = gptneoxi_output_write(out, bytes, n, error);
        }
        done += n;
    }
    free(bytes);
    return status;
}

gi8_status gptneoxi_file_copy(const char *from, const char *to, const char *name,
                              gi8_error *error) {
    char *path = gptneoxi_path_join(from, name, error);
    if (path == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_status status = GI8_OK;
    if (gptneoxi_path_exists(path)) {
        gptneoxi_file file;
        gptneoxi_output out;
        status = gptneoxi_file_open(&file, path, error);
        if (status == GI8_OK) {
            status = gptneoxi_output_open(&out, to, name, error);
            if (status == GI8_OK) {
                status = gptneoxi_output_close(&out, copy(&file, &out, error), error);
            }
            gptneoxi_file_close(&file);
        }
    }
    free(path);
    return status;
}
