/* test_memory.c - the system's memory: alignment, zeros, sizes around that of a huge page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"

static void test_sizes(void **state) {
    (void)state;
    const size_t huge = GI8I_CPU_HUGE_PAGE;
    const size_t sizes[] = {1,        63,           64,           65,           4096,
                            huge - 1, huge,         huge + 1,     huge + 4095,  huge + 4096,
                            huge + 4097, 2 * huge - 1, 2 * huge, 2 * huge + 1, 3 * huge + 12345};
    enum { N = sizeof sizes / sizeof *sizes };
    const gi8_allocator *system = &gi8i_cpu_system_allocator;
    uint8_t *blocks[N];
    for (int round = 0; round < 3; round++) { /* the same memory may come back, and not clean */
        for (int i = 0; i < N; i++) {
            blocks[i] = round == 1 ? gi8i_cpu_alloc(system, sizes[i])
                                   : gi8i_cpu_alloc_zeroed(system, sizes[i]);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % GI8I_CPU_ALIGNMENT, 0);
            if (sizes[i] >= huge) {
                assert_int_equal((uintptr_t)blocks[i] % huge, 0);
            }
            for (size_t j = 0; round != 1 && j < sizes[i]; j++) {
                assert_int_equal(blocks[i][j], 0);
            }
            memset(blocks[i], 0x5a + i, sizes[i]);
        }
        for (int i = 0; i < N; i++) { /* no two overlap */
            for (size_t j = 0; j < sizes[i]; j += 61) {
                assert_int_equal(blocks[i][j], 0x5a + i);
            }
            assert_int_equal(blocks[i][sizes[i] - 1], 0x5a + i);
            gi8i_cpu_free(system, blocks[i], sizes[i]);
        }
    }
    gi8i_cpu_free(system, NULL, huge);
}

static void test_too_much(void **state) {
    (void)state;
    const gi8_allocator *system = &gi8i_cpu_system_allocator;
    assert_null(gi8i_cpu_alloc(system, SIZE_MAX));
    assert_null(gi8i_cpu_alloc(system, SIZE_MAX - 63));
    assert_null(gi8i_cpu_alloc(system, PTRDIFF_MAX));
    assert_null(gi8i_cpu_alloc_zeroed(system, PTRDIFF_MAX - GI8I_CPU_HUGE_PAGE));
}

/* A caller's allocator gets its memory zeroed by hand, of whatever size, and no mapping. */
static int n_calls;

static void *dirty_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    n_calls++;
    void *memory = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory != NULL) {
        memset(memory, 0xff, size);
    }
    return memory;
}

static void dirty_free(void *user, void *pointer, size_t size) {
    (void)user;
    (void)size;
    n_calls--;
    free(pointer);
}

static void test_callers_allocator(void **state) {
    (void)state;
    const gi8_allocator dirty = {dirty_alloc, dirty_free, NULL};
    const size_t sizes[] = {100, GI8I_CPU_HUGE_PAGE, GI8I_CPU_HUGE_PAGE + 100};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *memory = gi8i_cpu_alloc_zeroed(&dirty, sizes[i]);
        assert_non_null(memory);
        assert_int_equal(n_calls, 1);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(memory[j], 0);
        }
        gi8i_cpu_free(&dirty, memory, sizes[i]);
        assert_int_equal(n_calls, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_callers_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
