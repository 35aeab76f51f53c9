/* host_test.h - what the tests of the emulation's host half share. */
#ifndef GI8EMU_HOST_TEST_H
#define GI8EMU_HOST_TEST_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include <cuda_runtime.h>

#include "emulator.h"

/* The call must succeed. */
#define OK(call) ok((call), #call, __FILE__, __LINE__)
static inline void ok(cudaError_t error, const char *call, const char *file, int line) {
    if (error != cudaSuccess) {
        print_error("%s: %s: %s\n", call, cudaGetErrorName(error), gi8emu_message());
        _fail(file, line);
    }
}

/* The call must return this error; then cudaGetLastError() has it, too. */
#define FAILS(call, error) fails((call), error, #call, __FILE__, __LINE__)
static inline void fails(cudaError_t error, cudaError_t expected, const char *call,
                         const char *file, int line) {
    cudaError_t kept = cudaGetLastError();
    if (error != expected || kept != expected) {
        print_error("%s: %s, kept %s, expected %s\n", call, cudaGetErrorName(error),
                    cudaGetErrorName(kept), cudaGetErrorName(expected));
        _fail(file, line);
    }
    gi8emu_clear_message();
}

template <typename T> static inline T *device_array(size_t n) {
    void *memory = nullptr;
    OK(cudaMalloc(&memory, n * sizeof(T)));
    return static_cast<T *>(memory);
}

template <typename T> static inline T *pinned_array(size_t n) {
    void *memory = nullptr;
    OK(cudaMallocHost(&memory, n * sizeof(T)));
    return static_cast<T *>(memory);
}

/* One thread of a kernel. */
template <typename... P, typename... A>
static inline cudaError_t launch_one(cudaStream_t stream, void (*kernel)(P...), A... args) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(1);
    config.blockDim = dim3(1);
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

/* True if a process that does this comes to a bad end. */
template <typename F> static inline bool dies(F what) {
    fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* not cmocka's, which would go on with the next test */
        signal(SIGBUS, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == nullptr) {
            _exit(0);
        }
        what();
        _exit(0);
    }
    int status = 0;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* For cmocka: each test begins with an emulation that knows nothing, and leaves nothing behind. */
static inline int begin(void **) {
    unsetenv("GI8_EMU_DEVICES");
    unsetenv("GI8_EMU_SM");
    unsetenv("GI8_EMU_MEMORY");
    gi8emu_reset();
    return 0;
}

static inline int end(void **) {
    size_t left = gi8emu_live_objects();
    if (left != 0) {
        print_error("%zu objects were not freed\n", left);
    }
    return left == 0 ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
