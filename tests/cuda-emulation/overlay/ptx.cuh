/* ptx.cuh - the functions of backends/cuda/ptx/ptx.cuh for the emulation; that file says what they
 * do. Here instructions of a warp are meeting points, addresses are checked, and asynchronous
 * copies land at the last moment. */
#ifndef GI8I_CUDA_PTX_CUH
#define GI8I_CUDA_PTX_CUH

#include <stdint.h>

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define GI8I_SHARED(T, name, count)                                                                \
    T(&name)[count] = *static_cast<T(*)[count]>(                                                   \
        gi8emu_shared(#name, sizeof(T[count]), alignof(T), gi8emu_site::here()))

#define GI8I_DYNAMIC_SHARED(T, name)                                                               \
    T *name = static_cast<T *>(gi8emu_dynamic_shared(#name, alignof(T), gi8emu_site::here()))

/* A lane's fragments of a product; d is changed. */
struct gi8emu_mma {
    const uint32_t *a, *b;
    void *d;
};
void gi8emu_combine_mma_s8(void *const operands[32], unsigned mask);
void gi8emu_combine_mma_f16(void *const operands[32], unsigned mask);

static inline void gi8i_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2],
                               gi8emu_site at = gi8emu_site::here()) {
    gi8emu_mma operand = {a, b, d};
    gi8emu_warp_meet("gi8i_mma_s8", 0xffffffffu, gi8emu_combine_mma_s8, &operand, false, at);
}

static inline void gi8i_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2],
                                gi8emu_site at = gi8emu_site::here()) {
    gi8emu_mma operand = {a, b, d};
    gi8emu_warp_meet("gi8i_mma_f16", 0xffffffffu, gi8emu_combine_mma_f16, &operand, false, at);
}

/* The row that a lane has read, and its parts of all four matrices. */
struct gi8emu_ldmatrix {
    uint4 row;
    uint32_t *r;
};
void gi8emu_combine_ldmatrix(void *const operands[32], unsigned mask);
void gi8emu_combine_ldmatrix_trans(void *const operands[32], unsigned mask);

static inline void gi8emu_ldmatrix_with(const char *what, uint32_t r[4], const void *row,
                                        gi8emu_combine *combine, gi8emu_site at) {
    gi8emu_check_aligned(what, row, 16, at);
    gi8emu_check_shared(what, row, 16, at);
    gi8emu_ldmatrix operand = {*static_cast<const uint4 *>(row), r};
    gi8emu_warp_meet(what, 0xffffffffu, combine, &operand, false, at);
}

static inline void gi8i_ldmatrix_x4(uint32_t r[4], const void *row,
                                    gi8emu_site at = gi8emu_site::here()) {
    gi8emu_ldmatrix_with("gi8i_ldmatrix_x4", r, row, gi8emu_combine_ldmatrix, at);
}

static inline void gi8i_ldmatrix_x4_trans(uint32_t r[4], const void *row,
                                          gi8emu_site at = gi8emu_site::here()) {
    gi8emu_ldmatrix_with("gi8i_ldmatrix_x4_trans", r, row, gi8emu_combine_ldmatrix_trans, at);
}

/* A copy that has not landed. */
struct gi8emu_copy {
    uint4 *to;
    const uint4 *from; /* NULL: zeros */
};
void gi8emu_copy_start(gi8emu_copy copy, gi8emu_site at);
void gi8emu_copy_commit();
/* Takes a copy that has landed when at most `groups` groups are under way; false for no more. */
bool gi8emu_copy_land(int groups, gi8emu_copy *copy);
uint4 gi8emu_garbage();

static inline void gi8i_cp_async_16(void *shared, const void *global, bool valid,
                                    gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_aligned("gi8i_cp_async_16 to shared memory", shared, 16, at);
    gi8emu_check_aligned("gi8i_cp_async_16 from global memory", global, 16, at);
    gi8emu_check_shared("gi8i_cp_async_16", shared, 16, at);
    *static_cast<uint4 *>(shared) = gi8emu_garbage();
    gi8emu_copy_start({static_cast<uint4 *>(shared),
                       valid ? static_cast<const uint4 *>(global) : nullptr},
                      at);
}

static inline void gi8i_cp_async_commit() {
    gi8emu_copy_commit();
}

template <int N> static inline void gi8i_cp_async_wait() {
    gi8emu_copy copy;
    while (gi8emu_copy_land(N, &copy)) {
        *copy.to = copy.from != nullptr ? *copy.from : make_uint4(0, 0, 0, 0);
    }
}

static inline uint32_t gi8i_load_relaxed(const uint32_t *global,
                                         gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_aligned("gi8i_load_relaxed", global, 4, at);
    return __atomic_load_n(global, __ATOMIC_RELAXED);
}

/* Atomic, since the blocks of the emulation that counted are not ordered before this one. */
static inline void gi8i_reset_counter(unsigned int *global,
                                      gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_aligned("gi8i_reset_counter", global, 4, at);
    __atomic_store_n(global, 0u, __ATOMIC_RELAXED);
}

static inline uint4 gi8i_load_once(const void *global, gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_aligned("gi8i_load_once", global, 16, at);
    return *static_cast<const uint4 *>(global);
}

#endif
