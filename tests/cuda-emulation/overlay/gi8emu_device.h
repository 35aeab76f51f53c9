/* gi8emu_device.h - what kernels see of the emulation: indices, source lines, shared memory, and
 * the meeting points that barriers and warp instructions are made of. */
#ifndef GI8EMU_DEVICE_H
#define GI8EMU_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include <vector_types.h>

#include <sanitizers.h>

/* Of the CUDA thread that runs now; changed at each switch. */
extern uint3 gi8emu_thread_index, gi8emu_block_index;
extern dim3 blockDim, gridDim;
GI8EMU_UNWATCHED static inline uint3 gi8emu_own_thread() {
    return gi8emu_thread_index;
}
GI8EMU_UNWATCHED static inline uint3 gi8emu_own_block() {
    return gi8emu_block_index;
}
#define threadIdx gi8emu_own_thread()
#define blockIdx gi8emu_own_block()
static constexpr int warpSize = 32;

/* A place in the source of a kernel, by default argument that of the call. */
struct gi8emu_site {
    const char *file;
    int line;

    static constexpr gi8emu_site here(const char *file = __builtin_FILE(),
                                      int line = __builtin_LINE()) {
        return {file, line};
    }
};

/* Ends the launch: the running thread did something that a device would trap, or leaves undefined.
 * `error` is what the launch ends with. */
[[noreturn]] void gi8emu_fail(int error, gi8emu_site at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Waits for all threads of the block. Results: how many gave a predicate that is not 0. */
int gi8emu_block_barrier(const char *what, int predicate, gi8emu_site at);

/* Waits for all lanes of `mask`; the last to come calls combine(operands, mask), where operands[l]
 * is what lane l has given. Lanes must come with the same mask, name and line. `barrier`: memory
 * accesses before it are ordered before those after it, as with __syncwarp(). */
typedef void gi8emu_combine(void *const operands[32], unsigned mask);
void gi8emu_warp_meet(const char *what, unsigned mask, gi8emu_combine *combine, void *operand,
                      bool barrier, gi8emu_site at);

/* The next array of the block's shared memory: the first thread to ask makes it, full of garbage
 * between guards, the others must ask for the same. */
void *gi8emu_shared(const char *name, size_t bytes, size_t align, gi8emu_site at);
void *gi8emu_dynamic_shared(const char *name, size_t align, gi8emu_site at);

/* Fails unless the bytes are a part of one array of this block's shared memory. */
void gi8emu_check_shared(const char *what, const void *address, size_t bytes, gi8emu_site at);

/* Fails unless the address is a multiple of `align`. */
static inline void gi8emu_check_aligned(const char *what, const void *address, size_t align,
                                        gi8emu_site at) {
    if (reinterpret_cast<uintptr_t>(address) % align != 0) {
        gi8emu_fail(716 /* cudaErrorMisalignedAddress */, at, "%s of address %p, which is not a "
                    "multiple of %zu", what, address, align);
    }
}

/* What a memory ordering instruction does for the eyes of a race detector. */
void gi8emu_fence();
void gi8emu_after_atomic();

#endif
