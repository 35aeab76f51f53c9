/* status.c - status names and the one place that formats error sentences. */
#include "ggml-int8/gi8_status.h"

#include <stdio.h>
#include <string.h>

const char *gi8_status_name(gi8_status status) {
    switch (status) {
    case GI8_OK: return "ok";
    case GI8_ERR_ARGUMENT: return "argument";
    case GI8_ERR_SHAPE: return "shape";
    case GI8_ERR_TYPE: return "type";
    case GI8_ERR_MEMORY: return "memory";
    case GI8_ERR_ARENA_FULL: return "arena full";
    case GI8_ERR_UNSUPPORTED: return "unsupported";
    case GI8_ERR_NOT_FINITE: return "not finite";
    case GI8_ERR_FORMAT: return "format";
    case GI8_ERR_IO: return "io";
    case GI8_ERR_CANCELLED: return "cancelled";
    case GI8_ERR_DEVICE: return "device";
    }
    return "unknown";
}

gi8_status gi8_error_setv(gi8_error *error, gi8_status status, const char *format, va_list args) {
    if (error == NULL) {
        return status;
    }
    error->status = status;
    int length = vsnprintf(error->message, sizeof error->message, format, args);
    if (length < 0) {
        error->message[0] = '\0';
    } else if ((size_t)length >= sizeof error->message) {
        memcpy(error->message + sizeof error->message - 4, "...", 4);
    }
    return status;
}

gi8_status gi8_error_set(gi8_error *error, gi8_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    gi8_error_setv(error, status, format, args);
    va_end(args);
    return status;
}
