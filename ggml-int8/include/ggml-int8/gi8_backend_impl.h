/* gi8_backend_impl.h - what a backend implements. Only backends and the core include this. */
#ifndef GI8_BACKEND_IMPL_H
#define GI8_BACKEND_IMPL_H

#include "ggml-int8/gi8_backend.h"

#define GI8_MAX_FUSED 3

/* A node that a step computes with its first one, on each element before it is stored: an
 * ACTIVATION, or an ADD whose one source is the result so far and whose other one is `other`. */
typedef struct gi8_fused {
    const gi8_tensor *node;
    const gi8_tensor *other; /* ADD: F32 with contiguous rows, of the result's shape or [ne[0]] */
    void *other_data;        /* the address of its first element */
} gi8_fused;

/* One node to compute, with the addresses that the planner gave it. `src[i]` is the address of the
 * first element of node->src[i] (views resolved), NULL where that source is absent. `dst` takes the
 * result of the last fused node, where there is one; it may be the memory of a fused ADD's other
 * source, element for element, and then no source of `node` lies there. Each fused node rounds as
 * it would on its own, so that fusing changes no bit (but see gi8_backend.h). */
typedef struct gi8_step {
    const gi8_tensor *node;
    void *dst;
    void *src[GI8_MAX_SRC];
    int n_fused;
    gi8_fused fused[GI8_MAX_FUSED]; /* in order */
    const void *kernel; /* for the backend: what plan_prepare() chose */
} gi8_step;

/* What a backend sees of a plan. */
typedef struct gi8_plan_view {
    gi8_step *steps;
    int64_t n_steps;
    void *backend_data;   /* plan_prepare() may set it; plan_release() frees it */
    size_t scratch_bytes; /* plan_prepare() reports it */
    gi8_outlier_stats outliers; /* zero when plan_execute() begins, which adds to it */
    /* To be called by plan_execute() before each step, on a host backend when the steps before it
     * have finished: GI8_OK, or GI8_ERR_CANCELLED to return at once. Also reports progress and
     * looks after guard bytes. The core writes the sentence that goes with GI8_ERR_CANCELLED. */
    gi8_status (*poll)(struct gi8_plan_view *view, int64_t step);
} gi8_plan_view;

/* The functions of a backend. All are required unless marked optional. */
typedef struct gi8_backend_vtable {
    void (*free)(gi8_backend *backend);
    const char *(*name)(const gi8_backend *backend);
    bool is_host; /* memory is host memory: memory_read and memory_write are memcpy */
    gi8_layout codes_layout; /* what gi8_linear_int8 stores its codes in: panels only if is_host */

    /* True where `node`, whose shapes the builder has checked, can be computed; else says why. */
    bool (*supports)(const gi8_backend *backend, const gi8_tensor *node, gi8_error *reason);

    /* Optional: true where a step that begins with `first` can also compute `next`, which follows
     * it or what is fused with it already, has its shape, and is what gi8_fused allows. */
    bool (*can_fuse)(const gi8_backend *backend, const gi8_tensor *first, const gi8_tensor *next);

    /* Zeroed memory aligned to 64 bytes; `size` > 0. NULL sets *error. Thread-safe, as are reading
     * and writing different bytes. */
    void *(*memory_alloc)(gi8_backend *backend, size_t size, gi8_error *error);
    void (*memory_free)(gi8_backend *backend, void *memory, size_t size);
    gi8_status (*memory_write)(gi8_backend *backend, void *dst, const void *src, size_t size,
                               gi8_error *error);
    gi8_status (*memory_read)(gi8_backend *backend, void *dst, const void *src, size_t size,
                              gi8_error *error);

    /* Chooses a kernel for every step and takes the working memory that execution needs. n_steps
     * may be 0. plan_release() follows a plan_prepare() that returned GI8_OK, and no other. */
    gi8_status (*plan_prepare)(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error);
    gi8_status (*plan_execute)(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error);
    void (*plan_release)(gi8_backend *backend, gi8_plan_view *plan);

    /* Optional: gi8_backend_parallel() for n > 1. Thread-safe. */
    void (*parallel)(gi8_backend *backend, int64_t n, void (*fn)(void *arg, int64_t i), void *arg);

    /* Optional, where codes_layout is panels: gi8_int8_quantize_weight_panels() for the
     * GI8_PANEL_ROWS rows of one panel, with the same bits. Returns how many weights are NaN or
     * Inf. Thread-safe. */
    int64_t (*quantize_panel)(gi8_backend *backend, gi8_type type, const void *w, int64_t k,
                              int8_t *panel, float *absmax);
} gi8_backend_vtable;

/* The head of every backend's own struct. */
struct gi8_backend {
    const gi8_backend_vtable *vtable;
};

#endif
