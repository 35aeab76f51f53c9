/* device.h - the device that a backend computes on. */
#ifndef GI8I_CUDA_DEVICE_H
#define GI8I_CUDA_DEVICE_H

#include "cuda_impl.h"
#include "gi8_cuda.h"

/* Checks that device `number` is there and new enough, makes it the calling thread's, and fills in
 * *device and *info. The statuses of gi8_cuda_backend_create(). */
gi8_status gi8i_cuda_device_open(int number, gi8i_cuda_device *device, gi8_cuda_device_info *info,
                                 gi8_error *error);

/* Makes the device the calling thread's: each function of the backend begins so. */
gi8_status gi8i_cuda_device_use(const gi8i_cuda_device *device, gi8_error *error);

#endif
