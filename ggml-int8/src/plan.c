/* plan.c - a graph made ready for one backend, and its execution. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "allocator.h"
#include "buffer.h"
#include "checked.h"
#include "graph.h"
#include "planner.h"

#if ATOMIC_BOOL_LOCK_FREE != 2
#error "gi8_plan_cancel() may be called from a signal handler and needs a lock-free flag"
#endif

#define GUARD_BYTE 0xa5

struct gi8_plan {
    gi8_plan_view view; /* what the backend sees; first, so that poll() finds the plan from it */
    gi8_backend *backend;
    const gi8_graph *graph;
    gi8_plan_params params;
    gi8_allocator allocator;
    gi8i_layout layout;
    char *memory; /* the backend's: inputs, results, guards */
    size_t memory_size;
    bool prepared;
    atomic_bool cancel;

    bool guard;
    int64_t guarded; /* the step whose guards are in place; -1: none */
    int64_t overrun; /* the step that wrote outside its result; -1: none */
    int64_t polled;  /* the step of the last poll() */
};

/* ---- guards ----------------------------------------------------------------------------------- *
 * Before a step runs, the bytes around the place that it writes to are set to GUARD_BYTE, and after
 * it they are looked at. Behind a place lie the rest of its alignment and GI8I_GUARD_BYTES of its
 * own; before it lie those of its neighbour, so that no value is overwritten. */

typedef struct guard_range {
    unsigned char *start;
    size_t size;
} guard_range;

/* The ranges around what `step` writes; false where that is a leaf's own memory. */
static bool guard_ranges(const gi8_plan *plan, int64_t step, guard_range ranges[2]) {
    const gi8_tensor *node = plan->layout.steps[step].node;
    int64_t index = plan->layout.place_of[gi8i_graph_index(plan->graph, node)];
    if (index < 0) {
        return false;
    }
    const gi8i_place *place = &plan->layout.places[index];
    unsigned char *start = (unsigned char *)plan->memory + place->offset;
    size_t padding = gi8i_round_up(place->bytes, GI8I_ALIGNMENT) - place->bytes;
    ranges[0] = (guard_range){start - GI8I_GUARD_BYTES, GI8I_GUARD_BYTES};
    ranges[1] = (guard_range){start + place->bytes, padding + GI8I_GUARD_BYTES};
    return true;
}

static void set_guards(gi8_plan *plan, int64_t step) {
    guard_range ranges[2];
    if (guard_ranges(plan, step, ranges)) {
        memset(ranges[0].start, GUARD_BYTE, ranges[0].size);
        memset(ranges[1].start, GUARD_BYTE, ranges[1].size);
        plan->guarded = step;
    }
}

/* True where the step that ran last kept to its result. */
static bool check_guards(gi8_plan *plan) {
    guard_range ranges[2];
    int64_t step = plan->guarded;
    plan->guarded = -1;
    if (step < 0 || !guard_ranges(plan, step, ranges)) {
        return true;
    }
    for (int r = 0; r < 2; r++) {
        for (size_t i = 0; i < ranges[r].size; i++) {
            if (ranges[r].start[i] != GUARD_BYTE) {
                plan->overrun = step;
                return false;
            }
        }
    }
    return true;
}

/* ---- names and addresses --------------------------------------------------------------------- */

typedef struct tensor_label {
    char text[GI8_MAX_NAME + 64];
} tensor_label;

/* `node "name" (op)` or `leaf "name"`; its number where it has no name. */
static tensor_label label_of(const gi8_graph *graph, const gi8_tensor *t) {
    bool leaf = t->op == GI8_OP_NONE;
    char name[GI8_MAX_NAME + 2];
    if (t->name[0] != '\0') {
        snprintf(name, sizeof name, "\"%s\"", t->name);
    } else {
        int64_t index = gi8i_graph_index(graph, t);
        snprintf(name, sizeof name, "%" PRId64, leaf ? index - graph->nodes.n : index);
    }
    tensor_label label;
    if (leaf) {
        snprintf(label.text, sizeof label.text, "leaf %s", name);
    } else {
        snprintf(label.text, sizeof label.text, "node %s (%s)", name, gi8_op_get_info(t->op)->name);
    }
    return label;
}

/* The step that overran its result: its node, and up to which one others are fused with it. */
static gi8_status overrun_error(const gi8_plan *plan, gi8_error *error) {
    const gi8_step *step = &plan->view.steps[plan->overrun];
    const gi8_tensor *result = gi8i_step_result(step);
    bool fused = result != step->node;
    return gi8_error_set(error, GI8_ERR_DEVICE, "%s%s%s: wrote outside its result",
                         label_of(plan->graph, step->node).text, fused ? " fused up to " : "",
                         fused ? label_of(plan->graph, result).text : "");
}

/* Where the first element of a tensor of the graph lies. */
static void *address_of(const gi8_plan *plan, const gi8_tensor *t) {
    int64_t place = plan->layout.place_of[gi8i_graph_index(plan->graph, t)];
    char *start = place < 0 ? gi8i_root(t)->data : plan->memory + plan->layout.places[place].offset;
    return start + t->view_offset;
}

/* ---- creation -------------------------------------------------------------------------------- */

static gi8_status check_arguments(const gi8_backend *backend, const gi8_graph *graph,
                                  gi8_error *error) {
    if (backend == NULL || graph == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "plan_create: the %s is NULL",
                             backend == NULL ? "backend" : "graph");
    }
    if (gi8_context_status(graph->ctx) != GI8_OK) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "plan_create: the graph's context holds an error: %s",
                             gi8_context_message(graph->ctx));
    }
    return GI8_OK;
}

static gi8_status check_nodes(const gi8_backend *backend, const gi8_graph *graph,
                              gi8_error *error) {
    for (int64_t i = 0; i < graph->nodes.n; i++) {
        gi8_error reason = GI8_ERROR_INIT;
        if (!gi8_backend_supports(backend, graph->nodes.at[i], &reason)) {
            return gi8_error_set(error, GI8_ERR_UNSUPPORTED, "%s: %s",
                                 label_of(graph, graph->nodes.at[i]).text, reason.message);
        }
    }
    return GI8_OK;
}

static gi8_status check_leaf(const gi8_backend *backend, const gi8_graph *graph,
                             const gi8_tensor *leaf, gi8_error *error) {
    if (leaf->data == NULL) {
        return GI8_OK; /* an input */
    }
    bool host = gi8_backend_is_host(backend);
    if (leaf->buffer == NULL) {
        if (!host) {
            return gi8_error_set(
                error, GI8_ERR_UNSUPPORTED,
                "%s: its memory is the program's, which the backend %s does not read",
                label_of(graph, leaf).text, gi8_backend_name(backend));
        }
        if ((uintptr_t)leaf->data % gi8_type_size(leaf->type) != 0) {
            return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                                 "%s: its memory is not aligned to the %zu bytes of an element",
                                 label_of(graph, leaf).text, gi8_type_size(leaf->type));
        }
        return GI8_OK;
    }
    const gi8_backend *owner = leaf->buffer->backend;
    if (owner != backend && !(host && gi8_backend_is_host(owner))) {
        return gi8_error_set(
            error, GI8_ERR_UNSUPPORTED, "%s: its buffer belongs to the backend %s, the plan to %s",
            label_of(graph, leaf).text, gi8_backend_name(owner), gi8_backend_name(backend));
    }
    return GI8_OK;
}

static gi8_status check_leaves(const gi8_backend *backend, const gi8_graph *graph,
                               gi8_error *error) {
    for (int64_t i = 0; i < graph->leaves.n; i++) {
        gi8_status status = check_leaf(backend, graph, graph->leaves.at[i], error);
        if (status != GI8_OK) {
            return status;
        }
    }
    return GI8_OK;
}

static gi8_status poll(gi8_plan_view *view, int64_t step);

static gi8_status make_memory(gi8_plan *plan, gi8_error *error) {
    gi8i_layout_params params = {plan->backend, plan->params.no_reuse, plan->guard};
    gi8_status status =
        gi8i_layout_create(&plan->layout, plan->graph, &params, &plan->allocator, error);
    if (status != GI8_OK) {
        return status;
    }
    size_t size = plan->layout.size > 0 ? plan->layout.size : 1; /* nothing needs an address too */
    gi8_error reason = {GI8_ERR_MEMORY, "no memory"};
    plan->memory = plan->backend->vtable->memory_alloc(plan->backend, size, &reason);
    if (plan->memory == NULL) {
        return gi8_error_set(error, reason.status,
                             "plan_create: %zu bytes for inputs and results: %s", size,
                             reason.message);
    }
    plan->memory_size = size;
    return GI8_OK;
}

/* Gives the steps of the layout their addresses. */
static void make_steps(gi8_plan *plan) {
    plan->view.n_steps = plan->layout.n_steps;
    plan->view.steps = plan->layout.steps;
    for (int64_t s = 0; s < plan->view.n_steps; s++) {
        gi8_step *step = &plan->view.steps[s];
        step->dst = address_of(plan, step->node);
        for (int i = 0; i < GI8_MAX_SRC; i++) {
            const gi8_tensor *source = step->node->src[i];
            step->src[i] = source != NULL ? address_of(plan, source) : NULL;
        }
        for (int i = 0; i < step->n_fused; i++) {
            gi8_fused *fused = &step->fused[i];
            fused->other_data = fused->other != NULL ? address_of(plan, fused->other) : NULL;
        }
    }
}

static gi8_status make_plan(gi8_plan *plan, gi8_error *error) {
    gi8_status status = make_memory(plan, error);
    if (status == GI8_OK) {
        make_steps(plan);
        status = plan->backend->vtable->plan_prepare(plan->backend, &plan->view, error);
        plan->prepared = status == GI8_OK;
    }
    return status;
}

gi8_plan *gi8_plan_create(gi8_backend *backend, const gi8_graph *graph,
                          const gi8_plan_params *params, gi8_error *error) {
    const gi8_plan_params given = params != NULL ? *params : (gi8_plan_params){0};
    gi8_allocator allocator;
    if (!gi8i_allocator_or_default(given.allocator, &allocator)) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "plan_create: the allocator lacks a function");
        return NULL;
    }
    if (check_arguments(backend, graph, error) != GI8_OK ||
        check_nodes(backend, graph, error) != GI8_OK ||
        check_leaves(backend, graph, error) != GI8_OK) {
        return NULL;
    }
    gi8_plan *plan = gi8i_alloc(&allocator, sizeof *plan, 16);
    if (plan == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "plan_create: no memory for %zu bytes of metadata",
                      sizeof *plan);
        return NULL;
    }
    memset(plan, 0, sizeof *plan);
    plan->view.poll = poll;
    plan->backend = backend;
    plan->graph = graph;
    plan->params = given;
    plan->allocator = allocator;
    atomic_init(&plan->cancel, false);
    plan->guard = given.guard && backend->vtable->is_host;
#ifndef NDEBUG
    plan->guard = backend->vtable->is_host;
#endif
    if (make_plan(plan, error) != GI8_OK) {
        gi8_plan_free(plan);
        return NULL;
    }
    return plan;
}

void gi8_plan_free(gi8_plan *plan) {
    if (plan == NULL) {
        return;
    }
    if (plan->prepared) {
        plan->backend->vtable->plan_release(plan->backend, &plan->view);
    }
    if (plan->memory != NULL) {
        plan->backend->vtable->memory_free(plan->backend, plan->memory, plan->memory_size);
    }
    gi8i_layout_free(&plan->layout);
    const gi8_allocator allocator = plan->allocator;
    gi8i_free(&allocator, plan, sizeof *plan);
}

/* ---- inputs and outputs ---------------------------------------------------------------------- */

static bool is_input(const gi8_plan *plan, const gi8_tensor *t) {
    int64_t index = gi8i_graph_index(plan->graph, t);
    return index >= plan->graph->nodes.n && plan->layout.place_of[index] >= 0;
}

/* Outputs, inputs, and with no_reuse everything in the graph: what keeps its value. */
static bool is_readable(const gi8_plan *plan, const gi8_tensor *t) {
    return gi8i_graph_is_output(plan->graph, t) || is_input(plan, t) ||
           (plan->params.no_reuse && gi8i_graph_index(plan->graph, t) >= 0);
}

static gi8_status check_range(const char *function, const gi8_tensor *t, size_t offset,
                              const void *data, size_t size, gi8_error *error) {
    size_t bytes = gi8_nbytes(t);
    if (offset > bytes || size > bytes - offset) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "%s: %zu bytes from byte %zu on leave \"%s\", which has %zu", function,
                             size, offset, t->name, bytes);
    }
    if (data == NULL && size > 0) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "%s: the data for \"%s\" is NULL", function,
                             t->name);
    }
    return GI8_OK;
}

gi8_status gi8_plan_write(gi8_plan *plan, const gi8_tensor *input, size_t offset, const void *data,
                          size_t size, gi8_error *error) {
    if (plan == NULL || input == NULL || !is_input(plan, input)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "plan_write: \"%s\" is not an input of the plan",
                             input != NULL ? input->name : "NULL");
    }
    gi8_status status = check_range("plan_write", input, offset, data, size, error);
    if (status != GI8_OK || size == 0) {
        return status;
    }
    return plan->backend->vtable->memory_write(
        plan->backend, (char *)address_of(plan, input) + offset, data, size, error);
}

gi8_status gi8_plan_read(const gi8_plan *plan, const gi8_tensor *t, size_t offset, void *data,
                         size_t size, gi8_error *error) {
    if (plan == NULL || t == NULL || !is_readable(plan, t)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "plan_read: \"%s\" is neither an input nor an output of the plan",
                             t != NULL ? t->name : "NULL");
    }
    gi8_status status = check_range("plan_read", t, offset, data, size, error);
    if (status != GI8_OK || size == 0) {
        return status;
    }
    return plan->backend->vtable->memory_read(plan->backend, data,
                                              (char *)address_of(plan, t) + offset, size, error);
}

void *gi8_plan_data(const gi8_plan *plan, const gi8_tensor *t) {
    if (plan == NULL || t == NULL || !plan->backend->vtable->is_host || !is_readable(plan, t)) {
        return NULL;
    }
    return address_of(plan, t);
}

/* ---- execution ------------------------------------------------------------------------------- */

static gi8_status poll(gi8_plan_view *view, int64_t step) {
    gi8_plan *plan = (gi8_plan *)view;
    const gi8_plan_params *params = &plan->params;
    plan->polled = step;
    if (!check_guards(plan) || atomic_load(&plan->cancel) ||
        (params->should_cancel != NULL && params->should_cancel(params->user))) {
        return GI8_ERR_CANCELLED;
    }
    if (params->progress != NULL) {
        params->progress(params->user, step, view->n_steps);
    }
    if (plan->guard) {
        set_guards(plan, step);
    }
    return GI8_OK;
}

gi8_status gi8_plan_execute(gi8_plan *plan, gi8_error *error) {
    if (plan == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "plan_execute: the plan is NULL");
    }
    atomic_store(&plan->cancel, false);
    plan->view.outliers = (gi8_outlier_stats){0};
    plan->guarded = -1;
    plan->overrun = -1;
    plan->polled = 0;
    gi8_status status = plan->backend->vtable->plan_execute(plan->backend, &plan->view, error);
    if (!check_guards(plan) || plan->overrun >= 0) {
        return overrun_error(plan, error);
    }
    if (status == GI8_ERR_CANCELLED) {
        return gi8_error_set(error, status,
                             "plan_execute: cancelled after %" PRId64 " of %" PRId64 " steps",
                             plan->polled, plan->view.n_steps);
    }
    return status;
}

void gi8_plan_cancel(gi8_plan *plan) {
    if (plan != NULL) {
        atomic_store(&plan->cancel, true);
    }
}

/* ---- figures --------------------------------------------------------------------------------- */

gi8_plan_stats gi8_plan_get_stats(const gi8_plan *plan) {
    if (plan == NULL) {
        return (gi8_plan_stats){0};
    }
    return (gi8_plan_stats){
        .n_steps = plan->layout.n_steps,
        .n_fused = plan->layout.n_fused,
        .n_in_place = plan->layout.n_in_place,
        .input_bytes = plan->layout.input_bytes,
        .peak_bytes = plan->layout.peak_bytes,
        .total_bytes = plan->layout.total_bytes,
        .memory_bytes = plan->layout.memory_bytes,
        .scratch_bytes = plan->view.scratch_bytes,
    };
}

gi8_outlier_stats gi8_plan_get_outlier_stats(const gi8_plan *plan) {
    return plan != NULL ? plan->view.outliers : (gi8_outlier_stats){0};
}
