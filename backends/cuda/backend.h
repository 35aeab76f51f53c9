/* backend.h - the backend's own struct, and its plans. */
#ifndef GI8I_CUDA_BACKEND_H
#define GI8I_CUDA_BACKEND_H

#include <pthread.h>

#include "cublaslt.h"
#include "cuda_impl.h"
#include "memory.h"

typedef struct gi8i_cuda_backend {
    gi8_backend base; /* first: a gi8_backend * is a gi8i_cuda_backend * */
    gi8i_cuda_device device;
    bool no_graphs;
    void (*log)(void *user, const char *line); /* may be NULL */
    void *log_user;
    gi8i_cuda_memory *memory;
    gi8i_cublaslt *lt;
    cudaStream_t stream;  /* of plans */
    pthread_mutex_t turn; /* held by who uses `stream` or `outlier_columns` */
    unsigned long long *outlier_columns; /* page-locked: the count of the plan that ran last */
    char name[320];
} gi8i_cuda_backend;

/* The functions of an operation; NULL for what is none that is computed. */
const gi8i_cuda_op *gi8i_cuda_find_op(gi8_op op);

/* The functions of the vtable with these names. */
gi8_status gi8i_cuda_plan_prepare(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error);
gi8_status gi8i_cuda_plan_execute(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error);
void gi8i_cuda_plan_release(gi8_backend *backend, gi8_plan_view *plan);

#endif
