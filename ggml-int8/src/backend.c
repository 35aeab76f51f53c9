/* backend.c - the calls on a backend that are not about buffers or plans. */
#include "ggml-int8/gi8_backend_impl.h"
#include "planner.h"

void gi8_backend_free(gi8_backend *backend) {
    if (backend != NULL) {
        backend->vtable->free(backend);
    }
}

const char *gi8_backend_name(const gi8_backend *backend) {
    return backend != NULL ? backend->vtable->name(backend) : "";
}

bool gi8_backend_is_host(const gi8_backend *backend) {
    return backend != NULL && backend->vtable->is_host;
}

bool gi8_backend_supports(const gi8_backend *backend, const gi8_tensor *node, gi8_error *reason) {
    if (backend == NULL || node == NULL) {
        gi8_error_set(reason, GI8_ERR_UNSUPPORTED, "backend_supports: the %s is NULL",
                      backend == NULL ? "backend" : "node");
        return false;
    }
    return !gi8i_is_computed(node) || backend->vtable->supports(backend, node, reason);
}

void gi8_backend_parallel(gi8_backend *backend, int64_t n, void (*fn)(void *arg, int64_t i),
                          void *arg) {
    if (n > 1 && backend != NULL && backend->vtable->parallel != NULL) {
        backend->vtable->parallel(backend, n, fn, arg);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        fn(arg, i);
    }
}
