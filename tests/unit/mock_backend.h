/* mock_backend.h - a backend for tests of buffers, plans and layers: it computes a made-up value
 * for every operation, element by element, and looks over the core's shoulder. */
#ifndef MOCK_BACKEND_H
#define MOCK_BACKEND_H

#include "ggml-int8/gi8_backend_impl.h"

/* Fields below `base` may be set by the test at any time. */
typedef struct mock_backend {
    gi8_backend base;

    /* What it shall do. */
    const char *name;
    gi8_op refused_op;         /* supports() says no; GI8_OP_NONE: supports everything */
    int64_t fail_alloc_in;     /* memory_alloc() fails after so many more calls; -1: never */
    bool fuses;                /* can_fuse() says yes */
    bool fail_prepare;
    const gi8_tensor *overrun; /* this node writes one byte outside its result */
    int64_t overrun_offset;    /* of that byte from the result's start */
    gi8_status execute_status; /* returned by plan_execute() if not GI8_OK */
    void (*on_step)(void *user, int64_t step); /* called while each step runs; may be NULL */
    void *user;

    /* What it saw. */
    int64_t n_alive;      /* pieces of memory */
    size_t bytes_alive;
    int64_t n_allocs;     /* calls of memory_alloc() */
    int64_t n_prepared;   /* plans prepared and not released */
    int64_t n_executed;   /* steps, ever */
    gi8_plan_view *plan;  /* the last one prepared */
    size_t largest_write; /* bytes of one memory_write() */
    size_t largest_read;
} mock_backend;

/* A backend in host memory, or in "device" memory: its addresses are no host addresses, and to
 * follow one ends the program. */
mock_backend mock_host(void);
mock_backend mock_device(void);

/* The host address of the mock's memory, for both kinds. */
void *mock_host_address(const mock_backend *mock, const void *memory);

/* Element number e of t, in the order of its dimensions, t's first one being at `base` (a host
 * address). I8 and I32 as numbers; 16-bit formats are converted. */
double mock_get(const gi8_tensor *t, const void *base, int64_t e);

/* An allocator that counts, and fails after `fail_in` more calls (-1: never). */
typedef struct mock_allocator {
    gi8_allocator allocator;
    int64_t fail_in;
    int64_t n_calls;
    int64_t n_alive;
    size_t largest;
} mock_allocator;

/* Sets it up; it must not move afterwards. */
void mock_allocator_init(mock_allocator *a);

#endif
