/* emulator.h - what the two halves of the CUDA emulation, and the tests that use it, share. The
 * host half stands in for libcudart and libcublasLt: memory, streams, events, graphs. The device
 * half runs kernels: one fiber per CUDA thread, blocks one after the other. C and C++. */
#ifndef GI8EMU_EMULATOR_H
#define GI8EMU_EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A kernel with its launch configuration and copies of its arguments. Never changes once it is
 * made: it can be executed any number of times (graph replay). */
typedef struct gi8emu_kernel gi8emu_kernel;

/* ---- The host half offers (called by the device half) ---- */

/* Enqueues `kernel`, which is checked already and now belongs to the host half: run it with
 * gi8emu_execute() when its turn in the stream has come, or keep it in a graph; then
 * gi8emu_kernel_free(). Returns what the launch returns. */
cudaError_t gi8emu_enqueue(cudaStream_t stream, gi8emu_kernel *kernel);

/* Counts the call of a runtime function that the device half has. What it has to return at once
 * unless that is cudaSuccess: an injected failure, or an error for good. */
cudaError_t gi8emu_enter(const char *function);

/* Notes `error` for cudaGetLastError() unless it is cudaSuccess. Returns `error`. */
cudaError_t gi8emu_note_error(cudaError_t error);

/* True where a kernel may be given `address`: in device memory that is allocated, or just past its
 * end. The device half asks for every pointer among the arguments, and within structs, that is not
 * NULL, before the kernel runs. */
bool gi8emu_is_device(const void *address);

/* ---- The host half offers (to tests) ----
 * The devices are what the environment says: GI8_EMU_DEVICES (how many; 1), GI8_EMU_SM (75, 80, 86,
 * 89 or 90; 80) and GI8_EMU_MEMORY (bytes of each; 4 GiB). */

/* Forgets everything: memory, streams, events, graphs, descriptors, errors, counts, injected
 * failures. Reads the environment again. */
void gi8emu_reset(void);

/* Makes the n-th call from now of a function ("cudaMalloc", "cublasLtMatmul"; launches count as
 * "cudaLaunchKernelExC") do nothing and return `error`, a cudaError_t or cublasStatus_t. n = 0: no
 * call. */
void gi8emu_fail_call(const char *function, unsigned long n, int error);

/* How often a function was called. */
unsigned long gi8emu_calls(const char *function);

/* Allocations, streams, events, graphs, cuBLASLt handles and descriptors that were not freed. */
size_t gi8emu_live_objects(void);

/* False, with a message, where something wrote just around an allocation. It is looked for after
 * each kernel and when memory is freed, too. */
bool gi8emu_memory_is_intact(void);

/* ---- The device half offers ---- */

/* Runs all blocks of `kernel` and returns cudaSuccess, or cudaErrorLaunchFailure,
 * cudaErrorIllegalAddress, cudaErrorIllegalInstruction, cudaErrorMisalignedAddress,
 * cudaErrorInvalidValue with a sentence in gi8emu_message(). Device memory may be half written
 * then, as on a device. Calls from several OS threads run one after the other. */
cudaError_t gi8emu_execute(const gi8emu_kernel *kernel);

/* A second kernel like the first; NULL where there is no memory. */
gi8emu_kernel *gi8emu_kernel_clone(const gi8emu_kernel *kernel);
void gi8emu_kernel_free(gi8emu_kernel *kernel); /* NULL is fine */

/* Its name as the linker has it (demangled), for messages. Lives as long as the process. */
const char *gi8emu_kernel_name(const gi8emu_kernel *kernel);

/* What a block may have of shared memory in all after cudaFuncSetAttribute(): 227 KiB unless set
 * (to play a smaller device). cudaFuncSetAttribute() itself and cudaFuncGetAttributes() belong to
 * the device half. */
size_t gi8emu_shared_limit(void);
void gi8emu_set_shared_limit(size_t bytes);

/* Forgets what cudaFuncSetAttribute() allowed; part of gi8emu_reset(). */
void gi8emu_forget_attributes(void);

/* ---- For both halves and for tests ---- */

/* The first thing that went wrong since gi8emu_clear_message(), "" for nothing. */
const char *gi8emu_message(void);
void gi8emu_clear_message(void);

/* Sets the message unless one is there already. */
void gi8emu_report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The order in which the threads of a block run, and blocks of a grid. The default is what the
 * environment variable GI8_EMU_SCHEDULE says: "fifo" (in order; so without the variable), "lifo"
 * (backwards) or "random" (from the seed; GI8_TEST_SEED). */
typedef enum gi8emu_schedule {
    GI8EMU_FIFO,
    GI8EMU_LIFO,
    GI8EMU_RANDOM
} gi8emu_schedule;
void gi8emu_set_schedule(gi8emu_schedule schedule, uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
