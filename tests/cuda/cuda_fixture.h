/* cuda_fixture.h - runs one graph on the CPU backend and on the CUDA backend, through the public
 * API alone, and compares what comes out.
 */
#ifndef CUDA_FIXTURE_H
#define CUDA_FIXTURE_H

#include "cuda_device.h"
#include "ggml-int8/gi8_backend.h"

#define CUDA_MAX_LEAVES 8

/* A graph that is being built for one of the backends. */
typedef struct cuda_case {
    gi8_context *ctx;
    gi8_backend *backend;
    test_rng rng; /* the same numbers on both backends */
    int n_leaves;
    gi8_tensor *leaves[CUDA_MAX_LEAVES];
    void *values[CUDA_MAX_LEAVES];       /* what each leaf holds before a run */
    gi8_buffer *buffers[CUDA_MAX_LEAVES]; /* of a leaf with memory of its own; else NULL */
} cuda_case;

/* Builds the graph: leaves from the functions below, nodes in c->ctx. Returns the output. */
typedef gi8_tensor *cuda_build(cuda_case *c, const void *arg);

/* A result with its bytes (malloc): those of the output, or, where it looks at a leaf with memory
 * of its own, that leaf's. */
typedef struct cuda_result {
    gi8_type type;
    int64_t count;
    void *bytes;
    gi8_outlier_stats outliers; /* of the last run */
} cuda_result;

/* cmocka group setup and teardown: the backends. Where there is no device the program ends, as
 * test_device_create() says. */
int cuda_backends_create(void **state);
int cuda_backends_free(void **state);

/* Leaves that a plan places. */
gi8_tensor *cuda_input(cuda_case *c, gi8_type type, const int64_t ne[4], const void *values);
gi8_tensor *cuda_i32_input(cuda_case *c, int64_t n, const int32_t *values);

/* The same with random values: floats in [low, high), integers in [0, 100]. `gap` > 0: a view of a
 * larger leaf, whose rows lie ne[0] + gap elements apart, the first one `shift` <= gap elements
 * from the leaf's first element. */
gi8_tensor *cuda_random_input(cuda_case *c, gi8_type type, const int64_t ne[4], float low,
                              float high, int64_t gap, int64_t shift);

/* A leaf with random values and memory of its own, as a cache has it. */
gi8_tensor *cuda_random_memory(cuda_case *c, gi8_type type, const int64_t ne[4]);

/* Runs the graph on one backend, twice, and checks that both runs give the same bits. `seed` is
 * what c->rng begins with. */
cuda_result cuda_run_cpu(cuda_build *build, const void *arg, uint64_t seed);
cuda_result cuda_run_cuda(cuda_build *build, const void *arg, uint64_t seed);
void cuda_result_free(cuda_result *result);

/* Runs it on both and fails unless each element e of the CPU's result and g of the other have the
 * same bits (any NaN equals any other, and 0 equals -0), or else, floats only,
 * |g - e| <= absolute + relative * |e|. */
void cuda_compare(cuda_build *build, const void *arg, uint64_t seed, const char *what,
                  double relative, double absolute);

/* The comparison alone. */
void cuda_assert_close(const cuda_result *expected, const cuda_result *actual, const char *what,
                       double relative, double absolute);

#endif
