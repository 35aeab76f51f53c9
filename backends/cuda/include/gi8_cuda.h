/* gi8_cuda.h - the CUDA backend.
 *
 * Computes on one NVIDIA GPU of compute capability 7.5 (Turing) or newer: int8 products through
 * cuBLASLt or kernels of its own, everything of a plan on one stream, captured once as a CUDA graph
 * and replayed. Memory is the device's: tensors with host memory of the program's own are refused
 * when a plan is made. Functions of the backend may leave its device as the current one of the
 * thread that calls them.
 *
 * It has not run on a GPU yet: its tests run its kernels on the emulation of tests/cuda-emulation.
 */
#ifndef GI8_CUDA_H
#define GI8_CUDA_H

#include "ggml-int8/gi8_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gi8_cuda_params {
    int device;        /* number of the device, 0 for the first */
    bool no_graphs;    /* launch kernel by kernel instead of replaying a CUDA graph: for debuggers
                          and profilers; same results */
    bool no_timing;    /* of the algorithms that cuBLASLt names for a product take the first, not
                          the fastest of some that are timed when a plan is made: plans are made
                          sooner, and the last bits of float products do not depend on timings,
                          which differ from process to process */
    void (*log)(void *user, const char *line); /* the device, when the backend is made, and why a
                          plan is not replayed as a graph, should that be so; may be NULL */
    void *log_user;
} gi8_cuda_params;

/* What is known of a device. */
typedef struct gi8_cuda_device_info {
    char name[256];
    int major, minor;          /* compute capability */
    int n_multiprocessors;
    size_t free_bytes, total_bytes;
} gi8_cuda_device_info;

/* Devices that the driver offers; 0 where there is none, or no driver: then *reason (may be NULL)
 * gets GI8_ERR_DEVICE and a sentence. Thread-safe. */
GI8_API int gi8_cuda_device_count(gi8_error *reason);

/* Facts about a device. GI8_ERR_ARGUMENT (info NULL, no such device), GI8_ERR_DEVICE.
 * Thread-safe. */
GI8_API gi8_status gi8_cuda_get_device_info(int device, gi8_cuda_device_info *info,
                                            gi8_error *error);

/* Makes a backend on a device. `params` may be NULL ({0}). Freed with gi8_backend_free(). NULL:
 * GI8_ERR_DEVICE (no driver, no device, or what the CUDA runtime says), GI8_ERR_ARGUMENT (no such
 * device), GI8_ERR_UNSUPPORTED (compute capability below 7.5), GI8_ERR_MEMORY. Thread-safe. */
GI8_API gi8_backend *gi8_cuda_backend_create(const gi8_cuda_params *params, gi8_error *error);

#ifdef __cplusplus
}
#endif

#endif
