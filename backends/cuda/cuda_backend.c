/* cuda_backend.c - the CUDA backend: creation, what it supports, memory. */
#define _POSIX_C_SOURCE 200809L
#include "gi8_cuda.h"

#include <stdio.h>
#include <stdlib.h>

#include "backend.h"
#include "device.h"

/* Builds for tests give each buffer an allocation of its own, whose ends they guard. */
#ifndef GI8I_CUDA_SEPARATE_MEMORY
#define GI8I_CUDA_SEPARATE_MEMORY false
#endif

static const gi8i_cuda_op *const ops[GI8_OP_COUNT] = {
#define GI8_VIEW_OP(ENUM, name, params)
#define GI8_OP(ENUM, name, n_src, params, flags) [GI8_OP_##ENUM] = &gi8i_cuda_op_##name,
#include "ggml-int8/ops.def"
#undef GI8_VIEW_OP
#undef GI8_OP
};

const gi8i_cuda_op *gi8i_cuda_find_op(gi8_op op) {
    return (unsigned)op < GI8_OP_COUNT ? ops[op] : NULL;
}

static gi8i_cuda_backend *cuda_of(gi8_backend *backend) {
    return (gi8i_cuda_backend *)backend;
}

/* ---- what can be computed -------------------------------------------------------------------- */

static bool cuda_supports(const gi8_backend *backend, const gi8_tensor *node, gi8_error *reason) {
    (void)backend;
    const gi8i_cuda_op *op = gi8i_cuda_find_op(node->op);
    if (op == NULL) {
        gi8_error_set(reason, GI8_ERR_UNSUPPORTED, "cuda backend: %s: operation %d is unknown",
                      node->name, (int)node->op);
        return false;
    }
    for (int i = 0; i < GI8_MAX_SRC; i++) {
        const gi8_tensor *source = node->src[i];
        if (source != NULL && source->layout != GI8_LAYOUT_STRIDED) {
            gi8_error_set(reason, GI8_ERR_UNSUPPORTED,
                          "cuda backend: %s: source \"%s\" is in panels, expected rows",
                          gi8_op_get_info(node->op)->name, source->name);
            return false;
        }
    }
    return op->supports == NULL || op->supports(node, reason);
}

/* True for a source of a fused sum of the shape of `node`. */
static bool is_addend(const gi8_tensor *t, const gi8_tensor *node) {
    bool is_row = t->ne[0] == node->ne[0] && gi8_nelements(t) == t->ne[0];
    return t->type == GI8_TYPE_F32 && gi8_is_contiguous(t) && (is_row || gi8_same_shape(t, node));
}

static bool cuda_can_fuse(const gi8_backend *backend, const gi8_tensor *first,
                          const gi8_tensor *next) {
    (void)backend;
    if (first->op != GI8_OP_MUL_MAT && first->op != GI8_OP_MUL_MAT_INT8_MIXED) {
        return false;
    }
    if (first->type != GI8_TYPE_F32 || !gi8_is_contiguous(first) || !gi8_same_shape(first, next)) {
        return false;
    }
    /* one source of a sum is the result so far, which passes too */
    return next->op == GI8_OP_ACTIVATION ||
           (next->op == GI8_OP_ADD && is_addend(next->src[0], first) &&
            is_addend(next->src[1], first));
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void *cuda_memory_alloc(gi8_backend *backend, size_t size, gi8_error *error) {
    return gi8i_cuda_memory_take(cuda_of(backend)->memory, size, error);
}

static void cuda_memory_free(gi8_backend *backend, void *memory, size_t size) {
    (void)size;
    gi8i_cuda_memory_give(cuda_of(backend)->memory, memory);
}

static gi8_status cuda_memory_write(gi8_backend *backend, void *dst, const void *src, size_t size,
                                    gi8_error *error) {
    return gi8i_cuda_memory_write(cuda_of(backend)->memory, dst, src, size, error);
}

static gi8_status cuda_memory_read(gi8_backend *backend, void *dst, const void *src, size_t size,
                                   gi8_error *error) {
    return gi8i_cuda_memory_read(cuda_of(backend)->memory, dst, src, size, error);
}

/* ---- life ------------------------------------------------------------------------------------ */

static const char *cuda_name(const gi8_backend *backend) {
    return ((const gi8i_cuda_backend *)backend)->name;
}

/* Also frees what creation had made until it failed. */
static void cuda_free(gi8_backend *backend) {
    gi8i_cuda_backend *cuda = cuda_of(backend);
    gi8i_cuda_device_use(&cuda->device, NULL);
    if (cuda->stream != NULL) {
        cudaStreamSynchronize(cuda->stream);
    }
    gi8i_cublaslt_free(cuda->lt);
    gi8i_cuda_memory_free(cuda->memory);
    if (cuda->outlier_columns != NULL) {
        cudaFreeHost(cuda->outlier_columns);
    }
    if (cuda->stream != NULL) {
        cudaStreamDestroy(cuda->stream);
    }
    cudaGetLastError();
    pthread_mutex_destroy(&cuda->turn);
    free(cuda);
}

static const gi8_backend_vtable cuda_vtable = {
    .free = cuda_free,
    .name = cuda_name,
    .is_host = false,
    .codes_layout = GI8_LAYOUT_STRIDED,
    .supports = cuda_supports,
    .can_fuse = cuda_can_fuse,
    .memory_alloc = cuda_memory_alloc,
    .memory_free = cuda_memory_free,
    .memory_write = cuda_memory_write,
    .memory_read = cuda_memory_read,
    .plan_prepare = gi8i_cuda_plan_prepare,
    .plan_execute = gi8i_cuda_plan_execute,
    .plan_release = gi8i_cuda_plan_release,
};

static gi8_status make_parts(gi8i_cuda_backend *cuda, bool no_timing, gi8_error *error) {
    gi8_status status =
        gi8i_cuda_check(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
                        "making a stream for plans", error);
    if (status != GI8_OK) {
        return status;
    }
    void *count = NULL;
    status = gi8i_cuda_check(cudaMallocHost(&count, sizeof *cuda->outlier_columns),
                             "taking page-locked memory", error);
    if (status != GI8_OK) {
        return status;
    }
    cuda->outlier_columns = count;
    *cuda->outlier_columns = 0;
    cuda->memory = gi8i_cuda_memory_create(&cuda->device, GI8I_CUDA_SEPARATE_MEMORY, error);
    if (cuda->memory == NULL) {
        return GI8_ERR_MEMORY; /* *error has the reason */
    }
    cuda->lt = gi8i_cublaslt_create(&cuda->device, no_timing, error);
    return cuda->lt != NULL ? GI8_OK : GI8_ERR_DEVICE;
}

gi8_backend *gi8_cuda_backend_create(const gi8_cuda_params *params, gi8_error *error) {
    static const gi8_cuda_params defaults = {0};
    params = params != NULL ? params : &defaults;
    gi8i_cuda_device device;
    gi8_cuda_device_info info;
    if (gi8i_cuda_device_open(params->device, &device, &info, error) != GI8_OK) {
        return NULL;
    }
    gi8i_cuda_backend *cuda = calloc(1, sizeof *cuda);
    if (cuda == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "cuda backend: out of memory (%zu bytes)",
                      sizeof *cuda);
        return NULL;
    }
    cuda->base.vtable = &cuda_vtable;
    cuda->device = device;
    cuda->no_graphs = params->no_graphs;
    cuda->log = params->log;
    cuda->log_user = params->log_user;
    pthread_mutex_init(&cuda->turn, NULL); /* the default attributes cannot fail */
    if (make_parts(cuda, params->no_timing, error) != GI8_OK) {
        cuda_free(&cuda->base);
        return NULL;
    }
    snprintf(cuda->name, sizeof cuda->name, "cuda (%s, sm_%d%d)", info.name, info.major,
             info.minor);
    if (cuda->log != NULL) {
        cuda->log(cuda->log_user, cuda->name);
    }
    return &cuda->base;
}
