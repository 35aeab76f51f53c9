/* plan.c - plans: working memory, algorithms, and all launches as one CUDA graph. */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend.h"
#include "device.h"

typedef struct plan_data {
    char *memory; /* state, the counter of outlier columns, scratch */
    gi8i_cuda_run run;
    cudaGraphExec_t graph; /* NULL: step by step */
    int64_t columns;       /* of all int8 products, for gi8_outlier_stats */
    int64_t counted;       /* outlier columns that the counter had after the last run */
    bool unclean;          /* a step may have stopped half-way and left its state */
} plan_data;

#define COUNTER_AT GI8I_CUDA_STATE_BYTES
#define SCRATCH_AT (COUNTER_AT + GI8I_CUDA_ALIGN)

static gi8i_cuda_backend *cuda_of(gi8_backend *backend) {
    return (gi8i_cuda_backend *)backend;
}

static bool is_empty(const gi8_step *step) {
    return gi8_nelements(step->node) == 0;
}

static gi8_status sync(cudaStream_t stream, const char *what, gi8_error *error) {
    return gi8i_cuda_check(cudaStreamSynchronize(stream), what, error);
}

/* `result`, whose sentence in *inner then begins with the step's node. */
static gi8_status name_step(const gi8_step *step, gi8_status result, const gi8_error *inner,
                            gi8_error *error) {
    if (result != GI8_OK) {
        const char *quote = step->node->name[0] != '\0' ? "\"" : "";
        gi8_error_set(error, result, "node %s%s%s (%s): %s", quote, step->node->name, quote,
                      gi8_op_get_info(step->node->op)->name, inner->message);
    }
    return result;
}

/* ---- launching ------------------------------------------------------------------------------- */

/* The steps that may begin with `first` and be computed in one launch. */
static const gi8i_cuda_group *group_of(const gi8_step *first) {
    return first->node->op == GI8_OP_LAYER_NORM ? &gi8i_cuda_layer_norm_int8
                                                : &gi8i_cuda_rope_kv_store;
}

/* Step `i`, with those right before it that have no kernel of their own. */
static gi8_status launch_step(const gi8i_cuda_run *run, const gi8_plan_view *plan, int64_t i,
                              gi8_error *error) {
    const gi8_step *step = &plan->steps[i];
    const gi8i_cuda_op *op = step->kernel;
    if (op == NULL || is_empty(step) || op->launch == NULL) {
        return GI8_OK;
    }
    gi8_error inner = GI8_ERROR_INIT;
    gi8_status status = GI8_OK;
    int64_t first = i;
    while (first > 0 && plan->steps[first - 1].kernel == NULL) {
        first--;
    }
    if (first < i) {
        const gi8_step *steps = &plan->steps[first];
        status = group_of(steps)->launch(run, steps, plan->n_steps - first, &inner);
    } else {
        status = op->launch(run, step, &inner);
    }
    return name_step(step, status, &inner, error);
}

/* Reads the counter of outlier columns. It runs on from one execution to the next, since zeroing it
 * would take as long as a small kernel. */
static gi8_status read_count(const gi8i_cuda_backend *cuda, const plan_data *data,
                             gi8_error *error) {
    if (data->columns == 0) {
        return GI8_OK;
    }
    return gi8i_cuda_check(cudaMemcpyAsync(cuda->outlier_columns, data->run.outlier_columns,
                                           sizeof *cuda->outlier_columns, cudaMemcpyDeviceToHost,
                                           data->run.stream),
                           "reading a counter", error);
}

/* Enqueues the plan; with `poll` the core is asked before each step. */
static gi8_status launch_all(const gi8i_cuda_backend *cuda, gi8_plan_view *plan, bool poll,
                             gi8_error *error) {
    const plan_data *data = plan->backend_data;
    gi8_status status = GI8_OK;
    for (int64_t i = 0; i < plan->n_steps && status == GI8_OK; i++) {
        status = poll ? plan->poll(plan, i) : GI8_OK;
        if (status == GI8_OK) {
            status = launch_step(&data->run, plan, i, error);
        }
    }
    return status == GI8_OK ? read_count(cuda, data, error) : status;
}

/* What follows a capture of `graph`: data->graph, ready to be launched. */
static gi8_status make_executable(plan_data *data, cudaGraph_t graph, gi8_error *error) {
    cudaGraphExec_t executable = NULL;
    gi8_status status =
        gi8i_cuda_check(cudaGraphInstantiate(&executable, graph, 0), "making a graph", error);
    if (status != GI8_OK) {
        return status;
    }
    status = gi8i_cuda_check(cudaGraphUpload(executable, data->run.stream), "uploading a graph",
                             error);
    if (status == GI8_OK) {
        status = sync(data->run.stream, "uploading a graph", error);
    }
    if (status == GI8_OK) {
        data->graph = executable;
    } else {
        cudaGraphExecDestroy(executable);
    }
    return status;
}

/* Makes a graph of the plan. Without one it is executed step by step. */
static gi8_status capture(const gi8i_cuda_backend *cuda, gi8_plan_view *plan, gi8_error *error) {
    plan_data *data = plan->backend_data;
    /* Relaxed: other threads may take memory meanwhile, and the driver loads a kernel at its first
     * launch, which older ones than that of CUDA 12.3 refuse in the other modes. */
    gi8_status status = gi8i_cuda_check(
        cudaStreamBeginCapture(data->run.stream, cudaStreamCaptureModeRelaxed), "capturing a plan",
        error);
    if (status != GI8_OK) {
        return status;
    }
    status = launch_all(cuda, plan, false, error);
    cudaGraph_t graph = NULL;
    gi8_status ended = gi8i_cuda_check(cudaStreamEndCapture(data->run.stream, &graph),
                                       "capturing a plan", status == GI8_OK ? error : NULL);
    status = status == GI8_OK ? ended : status;
    if (status == GI8_OK) {
        status = make_executable(data, graph, error);
    }
    if (graph != NULL) {
        cudaGraphDestroy(graph);
    }
    cudaGetLastError();
    return status;
}

static void capture_or_say_why_not(const gi8i_cuda_backend *cuda, gi8_plan_view *plan) {
    gi8_error why = GI8_ERROR_INIT;
    if (capture(cuda, plan, &why) != GI8_OK && cuda->log != NULL) {
        char line[sizeof why.message + 64];
        snprintf(line, sizeof line, "a plan is launched step by step: %s", why.message);
        cuda->log(cuda->log_user, line);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void gi8i_cuda_plan_release(gi8_backend *backend, gi8_plan_view *plan) {
    gi8i_cuda_backend *cuda = cuda_of(backend);
    plan_data *data = plan->backend_data;
    if (data == NULL) {
        return;
    }
    gi8i_cuda_device_use(&cuda->device, NULL);
    if (data->graph != NULL) {
        cudaGraphExecDestroy(data->graph);
        cudaGetLastError();
    }
    if (data->memory != NULL) {
        gi8i_cuda_memory_give(cuda->memory, data->memory);
    }
    free(data);
    plan->backend_data = NULL;
}

/* Finds the operations and takes the working memory for the largest of them. */
static gi8_status take_memory(gi8i_cuda_backend *cuda, gi8_plan_view *plan, gi8_error *error) {
    plan_data *data = plan->backend_data;
    data->run = (gi8i_cuda_run){.device = &cuda->device, .stream = cuda->stream, .lt = cuda->lt};
    size_t scratch = 0;
    for (int64_t i = 0; i < plan->n_steps; i++) {
        gi8_step *step = &plan->steps[i];
        const gi8i_cuda_op *op = gi8i_cuda_find_op(step->node->op);
        step->kernel = op;
        if (is_empty(step)) {
            continue;
        }
        size_t bytes = op->scratch_bytes != NULL ? op->scratch_bytes(&data->run, step) : 0;
        scratch = bytes > scratch ? bytes : scratch;
        if (step->node->op == GI8_OP_MUL_MAT_INT8_MIXED) {
            data->columns += step->node->src[0]->ne[0];
        }
    }
    if (scratch > PTRDIFF_MAX - SCRATCH_AT) {
        return gi8_error_set(error, GI8_ERR_MEMORY,
                             "cuda backend: the working memory of the plan exceeds %td bytes",
                             PTRDIFF_MAX);
    }
    plan->scratch_bytes = SCRATCH_AT + scratch;
    gi8_error why = GI8_ERROR_INIT;
    data->memory = gi8i_cuda_memory_take(cuda->memory, plan->scratch_bytes, &why);
    if (data->memory == NULL) {
        return gi8_error_set(error, why.status, "working memory of the plan: %s", why.message);
    }
    data->run.state = data->memory;
    data->run.outlier_columns = (unsigned long long *)(void *)(data->memory + COUNTER_AT);
    data->run.scratch = data->memory + SCRATCH_AT;
    return GI8_OK;
}

/* The state of operations, and the counter behind it. */
static gi8_status zero_state(plan_data *data, gi8_error *error) {
    data->counted = 0;
    return gi8i_cuda_check(cudaMemsetAsync(data->memory, 0, SCRATCH_AT, data->run.stream),
                           "zeroing the state of operations", error);
}

/* Lets each operation choose its algorithm. */
static gi8_status prepare_steps(const gi8i_cuda_backend *cuda, const gi8_plan_view *plan,
                                gi8_error *error) {
    plan_data *data = plan->backend_data;
    gi8_status status = gi8i_cuda_memory_order(cuda->memory, data->run.stream, error);
    for (int64_t i = 0; i < plan->n_steps && status == GI8_OK; i++) {
        const gi8_step *step = &plan->steps[i];
        const gi8i_cuda_op *op = step->kernel;
        if (!is_empty(step) && op->prepare != NULL) {
            gi8_error inner = GI8_ERROR_INIT;
            status = name_step(step, op->prepare(&data->run, step, &inner), &inner, error);
        }
    }
    if (status == GI8_OK) {
        status = zero_state(data, error);
    }
    /* also after a failure: nothing may run in memory that is given back */
    gi8_status finished =
        sync(data->run.stream, "preparing a plan", status == GI8_OK ? error : NULL);
    return status == GI8_OK ? finished : status;
}

/* Takes the kernel of those steps that are launched with one behind them. */
static void group_steps(gi8_plan_view *plan) {
    const plan_data *data = plan->backend_data;
    for (int64_t i = 0; i < plan->n_steps;) {
        gi8_step *steps = &plan->steps[i];
        int64_t length = group_of(steps)->length(&data->run, steps, plan->n_steps - i);
        for (int64_t j = 0; j < length - 1; j++) {
            steps[j].kernel = NULL;
        }
        i += length;
    }
}

gi8_status gi8i_cuda_plan_prepare(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error) {
    gi8i_cuda_backend *cuda = cuda_of(backend);
    gi8_status status = gi8i_cuda_device_use(&cuda->device, error);
    if (status != GI8_OK) {
        return status;
    }
    plan_data *data = calloc(1, sizeof *data);
    plan->backend_data = data;
    if (data == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "cuda backend: out of memory (%zu bytes)",
                             sizeof *data);
    }
    status = take_memory(cuda, plan, error);
    if (status == GI8_OK) {
        pthread_mutex_lock(&cuda->turn);
        status = prepare_steps(cuda, plan, error);
        group_steps(plan);
        if (status == GI8_OK && !cuda->no_graphs && plan->n_steps > 0) {
            capture_or_say_why_not(cuda, plan);
        }
        pthread_mutex_unlock(&cuda->turn);
    }
    if (status != GI8_OK) {
        gi8i_cuda_plan_release(backend, plan);
    }
    return status;
}

/* ---- execution ------------------------------------------------------------------------------- */

/* Launches the graph once the core has agreed to every step. */
static gi8_status replay(gi8_plan_view *plan, gi8_error *error) {
    const plan_data *data = plan->backend_data;
    for (int64_t i = 0; i < plan->n_steps; i++) {
        gi8_status status = plan->poll(plan, i);
        if (status != GI8_OK) {
            return status;
        }
    }
    return gi8i_cuda_check(cudaGraphLaunch(data->graph, data->run.stream), "launching a graph",
                           error);
}

static gi8_status execute(const gi8i_cuda_backend *cuda, gi8_plan_view *plan, gi8_error *error) {
    plan_data *data = plan->backend_data;
    gi8_status status = gi8i_cuda_memory_order(cuda->memory, data->run.stream, error);
    if (status == GI8_OK && data->unclean) {
        status = zero_state(data, error);
    }
    data->unclean = true;
    if (status == GI8_OK) {
        status = data->graph != NULL ? replay(plan, error) : launch_all(cuda, plan, true, error);
    }
    /* also after a failure: what is enqueued must not outlive the call */
    gi8_status finished =
        sync(data->run.stream, "executing a plan", status == GI8_OK ? error : NULL);
    status = status == GI8_OK ? finished : status;
    if (status == GI8_OK) {
        data->unclean = false;
        plan->outliers.columns += data->columns;
    }
    if (status == GI8_OK && data->columns > 0) {
        int64_t before = data->counted;
        data->counted = (int64_t)*cuda->outlier_columns;
        plan->outliers.outlier_columns += data->counted - before;
    }
    return status;
}

gi8_status gi8i_cuda_plan_execute(gi8_backend *backend, gi8_plan_view *plan, gi8_error *error) {
    gi8i_cuda_backend *cuda = cuda_of(backend);
    gi8_status status = gi8i_cuda_device_use(&cuda->device, error);
    if (status == GI8_OK) {
        pthread_mutex_lock(&cuda->turn);
        status = execute(cuda, plan, error);
        pthread_mutex_unlock(&cuda->turn);
    }
    return status;
}
