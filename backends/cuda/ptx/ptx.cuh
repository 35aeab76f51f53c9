/* ptx.cuh - the machine instructions that kernels use beyond CUDA C++, one function each, and all
 * that depends on the architecture. Kernels include it as <ptx.cuh>.
 *
 * Fragments of the mma functions, for lane `l` of a warp, g = l / 4, t = l % 4 (PTX ISA, "Matrix
 * Fragments for mma.m16n8k32" and "for mma.m16n8k16"): D and C rows g and g + 8, columns 2t and
 * 2t + 1: d[0] = (g, 2t), d[1] = (g, 2t + 1), d[2] = (g + 8, 2t), d[3] = (g + 8, 2t + 1).
 */
#ifndef GI8I_CUDA_PTX_CUH
#define GI8I_CUDA_PTX_CUH

#include <stdint.h>

#include <cuda_fp16.h>
#include <cuda_runtime.h>

/* Memory that the threads of a block share. Declared at the top of a kernel's own body, once, by
 * all threads. `count` is a constant. */
#define GI8I_SHARED(T, name, count) __shared__ __align__(16) T name[count]

/* The dynamic part, whose size the launch gives; at most one a kernel. */
#define GI8I_DYNAMIC_SHARED(T, name)                                                               \
    extern __shared__ __align__(16) unsigned char gi8i_dynamic_shared[];                           \
    T *name = reinterpret_cast<T *>(gi8i_dynamic_shared)

/* d += a b, int8 to int32: a [16 x 32] row-major, b [32 x 8] column-major.
 * a[0]: row g, k 4t..4t+3; a[1]: row g + 8, the same k; a[2], a[3]: k + 16.
 * b[0]: column g, k 4t..4t+3; b[1]: k + 16. */
static __device__ inline void gi8i_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else /* Turing: four products of m8n8k16 */
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(d[0]), "+r"(d[1]) : "r"(a[0]), "r"(b[0]));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(d[2]), "+r"(d[3]) : "r"(a[1]), "r"(b[0]));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(d[0]), "+r"(d[1]) : "r"(a[2]), "r"(b[1]));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(d[2]), "+r"(d[3]) : "r"(a[3]), "r"(b[1]));
#endif
}

/* d += a b, fp16 to fp32: a [16 x 16] row-major, b [16 x 8] column-major, two halves a register.
 * a[0]: row g, k 2t, 2t+1; a[1]: row g + 8, the same k; a[2], a[3]: k + 8.
 * b[0]: column g, k 2t, 2t+1; b[1]: k + 8. */
static __device__ inline void gi8i_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#endif
}

/* Loads four 8 x 8 matrices of 16-bit elements (8 x 16 bytes each) from shared memory: lane l gives
 * the address of row l % 8 of matrix l / 8, 16 bytes, aligned to 16; r[i] is bytes 4t..4t+3 of row
 * g of matrix i. */
static __device__ inline void gi8i_ldmatrix_x4(uint32_t r[4], const void *row) {
    uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

/* The same, each matrix transposed: r[i] is elements (2t, g) and (2t + 1, g) of matrix i. */
static __device__ inline void gi8i_ldmatrix_x4_trans(uint32_t r[4], const void *row) {
    uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

/* Starts a copy of 16 bytes from global to shared memory, both aligned to 16; zeros where `valid`
 * is false (then `global` is not read, but must be an address of the same array). It has landed for
 * this thread after gi8i_cp_async_wait<N>(), for the block after a barrier behind that. */
static __device__ inline void gi8i_cp_async_16(void *shared, const void *global, bool valid) {
#if __CUDA_ARCH__ >= 800
    uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(address), "l"(global), "r"(bytes)
                 : "memory");
#else
    *static_cast<uint4 *>(shared) =
        valid ? *static_cast<const uint4 *>(global) : make_uint4(0, 0, 0, 0);
#endif
}

/* Closes a group of copies. */
static __device__ inline void gi8i_cp_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Waits until at most N of this thread's youngest groups are still under way. */
template <int N> static __device__ inline void gi8i_cp_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

/* What atomic functions of other blocks have made of *global so far. */
static __device__ inline uint32_t gi8i_load_relaxed(const uint32_t *global) {
    uint32_t v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(global) : "memory");
    return v;
}

/* Zeroes a counter that all blocks have counted in and nobody looks at before the next kernel: a
 * plain store, since an atomic one takes registers that the largest GEMM does not have. */
static __device__ inline void gi8i_reset_counter(unsigned int *global) {
    *global = 0;
}

/* 16 bytes that are read once: kept out of the level-1 cache. */
static __device__ inline uint4 gi8i_load_once(const void *global) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(global));
    return v;
}

#endif
