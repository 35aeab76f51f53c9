/* test_thread_pool.c - every item once, whatever the number of threads, pieces and pauses. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "memory.h"
#include "test_seed.h"
#include "threads.h"

enum { MAX_ITEMS = 5000 };

typedef struct job {
    int visits[MAX_ITEMS];
    atomic_int busy[64]; /* per thread index */
    atomic_int errors;
    int64_t grain;
    int n_threads;
} job;

static void visit(void *arg, int64_t begin, int64_t end, int thread) {
    job *j = arg;
    if (thread < 0 || thread >= j->n_threads || end - begin > j->grain || begin >= end ||
        atomic_exchange(&j->busy[thread], 1) != 0) {
        atomic_fetch_add(&j->errors, 1);
    }
    for (int64_t i = begin; i < end; i++) {
        j->visits[i]++; /* a race, if two threads had this item */
    }
    atomic_store(&j->busy[thread], 0);
}

static void run_and_check(gi8i_pool *pool, job *j, int64_t n_items, int64_t grain) {
    memset(j->visits, 0, sizeof j->visits);
    j->grain = grain;
    j->n_threads = gi8i_pool_n_threads(pool);
    gi8i_pool_run(pool, n_items, grain, visit, j);
    assert_int_equal(atomic_load(&j->errors), 0);
    for (int64_t i = 0; i < MAX_ITEMS; i++) {
        assert_int_equal(j->visits[i], i < n_items ? 1 : 0);
    }
}

static gi8i_pool *new_pool(int n_threads) {
    gi8i_pool *pool = gi8i_pool_create(n_threads, &gi8i_cpu_system_allocator, NULL);
    assert_non_null(pool);
    assert_int_equal(gi8i_pool_n_threads(pool), n_threads);
    return pool;
}

static job *new_job(void) {
    job *j = calloc(1, sizeof *j);
    assert_non_null(j);
    return j;
}

/* Also with many more threads than cores. */
static void test_every_item_once(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(91);
    static const int thread_counts[] = {1, 2, 3, 8, 40};
    job *j = new_job();
    for (int t = 0; t < 5; t++) {
        gi8i_pool *pool = new_pool(thread_counts[t]);
        run_and_check(pool, j, 0, 1);
        run_and_check(pool, j, 1, 1);
        run_and_check(pool, j, MAX_ITEMS, 1);
        run_and_check(pool, j, MAX_ITEMS, INT64_MAX / 2);
        for (int i = 0; i < 50; i++) {
            run_and_check(pool, j, test_rng_int(&rng, 0, MAX_ITEMS), test_rng_int(&rng, 1, 700));
        }
        gi8i_pool_free(pool);
    }
    free(j);
}

typedef struct counter {
    int64_t per_thread[64][16]; /* a cache line each */
} counter;

static void count(void *arg, int64_t begin, int64_t end, int thread) {
    ((counter *)arg)->per_thread[thread][0] += end - begin;
}

/* Many tiny jobs one after the other, some too small for all threads. */
static void test_many_tiny_jobs(void **state) {
    (void)state;
    static const int thread_counts[] = {2, 3, 9};
    for (int t = 0; t < 3; t++) {
        gi8i_pool *pool = new_pool(thread_counts[t]);
        counter *c = calloc(1, sizeof *c);
        assert_non_null(c);
        int64_t expected = 0;
        for (int i = 0; i < 20000; i++) {
            gi8i_pool_run(pool, 1 + i % 7, 1, count, c);
            expected += 1 + i % 7;
        }
        int64_t total = 0;
        for (int i = 0; i < 64; i++) {
            total += c->per_thread[i][0];
        }
        assert_int_equal(total, expected);
        free(c);
        gi8i_pool_free(pool);
    }
}

/* Workers fall asleep between jobs and are woken. */
static void test_sleep_and_wake(void **state) {
    (void)state;
    gi8i_pool *pool = new_pool(3);
    job *j = new_job();
    for (int i = 0; i < 100; i++) {
        const struct timespec pause = {0, i % 4 * 100000};
        nanosleep(&pause, NULL);
        run_and_check(pool, j, 64, 1);
    }
    free(j);
    gi8i_pool_free(pool);
}

static void sleep_in_job(void *arg, int64_t begin, int64_t end, int thread) {
    const struct timespec pause = {0, thread == 0 ? 0 : 300000};
    nanosleep(&pause, NULL);
    count(arg, begin, end, thread);
}

/* The caller waits for a worker that has begun, longer than it spins. */
static void test_slow_worker(void **state) {
    (void)state;
    gi8i_pool *pool = new_pool(2);
    counter *c = calloc(1, sizeof *c);
    assert_non_null(c);
    for (int i = 0; i < 100; i++) {
        gi8i_pool_run(pool, 20, 1, sleep_in_job, c);
        assert_int_equal(c->per_thread[0][0] + c->per_thread[1][0], 20 * (i + 1));
    }
    free(c);
    gi8i_pool_free(pool);
}

/* Made and freed without a job, with one, and at once after one. */
static void test_create_and_free(void **state) {
    (void)state;
    counter *c = calloc(1, sizeof *c);
    assert_non_null(c);
    for (int i = 0; i < 200; i++) {
        gi8i_pool *pool = new_pool(1 + i % 6);
        for (int k = 0; k < i % 3; k++) {
            gi8i_pool_run(pool, 10, 1, count, c);
        }
        gi8i_pool_free(pool);
    }
    gi8i_pool_free(NULL);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once), cmocka_unit_test(test_many_tiny_jobs),
        cmocka_unit_test(test_sleep_and_wake),  cmocka_unit_test(test_slow_worker),
        cmocka_unit_test(test_create_and_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
