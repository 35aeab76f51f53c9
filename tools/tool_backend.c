/* tool_backend.c - which device computes. */
#include "tool_backend.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gi8_cpu.h"
#ifdef TOOL_HAVE_CUDA
#include "gi8_cuda.h"
#endif

gi8_status tool_device_parse(const char *text, tool_device *device, gi8_error *error) {
    static const char *const names[] = {"auto", "cpu", "cuda"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *device = (tool_device){(tool_device_kind)i, 0};
            return GI8_OK;
        }
    }
    if (strncmp(text, "cuda:", 5) == 0 && text[5] >= '0' && text[5] <= '9') {
        char *end;
        errno = 0;
        long number = strtol(text + 5, &end, 10);
        if (*end == '\0' && errno == 0 && number <= INT_MAX) {
            *device = (tool_device){TOOL_DEVICE_CUDA, (int)number};
            return GI8_OK;
        }
    }
    return gi8_error_set(error, GI8_ERR_ARGUMENT,
                         "--device needs auto, cpu, cuda or cuda:N, not \"%s\"", text);
}

static gi8_backend *create_cpu(int n_threads, gi8_error *error) {
    return gi8_cpu_backend_create(&(gi8_cpu_params){.n_threads = n_threads}, error);
}

#ifdef TOOL_HAVE_CUDA

/* The device, and what makes it slower than it should be. */
static void print_line(void *user, const char *line) {
    (void)user;
    fprintf(stderr, "%s\n", line);
}

static gi8_backend *create_cuda(int number, gi8_error *error) {
    return gi8_cuda_backend_create(&(gi8_cuda_params){.device = number, .log = print_line}, error);
}

#else

static gi8_backend *create_cuda(int number, gi8_error *error) {
    (void)number;
    gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                  "--device cuda: this program was built without CUDA (GGML_INT8_CUDA)");
    return NULL;
}

#endif

gi8_backend *tool_backend_create(tool_device device, int n_threads, gi8_error *fallback,
                                 gi8_error *error) {
    gi8_backend *backend = NULL;
    switch (device.kind) {
    case TOOL_DEVICE_CUDA: return create_cuda(device.number, error);
    case TOOL_DEVICE_CPU: return create_cpu(n_threads, error);
    case TOOL_DEVICE_AUTO: break;
    }
#ifdef TOOL_HAVE_CUDA
    if (gi8_cuda_device_count(fallback) > 0) {
        backend = create_cuda(0, fallback);
    }
#else
    (void)fallback;
#endif
    return backend != NULL ? backend : create_cpu(n_threads, error);
}
