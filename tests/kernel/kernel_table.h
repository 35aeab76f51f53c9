/* kernel_table.h - every variant of every kernel that this machine can run, from kernels.def. */
#ifndef KERNEL_TABLE_H
#define KERNEL_TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gi8_cpu.h"
#include "kernels/kernels.h"
#include "test_seed.h"

/* Calls check(rng, variant function, name) for each variant of one kernel that can run here. The
 * scalar one is among them: it must agree with itself at another alignment. */
#define KERNEL_TEST(wanted)                                                           \
    static void test_##wanted(void **state) {                                         \
        (void)state;                                                                  \
        test_rng rng = test_rng_seeded(81);                                           \
        const uint64_t seed = rng.state;                                              \
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {             \
            if (strcmp(variants[i].kernel, #wanted) == 0 &&                           \
                gi8_cpu_isa_available(variants[i].isa)) {                             \
                rng.state = seed;                                                     \
                check_##wanted(&rng, variants[i].function.wanted, variants[i].name);  \
            }                                                                         \
        }                                                                             \
    }

typedef struct variant {
    const char *kernel;
    const char *name;
    gi8_cpu_isa isa;
    union {
#define GI8I_KERNEL(kernel) gi8i_##kernel##_fn *kernel;
#define GI8I_KERNEL_VARIANT(kernel, variant, isa)
#include "kernels/kernels.def"
#undef GI8I_KERNEL
#undef GI8I_KERNEL_VARIANT
    } function;
} variant;

static const variant variants[] = {
#define GI8I_KERNEL(kernel)
#define GI8I_KERNEL_VARIANT(kernel_, variant_, isa_)       \
    {.kernel = #kernel_,                                   \
     .name = #kernel_ "_" #variant_,                       \
     .isa = GI8_CPU_ISA_##isa_,                            \
     .function.kernel_ = gi8i_##kernel_##_##variant_},
#include "kernels/kernels.def"
#undef GI8I_KERNEL
#undef GI8I_KERNEL_VARIANT
};

/* Memory for `count` elements of `size` bytes, exactly as many, so that a sanitizer sees every byte
 * too much, with guard bytes around and `shift` elements off the alignment of malloc. */
enum { GUARD = 64 };

typedef struct guarded {
    uint8_t *block;
    void *data;
    size_t bytes;
    size_t before;
} guarded;

static inline guarded guarded_new(size_t count, size_t size, size_t shift) {
    guarded g = {.bytes = count * size, .before = GUARD + shift * size};
    g.block = malloc(g.before + g.bytes + GUARD);
    assert_non_null(g.block);
    memset(g.block, 0xa5, g.before + g.bytes + GUARD);
    g.data = g.block + g.before;
    return g;
}

static inline void guarded_free(guarded *g, const char *name) {
    for (size_t i = 0; i < g->before + GUARD; i++) {
        size_t at = i < g->before ? i : i + g->bytes;
        if (g->block[at] != 0xa5) {
            fail_msg("%s wrote outside its result", name);
        }
    }
    free(g->block);
}

/* Sources: `count` elements at the end of their allocation, `shift` elements off the alignment. */
static inline void *exact_copy(const void *values, size_t count, size_t size, size_t shift,
                               void **block) {
    *block = malloc((shift + count) * size + 1);
    assert_non_null(*block);
    uint8_t *data = (uint8_t *)*block + shift * size;
    if (count > 0) {
        memcpy(data, values, count * size);
    }
    return data;
}

static inline float *random_floats(test_rng *rng, int64_t count, float low, float high) {
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = test_rng_float(rng, low, high);
    }
    return values;
}

/* The same bits; any NaN equals any other. */
static inline void assert_same_floats(const float *a, const float *b, int64_t count,
                                      const char *name) {
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(a + i, b + i, sizeof *a) != 0 && (a[i] == a[i] || b[i] == b[i])) {
            fail_msg("%s: element %lld is %a, the reference says %a", name, (long long)i,
                     (double)b[i], (double)a[i]);
        }
    }
}

#endif
