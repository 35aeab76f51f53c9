/* test_cuda_arena.c - pieces of device memory out of few allocations; the memory is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "test_seed.h"

#define MIB ((size_t)1 << 20)
#define BASE ((uintptr_t)1 << 44) /* chunks get addresses from here on; nothing follows them */
#define MAX_CHUNKS 4096

typedef struct source {
    uintptr_t next;
    size_t limit; /* bytes that there are */
    size_t bytes;
    int n;
    struct {
        uintptr_t start;
        size_t size; /* 0: given back */
    } chunks[MAX_CHUNKS];
} source;

static void *obtain(void *user, size_t size) {
    source *s = user;
    assert_true(s->n < MAX_CHUNKS);
    if (size > s->limit - s->bytes) {
        return NULL;
    }
    uintptr_t start = s->next;
    s->next += (size + 4095) / 4096 * 4096 + 4096; /* never neighbours */
    s->chunks[s->n].start = start;
    s->chunks[s->n].size = size;
    s->n++;
    s->bytes += size;
    return (void *)start;
}

static void release(void *user, void *memory, size_t size) {
    source *s = user;
    for (int i = 0; i < s->n; i++) {
        if (s->chunks[i].start == (uintptr_t)memory) {
            assert_int_equal(s->chunks[i].size, size);
            s->chunks[i].size = 0;
            s->bytes -= size;
            return;
        }
    }
    fail_msg("%p is no chunk", memory);
}

static bool in_a_chunk(const source *s, uintptr_t start, size_t size) {
    for (int i = 0; i < s->n; i++) {
        if (start >= s->chunks[i].start && size <= s->chunks[i].size &&
            start - s->chunks[i].start <= s->chunks[i].size - size) {
            return true;
        }
    }
    return false;
}

static gi8i_cuda_arena make(source *s, size_t limit, bool separate) {
    memset(s, 0, sizeof *s);
    s->next = BASE;
    s->limit = limit;
    return (gi8i_cuda_arena){
        .obtain = obtain, .release = release, .user = s, .separate = separate};
}

static source memory;

/* Takes and gives back at random; pieces in use never overlap and lie within chunks. */
static void random_pieces(bool separate) {
    enum { MAX_PIECES = 64 };
    struct {
        uintptr_t start;
        size_t size;
    } pieces[MAX_PIECES];
    int n = 0;
    test_rng rng = test_rng_seeded(1);
    gi8i_cuda_arena arena = make(&memory, SIZE_MAX, separate);
    for (int round = 0; round < 2000; round++) {
        if (n < MAX_PIECES && (n == 0 || test_rng_int(&rng, 0, 1) == 0)) {
            size_t size = (size_t)test_rng_int(&rng, 1, 1 << test_rng_int(&rng, 0, 24));
            uintptr_t start = (uintptr_t)gi8i_cuda_arena_alloc(&arena, size);
            assert_int_not_equal(start, 0);
            assert_int_equal(start % GI8I_CUDA_ALIGN, 0);
            assert_true(in_a_chunk(&memory, start, size));
            for (int i = 0; i < n; i++) {
                assert_true(start >= pieces[i].start + pieces[i].size ||
                            start + size <= pieces[i].start);
            }
            pieces[n].start = start;
            pieces[n].size = size;
            n++;
        } else {
            int i = (int)test_rng_int(&rng, 0, n - 1);
            gi8i_cuda_arena_free(&arena, (void *)pieces[i].start);
            pieces[i] = pieces[--n];
        }
        assert_true(arena.used <= arena.obtained);
        assert_int_equal(arena.obtained, memory.bytes);
        if (separate) {
            assert_int_equal(arena.obtained, arena.used);
        }
    }
    while (n > 0) {
        gi8i_cuda_arena_free(&arena, (void *)pieces[--n].start);
    }
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(arena.used, 0);
    assert_null(arena.chunks);
}

static void test_pieces(void **state) {
    (void)state;
    random_pieces(false);
}

static void test_separate_pieces(void **state) {
    (void)state;
    random_pieces(true);
}

/* Chunks are multiples of 2 MiB, and small pieces share one. */
static void test_small_pieces_share(void **state) {
    (void)state;
    gi8i_cuda_arena arena = make(&memory, SIZE_MAX, false);
    void *pieces[1000];
    for (int i = 0; i < 1000; i++) {
        pieces[i] = gi8i_cuda_arena_alloc(&arena, 2000);
    }
    assert_int_equal(memory.n, 1);
    assert_int_equal(memory.bytes, 2 * MIB);
    for (int i = 0; i < 1000; i++) {
        gi8i_cuda_arena_free(&arena, pieces[i]);
    }
    assert_int_equal(memory.bytes, 0);
}

/* What is given back is used again, also where it was given back in pieces. */
static void test_reuse(void **state) {
    (void)state;
    gi8i_cuda_arena arena = make(&memory, SIZE_MAX, false);
    void *keep = gi8i_cuda_arena_alloc(&arena, 256);
    char *a = gi8i_cuda_arena_alloc(&arena, 1024);
    char *b = gi8i_cuda_arena_alloc(&arena, 2048);
    char *c = gi8i_cuda_arena_alloc(&arena, 512);
    void *end = gi8i_cuda_arena_alloc(&arena, 2 * MIB - 256 - 1024 - 2048 - 512);
    assert_int_equal(memory.n, 1);
    gi8i_cuda_arena_free(&arena, a);
    gi8i_cuda_arena_free(&arena, c);
    gi8i_cuda_arena_free(&arena, b);
    assert_ptr_equal(gi8i_cuda_arena_alloc(&arena, 1024 + 2048 + 512), a);
    assert_int_equal(memory.n, 1);
    gi8i_cuda_arena_free(&arena, a);
    gi8i_cuda_arena_free(&arena, keep);
    gi8i_cuda_arena_free(&arena, end);
    assert_int_equal(memory.bytes, 0);
}

/* Layers of models as they are made, sizes in elements: what the arena wastes. */
static void test_models_waste_little(void **state) {
    (void)state;
    static const struct {
        size_t d, n_layers;
        double at_most;
    } models[] = {{512, 6, 0.03},   {768, 12, 0.02},  {1024, 24, 0.02},
                  {2048, 24, 0.01}, {4096, 32, 0.01}, {6144, 44, 0.01}};
    static void *pieces[512];
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        gi8i_cuda_arena arena = make(&memory, SIZE_MAX, false);
        const size_t d = models[m].d;
        int n_pieces = 0;
        pieces[n_pieces++] = gi8i_cuda_arena_alloc(&arena, 50304 * d * 2);
        for (size_t i = 0; i < models[m].n_layers; i++) {
            const size_t shapes[4][2] = {{d, 3 * d}, {d, d}, {d, 4 * d}, {4 * d, d}};
            for (int j = 0; j < 4; j++) {
                size_t n = shapes[j][1];
                pieces[n_pieces++] = gi8i_cuda_arena_alloc(&arena, shapes[j][0] * n);
                pieces[n_pieces++] = gi8i_cuda_arena_alloc(&arena, 8 * n);
            }
        }
        pieces[n_pieces++] = gi8i_cuda_arena_alloc(&arena, 50304 * d);
        pieces[n_pieces++] = gi8i_cuda_arena_alloc(&arena, 50304 * 4);
        double waste = (double)(arena.obtained - arena.used) / (double)arena.used;
        print_message("d = %zu: %.1f %% of %.0f MB in %d chunks\n", d, 100 * waste,
                      (double)arena.used / 1e6, memory.n);
        assert_true(waste <= models[m].at_most);
        while (n_pieces > 0) {
            gi8i_cuda_arena_free(&arena, pieces[--n_pieces]);
        }
        assert_int_equal(memory.bytes, 0);
    }
}

/* Near the limit the arena asks for no more than what is needed; then it says no. */
static void test_out_of_memory(void **state) {
    (void)state;
    gi8i_cuda_arena arena = make(&memory, 3 * MIB, false);
    void *a = gi8i_cuda_arena_alloc(&arena, 2 * MIB + 256);
    assert_non_null(a);
    assert_int_equal(memory.bytes, 2 * MIB + 256);
    assert_null(gi8i_cuda_arena_alloc(&arena, MIB));
    assert_null(gi8i_cuda_arena_alloc(&arena, SIZE_MAX));
    assert_null(gi8i_cuda_arena_alloc(&arena, PTRDIFF_MAX));
    void *b = gi8i_cuda_arena_alloc(&arena, MIB - 256);
    assert_non_null(b);
    gi8i_cuda_arena_free(&arena, a);
    gi8i_cuda_arena_free(&arena, b);
    assert_int_equal(memory.bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_separate_pieces),
        cmocka_unit_test(test_small_pieces_share),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_models_waste_little),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
