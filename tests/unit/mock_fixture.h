/* mock_fixture.h - what the tests of plans and layers share: a context and two mock backends, made
 * and freed for each test; graphs and plans of them. */
#ifndef MOCK_FIXTURE_H
#define MOCK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mock_backend.h"

typedef struct fixture {
    gi8_context *ctx;
    mock_backend mock; /* in host memory */
    mock_backend device;
    gi8_error error;
} fixture;

static inline int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL) {
        return -1;
    }
    f->ctx = gi8_context_create(NULL, NULL);
    f->mock = mock_host();
    f->device = mock_device();
    return f->ctx != NULL ? 0 : -1;
}

/* Fails where memory or a plan of a backend is left. */
static inline int teardown(void **state) {
    fixture *f = *state;
    bool leaked = f->mock.n_alive != 0 || f->mock.n_prepared != 0 || f->mock.bytes_alive != 0 ||
                  f->device.n_alive != 0 || f->device.n_prepared != 0 ||
                  f->device.bytes_alive != 0;
    gi8_context_free(f->ctx);
    free(f);
    return leaked ? -1 : 0;
}

static inline gi8_graph *graph_of_all(const fixture *f, int n_outputs, gi8_tensor *const *outputs) {
    gi8_graph *graph = gi8_graph_create(f->ctx);
    for (int i = 0; i < n_outputs; i++) {
        gi8_graph_add_output(graph, outputs[i]);
    }
    if (gi8_context_status(f->ctx) != GI8_OK) {
        fail_msg("%s", gi8_context_message(f->ctx));
    }
    return graph;
}

static inline gi8_graph *graph_of(const fixture *f, gi8_tensor *output) {
    return graph_of_all(f, 1, &output);
}

static inline gi8_plan *plan_of(mock_backend *mock, const gi8_graph *graph,
                                const gi8_plan_params *params) {
    gi8_error error = GI8_ERROR_INIT;
    gi8_plan *plan = gi8_plan_create(&mock->base, graph, params, &error);
    if (plan == NULL) {
        fail_msg("%s", error.message);
    }
    return plan;
}

#endif
