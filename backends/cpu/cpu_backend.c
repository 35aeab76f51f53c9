/* cpu_backend.c - the CPU backend: memory, plans, and the walk over the steps. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cpu_impl.h"
#include "isa.h"
#include "memory.h"
#include "ops/fused.h"

#define MAX_THREADS 1024

/* A plan with more int8 weights than this keeps them and the KV cache out of the caches when it
 * reads them for one row: what is between, activations and norms, stays there. Measured on Zen 5
 * with 32 MiB of level-3 cache: 3 % faster with 1.3 GB of weights, but slower with 0.4 GB, a part
 * of which the cache gives back. The limit lies between the two. */
#define MANY_WEIGHTS ((size_t)768 << 20)

typedef struct cpu_backend {
    gi8_backend base; /* first: a gi8_backend * is a cpu_backend * */
    gi8i_kernels kernels;
    gi8i_pool *pool;
    pthread_mutex_t turn; /* held while a plan executes */
    gi8_allocator allocator;
    char name[64];
} cpu_backend;

/* The working memory of a plan. */
typedef struct plan_data {
    void *memory; /* scratch, and then what is kept of each operation */
    size_t bytes;
    size_t kept_at[GI8_OP_COUNT];
    bool weights_once; /* see gi8i_cpu_run */
} plan_data;

static const gi8i_cpu_op *const ops[GI8_OP_COUNT] = {
#define GI8_VIEW_OP(ENUM, name, params)
#define GI8_OP(ENUM, name, n_src, params, flags) [GI8_OP_##ENUM] = &gi8i_cpu_op_##name,
#include "ggml-int8/ops.def"
#undef GI8_VIEW_OP
#undef GI8_OP
};

static void cpu_free(gi8_backend *backend) {
    cpu_backend *cpu = (cpu_backend *)backend;
    gi8i_pool_free(cpu->pool);
    pthread_mutex_destroy(&cpu->turn);
    gi8_allocator allocator = cpu->allocator;
    gi8i_cpu_free(&allocator, cpu, sizeof *cpu);
}

static const char *cpu_name(const gi8_backend *backend) {
    return ((const cpu_backend *)backend)->name;
}

static bool cpu_supports(const gi8_backend *backend, const gi8_tensor *node, gi8_error *reason) {
    (void)backend;
    if ((unsigned)node->op >= GI8_OP_COUNT || ops[node->op] == NULL) {
        gi8_error_set(reason, GI8_ERR_UNSUPPORTED, "cpu backend: %s: operation %d is unknown",
                      node->name, (int)node->op);
        return false;
    }
    return true;
}

static bool cpu_can_fuse(const gi8_backend *backend, const gi8_tensor *first,
                         const gi8_tensor *next) {
    (void)backend;
    return ops[first->op]->fuses && gi8i_cpu_can_finish(next);
}

static void *cpu_memory_alloc(gi8_backend *backend, size_t size, gi8_error *error) {
    void *memory = gi8i_cpu_alloc_zeroed(&((cpu_backend *)backend)->allocator, size);
    if (memory == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "cpu backend: out of memory (%zu bytes)", size);
    }
    return memory;
}

static void cpu_memory_free(gi8_backend *backend, void *memory, size_t size) {
    gi8i_cpu_free(&((cpu_backend *)backend)->allocator, memory, size);
}

static gi8_status cpu_memory_copy(gi8_backend *backend, void *dst, const void *src, size_t size,
                                  gi8_error *error) {
    (void)backend;
    (void)error;
    if (size > 0) {
        memcpy(dst, src, size);
    }
    return GI8_OK;
}

static void cpu_plan_release(gi8_backend *backend, gi8_plan_view *plan) {
    cpu_backend *cpu = (cpu_backend *)backend;
    plan_data *data = plan->backend_data;
    if (data != NULL) {
        gi8i_cpu_free(&cpu->allocator, data->memory, data->bytes);
        gi8i_cpu_free(&cpu->allocator, data, sizeof *data);
        plan->backend_data = NULL;
    }
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* a + b with b rounded up to the alignment, or SIZE_MAX. */
static size_t add_aligned(size_t a, size_t b) {
    size_t sum;
    if (b > SIZE_MAX - GI8I_CPU_ALIGNMENT) {
        return SIZE_MAX;
    }
    b = (b + GI8I_CPU_ALIGNMENT - 1) / GI8I_CPU_ALIGNMENT * GI8I_CPU_ALIGNMENT;
    return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

static gi8_status cpu_plan_prepare(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error) {
    cpu_backend *cpu = (cpu_backend *)backend;
    int n_threads = gi8i_pool_n_threads(cpu->pool);
    plan_data layout = {0};
    size_t scratch_bytes = 0;
    size_t weight_bytes = 0;
    size_t kept_bytes[GI8_OP_COUNT] = {0};
    for (int64_t i = 0; i < plan->n_steps; i++) {
        gi8_step *step = &plan->steps[i];
        const gi8i_cpu_op *op = ops[step->node->op];
        size_t *kept = kept_bytes + step->node->op;
        step->kernel = op;
        scratch_bytes = larger(scratch_bytes,
                               op->scratch_bytes != NULL ? op->scratch_bytes(step, n_threads) : 0);
        *kept = larger(*kept, op->kept_bytes != NULL ? op->kept_bytes(step) : 0);
        if (step->node->op == GI8_OP_MUL_MAT_INT8_MIXED && weight_bytes <= MANY_WEIGHTS) {
            weight_bytes += gi8_nbytes(step->node->src[0]);
        }
    }
    layout.weights_once = weight_bytes > MANY_WEIGHTS;
    layout.bytes = add_aligned(0, scratch_bytes);
    for (int op = 0; op < GI8_OP_COUNT; op++) {
        layout.kept_at[op] = layout.bytes;
        layout.bytes = add_aligned(layout.bytes, kept_bytes[op]);
    }
    plan_data *data = gi8i_cpu_alloc(&cpu->allocator, sizeof *data);
    if (data != NULL && layout.bytes > 0 && layout.bytes <= PTRDIFF_MAX) {
        layout.memory = gi8i_cpu_alloc(&cpu->allocator, layout.bytes);
    }
    if (data == NULL || (layout.memory == NULL && layout.bytes > 0)) {
        gi8i_cpu_free(&cpu->allocator, data, sizeof *data);
        return gi8_error_set(error, GI8_ERR_MEMORY,
                             "cpu backend: no working memory for the plan (%zu bytes)",
                             layout.bytes);
    }
    if (layout.bytes > layout.kept_at[0]) {
        memset((char *)layout.memory + layout.kept_at[0], 0, layout.bytes - layout.kept_at[0]);
    }
    *data = layout;
    plan->backend_data = data;
    plan->scratch_bytes = layout.bytes;
    return GI8_OK;
}

static gi8_status cpu_plan_execute(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error) {
    (void)error; /* a cancelled run's sentence is the core's */
    cpu_backend *cpu = (cpu_backend *)backend;
    const plan_data *data = plan->backend_data;
    gi8i_cpu_run run = {.kernels = &cpu->kernels,
                        .pool = cpu->pool,
                        .scratch = data->memory,
                        .outliers = &plan->outliers,
                        .weights_once = data->weights_once};
    gi8_status status = GI8_OK;
    pthread_mutex_lock(&cpu->turn);
    for (int64_t i = 0; i < plan->n_steps && status == GI8_OK; i++) {
        const gi8_step *step = &plan->steps[i];
        status = plan->poll(plan, i);
        if (status == GI8_OK && gi8_nelements(step->node) > 0) {
            const gi8i_cpu_op *op = step->kernel;
            if (op->kept_bytes != NULL) {
                run.kept = (char *)data->memory + data->kept_at[step->node->op];
            }
            op->run(&run, step);
        }
    }
    pthread_mutex_unlock(&cpu->turn);
    return status;
}

/* gi8_backend_parallel() in terms of the pool. */
typedef struct parallel_job {
    void (*fn)(void *arg, int64_t i);
    void *arg;
} parallel_job;

static void run_parallel_job(void *arg, int64_t begin, int64_t end, int thread) {
    const parallel_job *job = arg;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        job->fn(job->arg, i);
    }
}

static void cpu_parallel(gi8_backend *backend, int64_t n, void (*fn)(void *arg, int64_t i),
                         void *arg) {
    cpu_backend *cpu = (cpu_backend *)backend;
    parallel_job job = {fn, arg};
    if (pthread_mutex_trylock(&cpu->turn) != 0) { /* the pool is busy: do not wait for it */
        run_parallel_job(&job, 0, n, 0);
        return;
    }
    gi8i_pool_run(cpu->pool, n, 1, run_parallel_job, &job);
    pthread_mutex_unlock(&cpu->turn);
}

static int64_t cpu_quantize_panel(gi8_backend *backend, gi8_type type, const void *w, int64_t k,
                                  int8_t *panel, float *absmax) {
    return ((cpu_backend *)backend)->kernels.quantize_panel(type, w, k, panel, absmax);
}

static const gi8_backend_vtable cpu_vtable = {
    .free = cpu_free,
    .name = cpu_name,
    .is_host = true,
    .codes_layout = GI8_LAYOUT_PANELS,
    .supports = cpu_supports,
    .can_fuse = cpu_can_fuse,
    .memory_alloc = cpu_memory_alloc,
    .memory_free = cpu_memory_free,
    .memory_write = cpu_memory_copy,
    .memory_read = cpu_memory_copy,
    .plan_prepare = cpu_plan_prepare,
    .plan_execute = cpu_plan_execute,
    .plan_release = cpu_plan_release,
    .parallel = cpu_parallel,
    .quantize_panel = cpu_quantize_panel,
};

gi8_backend *gi8_cpu_backend_create(const gi8_cpu_params *params, gi8_error *error) {
    static const gi8_cpu_params defaults = {0};
    params = params != NULL ? params : &defaults;
    if (params->n_threads < 0 || params->n_threads > MAX_THREADS) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "cpu backend: n_threads is %d, expected 0 to %d",
                      params->n_threads, MAX_THREADS);
        return NULL;
    }
    const gi8_allocator *allocator =
        params->allocator != NULL ? params->allocator : &gi8i_cpu_system_allocator;
    if (allocator->alloc == NULL || allocator->free == NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "cpu backend: the allocator lacks a function");
        return NULL;
    }
    gi8_cpu_isa isa;
    if (gi8i_cpu_choose_isa(params->limit_isa, params->isa, &isa, error) != GI8_OK) {
        return NULL;
    }
    int n_threads = params->n_threads > 0 ? params->n_threads : gi8_cpu_available_cores();
    n_threads = n_threads > MAX_THREADS ? MAX_THREADS : n_threads;

    cpu_backend *cpu = gi8i_cpu_alloc(allocator, sizeof *cpu);
    if (cpu == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "cpu backend: out of memory (%zu bytes)", sizeof *cpu);
        return NULL;
    }
    memset(cpu, 0, sizeof *cpu);
    cpu->base.vtable = &cpu_vtable;
    cpu->allocator = *allocator;
    int result = pthread_mutex_init(&cpu->turn, NULL);
    if (result != 0) {
        gi8_error_set(error, GI8_ERR_DEVICE, "cpu backend: no lock could be made: %s",
                      strerror(result));
        gi8i_cpu_free(allocator, cpu, sizeof *cpu);
        return NULL;
    }
    cpu->pool = gi8i_pool_create(n_threads, allocator, error);
    if (cpu->pool == NULL) {
        cpu_free(&cpu->base);
        return NULL;
    }
    gi8i_kernels_choose(isa, &cpu->kernels);
    snprintf(cpu->name, sizeof cpu->name, "cpu (%s, %d thread%s)", gi8_cpu_isa_name(isa), n_threads,
             n_threads == 1 ? "" : "s");
    if (params->log != NULL) {
        params->log(params->log_user, cpu->name);
    }
    return &cpu->base;
}
