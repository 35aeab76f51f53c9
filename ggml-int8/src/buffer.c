/* buffer.c - memory of a backend for weights and caches, and leaves that lie in it. */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "planner.h"

gi8_buffer *gi8_buffer_create(gi8_backend *backend, size_t size, gi8_error *error) {
    if (backend == NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "buffer_create: the backend is NULL");
        return NULL;
    }
    if (size > PTRDIFF_MAX) {
        gi8_error_set(error, GI8_ERR_MEMORY,
                      "buffer_create: %zu bytes are more than memory can have", size);
        return NULL;
    }
    gi8_buffer *buffer = malloc(sizeof *buffer);
    if (buffer == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "buffer_create: no memory for %zu bytes of metadata",
                      sizeof *buffer);
        return NULL;
    }
    *buffer = (gi8_buffer){backend, NULL, size, size > 0 ? size : 1};
    buffer->memory = backend->vtable->memory_alloc(backend, buffer->capacity, error);
    if (buffer->memory == NULL) {
        free(buffer);
        return NULL;
    }
    return buffer;
}

void gi8_buffer_free(gi8_buffer *buffer) {
    if (buffer != NULL) {
        buffer->backend->vtable->memory_free(buffer->backend, buffer->memory, buffer->capacity);
        free(buffer);
    }
}

size_t gi8_buffer_size(const gi8_buffer *buffer) {
    return buffer != NULL ? buffer->size : 0;
}

size_t gi8_buffer_space(const gi8_tensor *t) {
    return gi8i_round_up(gi8_nbytes(t), GI8I_ALIGNMENT);
}

gi8_status gi8_buffer_bind(gi8_buffer *buffer, gi8_tensor *t, size_t offset, gi8_error *error) {
    if (buffer == NULL || t == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "buffer_bind: the %s is NULL",
                             buffer == NULL ? "buffer" : "tensor");
    }
    if (t->op != GI8_OP_NONE) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "buffer_bind: \"%s\" is not a leaf but the result of %s",
                             t->name, gi8_op_get_info(t->op)->name);
    }
    if (offset % GI8I_ALIGNMENT != 0) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "buffer_bind: the offset of \"%s\" is %zu, not a multiple of %zu",
                             t->name, offset, GI8I_ALIGNMENT);
    }
    size_t bytes = gi8_nbytes(t);
    if (offset > buffer->size || bytes > buffer->size - offset) {
        return gi8_error_set(
            error, GI8_ERR_MEMORY,
            "buffer_bind: \"%s\" has %zu bytes at offset %zu, the buffer has %zu in all", t->name,
            bytes, offset, buffer->size);
    }
    t->data = (char *)buffer->memory + offset;
    t->buffer = buffer;
    return GI8_OK;
}

/* Checks a copy of `size` bytes from or to byte `offset` of `t`. */
static gi8_status check_range(const char *function, const gi8_tensor *t, size_t offset,
                              const void *data, size_t size, gi8_error *error) {
    if (t == NULL || (data == NULL && size > 0)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "%s: the %s is NULL", function,
                             t == NULL ? "tensor" : "data");
    }
    if (t->data == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "%s: \"%s\" is not a leaf that has memory",
                             function, t->name);
    }
    size_t bytes = gi8_nbytes(t);
    if (offset > bytes || size > bytes - offset) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "%s: %zu bytes from byte %zu on leave \"%s\", which has %zu", function,
                             size, offset, t->name, bytes);
    }
    return GI8_OK;
}

gi8_status gi8_tensor_write(gi8_tensor *t, size_t offset, const void *data, size_t size,
                            gi8_error *error) {
    gi8_status status = check_range("tensor_write", t, offset, data, size, error);
    if (status != GI8_OK || size == 0) {
        return status;
    }
    void *to = (char *)t->data + offset;
    if (t->buffer == NULL) {
        memcpy(to, data, size);
        return GI8_OK;
    }
    gi8_backend *backend = t->buffer->backend;
    return backend->vtable->memory_write(backend, to, data, size, error);
}

gi8_status gi8_tensor_read(const gi8_tensor *t, size_t offset, void *data, size_t size,
                           gi8_error *error) {
    gi8_status status = check_range("tensor_read", t, offset, data, size, error);
    if (status != GI8_OK || size == 0) {
        return status;
    }
    const void *from = (const char *)t->data + offset;
    if (t->buffer == NULL) {
        memcpy(data, from, size);
        return GI8_OK;
    }
    gi8_backend *backend = t->buffer->backend;
    return backend->vtable->memory_read(backend, data, from, size, error);
}
