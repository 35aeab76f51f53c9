/* gi8_cpu.h - the CPU backend.
 *
 * One binary serves every machine: each kernel exists as a plain C reference and, where that pays,
 * for several instruction sets; the best that the processor offers is chosen when the backend is
 * made. The environment variable GI8_CPU_ISA (scalar; avx2, avxvnni, avx512, avx512vnni on x86-64;
 * neon, neondot on 64-bit Arm) forces a lower one. Results depend neither on it nor on the number
 * of threads, to the last bit.
 */
#ifndef GI8_CPU_H
#define GI8_CPU_H

#include "ggml-int8/gi8_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Instruction sets, each including those of its architecture before it where the processor does. */
typedef enum gi8_cpu_isa {
    GI8_CPU_ISA_SCALAR = 0,     /* plain C: the reference kernels */
    GI8_CPU_ISA_AVX2 = 1,       /* x86-64: AVX2, FMA, F16C */
    GI8_CPU_ISA_AVXVNNI = 2,    /* + AVX-VNNI */
    GI8_CPU_ISA_AVX512 = 3,     /* AVX-512 F, BW, VL, DQ without VNNI */
    GI8_CPU_ISA_AVX512VNNI = 4, /* + AVX-512 VNNI */
    GI8_CPU_ISA_NEON = 5,       /* 64-bit Arm: Advanced SIMD, which all of them have */
    GI8_CPU_ISA_NEON_DOT = 6,   /* + the dot product of ARMv8.2 */
    GI8_CPU_ISA_COUNT
} gi8_cpu_isa;

typedef struct gi8_cpu_params {
    int n_threads;     /* threads that compute, the caller's included; 0: one per available core */
    gi8_cpu_isa isa;   /* the highest that may be used; ignored unless limit_isa */
    bool limit_isa;
    const gi8_allocator *allocator; /* buffers, scratch, the pool; NULL: the C library; copied */
    void (*log)(void *user, const char *line); /* the choice of kernels, one line; may be NULL */
    void *log_user;
} gi8_cpu_params;

/* Makes a CPU backend with its thread pool. `params` may be NULL ({0}). The pool sleeps while
 * nothing executes. Freed with gi8_backend_free(). NULL: GI8_ERR_ARGUMENT (n_threads < 0 or > 1024,
 * an allocator that lacks a function, an unknown name in GI8_CPU_ISA), GI8_ERR_UNSUPPORTED (an
 * instruction set that this processor lacks was asked for by name, or `isa` is one of another
 * architecture), GI8_ERR_MEMORY, GI8_ERR_DEVICE (no lock could be made, or no thread started).
 * Thread-safe. */
GI8_API gi8_backend *gi8_cpu_backend_create(const gi8_cpu_params *params, gi8_error *error);

/* The best instruction set of this processor and operating system, before GI8_CPU_ISA. */
GI8_API gi8_cpu_isa gi8_cpu_isa_best(void);

/* True where this processor can run kernels for `isa` (the sets are not a chain: a processor may
 * have AVX-512 and lack AVX-VNNI). */
GI8_API bool gi8_cpu_isa_available(gi8_cpu_isa isa);

/* "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "neondot"; "unknown" otherwise. */
GI8_API const char *gi8_cpu_isa_name(gi8_cpu_isa isa);

/* Cores that this process may run on (its affinity mask); at least 1. */
GI8_API int gi8_cpu_available_cores(void);

#ifdef __cplusplus
}
#endif

#endif
