/* test_cuda_memory.c - pieces of device memory that share allocations: zeroed when they are taken,
 * also where others have written before, and kept apart. */
#include <stdlib.h>
#include <string.h>

#include "cuda_device.h"
#include "device.h"
#include "memory.h"

enum { MAX_PIECES = 32, MAX_SIZE = 3 << 20 };

typedef struct piece {
    char *address;
    size_t size;
    int value; /* of all its bytes */
} piece;

static unsigned char bytes[MAX_SIZE];

static void assert_all(gi8i_cuda_memory *memory, const piece *p) {
    gi8_error error = GI8_ERROR_INIT;
    memset(bytes, ~p->value, p->size);
    assert_int_equal(gi8i_cuda_memory_read(memory, bytes, p->address, p->size, &error), GI8_OK);
    for (size_t i = 0; i < p->size; i++) {
        if (bytes[i] != p->value) {
            fail_msg("byte %zu of %zu is %d, not %d", i, p->size, bytes[i], p->value);
        }
    }
}

static void random_pieces(bool separate) {
    gi8_error error = GI8_ERROR_INIT;
    gi8i_cuda_device device;
    gi8_cuda_device_info info;
    assert_int_equal(gi8i_cuda_device_open(0, &device, &info, &error), GI8_OK);
    gi8i_cuda_memory *memory = gi8i_cuda_memory_create(&device, separate, &error);
    assert_non_null(memory);
    piece pieces[MAX_PIECES];
    int n = 0;
    test_rng rng = test_rng_seeded(11);
    for (int round = 0; round < 300 || n > 0; round++) {
        if (round < 300 && n < MAX_PIECES && test_rng_int(&rng, 0, 2) > 0) {
            int64_t largest = MAX_SIZE >> test_rng_int(&rng, 0, 15);
            piece p = {.size = (size_t)test_rng_int(&rng, 1, largest)};
            p.address = gi8i_cuda_memory_take(memory, p.size, &error);
            assert_non_null(p.address);
            assert_int_equal((uintptr_t)p.address % GI8I_CUDA_ALIGN, 0);
            assert_all(memory, &p);
            p.value = (int)test_rng_int(&rng, 1, 255);
            memset(bytes, p.value, p.size);
            assert_int_equal(gi8i_cuda_memory_write(memory, p.address, bytes, p.size, &error),
                             GI8_OK);
            pieces[n++] = p;
        } else if (n > 0) {
            int i = (int)test_rng_int(&rng, 0, n - 1);
            assert_all(memory, &pieces[i]);
            gi8i_cuda_memory_give(memory, pieces[i].address);
            pieces[i] = pieces[--n];
        }
        gi8i_cuda_memory_stats stats = gi8i_cuda_memory_get_stats(memory);
        assert_true(stats.used <= stats.obtained);
        assert_true(!separate || stats.used == stats.obtained);
    }
    gi8i_cuda_memory_stats stats = gi8i_cuda_memory_get_stats(memory);
    assert_int_equal(stats.used, 0);
    assert_int_equal(stats.obtained, 0);
    gi8i_cuda_memory_free(memory);
}

static void test_shared(void **state) {
    (void)state;
    random_pieces(false);
}

static void test_separate(void **state) {
    (void)state;
    random_pieces(true);
}

int main(void) {
    test_device_require();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_separate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
