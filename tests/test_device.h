/* test_device.h - the CUDA device that tests built with GI8_TEST_CUDA run on. */
#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include <stdio.h>
#include <stdlib.h>

#include "gi8_cuda.h"

/* Ends the program where there is no device: as skipped (77), and as failed on the emulation, which
 * always has one. */
static inline void test_device_require(void) {
    gi8_error error = GI8_ERROR_INIT;
    if (gi8_cuda_device_count(&error) == 0) {
        printf("no device: %s\n", error.message);
#ifdef GI8_CUDA_EMULATION
        exit(1);
#else
        exit(77);
#endif
    }
}

/* The CUDA backend. Ends the program where there is none, for want of a device as above, else as
 * failed. */
static inline gi8_backend *test_device_create(void) {
    test_device_require();
    gi8_error error = GI8_ERROR_INIT;
    gi8_backend *backend = gi8_cuda_backend_create(NULL, &error);
    if (backend == NULL) {
        printf("%s\n", error.message);
        exit(1);
    }
    return backend;
}

#endif
