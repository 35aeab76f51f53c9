/* bench_limits.c - what this machine could do at most: int8 and fp32 arithmetic, reading memory.
 *
 * The loops are inline assembly, so that no compiler drops an instruction or spills a register, and
 * no sanitizer slows them down. Each is called in chunks of about 20 us until time is up.
 */
#define _GNU_SOURCE /* madvise() */
#include "bench_limits.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_stats.h"
#include "gi8_cpu.h"

enum {
    BLOCK = 256,
    CHUNK = 512 << 10, /* bytes that are read between two looks at the clock */
    MAX_THREADS = 1024,
    HUGE_PAGE = 2 << 20,
    MIN_BYTES = 1 << 30 /* of the memory that is read: at least 1 MiB for each thread */
};
static const double PHASE_SECONDS = 0.02;

/* The memory that one thread reads, as one or more streams, and how far each of them is. */
typedef struct region {
    const char *bytes;
    size_t size;
    size_t position;
} region;

/* Does a chunk of work and returns how much it was: operations or bytes. */
typedef double (*chunk_fn)(region *r);

/* A way to reach a limit. Of those for one limit that this processor has, the fastest counts. */
typedef struct method {
    bench_limit limit;
    gi8_cpu_isa isa;
    const char *name;
    chunk_fn chunk;
} method;

#if defined(__x86_64__) || defined(__aarch64__)

enum { ITERATIONS = 8192 };
static const uint32_t int8_operand = 0x03010201; /* also small 16-bit numbers */
static const float fp32_operand = 0.0078125f;
#define EACH_14(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13)
#endif

#if defined(__x86_64__)

/* ---- arithmetic: chains of independent accumulators in registers ----------------------------- */

#define ALL_VECTORS                                                                                \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define ZERO(i) "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"

#define VPDPBUSD_ZMM(i) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define VPDPBUSD_YMM(i) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define FMA_ZMM(i) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define FMA_YMM(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"

/* Without dot-product instructions: pairs of 16-bit products, and their sum. */
#define MADD(v, i, j)                                                                              \
    "vpmaddwd %%" v "14, %%" v "15, %%" v #j "\n\tvpaddd %%" v #j ", %%" v #i ", %%" v #i "\n\t"
#define EACH_MADD(v)                                                                               \
    MADD(v, 0, 7) MADD(v, 1, 8) MADD(v, 2, 9) MADD(v, 3, 10) MADD(v, 4, 11) MADD(v, 5, 12)         \
    MADD(v, 6, 13)

/* Defines a chunk: ITERATIONS times `body`, which is `ops` operations; 14 and 15 hold operands. */
#define DEFINE_CHUNK(function, vector, broadcast, operand, body, ops)                              \
    static double function(region *r) {                                                            \
        (void)r;                                                                                   \
        uint64_t n = ITERATIONS;                                                                   \
        __asm__ volatile(EACH_14(ZERO) broadcast " %1, %%" vector "14\n\t" broadcast               \
                         " %1, %%" vector "15\n\t"                                                 \
                         "1:\n\t" body "dec %0\n\tjnz 1b\n\tvzeroupper"                            \
                         : "+r"(n)                                                                 \
                         : "m"(operand)                                                            \
                         : "cc", ALL_VECTORS);                                                     \
        return (double)(ops) * ITERATIONS;                                                         \
    }

/* Operations: instructions * lanes * products a lane * (a multiplication and an addition). */
DEFINE_CHUNK(int8_vnni_zmm, "zmm", "vpbroadcastd", int8_operand, EACH_14(VPDPBUSD_ZMM),
             14 * 16 * 4 * 2)
DEFINE_CHUNK(int8_vnni_ymm, "ymm", "vpbroadcastd", int8_operand, EACH_14(VPDPBUSD_YMM),
             14 * 8 * 4 * 2)
DEFINE_CHUNK(int8_madd_zmm, "zmm", "vpbroadcastd", int8_operand, EACH_MADD("zmm"), 7 * 16 * 2 * 2)
DEFINE_CHUNK(int8_madd_ymm, "ymm", "vpbroadcastd", int8_operand, EACH_MADD("ymm"), 7 * 8 * 2 * 2)
DEFINE_CHUNK(fp32_fma_zmm, "zmm", "vbroadcastss", fp32_operand, EACH_14(FMA_ZMM), 14 * 16 * 2)
DEFINE_CHUNK(fp32_fma_ymm, "ymm", "vbroadcastss", fp32_operand, EACH_14(FMA_YMM), 14 * 8 * 2)

/* ---- reading memory -------------------------------------------------------------------------- */

#define ADD_YMM(i, at) "vpaddd " #at "(%0), %%ymm" #i ", %%ymm" #i "\n\t"

/* Sums BLOCK bytes; `ahead` > 0 prefetches what lies so many bytes further on, `once`: into the
 * level-1 cache alone. */
static void read_block(const char *bytes, size_t ahead, bool once) {
    if (once) {
        __asm__ volatile("prefetchnta (%0)\n\tprefetchnta 64(%0)\n\t"
                         "prefetchnta 128(%0)\n\tprefetchnta 192(%0)"
                         :
                         : "r"(bytes + ahead));
    } else if (ahead > 0) {
        __asm__ volatile("prefetcht0 (%0)\n\tprefetcht0 64(%0)\n\t"
                         "prefetcht0 128(%0)\n\tprefetcht0 192(%0)"
                         :
                         : "r"(bytes + ahead));
    }
    __asm__ volatile(ADD_YMM(0, 0) ADD_YMM(1, 32) ADD_YMM(2, 64) ADD_YMM(3, 96) ADD_YMM(4, 128)
                         ADD_YMM(5, 160) ADD_YMM(6, 192) ADD_YMM(7, 224)
                     :
                     : "r"(bytes)
                     : "memory", ALL_VECTORS);
}

static void end_reading(void) { __asm__ volatile("vzeroupper" : : : ALL_VECTORS); }

#elif defined(__aarch64__)

/* The same in Advanced SIMD. */
#define ALL_VECTORS                                                                                \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", \
        "v15"
#define ZERO(i) "movi v" #i ".4s, #0\n\t"
/* sdot v0.4s, v14.16b, v15.16b by its code, since assemblers differ in how they allow it */
#define SDOT(i) ".inst 0x4e8f95c0 + " #i "\n\t"
#define FMLA(i) "fmla v" #i ".4s, v14.4s, v15.4s\n\t"

/* Without dot products: pairs of 8-bit products, and their sum. */
#define SMULL(i, j)                                                                                \
    "smull v" #j ".8h, v14.8b, v15.8b\n\tsmlal2 v" #j ".8h, v14.16b, v15.16b\n\t"                  \
    "sadalp v" #i ".4s, v" #j ".8h\n\t"
#define EACH_SMULL                                                                                 \
    SMULL(0, 7) SMULL(1, 8) SMULL(2, 9) SMULL(3, 10) SMULL(4, 11) SMULL(5, 12) SMULL(6, 13)

#define DEFINE_CHUNK(function, operand, body, ops)                                                 \
    static double function(region *r) {                                                            \
        (void)r;                                                                                   \
        uint64_t n = ITERATIONS;                                                                   \
        __asm__ volatile(EACH_14(ZERO)                                                             \
                         "ld1r {v14.4s}, [%1]\n\tld1r {v15.4s}, [%1]\n\t"                          \
                         "1:\n\t" body "subs %0, %0, #1\n\tb.ne 1b"                               \
                         : "+r"(n)                                                                 \
                         : "r"(&operand), "m"(operand)                                             \
                         : "cc", ALL_VECTORS);                                                     \
        return (double)(ops) * ITERATIONS;                                                         \
    }

DEFINE_CHUNK(int8_sdot, int8_operand, EACH_14(SDOT), 14 * 4 * 4 * 2)
DEFINE_CHUNK(int8_smull, int8_operand, EACH_SMULL, 7 * 16 * 2)
DEFINE_CHUNK(fp32_fmla, fp32_operand, EACH_14(FMLA), 14 * 4 * 2)

/* Loads BLOCK bytes; `ahead` and `once` as above. */
static void read_block(const char *bytes, size_t ahead, bool once) {
    if (once) {
        __asm__ volatile("prfm pldl1strm, [%0]\n\tprfm pldl1strm, [%0, #64]\n\t"
                         "prfm pldl1strm, [%0, #128]\n\tprfm pldl1strm, [%0, #192]"
                         :
                         : "r"(bytes + ahead));
    } else if (ahead > 0) {
        __asm__ volatile("prfm pldl1keep, [%0]\n\tprfm pldl1keep, [%0, #64]\n\t"
                         "prfm pldl1keep, [%0, #128]\n\tprfm pldl1keep, [%0, #192]"
                         :
                         : "r"(bytes + ahead));
    }
    __asm__ volatile("ldp q0, q1, [%0]\n\tldp q2, q3, [%0, #32]\n\t"
                     "ldp q4, q5, [%0, #64]\n\tldp q6, q7, [%0, #96]\n\t"
                     "ldp q8, q9, [%0, #128]\n\tldp q10, q11, [%0, #160]\n\t"
                     "ldp q12, q13, [%0, #192]\n\tldp q14, q15, [%0, #224]"
                     :
                     : "r"(bytes)
                     : "memory", ALL_VECTORS);
}

static void end_reading(void) {}

#endif

#if defined(__x86_64__) || defined(__aarch64__)

/* Reads the next part of each of `n` streams, a block of each in turns. */
static double read_chunk(region *r, size_t n, size_t ahead, bool once) {
    /* Not a multiple of a page, so that the streams do not compete for the same cache sets. */
    size_t stride = n == 1 ? r->size : r->size / n / 4096 * 4096 - 4096 + 576;
    size_t part = stride < CHUNK / n ? stride / BLOCK * BLOCK : CHUNK / n;
    if (r->position + part > stride) {
        r->position = 0;
    }
    for (size_t i = r->position; i < r->position + part; i += BLOCK) {
        for (size_t s = 0; s < n; s++) {
            read_block(r->bytes + s * stride + i, ahead, once);
        }
    }
    end_reading();
    r->position += part;
    return (double)(n * part);
}

static double read_plain(region *r) { return read_chunk(r, 1, 0, false); }
static double read_prefetch(region *r) { return read_chunk(r, 1, 2048, false); }
static double read_once(region *r) { return read_chunk(r, 1, 6144, true); }
static double read_4(region *r) { return read_chunk(r, 4, 0, false); }
static double read_4_prefetch(region *r) { return read_chunk(r, 4, 1024, false); }
static double read_4_once(region *r) { return read_chunk(r, 4, 2048, true); }
static double read_8_prefetch(region *r) { return read_chunk(r, 8, 1024, false); }

#if defined(__x86_64__)
#define READING_ISA GI8_CPU_ISA_AVX2
#else
#define READING_ISA GI8_CPU_ISA_NEON
#endif

/* The best first, for each limit. */
static const method methods[] = {
#if defined(__x86_64__)
    {BENCH_LIMIT_INT8, GI8_CPU_ISA_AVX512VNNI, "vpdpbusd zmm", int8_vnni_zmm},
    {BENCH_LIMIT_INT8, GI8_CPU_ISA_AVXVNNI, "vpdpbusd ymm", int8_vnni_ymm},
    {BENCH_LIMIT_INT8, GI8_CPU_ISA_AVX512, "vpmaddwd zmm", int8_madd_zmm},
    {BENCH_LIMIT_INT8, GI8_CPU_ISA_AVX2, "vpmaddwd ymm", int8_madd_ymm},
    {BENCH_LIMIT_FP32, GI8_CPU_ISA_AVX512, "vfmadd231ps zmm", fp32_fma_zmm},
    {BENCH_LIMIT_FP32, GI8_CPU_ISA_AVX2, "vfmadd231ps ymm", fp32_fma_ymm},
#else
    {BENCH_LIMIT_INT8, GI8_CPU_ISA_NEON_DOT, "sdot", int8_sdot},
    {BENCH_LIMIT_INT8, GI8_CPU_ISA_NEON, "smull", int8_smull},
    {BENCH_LIMIT_FP32, GI8_CPU_ISA_NEON, "fmla", fp32_fmla},
#endif
    {BENCH_LIMIT_READ, READING_ISA, "the best of 7 ways to read", read_plain},
    {BENCH_LIMIT_READ, READING_ISA, "with prefetch", read_prefetch},
    {BENCH_LIMIT_READ, READING_ISA, "with prefetch as data that is wanted once", read_once},
    {BENCH_LIMIT_READ, READING_ISA, "4 streams", read_4},
    {BENCH_LIMIT_READ, READING_ISA, "4 streams with prefetch", read_4_prefetch},
    {BENCH_LIMIT_READ, READING_ISA, "4 streams with prefetch as above", read_4_once},
    {BENCH_LIMIT_READ, READING_ISA, "8 streams with prefetch", read_8_prefetch},
};
enum { N_METHODS = (int)(sizeof methods / sizeof *methods) };

#else
static const method methods[] = {{BENCH_LIMIT_READ, GI8_CPU_ISA_COUNT, "n/a", NULL}}; /* unused */
enum { N_METHODS = 1 };
#endif

/* Every way to read, but of the arithmetic only the widest. */
static bool method_is_used(int index) {
    if (!gi8_cpu_isa_available(methods[index].isa)) {
        return false;
    }
    for (int i = 0; i < index && methods[index].limit != BENCH_LIMIT_READ; i++) {
        if (methods[i].limit == methods[index].limit && gi8_cpu_isa_available(methods[i].isa)) {
            return false;
        }
    }
    return true;
}

const char *bench_limits_method(bench_limit limit) {
    for (int i = 0; i < N_METHODS; i++) {
        if (methods[i].limit == limit && method_is_used(i)) {
            return methods[i].name;
        }
    }
    return "n/a";
}

/* ---- threads --------------------------------------------------------------------------------- */

struct bench_limits {
    char *bytes; /* what is read */
    size_t size;
    region regions[MAX_THREADS];
};

/* What the threads of one measurement share. */
typedef struct crew {
    pthread_mutex_t gate; /* held until all threads exist */
    bool go;              /* they do */
    pthread_barrier_t barrier;
    double start; /* of the current method, for all */
} crew;

typedef struct worker {
    crew *crew;
    region *region;
    double amounts[N_METHODS]; /* done, and in which time */
    double seconds[N_METHODS];
    pthread_t thread;
} worker;

/* All begin and end together, so that the sum is what the machine did, however busy it is. */
static void work(worker *w) {
    for (int i = 0; i < N_METHODS; i++) {
        if (!method_is_used(i)) {
            continue;
        }
        if (pthread_barrier_wait(&w->crew->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            w->crew->start = bench_now();
        }
        pthread_barrier_wait(&w->crew->barrier);
        while (w->seconds[i] < PHASE_SECONDS) {
            w->amounts[i] += methods[i].chunk(w->region);
            w->seconds[i] = bench_now() - w->crew->start;
        }
    }
}

static void *work_if_all_are_there(void *argument) {
    worker *w = argument;
    pthread_mutex_lock(&w->crew->gate);
    bool go = w->crew->go;
    pthread_mutex_unlock(&w->crew->gate);
    if (go) {
        work(w);
    }
    return NULL;
}

/* Runs all workers, the first in the calling thread. */
static gi8_status run(worker *workers, int n, gi8_error *error) {
    crew all = {.gate = PTHREAD_MUTEX_INITIALIZER};
    if (pthread_barrier_init(&all.barrier, NULL, (unsigned)n) != 0) {
        return gi8_error_set(error, GI8_ERR_DEVICE, "no barrier for %d threads", n);
    }
    pthread_mutex_lock(&all.gate);
    int started = 1;
    workers[0].crew = &all;
    while (started < n) {
        workers[started].crew = &all;
        if (pthread_create(&workers[started].thread, NULL, work_if_all_are_there,
                           &workers[started]) != 0) {
            break;
        }
        started++;
    }
    all.go = started == n;
    pthread_mutex_unlock(&all.gate);
    if (started == n) {
        work(&workers[0]);
    }
    for (int i = 1; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    pthread_barrier_destroy(&all.barrier);
    pthread_mutex_destroy(&all.gate);
    if (started < n) {
        return gi8_error_set(error, GI8_ERR_DEVICE, "of %d threads only %d could be started", n,
                             started);
    }
    return GI8_OK;
}

gi8_status bench_limits_measure(bench_limits *limits, int n_threads,
                                double rates[BENCH_LIMIT_COUNT], gi8_error *error) {
    worker *workers = calloc((size_t)n_threads, sizeof *workers);
    if (workers == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for %d threads", n_threads);
    }
    size_t share = limits->size / (size_t)n_threads / 4096 * 4096;
    for (int i = 0; i < n_threads; i++) {
        region *r = &limits->regions[i];
        const char *bytes = limits->bytes + (size_t)i * share;
        if (r->bytes != bytes || r->size != share) { /* another number of threads than before */
            *r = (region){bytes, share, 0};
        }
        workers[i].region = r;
    }
    gi8_status status = run(workers, n_threads, error);
    for (int limit = 0; limit < BENCH_LIMIT_COUNT; limit++) {
        rates[limit] = NAN;
    }
    for (int m = 0; m < N_METHODS && status == GI8_OK; m++) {
        if (method_is_used(m)) {
            double amount = 0;
            double seconds = 0;
            for (int i = 0; i < n_threads; i++) {
                amount += workers[i].amounts[m];
                seconds = fmax(seconds, workers[i].seconds[m]);
            }
            double *rate = &rates[methods[m].limit];
            *rate = fmax(*rate, amount / seconds); /* NaN gives way */
        }
    }
    free(workers);
    return status;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Reads a number and the letter behind it from what Linux says of cache `index` of a processor. */
static bool read_cache_file(int cpu, int index, const char *name, long *number, char *letter) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/%s", cpu, index, name);
    FILE *file = fopen(path, "r");
    bool found = file != NULL && fscanf(file, "%ld%c", number, letter) >= 1;
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

/* sysconf() is no help: for some processors it counts caches that this machine does not have. */
size_t bench_last_level_cache(void) {
    long last = 0; /* level */
    size_t size = 0;
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < cpus; cpu++) {
        long level;
        long number;
        char unit = '\0';
        char letter;
        for (int index = 0; read_cache_file(cpu, index, "level", &level, &letter); index++) {
            long first; /* processor that shares it: it is counted there */
            if (level < last || !read_cache_file(cpu, index, "size", &number, &unit) ||
                !read_cache_file(cpu, index, "shared_cpu_list", &first, &letter) || first != cpu) {
                continue;
            }
            size = (level > last ? 0 : size) + ((size_t)number << (unit == 'M' ? 20 : 10));
            last = level;
        }
    }
    return size > 0 ? size : (size_t)32 << 20;
}

bench_limits *bench_limits_create(gi8_error *error) {
    bench_limits *limits = calloc(1, sizeof *limits);
    size_t size = 4 * bench_last_level_cache();
    size = (size > MIN_BYTES ? size : MIN_BYTES) / HUGE_PAGE * HUGE_PAGE;
    char *bytes = limits != NULL ? aligned_alloc(HUGE_PAGE, size) : NULL;
    if (bytes == NULL) {
        free(limits);
        gi8_error_set(error, GI8_ERR_MEMORY, "no %zu MiB to measure how fast memory is read",
                      size >> 20);
        return NULL;
    }
    madvise(bytes, size, MADV_HUGEPAGE); /* a wish: fewer misses of the TLB */
    for (size_t i = 0; i < size; i += 4096) {
        bytes[i] = 1; /* a page of its own, and by one thread as in the backend */
    }
    limits->bytes = bytes;
    limits->size = size;
    return limits;
}

void bench_limits_free(bench_limits *limits) {
    if (limits != NULL) {
        free(limits->bytes);
        free(limits);
    }
}
