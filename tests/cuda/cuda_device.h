/* cuda_device.h - what all tests of the CUDA backend begin with: cmocka, and a device. */
#ifndef CUDA_DEVICE_H
#define CUDA_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_device.h"
#include "test_seed.h"

/* Fails with the sentence unless the call went well. */
static inline void assert_ok(gi8_status status, const gi8_error *error) {
    if (status != GI8_OK) {
        fail_msg("%s: %s", gi8_status_name(status), error->message);
    }
}

#endif
