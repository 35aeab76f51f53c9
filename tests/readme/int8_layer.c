/* int8_layer.c - one linear layer with int8 weights. */
#include <stdio.h>

#include "ggml-int8/gi8_linear.h"
#include "gi8_cpu.h"

int main(void) {
    enum { K = 4, N = 2, M = 1 }; /* features in, features out, tokens */
    static const float weight[N][K] = {{0.5f, -1.0f, 0.25f, 1.0f}, {2.0f, 0.0f, -0.5f, 1.0f}};
    static const float x[M][K] = {{0.5f, -1.0f, 8.0f, 0.25f}}; /* 8.0 is an outlier */
    float y[M][N];

    gi8_error error = GI8_ERROR_INIT;
    gi8_backend *backend = gi8_cpu_backend_create(NULL, &error);

    /* weights: quantized once */
    gi8_linear_int8_params params = {
        .in_features = K, .out_features = N, .op = GI8_INT8_PARAMS_DEFAULT};
    gi8_linear_int8 *layer = backend ? gi8_linear_int8_create(backend, &params, &error) : NULL;
    bool ok =
        layer && gi8_linear_int8_load_rows(layer, 0, N, GI8_TYPE_F32, weight, &error) == GI8_OK;

    /* build: one check is enough, and planning is where it is made */
    gi8_context *ctx = ok ? gi8_context_create(NULL, &error) : NULL;
    gi8_tensor *in = gi8_new_tensor_2d(ctx, GI8_TYPE_F32, K, M);
    gi8_tensor *out = gi8_linear_int8_forward(ctx, layer, in);
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_graph_add_output(graph, out);

    /* plan, execute */
    gi8_plan *plan = ctx ? gi8_plan_create(backend, graph, NULL, &error) : NULL;
    if (plan && gi8_plan_write(plan, in, 0, x, sizeof x, &error) == GI8_OK &&
        gi8_plan_execute(plan, &error) == GI8_OK &&
        gi8_plan_read(plan, out, 0, y, sizeof y, &error) == GI8_OK) {
        printf("%.3f %.3f\n", (double)y[0][0], (double)y[0][1]);
    } else {
        fprintf(stderr, "%s\n", error.message);
    }
    gi8_plan_free(plan);
    gi8_context_free(ctx);
    gi8_linear_int8_free(layer);
    gi8_backend_free(backend);
    return error.status != GI8_OK;
}
