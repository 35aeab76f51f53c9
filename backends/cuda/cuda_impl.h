/* cuda_impl.h - what the files of the CUDA backend share: an operation's functions, and what they
 * are given. C, included by cuda_backend.c and by the operations' .cu files. */
#ifndef GI8I_CUDA_IMPL_H
#define GI8I_CUDA_IMPL_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "ggml-int8/gi8_backend_impl.h"

/* Alignment of every part of working memory. */
#define GI8I_CUDA_ALIGN ((size_t)256)

/* Bytes of gi8i_cuda_run.state: a bit for each column of the longest int8 row, and counters. */
#define GI8I_CUDA_STATE_BYTES ((size_t)32768)

typedef struct gi8i_cuda_device {
    int number;
    int major, minor;             /* compute capability */
    int n_multiprocessors;
    size_t shared_bytes_max;      /* dynamic shared memory that a block may ask for */
    size_t l2_bytes;
} gi8i_cuda_device;

struct gi8i_cublaslt; /* cublaslt.h */

/* What an operation works with. All that a plan enqueues goes to one stream, in order: scratch and
 * state belong to one operation at a time. */
typedef struct gi8i_cuda_run {
    const gi8i_cuda_device *device;
    cudaStream_t stream;
    struct gi8i_cublaslt *lt;
    void *scratch;        /* device: what scratch_bytes() asked for; undefined at first */
    void *state;          /* device: GI8I_CUDA_STATE_BYTES, zero when an operation begins, and zero
                             again when it has run */
    unsigned long long *outlier_columns; /* device: mul_mat_int8_mixed adds how many it saw */
} gi8i_cuda_run;

/* The functions of one operation. NULL where there is nothing to do. */
typedef struct gi8i_cuda_op {
    /* False, with the reason, for a node that launch() cannot compute. */
    bool (*supports)(const gi8_tensor *node, gi8_error *reason);

    /* Working memory of a step; SIZE_MAX where the number overflows. */
    size_t (*scratch_bytes)(const gi8i_cuda_run *run, const gi8_step *step);

    /* Before the first launch() of the step, outside of any capture, with scratch in place: chooses
     * algorithms, and may run them. */
    gi8_status (*prepare)(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error);

    /* Enqueues the step; may be captured: allocates nothing and waits for nothing. */
    gi8_status (*launch)(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error);
} gi8i_cuda_op;

#define GI8_VIEW_OP(ENUM, name, params)
#define GI8_OP(ENUM, name, n_src, params, flags) extern const gi8i_cuda_op gi8i_cuda_op_##name;
#include "ggml-int8/ops.def"
#undef GI8_VIEW_OP
#undef GI8_OP

/* Operations that one launch can compute: a step, and some right behind it. */
typedef struct gi8i_cuda_group {
    /* How many of the plan's last `n` steps, from the first of them on, launch() computes; 1 where
     * there is nothing to gain. */
    int64_t (*length)(const gi8i_cuda_run *run, const gi8_step *steps, int64_t n);

    /* In place of the launches of these steps, after prepare() of the last, whose scratch it uses;
     * `n` as above. All results that somebody may read are written, with the same bits. */
    gi8_status (*launch)(const gi8i_cuda_run *run, const gi8_step *steps, int64_t n,
                         gi8_error *error);
} gi8i_cuda_group;

extern const gi8i_cuda_group gi8i_cuda_layer_norm_int8; /* the norm of x, mul_mat_int8_mixed of x */
extern const gi8i_cuda_group gi8i_cuda_rope_kv_store;   /* rope and kv_store, in any order */

/* GI8_OK, or GI8_ERR_MEMORY for cudaErrorMemoryAllocation and GI8_ERR_DEVICE for the rest, with
 * `what` and CUDA's own words. Clears the runtime's last error. */
gi8_status gi8i_cuda_check(cudaError_t result, const char *what, gi8_error *error);

#ifdef __cplusplus
}
#endif

#endif
