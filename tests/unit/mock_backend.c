/* mock_backend.c - a backend for tests of buffers, plans and layers. */
#include "mock_backend.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Added to a device's addresses: far from everything that a process on a 64-bit machine can map. */
#define DEVICE_OFFSET ((uintptr_t)1 << 62)

/* ---- elements -------------------------------------------------------------------------------- */

static size_t offset_of(const gi8_tensor *t, int64_t e) {
    size_t offset = 0;
    for (int d = 0; d < GI8_MAX_DIMS; d++) {
        offset += (size_t)(e % t->ne[d]) * t->nb[d];
        e /= t->ne[d];
    }
    return offset;
}

double mock_get(const gi8_tensor *t, const void *base, int64_t e) {
    const char *at = (const char *)base + offset_of(t, e);
    float f;
    uint16_t h;
    int32_t i;
    switch (t->type) {
    case GI8_TYPE_F32:
        memcpy(&f, at, sizeof f);
        return (double)f;
    case GI8_TYPE_F16:
        memcpy(&h, at, sizeof h);
        return (double)gi8_fp16_to_fp32(h);
    case GI8_TYPE_BF16:
        memcpy(&h, at, sizeof h);
        return (double)gi8_bf16_to_fp32(h);
    case GI8_TYPE_I32:
        memcpy(&i, at, sizeof i);
        return (double)i;
    case GI8_TYPE_I8:
    default:
        return (double)*(const int8_t *)at;
    }
}

static void put(const gi8_tensor *t, void *base, int64_t e, double value) {
    char *at = (char *)base + offset_of(t, e);
    float f = (float)value;
    uint16_t h;
    int32_t i = (int32_t)value;
    switch (t->type) {
    case GI8_TYPE_F32:
        memcpy(at, &f, sizeof f);
        break;
    case GI8_TYPE_F16:
        h = gi8_fp32_to_fp16(f);
        memcpy(at, &h, sizeof h);
        break;
    case GI8_TYPE_BF16:
        h = gi8_fp32_to_bf16(f);
        memcpy(at, &h, sizeof h);
        break;
    case GI8_TYPE_I32:
        memcpy(at, &i, sizeof i);
        break;
    case GI8_TYPE_I8:
    default:
        *(int8_t *)at = (int8_t)i;
        break;
    }
}

/* The element of `b` that meets element e of `a`, dimensions of 1 being repeated. */
static int64_t broadcast(const gi8_tensor *a, const gi8_tensor *b, int64_t e) {
    int64_t index = 0, stride = 1;
    for (int d = 0; d < GI8_MAX_DIMS; d++) {
        index += (b->ne[d] == 1 ? 0 : e % a->ne[d]) * stride;
        stride *= b->ne[d];
        e /= a->ne[d];
    }
    return index;
}

/* Into [0, 1), so that long chains keep their digits. */
static double fold(double x) {
    return x - floor(x);
}

static void compute(const gi8_tensor *node, void *dst, void *const *src) {
    unsigned flags = gi8_op_get_info(node->op)->flags;
    int64_t n = gi8_nelements(node);
    if (flags & GI8_OP_WRITES) {
        int64_t n_source = gi8_nelements(node->src[1]);
        for (int64_t e = 0; n > 0 && e < n_source; e++) {
            put(node, dst, e % n, mock_get(node->src[1], src[1], e));
        }
        return;
    }
    for (int64_t e = 0; e < n; e++) {
        double sum = 0.25 * (double)node->op + 0.01 * (double)(e % 97);
        for (int i = 0; i < GI8_MAX_SRC; i++) {
            const gi8_tensor *s = node->src[i];
            if (s == NULL || gi8_nelements(s) == 0) {
                continue;
            }
            if (node->op == GI8_OP_CONT) {
                sum = mock_get(s, src[i], e);
            } else if (flags & GI8_OP_IN_PLACE) {
                sum += (0.5 + i) * mock_get(s, src[i], broadcast(node, s, e));
            } else { /* some element of every source, and not the same number */
                sum += (0.7 + i) * mock_get(s, src[i], (7 * e + 3) % gi8_nelements(s));
            }
        }
        put(node, dst, e, node->op == GI8_OP_CONT ? sum : fold(sum));
    }
}

/* Computes the nodes of a step one after another, each but the last one into memory of its own. */
static void compute_step(const mock_backend *mock, const gi8_step *step) {
    void *src[GI8_MAX_SRC] = {NULL};
    for (int i = 0; i < GI8_MAX_SRC; i++) {
        src[i] = step->src[i] != NULL ? mock_host_address(mock, step->src[i]) : NULL;
    }
    const gi8_tensor *node = step->node;
    void *result = NULL; /* of the node before */
    for (int i = 0; i <= step->n_fused; i++) {
        bool last = i == step->n_fused;
        void *to = last ? mock_host_address(mock, step->dst) : malloc(gi8_nbytes(node) + 1);
        if (i > 0) {
            const gi8_fused *fused = &step->fused[i - 1];
            for (int s = 0; s < GI8_MAX_SRC; s++) {
                bool is_other = fused->other != NULL && node->src[s] == fused->other;
                src[s] = is_other ? mock_host_address(mock, fused->other_data) : result;
            }
        }
        compute(node, to, src);
        free(result);
        result = last ? NULL : to;
        node = last ? node : step->fused[i].node;
    }
}

/* ---- the backend ----------------------------------------------------------------------------- */

static mock_backend *mock_of(const gi8_backend *backend) {
    return (mock_backend *)(uintptr_t)backend;
}

void *mock_host_address(const mock_backend *mock, const void *memory) {
    uintptr_t address = (uintptr_t)memory;
    return (void *)(mock->base.vtable->is_host ? address : address - DEVICE_OFFSET);
}

static void mock_free(gi8_backend *backend) {
    (void)backend;
}

static const char *mock_name(const gi8_backend *backend) {
    return mock_of(backend)->name;
}

static bool mock_supports(const gi8_backend *backend, const gi8_tensor *node, gi8_error *reason) {
    if (node->op == mock_of(backend)->refused_op) {
        gi8_error_set(reason, GI8_ERR_UNSUPPORTED, "the mock was told to refuse it");
        return false;
    }
    return true;
}

static bool mock_can_fuse(const gi8_backend *backend, const gi8_tensor *first,
                          const gi8_tensor *next) {
    (void)first;
    (void)next;
    return mock_of(backend)->fuses;
}

static void *mock_alloc(gi8_backend *backend, size_t size, gi8_error *error) {
    mock_backend *mock = mock_of(backend);
    mock->n_allocs++;
    size_t rounded = (size + 63) / 64 * 64;
    void *memory = NULL;
    if (mock->fail_alloc_in != 0 && size > 0 && size < ((size_t)1 << 40)) {
        memory = aligned_alloc(64, rounded);
    }
    mock->fail_alloc_in -= mock->fail_alloc_in >= 0;
    if (memory == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "the mock has no %zu bytes", size);
        return NULL;
    }
    memset(memory, 0, rounded);
    mock->n_alive++;
    mock->bytes_alive += size;
    return (void *)((uintptr_t)memory + (mock->base.vtable->is_host ? 0 : DEVICE_OFFSET));
}

static void mock_release_memory(gi8_backend *backend, void *memory, size_t size) {
    mock_backend *mock = mock_of(backend);
    mock->n_alive--;
    mock->bytes_alive -= size;
    free(mock_host_address(mock, memory));
}

static gi8_status mock_write(gi8_backend *backend, void *dst, const void *src, size_t size,
                             gi8_error *error) {
    (void)error;
    mock_backend *mock = mock_of(backend);
    mock->largest_write = size > mock->largest_write ? size : mock->largest_write;
    memcpy(mock_host_address(mock, dst), src, size);
    return GI8_OK;
}

static gi8_status mock_read(gi8_backend *backend, void *dst, const void *src, size_t size,
                            gi8_error *error) {
    (void)error;
    mock_backend *mock = mock_of(backend);
    mock->largest_read = size > mock->largest_read ? size : mock->largest_read;
    memcpy(dst, mock_host_address(mock, src), size);
    return GI8_OK;
}

static gi8_status mock_prepare(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error) {
    mock_backend *mock = mock_of(backend);
    if (mock->fail_prepare) {
        return gi8_error_set(error, GI8_ERR_DEVICE, "the mock was told to fail");
    }
    plan->backend_data = mock;
    plan->scratch_bytes = 4711;
    mock->plan = plan;
    mock->n_prepared++;
    return GI8_OK;
}

static gi8_status mock_execute(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error) {
    mock_backend *mock = mock_of(backend);
    if (mock->execute_status != GI8_OK) {
        return gi8_error_set(error, mock->execute_status, "the mock was told to fail");
    }
    for (int64_t s = 0; s < plan->n_steps; s++) {
        const gi8_step *step = &plan->steps[s];
        gi8_status status = plan->poll(plan, s);
        if (status != GI8_OK) {
            return status;
        }
        if (mock->on_step != NULL) {
            mock->on_step(mock->user, s);
        }
        compute_step(mock, step);
        if (step->node == mock->overrun) {
            ((unsigned char *)mock_host_address(mock, step->dst))[mock->overrun_offset] ^= 1;
        }
        plan->outliers.columns += 10;
        plan->outliers.outlier_columns += 1;
        mock->n_executed++;
    }
    return GI8_OK;
}

static void mock_release(gi8_backend *backend, gi8_plan_view *plan) {
    assert(plan->backend_data == backend);
    (void)plan;
    mock_of(backend)->n_prepared--;
}

#define MOCK_VTABLE(HOST) \
    { \
        .free = mock_free, .name = mock_name, .is_host = HOST, .supports = mock_supports, \
        .can_fuse = mock_can_fuse, .memory_alloc = mock_alloc, .memory_free = mock_release_memory, \
        .memory_write = mock_write, .memory_read = mock_read, .plan_prepare = mock_prepare, \
        .plan_execute = mock_execute, .plan_release = mock_release \
    }

static const gi8_backend_vtable host_vtable = MOCK_VTABLE(true);
static const gi8_backend_vtable device_vtable = MOCK_VTABLE(false);

mock_backend mock_host(void) {
    return (mock_backend){.base = {&host_vtable}, .name = "mock host", .fail_alloc_in = -1};
}

mock_backend mock_device(void) {
    return (mock_backend){.base = {&device_vtable}, .name = "mock device", .fail_alloc_in = -1};
}

/* ---- the allocator --------------------------------------------------------------------------- */

#define ALLOCATOR_HEADER ((size_t)16) /* and the alignment of everything that the core asks for */

static void *counted_alloc(void *user, size_t size, size_t alignment) {
    mock_allocator *a = user;
    (void)alignment; /* for builds without assert */
    a->n_calls++;
    if (a->fail_in == 0) {
        a->fail_in = -1;
        return NULL;
    }
    a->fail_in -= a->fail_in > 0;
    a->largest = size > a->largest ? size : a->largest;
    /* The size is kept before the memory, to see that it comes back with it. */
    assert(alignment == ALLOCATOR_HEADER);
    char *memory = malloc(ALLOCATOR_HEADER + size);
    if (memory == NULL) {
        return NULL;
    }
    memcpy(memory, &size, sizeof size);
    memset(memory + ALLOCATOR_HEADER, 0xcd, size);
    a->n_alive++;
    return memory + ALLOCATOR_HEADER;
}

static void counted_free(void *user, void *pointer, size_t size) {
    mock_allocator *a = user;
    char *memory = (char *)pointer - ALLOCATOR_HEADER;
    size_t allocated;
    memcpy(&allocated, memory, sizeof allocated);
    if (allocated != size) {
        fprintf(stderr, "freed with %zu bytes, allocated with %zu\n", size, allocated);
        abort();
    }
    a->n_alive--;
    free(memory);
}

void mock_allocator_init(mock_allocator *a) {
    *a = (mock_allocator){.allocator = {counted_alloc, counted_free, a}, .fail_in = -1};
}
