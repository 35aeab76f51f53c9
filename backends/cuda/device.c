/* device.c - what devices there are, and errors of the CUDA runtime as sentences. */
#include "device.h"

#include <stdio.h>
#include <string.h>

#define MIN_MAJOR 7
#define MIN_MINOR 5

gi8_status gi8i_cuda_check(cudaError_t result, const char *what, gi8_error *error) {
    if (result == cudaSuccess) {
        return GI8_OK;
    }
    cudaGetLastError(); /* else a later check would find this error once more */
    gi8_status status = result == cudaErrorMemoryAllocation ? GI8_ERR_MEMORY : GI8_ERR_DEVICE;
    return gi8_error_set(error, status, "cuda backend: %s: %s (%s)", what,
                         cudaGetErrorString(result), cudaGetErrorName(result));
}

int gi8_cuda_device_count(gi8_error *reason) {
    int count = 0;
    cudaError_t result = cudaGetDeviceCount(&count);
    if (result != cudaSuccess) {
        cudaGetLastError();
        gi8_error_set(reason, GI8_ERR_DEVICE, "cuda backend: no device can be used: %s (%s)",
                      cudaGetErrorString(result), cudaGetErrorName(result));
        return 0;
    }
    if (count <= 0) {
        gi8_error_set(reason, GI8_ERR_DEVICE, "cuda backend: the driver offers no device");
        return 0;
    }
    return count;
}

/* The properties of a device that is there; *free_bytes and *total_bytes of its memory. */
static gi8_status get_properties(int number, struct cudaDeviceProp *properties,
                                 size_t *free_bytes, size_t *total_bytes, gi8_error *error) {
    int count = gi8_cuda_device_count(error);
    if (count == 0) {
        return GI8_ERR_DEVICE;
    }
    if (number < 0 || number >= count) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "cuda backend: there is no device %d: expected 0 to %d", number,
                             count - 1);
    }
    gi8_status status = gi8i_cuda_check(cudaSetDevice(number), "selecting the device", error);
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaGetDeviceProperties(properties, number),
                                 "asking for the device's properties", error);
    }
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaMemGetInfo(free_bytes, total_bytes),
                                 "asking for the device's memory", error);
    }
    return status;
}

static gi8_status get_info(int number, struct cudaDeviceProp *properties,
                           gi8_cuda_device_info *info, gi8_error *error) {
    size_t free_bytes = 0, total_bytes = 0;
    gi8_status status = get_properties(number, properties, &free_bytes, &total_bytes, error);
    if (status == GI8_OK) {
        *info = (gi8_cuda_device_info){
            .major = properties->major,
            .minor = properties->minor,
            .n_multiprocessors = properties->multiProcessorCount,
            .free_bytes = free_bytes,
            .total_bytes = total_bytes,
        };
        snprintf(info->name, sizeof info->name, "%s", properties->name);
    }
    return status;
}

gi8_status gi8_cuda_get_device_info(int device, gi8_cuda_device_info *info, gi8_error *error) {
    if (info == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "cuda_get_device_info: info is NULL");
    }
    struct cudaDeviceProp properties;
    return get_info(device, &properties, info, error);
}

gi8_status gi8i_cuda_device_open(int number, gi8i_cuda_device *device, gi8_cuda_device_info *info,
                                 gi8_error *error) {
    struct cudaDeviceProp properties;
    gi8_status status = get_info(number, &properties, info, error);
    if (status != GI8_OK) {
        return status;
    }
    if (info->major < MIN_MAJOR || (info->major == MIN_MAJOR && info->minor < MIN_MINOR)) {
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                             "cuda backend: device %d (%s) has compute capability %d.%d, expected "
                             "%d.%d or newer",
                             number, info->name, info->major, info->minor, MIN_MAJOR, MIN_MINOR);
    }
    *device = (gi8i_cuda_device){
        .number = number,
        .major = info->major,
        .minor = info->minor,
        .n_multiprocessors = info->n_multiprocessors,
        .shared_bytes_max = properties.sharedMemPerBlockOptin,
        .l2_bytes = properties.l2CacheSize > 0 ? (size_t)properties.l2CacheSize : 0,
    };
    return GI8_OK;
}

gi8_status gi8i_cuda_device_use(const gi8i_cuda_device *device, gi8_error *error) {
    return gi8i_cuda_check(cudaSetDevice(device->number), "selecting the device", error);
}
