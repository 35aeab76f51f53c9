/* op_fixture.h - runs one operation the way a program does (build, plan, execute), on the CPU
 * backend with every instruction set that this machine has and with 1 to 4 threads, guard bytes on,
 * with memory reused and nodes fused and without, and checks that all of them give the same bits. A
 * test compares what comes back with its own reference.
 *
 * Built with GI8_TEST_CUDA, it runs each operation on one CPU backend and on the CUDA backend. The
 * latter's plans give the same bits among themselves (but see sums_vary), and the CPU's within the
 * op_case's bounds.
 */
#ifndef OP_FIXTURE_H
#define OP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ggml-int8/gi8_backend.h"
#include "gi8_cpu.h"
#include "test_seed.h"

#define OP_MAX_LEAVES 8

/* One graph under test. Leaves are made by op_input() and op_memory(). */
typedef struct op_case {
    gi8_context *ctx;
    int n_leaves;
    gi8_tensor *leaves[OP_MAX_LEAVES];
    void *values[OP_MAX_LEAVES]; /* what each leaf holds before a run */
    void *memory[OP_MAX_LEAVES]; /* of a leaf with memory of its own; else NULL */
    gi8_outlier_stats outliers;  /* of the last run */
    gi8_plan_stats stats;        /* of the last plan that may fuse */
    /* How far an element of a device's result may be from the CPU's e: absolute + relative |e|. 0,
     * as after op_begin(): the same values. NaN and Inf are where the CPU has them. */
    double relative, absolute;
    bool sums_vary; /* a GPU may add in another order where nodes are fused */
} op_case;

/* cmocka group setup and teardown: the backends. Where a device is to be tested and there is none,
 * the program ends as skipped (77). */
int op_backends_create(void **state);
int op_backends_free(void **state);
int op_n_backends(void);
gi8_backend *op_backend(int index);

void op_begin(op_case *c);
void op_end(op_case *c);

/* A leaf of shape ne[4] that the plan places; `values` (gi8_nbytes() of them) are copied. */
gi8_tensor *op_input(op_case *c, gi8_type type, const int64_t ne[4], const void *values);

/* A leaf with memory of its own: a weight or a cache. It gets `values` anew before every run. */
gi8_tensor *op_memory(op_case *c, gi8_type type, const int64_t ne[4], const void *values);

/* The codes of an int8 weight, rows of k, in memory of their own and in the given layout (a device
 * has rows only). */
gi8_tensor *op_codes(op_case *c, gi8_layout layout, int64_t k, int64_t n, const int8_t *codes);

/* op_input() from fp32 values, converted to a float type. */
gi8_tensor *op_float_input(op_case *c, gi8_type type, const int64_t ne[4], const float *values);

/* Runs the graph of `output` on every backend, twice with each plan, and returns the bytes of
 * `output` (malloc), or those of leaf `output` where it has memory of its own, as the CPU has them.
 */
void *op_run(op_case *c, gi8_tensor *output);

/* `count` random numbers, uniform in [low, high), in malloc memory. */
float *op_random(test_rng *rng, int64_t count, float low, float high);

/* memcmp() == 0, but any NaN equals any other. */
bool op_same_bits(gi8_type type, const void *a, const void *b, int64_t count);

/* Fails unless |actual - expected| <= tolerance, or both are NaN, or both the same infinity. */
void op_assert_close(float actual, double expected, double tolerance, const char *what,
                     int64_t index);

/* Rounds values to a float type and back. */
void op_round_to(gi8_type type, float *values, int64_t count);

#endif
