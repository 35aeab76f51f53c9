/* gi8_backend.h - where tensors live, and how a graph becomes results: buffers and plans.
 *
 * A backend computes (gi8_cpu.h makes the CPU's). A buffer is memory of a backend for leaves:
 * weights and caches. A plan is a graph made ready for one backend: every node supported, every
 * intermediate result placed. Planning is where a program learns that something cannot work; a plan
 * that exists executes without allocating.
 */
#ifndef GI8_BACKEND_H
#define GI8_BACKEND_H

#include "ggml-int8/gi8.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gi8_backend gi8_backend;
typedef struct gi8_buffer gi8_buffer;
typedef struct gi8_plan gi8_plan;

/* ---- backends -------------------------------------------------------------------------------- */

/* Frees a backend. NULL is allowed. Its buffers and plans must have been freed before. */
GI8_API void gi8_backend_free(gi8_backend *backend);

/* "cpu (avx512vnni, 2 threads)" or the like; "" for NULL. Valid as long as the backend. */
GI8_API const char *gi8_backend_name(const gi8_backend *backend);

/* True where the backend computes in host memory, so that it reads tensors
 * of gi8_tensor_set_data(). */
GI8_API bool gi8_backend_is_host(const gi8_backend *backend);

/* True where the backend can compute `node`; otherwise *reason (may be NULL) gets
 * GI8_ERR_UNSUPPORTED and a sentence. Leaves and views are always supported. Thread-safe. */
GI8_API bool gi8_backend_supports(const gi8_backend *backend, const gi8_tensor *node,
                                  gi8_error *reason);

/* Calls fn(arg, i) once for each i in [0, n) and returns when all calls have: at the same time, in
 * any order and by any threads, where the backend has threads that are free; else in order, by the
 * caller. Within fn, and while a plan of the backend executes (in its callbacks too), they are not
 * free. A backend of NULL has none. For preparing data, as a loader does; fn must not execute plans
 * of the backend, which would wait for ever for the turn that the call has. Thread-safe. */
GI8_API void gi8_backend_parallel(gi8_backend *backend, int64_t n,
                                  void (*fn)(void *arg, int64_t i), void *arg);

/* ---- buffers --------------------------------------------------------------------------------- */

/* Memory of `size` bytes (0 is allowed), aligned to 64 bytes, zeroed. Freed with gi8_buffer_free()
 * after everything that uses its tensors. The memory is the backend's; the gi8_buffer itself, some
 * dozens of bytes, comes from malloc(). NULL: GI8_ERR_ARGUMENT, GI8_ERR_MEMORY, or what the backend
 * says of its memory. Thread-safe. */
GI8_API gi8_buffer *gi8_buffer_create(gi8_backend *backend, size_t size, gi8_error *error);
GI8_API void gi8_buffer_free(gi8_buffer *buffer);
GI8_API size_t gi8_buffer_size(const gi8_buffer *buffer);

/* Puts a leaf at `offset` of the buffer; `offset` is a multiple of 64.
 * GI8_ERR_ARGUMENT: not a leaf, a bad offset; GI8_ERR_MEMORY: the tensor would leave the buffer. */
GI8_API gi8_status gi8_buffer_bind(gi8_buffer *buffer, gi8_tensor *t, size_t offset,
                                   gi8_error *error);

/* The bytes a tensor of gi8_nbytes(t) takes in a buffer: rounded up to the next multiple of 64. */
GI8_API size_t gi8_buffer_space(const gi8_tensor *t);

/* Copies `size` bytes to or from byte `offset` of a leaf that has memory.
 * GI8_ERR_ARGUMENT: no memory, or the range leaves the tensor; GI8_ERR_DEVICE. Not while a plan
 * that uses the tensor executes. */
GI8_API gi8_status gi8_tensor_write(gi8_tensor *t, size_t offset, const void *data, size_t size,
                                    gi8_error *error);
GI8_API gi8_status gi8_tensor_read(const gi8_tensor *t, size_t offset, void *data, size_t size,
                                   gi8_error *error);

/* ---- plans -----------------------------------------------------------------------------------
 * A plan executes steps. A step is a node, and with it up to three more that a backend computes on
 * each element before it is stored: fused with a product, for instance, are the addition of its
 * bias, an activation, the addition of a residual. A node is fused where it is an activation or a
 * sum of F32, the only reader of a result that is no output, and where what is added, of the
 * same shape or a row of ne[0], is there when the step runs. Of the terms of a sum that is so for
 * the one computed last. Fusing changes no bit of a result, but which of two NaN it is, and, where
 * cuBLASLt adds the bias of a float product on a GPU, how that product is summed and rounded.
 */

typedef struct gi8_plan_params {
    bool no_reuse;  /* give every result memory of its own (to look at intermediate results), and
                       fuse nothing */
    bool guard;     /* put guard bytes around every result and check them after each step; on in
                       debug builds of the library whatever is said here; host backends only */
    /* progress() is called before each step with the steps done and their number, should_cancel()
     * between steps, where true stops the run with GI8_ERR_CANCELLED. Each may be NULL. They run in
     * the thread that executes while it has the backend's turn: they must not execute plans of the
     * backend, which would wait for that turn for ever; gi8_backend_parallel() works, in order. */
    void (*progress)(void *user, int64_t done, int64_t total);
    bool (*should_cancel)(void *user);
    void *user;
    const gi8_allocator *allocator; /* for the plan's own metadata; NULL: the C library; copied */
} gi8_plan_params;

/* Plans `graph` for `backend`. The graph's context and the memory of its leaves must outlive the
 * plan unchanged. `params` may be NULL ({0}). NULL on failure:
 *   GI8_ERR_ARGUMENT      NULL backend or graph, a graph whose context holds an error,
 *                         an allocator that lacks a function
 *   GI8_ERR_UNSUPPORTED   a node, or the place of a leaf's memory; the sentence names it and why
 *   GI8_ERR_MEMORY        the sentence gives the bytes that were asked for
 * Thread-safe where no other thread uses the graph's context. */
GI8_API gi8_plan *gi8_plan_create(gi8_backend *backend, const gi8_graph *graph,
                                  const gi8_plan_params *params, gi8_error *error);
GI8_API void gi8_plan_free(gi8_plan *plan);

/* Sets an input of the plan (a leaf without memory of its own), or reads an output or an input,
 * from byte `offset` on; with no_reuse any tensor of the graph can be read. An input is zero at
 * first and keeps its value between executions. Outputs are valid from one execution to the next. A
 * view reads its own bytes, 0 to gi8_nbytes() after its first element: where it is not contiguous,
 * with what lies between its elements. GI8_ERR_ARGUMENT: not an input or output of this plan, or a
 * range outside it. Not while the plan executes. */
GI8_API gi8_status gi8_plan_write(gi8_plan *plan, const gi8_tensor *input, size_t offset,
                                  const void *data, size_t size, gi8_error *error);
GI8_API gi8_status gi8_plan_read(const gi8_plan *plan, const gi8_tensor *t, size_t offset,
                                 void *data, size_t size, gi8_error *error);

/* The host memory of whatever gi8_plan_read() reads, to use in place, as long as the plan; NULL
 * where the backend does not compute in host memory or the tensor is not readable. */
GI8_API void *gi8_plan_data(const gi8_plan *plan, const gi8_tensor *t);

/* Computes. One thread at a time per plan; plans of one backend may be executed by several threads
 * and then take turns. GI8_ERR_CANCELLED: outputs and caches that the run writes are undefined, the
 * plan stays usable. GI8_ERR_DEVICE: also where guard bytes were overwritten; the sentence names
 * the node that did it, the first and the last one where nodes are fused. */
GI8_API gi8_status gi8_plan_execute(gi8_plan *plan, gi8_error *error);

/* Stops the execution in progress, if any, at the next step; it does not touch later executions, so
 * what must not miss the gap between two of them belongs in should_cancel(). From any thread, or a
 * signal handler. */
GI8_API void gi8_plan_cancel(gi8_plan *plan);

/* What planning came to. Zeros for NULL. */
typedef struct gi8_plan_stats {
    int64_t n_steps;        /* nodes that are computed (views are not), without the fused ones */
    int64_t n_fused;        /* nodes that are computed in the step of another one */
    int64_t n_in_place;     /* results that took over the memory of a source */
    size_t input_bytes;     /* memory of inputs */
    size_t peak_bytes;      /* memory of results: the most that is alive at once, with alignment */
    size_t total_bytes;     /* what it would be without reuse */
    size_t memory_bytes;    /* what it is: peak_bytes and what fragmentation and guards add */
    size_t scratch_bytes;   /* the backend's own working memory for this plan */
} gi8_plan_stats;
GI8_API gi8_plan_stats gi8_plan_get_stats(const gi8_plan *plan);

/* What mul_mat_int8_mixed saw in the plan's last execution, summed over its nodes: `columns` is the
 * sum of K over the nodes, `outlier_columns` how many of them held an outlier. Zeros where the
 * backend does not count. */
typedef struct gi8_outlier_stats {
    int64_t columns;
    int64_t outlier_columns;
} gi8_outlier_stats;
GI8_API gi8_outlier_stats gi8_plan_get_outlier_stats(const gi8_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
