/* gi8_status.h - how every part of ggml-int8 says that something went wrong.
 *
 * No function of this library aborts, exits or prints. A function that can fail either returns a
 * gi8_status, or returns NULL; both kinds take an optional gi8_error into which they write one
 * sentence that names the thing, what was expected and what was found.
 */
#ifndef GI8_STATUS_H
#define GI8_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#if defined(GI8_SHARED) && (defined(__GNUC__) || defined(__clang__))
#define GI8_API __attribute__((visibility("default")))
#else
#define GI8_API
#endif

#if defined(__GNUC__) || defined(__clang__)
#define GI8_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define GI8_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Why a call failed. GI8_OK is 0; the values are part of the ABI and never change. */
typedef enum gi8_status {
    GI8_OK = 0,
    GI8_ERR_ARGUMENT = 1,    /* a NULL, a value out of range, a call in the wrong state */
    GI8_ERR_SHAPE = 2,       /* shapes or strides that do not fit each other */
    GI8_ERR_TYPE = 3,        /* an element type that the operation does not take */
    GI8_ERR_MEMORY = 4,      /* an allocator returned NULL, or a size overflows */
    GI8_ERR_ARENA_FULL = 5,  /* a context of fixed size has no room for the next object */
    GI8_ERR_UNSUPPORTED = 6, /* well-formed, but this backend or this version cannot do it */
    GI8_ERR_NOT_FINITE = 7,  /* NaN or Inf where only numbers are allowed (weights, logits) */
    GI8_ERR_FORMAT = 8,      /* a file or a text that does not follow its format */
    GI8_ERR_IO = 9,          /* the operating system refused to open, read or write */
    GI8_ERR_CANCELLED = 10,  /* the caller's cancel callback or gi8_plan_cancel() stopped the run */
    GI8_ERR_DEVICE = 11      /* a device was lost or reported a failure */
} gi8_status;

/* Bytes of gi8_error.message with the terminating NUL; a longer sentence is cut and ends
 * in "...". */
#define GI8_ERROR_MESSAGE_SIZE 1024

/* A status with its sentence. Owned by the caller; initialise with GI8_ERROR_INIT. Functions write
 * to it only when they fail. */
typedef struct gi8_error {
    gi8_status status;
    char message[GI8_ERROR_MESSAGE_SIZE];
} gi8_error;

#define GI8_ERROR_INIT {GI8_OK, {0}}

/* The name of a status, e.g. "shape" for GI8_ERR_SHAPE; "unknown" for any other value. A static
 * string; never NULL. Thread-safe. */
GI8_API const char *gi8_status_name(gi8_status status);

/* Writes `status` and the formatted sentence into *error and returns `status`, so that a failing
 * function can end in `return gi8_error_set(error, ...)`. `error` may be NULL: then nothing is
 * written. Thread-safe as long as *error is not shared. */
GI8_API gi8_status gi8_error_set(gi8_error *error, gi8_status status, const char *format, ...)
    GI8_PRINTF(3, 4);

/* gi8_error_set() for a va_list. */
GI8_API gi8_status gi8_error_setv(gi8_error *error, gi8_status status, const char *format,
                                  va_list args) GI8_PRINTF(3, 0);

/* The caller's memory functions. NULL in place of a gi8_allocator means the C library's.
 *   alloc  returns `size` bytes aligned to `alignment` (a power of two, at least 16 and at most
 *          4096), or NULL; size is never 0.
 *   free   takes back what alloc returned, with the same size; never called with NULL.
 * Both must be there and callable from any thread. */
typedef struct gi8_allocator {
    void *(*alloc)(void *user, size_t size, size_t alignment);
    void (*free)(void *user, void *pointer, size_t size);
    void *user;
} gi8_allocator;

#ifdef __cplusplus
}
#endif

#endif
