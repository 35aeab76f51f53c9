/* file.c - opening and reading with POSIX calls. */
#define _POSIX_C_SOURCE 200809L /* pread, posix_fadvise, strdup, strerror_r */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gi8_status gptneoxi_io_error(gi8_error *error, const char *path, const char *what, int number) {
    char reason[128]; /* unlike strerror(), strerror_r() is safe in any thread */
    if (strerror_r(number, reason, sizeof reason) != 0) {
        snprintf(reason, sizeof reason, "error %d", number);
    }
    return gi8_error_set(error, GI8_ERR_IO, "%s: %s: %s", path, what, reason);
}

char *gptneoxi_path_join(const char *dir, const char *name, gi8_error *error) {
    size_t dir_length = strlen(dir);
    size_t name_size = strlen(name) + 1;
    char *path = malloc(dir_length + 1 + name_size);
    if (path == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for the path of %s", dir, name);
        return NULL;
    }
    memcpy(path, dir, dir_length);
    if (dir_length > 0 && dir[dir_length - 1] != '/') {
        path[dir_length++] = '/';
    }
    memcpy(path + dir_length, name, name_size);
    return path;
}

bool gptneoxi_path_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

gi8_status gptneoxi_dir_check(const char *dir, gi8_error *error) {
    struct stat info;
    if (stat(dir, &info) != 0) {
        return gptneoxi_io_error(error, dir, "cannot open the directory", errno);
    }
    if (!S_ISDIR(info.st_mode)) {
        return gi8_error_set(error, GI8_ERR_IO, "%s: expected a directory, found a file", dir);
    }
    if (access(dir, R_OK | X_OK) != 0) {
        return gptneoxi_io_error(error, dir, "cannot read the directory", errno);
    }
    return GI8_OK;
}

gi8_status gptneoxi_file_open(gptneoxi_file *file, const char *path, gi8_error *error) {
    *file = (gptneoxi_file){.fd = -1};
    /* O_NONBLOCK: a named pipe must not make us wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return gptneoxi_io_error(error, path, "cannot open the file", errno);
    }
    file->fd = fd;
    struct stat info;
    gi8_status status = GI8_OK;
    if (fstat(fd, &info) != 0) {
        status = gptneoxi_io_error(error, path, "cannot read the file's size", errno);
    } else if (!S_ISREG(info.st_mode)) {
        status = gi8_error_set(error, GI8_ERR_IO, "%s: expected a regular file, found %s", path,
                               S_ISDIR(info.st_mode) ? "a directory" : "something else");
    } else if ((file->path = strdup(path)) == NULL) {
        status = gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for the path", path);
    } else {
        file->size = (uint64_t)info.st_size;
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only: failing is harmless */
    }
    if (status != GI8_OK) {
        gptneoxi_file_close(file);
    }
    return status;
}

void gptneoxi_file_close(gptneoxi_file *file) {
    if (file->fd >= 0) {
        close(file->fd);
    }
    free(file->path);
    *file = (gptneoxi_file){.fd = -1};
}

gi8_status gptneoxi_file_read(const gptneoxi_file *file, uint64_t offset, void *data, size_t size,
                              gi8_error *error) {
    char *next = data;
    while (size > 0) {
        if (offset > INT64_MAX) {
            return gi8_error_set(error, GI8_ERR_IO, "%s: offset %" PRIu64 " is beyond any file",
                                 file->path, offset);
        }
        ssize_t n = pread(file->fd, next, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return gptneoxi_io_error(error, file->path, "cannot read the file", errno);
        }
        if (n == 0) {
            return gi8_error_set(error, GI8_ERR_IO,
                                 "%s: the file ends at byte %" PRIu64 ", expected %zu more",
                                 file->path, offset, size);
        }
        next += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return GI8_OK;
}

void gptneoxi_file_announce(const gptneoxi_file *file, uint64_t offset, uint64_t size) {
    if (offset < file->size) {
        const uint64_t left = file->size - offset;
        const off_t length = (off_t)(size < left ? size : left);
        /* advice only: failing is harmless */
        (void)posix_fadvise(file->fd, (off_t)offset, length, POSIX_FADV_WILLNEED);
    }
}
