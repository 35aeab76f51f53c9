/* tool_backend.h - which device computes: the option --device, and the backend that it means. */
#ifndef TOOL_BACKEND_H
#define TOOL_BACKEND_H

#include "ggml-int8/gi8_backend.h"

/* Of the option and its help. */
#define TOOL_DEVICE_ARGUMENT "auto|cpu|cuda[:N]"
#define TOOL_DEVICE_HELP                                                                           \
    "what computes; cuda:1 is the second CUDA device; auto:\n"                                     \
    "a CUDA device where there is one, else the CPU"

typedef enum tool_device_kind {
    TOOL_DEVICE_AUTO,
    TOOL_DEVICE_CPU,
    TOOL_DEVICE_CUDA
} tool_device_kind;

typedef struct tool_device {
    tool_device_kind kind;
    int number; /* of a CUDA device */
} tool_device;

/* Reads the value of --device. GI8_ERR_ARGUMENT with a sentence. */
gi8_status tool_device_parse(const char *text, tool_device *device, gi8_error *error);

/* Makes a backend; n_threads is for the CPU, 0: one per core. Where `auto` ends at the CPU although
 * this program knows CUDA, *fallback says why; else it is left as it is. It may be NULL. NULL: the
 * statuses of gi8_cpu_backend_create() and gi8_cuda_backend_create(), and GI8_ERR_UNSUPPORTED where
 * the program was built without CUDA. What a CUDA device has to say goes to standard error. */
gi8_backend *tool_backend_create(tool_device device, int n_threads, gi8_error *fallback,
                                 gi8_error *error);

#endif
