/* buffer.h - what a buffer holds; for buffer.c, plan.c and linear.c. */
#ifndef GI8_BUFFER_H
#define GI8_BUFFER_H

#include "ggml-int8/gi8_backend_impl.h"

struct gi8_buffer {
    gi8_backend *backend;
    void *memory;    /* the backend's; not to be read by the host unless vtable->is_host */
    size_t size;     /* as asked for */
    size_t capacity; /* as allocated: at least 1, so that an empty tensor has an address too */
};

#endif
