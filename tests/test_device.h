/* test_device.h - the CUDA device that tests built with GI8_TEST_CUDA run on. */
#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include <stdio.h>
#include <stdlib.h>

#include "gi8_cuda.h"

/* The CUDA backend. Ends the program where there is none: as skipped (77) for want of a device, of
 * which the emulation always has one, else as failed. */
static inline gi8_backend *test_device_create(void) {
    gi8_error error = GI8_ERROR_INIT;
    int n_devices = gi8_cuda_device_count(&error);
    gi8_backend *backend = n_devices > 0 ? gi8_cuda_backend_create(NULL, &error) : NULL;
    if (backend == NULL) {
        printf("%s\n", error.message);
#ifdef GI8_CUDA_EMULATION
        exit(1);
#else
        exit(n_devices > 0 ? 1 : 77);
#endif
    }
    return backend;
}

#endif
