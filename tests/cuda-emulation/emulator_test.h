/* emulator_test.h - what the tests of the emulation's device half share. */
#ifndef GI8EMU_EMULATOR_TEST_H
#define GI8EMU_EMULATOR_TEST_H

#include <vector>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#include <cuda_runtime.h>
#include <ptx.cuh>

#include "emulator.h"

/* Launches a kernel on the direct host half, where it has run when this returns. */
template <typename... P, typename... A>
static inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                                 A... args) {
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    gi8emu_clear_message();
    cudaError_t result = cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
    (void)cudaGetLastError();
    return result;
}

/* The same, where it must succeed. */
template <typename... P, typename... A>
static inline void run(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... args) {
    cudaError_t result = launch(kernel, grid, block, shared, args...);
    if (result != cudaSuccess) {
        fail_msg("error %d: %s", static_cast<int>(result), gi8emu_message());
    }
}

static const struct {
    gi8emu_schedule schedule;
    uint64_t seed;
} schedules[] = {{GI8EMU_FIFO, 0},   {GI8EMU_LIFO, 0},   {GI8EMU_RANDOM, 1},
                 {GI8EMU_RANDOM, 2}, {GI8EMU_RANDOM, 3}, {GI8EMU_RANDOM, 4}};

/* Does something in every order of threads. */
template <typename F> static inline void in_every_order(F what) {
    for (auto s : schedules) {
        gi8emu_set_schedule(s.schedule, s.seed);
        what();
    }
    gi8emu_set_schedule(GI8EMU_FIFO, 0);
}

#endif
