/* isa.c - what the processor and the operating system offer. */
#define _GNU_SOURCE
#include "isa.h"

#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const isa_names[GI8_CPU_ISA_COUNT] = {"scalar", "avx2", "avxvnni", "avx512",
                                                         "avx512vnni", "neon", "neondot"};

/* The sets whose kernels a backend for a set uses. AVX-512 kernels come with their own VNNI, so
 * AVX-VNNI is a side branch. */
enum {
    SCALAR = 1u << GI8_CPU_ISA_SCALAR,
    AVX2 = SCALAR | 1u << GI8_CPU_ISA_AVX2,
    AVX512 = AVX2 | 1u << GI8_CPU_ISA_AVX512,
    NEON = SCALAR | 1u << GI8_CPU_ISA_NEON
};
static const unsigned included[GI8_CPU_ISA_COUNT] = {
    [GI8_CPU_ISA_SCALAR] = SCALAR,
    [GI8_CPU_ISA_AVX2] = AVX2,
    [GI8_CPU_ISA_AVXVNNI] = AVX2 | 1u << GI8_CPU_ISA_AVXVNNI,
    [GI8_CPU_ISA_AVX512] = AVX512,
    [GI8_CPU_ISA_AVX512VNNI] = AVX512 | 1u << GI8_CPU_ISA_AVX512VNNI,
    [GI8_CPU_ISA_NEON] = NEON,
    [GI8_CPU_ISA_NEON_DOT] = NEON | 1u << GI8_CPU_ISA_NEON_DOT};

#if defined(GI8I_CPU_X86)
#include <cpuid.h>

/* A bit for each gi8_cpu_isa of this architecture. */
static const unsigned known = AVX512 | 1u << GI8_CPU_ISA_AVXVNNI | 1u << GI8_CPU_ISA_AVX512VNNI;

/* Bits of CPUID (Intel SDM vol. 2A, table 3-8) and of XCR0 (vol. 1, section 13.3). */
enum {
    LEAF1_ECX_FMA = 1 << 12,
    LEAF1_ECX_OSXSAVE = 1 << 27,
    LEAF1_ECX_AVX = 1 << 28,
    LEAF1_ECX_F16C = 1 << 29,
    LEAF7_EBX_AVX2 = 1 << 5,
    LEAF7_EBX_AVX512 = 1 << 16 | 1 << 17 | 1 << 30, /* F, DQ, BW; VL is bit 31 */
    LEAF7_ECX_AVX512VNNI = 1 << 11,
    LEAF7_1_EAX_AVXVNNI = 1 << 4,
    XCR0_YMM = 0x06,
    XCR0_ZMM = 0xe6
};

static uint32_t read_xcr0(void) {
    uint32_t eax;
    uint32_t edx;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
}

static bool has(uint32_t bits, uint32_t wanted) {
    return (bits & wanted) == wanted;
}

/* Those of them that this processor has. */
static unsigned detect(void) {
    unsigned found = SCALAR;
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
    if (!__get_cpuid(1, &a, &b, &c, &d) ||
        !has(c, LEAF1_ECX_OSXSAVE | LEAF1_ECX_AVX | LEAF1_ECX_FMA | LEAF1_ECX_F16C)) {
        return found;
    }
    uint32_t xcr0 = read_xcr0();
    uint32_t max_subleaf;
    if (!has(xcr0, XCR0_YMM) || !__get_cpuid_count(7, 0, &max_subleaf, &b, &c, &d) ||
        !has(b, LEAF7_EBX_AVX2)) {
        return found;
    }
    found |= 1u << GI8_CPU_ISA_AVX2;
    if (has(xcr0, XCR0_ZMM) && has(b, (uint32_t)LEAF7_EBX_AVX512 | UINT32_C(1) << 31)) {
        found |= 1u << GI8_CPU_ISA_AVX512;
        if (has(c, LEAF7_ECX_AVX512VNNI)) {
            found |= 1u << GI8_CPU_ISA_AVX512VNNI;
        }
    }
    if (max_subleaf >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
        has(a, LEAF7_1_EAX_AVXVNNI)) {
        found |= 1u << GI8_CPU_ISA_AVXVNNI;
    }
    return found;
}
#elif defined(GI8I_CPU_ARM64)
#if defined(__linux__)
#include <sys/auxv.h>
#endif

static const unsigned known = NEON | 1u << GI8_CPU_ISA_NEON_DOT;

static unsigned detect(void) {
#if defined(__ARM_FEATURE_DOTPROD) /* compiled for processors that all have it */
    const bool dot = true;
#elif defined(__linux__)
    const bool dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
    const bool dot = false;
#endif
    return NEON | (dot ? 1u << GI8_CPU_ISA_NEON_DOT : 0);
}
#else
static const unsigned known = SCALAR;

static unsigned detect(void) {
    return SCALAR;
}
#endif

bool gi8_cpu_isa_available(gi8_cpu_isa isa) {
    return (unsigned)isa < GI8_CPU_ISA_COUNT && (detect() >> isa & 1) != 0;
}

static gi8_cpu_isa best_up_to(gi8_cpu_isa limit) {
    unsigned found = detect();
    int isa = (int)limit;
    while ((found >> isa & 1) == 0) {
        isa--;
    }
    return (gi8_cpu_isa)isa;
}

gi8_cpu_isa gi8_cpu_isa_best(void) {
    return best_up_to((gi8_cpu_isa)(GI8_CPU_ISA_COUNT - 1));
}

const char *gi8_cpu_isa_name(gi8_cpu_isa isa) {
    return (unsigned)isa < GI8_CPU_ISA_COUNT ? isa_names[isa] : "unknown";
}

bool gi8i_cpu_isa_includes(gi8_cpu_isa isa, gi8_cpu_isa kernel_isa) {
    return (included[isa] >> kernel_isa & 1) != 0;
}

gi8_status gi8i_cpu_choose_isa(bool limited, gi8_cpu_isa limit, gi8_cpu_isa *chosen,
                               gi8_error *error) {
    if (limited && (unsigned)limit >= GI8_CPU_ISA_COUNT) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "cpu backend: params.isa = %d is no gi8_cpu_isa", (int)limit);
    }
    if (limited && (known >> limit & 1) == 0) {
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                             "cpu backend: params.isa = %s is for other processors; the best of "
                             "this one is %s",
                             isa_names[limit], gi8_cpu_isa_name(gi8_cpu_isa_best()));
    }
    gi8_cpu_isa isa = limited ? best_up_to(limit) : gi8_cpu_isa_best();
    const char *name = getenv("GI8_CPU_ISA");
    if (name != NULL && name[0] != '\0') {
        int named = 0;
        while (named < GI8_CPU_ISA_COUNT && strcmp(name, isa_names[named]) != 0) {
            named++;
        }
        if (named == GI8_CPU_ISA_COUNT) {
            return gi8_error_set(
                error, GI8_ERR_ARGUMENT,
                "cpu backend: GI8_CPU_ISA=%s: expected scalar, avx2, avxvnni, avx512, "
                "avx512vnni, neon or neondot",
                name);
        }
        if (!gi8_cpu_isa_available((gi8_cpu_isa)named)) {
            return gi8_error_set(
                error, GI8_ERR_UNSUPPORTED,
                "cpu backend: GI8_CPU_ISA=%s: this processor lacks it; its best is %s", name,
                gi8_cpu_isa_name(gi8_cpu_isa_best()));
        }
        if (named < (int)isa) {
            isa = (gi8_cpu_isa)named;
        }
    }
    *chosen = isa;
    return GI8_OK;
}

int gi8_cpu_available_cores(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int count = CPU_COUNT(&set);
        return count >= 1 ? count : 1;
    }
#endif
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count >= 1 && count < 65536 ? (int)count : 1;
}
