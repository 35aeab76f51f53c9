/* direct.cpp - a host half that does nothing but run each kernel at its launch, on any memory: for
 * tests of kernels and of the device half alone. */
#include "emulator.h"

static cudaError_t last_error;

cudaError_t gi8emu_enqueue(cudaStream_t stream, gi8emu_kernel *kernel) {
    (void)stream;
    cudaError_t result = gi8emu_execute(kernel);
    gi8emu_kernel_free(kernel);
    return gi8emu_note_error(result);
}

cudaError_t gi8emu_enter(const char *function) {
    (void)function;
    return cudaSuccess;
}

cudaError_t gi8emu_note_error(cudaError_t error) {
    if (error != cudaSuccess) {
        last_error = error;
    }
    return error;
}

bool gi8emu_is_device(const void *address) {
    (void)address;
    return true;
}

cudaError_t cudaGetLastError(void) {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
