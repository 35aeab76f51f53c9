/* bench_op.c - one matrix product, timed through the public interface. */
#include "bench_op.h"

#include <inttypes.h>
#include <stdlib.h>

#include "bench_stats.h"
#include "ggml-int8/gi8_linear.h"
#include "ggml-int8/gi8_quantize.h"

enum { MAX_COPIES = 4096, TILE = 1 << 20 };
/* Of a device's plan, so that starting and awaiting it, some 50 us, hardly counts; fewer where
 * their results would take too much memory. */
enum { DEVICE_OPS = 512 };
static const size_t DEVICE_RESULT_BYTES = (size_t)1 << 30;
static const double HOST_PRODUCTS = 0x1p34; /* of a plan on the host, at most: some 20 ms */
static const double WARM_UP_SECONDS = 0.25; /* at most */
static const double SAMPLE_SECONDS = 0.05;  /* at least */
static const float OUTLIER = 2 * GI8_DEFAULT_THRESHOLD;

static const gi8_type types[] = {GI8_TYPE_I8, GI8_TYPE_F16, GI8_TYPE_BF16, GI8_TYPE_F32};

struct bench_weights {
    bench_op_kind kind;
    bench_shape shape;
    size_t rotate_bytes;
    size_t bytes; /* of one copy */
    int n;
    gi8_linear_int8 **layers; /* int8 */
    gi8_context *ctx;         /* else: the leaves, and their memory */
    gi8_tensor **leaves;
    gi8_buffer *buffer;
};

/* Uniform in (-1, 1). */
static void fill_random(float *values, int64_t n, uint64_t *state) {
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)(int32_t)(bench_random(state) >> 32) * 0x1p-31f;
    }
}

static int copies_for(size_t rotate_bytes, size_t bytes_each) {
    size_t n = rotate_bytes / bytes_each + (rotate_bytes % bytes_each != 0);
    return n < 1 ? 1 : n > MAX_COPIES ? MAX_COPIES : (int)n;
}

/* ---- weights --------------------------------------------------------------------------------- */

static gi8_status create_layers(bench_weights *w, gi8_backend *home, gi8_outliers rule,
                                gi8_error *error) {
    gi8_linear_int8_params params = {.in_features = w->shape.k,
                                     .out_features = w->shape.n,
                                     .has_bias = true,
                                     .op = GI8_INT8_PARAMS_DEFAULT};
    params.op.outliers = rule;
    w->layers = calloc(MAX_COPIES, sizeof *w->layers);
    if (w->layers == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for %d weights", MAX_COPIES);
    }
    for (w->n = 0; w->n == 0 || w->n < copies_for(w->rotate_bytes, w->bytes); w->n++) {
        w->layers[w->n] = gi8_linear_int8_create(home, &params, error);
        if (w->layers[w->n] == NULL) {
            return error->status;
        }
        w->bytes = gi8_linear_int8_footprint(w->layers[w->n]);
    }
    return GI8_OK;
}

static gi8_status create_leaves(bench_weights *w, gi8_backend *home, gi8_error *error) {
    w->ctx = gi8_context_create(NULL, error);
    if (w->ctx == NULL) {
        return error->status;
    }
    gi8_type type = types[w->kind];
    gi8_tensor *first = gi8_new_tensor_2d(w->ctx, type, w->shape.k, w->shape.n);
    w->bytes = gi8_nbytes(first);
    w->n = first != NULL ? copies_for(w->rotate_bytes, w->bytes) : 0;
    size_t space = gi8_buffer_space(first);
    w->buffer = gi8_buffer_create(home, (size_t)w->n * space, error);
    w->leaves = calloc((size_t)w->n, sizeof *w->leaves);
    if (w->buffer == NULL || w->leaves == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for %d weights of %zu bytes", w->n,
                             w->bytes);
    }
    for (int i = 0; i < w->n; i++) {
        w->leaves[i] =
            i == 0 ? first : gi8_new_tensor_2d(w->ctx, type, w->shape.k, w->shape.n);
        if (w->leaves[i] == NULL) {
            break;
        }
        gi8_status status =
            gi8_buffer_bind(w->buffer, w->leaves[i], (size_t)i * space, error);
        if (status != GI8_OK) {
            return status;
        }
    }
    gi8_status status = gi8_context_status(w->ctx);
    return status == GI8_OK ? GI8_OK
                            : gi8_error_set(error, status, "%s", gi8_context_message(w->ctx));
}

/* Gives rows [first, first + n) of every copy the same values; `scratch` has room for n rows of 4
 * bytes an element, `absmax` for n. */
static gi8_status load_rows(bench_weights *w, int64_t first, int64_t n, const float *rows,
                            void *scratch, float *absmax, gi8_error *error) {
    int64_t k = w->shape.k;
    gi8_type type = types[w->kind];
    bool int8 = w->kind == BENCH_OP_INT8;
    gi8_status status =
        int8 ? gi8_int8_quantize_weight_rows(GI8_TYPE_F32, rows, k, n, scratch, absmax, NULL)
             : gi8_convert_from_fp32(type, rows, n * k, scratch);
    if (status != GI8_OK) {
        return gi8_error_set(error, status, "random weights of K = %" PRId64 " were refused", k);
    }
    size_t row_bytes = (size_t)k * gi8_type_size(type);
    for (int i = 0; i < w->n && status == GI8_OK; i++) {
        status = int8 ? gi8_linear_int8_load_codes(w->layers[i], first, n, scratch, absmax, error)
                      : gi8_tensor_write(w->leaves[i], (size_t)first * row_bytes, scratch,
                                         (size_t)n * row_bytes, error);
    }
    return status;
}

static gi8_status load(bench_weights *w, gi8_error *error) {
    int64_t n = w->shape.n;
    int64_t k = w->shape.k;
    int64_t tile = TILE / k < 1 ? 1 : TILE / k < n ? TILE / k : n; /* rows */
    float *rows = malloc((size_t)(tile * k) * sizeof *rows);
    void *scratch = malloc((size_t)(tile * k) * sizeof *rows);
    float *vector = malloc((size_t)n * sizeof *vector); /* the bias, then row maxima */
    gi8_status status = GI8_OK;
    if (rows == NULL || scratch == NULL || vector == NULL) {
        status = gi8_error_set(error, GI8_ERR_MEMORY, "no memory to make up weights");
    } else {
        uint64_t random = 1;
        fill_random(vector, n, &random);
        for (int i = 0; w->kind == BENCH_OP_INT8 && i < w->n && status == GI8_OK; i++) {
            status = gi8_linear_int8_load_bias(w->layers[i], GI8_TYPE_F32, vector, error);
        }
        for (int64_t first = 0; first < n && status == GI8_OK; first += tile) {
            int64_t n_rows = n - first < tile ? n - first : tile;
            fill_random(rows, n_rows * k, &random);
            status = load_rows(w, first, n_rows, rows, scratch, vector, error);
        }
    }
    free(rows);
    free(scratch);
    free(vector);
    return status;
}

bench_weights *bench_weights_create(gi8_backend *home, bench_op_kind kind, bench_shape shape,
                                    gi8_outliers rule, size_t rotate_bytes, gi8_error *error) {
    bench_weights *w = calloc(1, sizeof *w);
    if (w == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "no memory for the weights' description");
        return NULL;
    }
    w->kind = kind;
    w->shape = shape;
    w->rotate_bytes = rotate_bytes;
    gi8_status status = kind == BENCH_OP_INT8 ? create_layers(w, home, rule, error)
                                              : create_leaves(w, home, error);
    if (status == GI8_OK) {
        status = load(w, error);
    }
    if (status != GI8_OK) {
        bench_weights_free(w);
        return NULL;
    }
    return w;
}

void bench_weights_free(bench_weights *weights) {
    if (weights == NULL) {
        return;
    }
    for (int i = 0; weights->layers != NULL && i < weights->n; i++) {
        gi8_linear_int8_free(weights->layers[i]);
    }
    free(weights->layers);
    free(weights->leaves);
    gi8_buffer_free(weights->buffer);
    gi8_context_free(weights->ctx);
    free(weights);
}

size_t bench_weights_bytes(const bench_weights *weights) {
    return weights->bytes;
}

/* ---- the operation --------------------------------------------------------------------------- */

/* The operation on each copy, all on the same activations, many in a plan as in a model: they share
 * its working memory, and how weights are read depends on how many of them it has. On a device it
 * is one plan, in which copies come in turns, since a device is fast where it need not wait for the
 * host in between. */
typedef struct bench_op {
    const bench_weights *weights;
    int64_t m;
    int64_t n_outliers;
    gi8_context *ctx;
    gi8_buffer *buffer; /* of the activations */
    gi8_tensor *x;
    gi8_plan **plans;
    int n;      /* copies in use */
    int n_ops;  /* of all plans */
    int n_plans;
    int n_warm; /* plans that have been executed, and are timed */
    int next;   /* the plan whose turn it is */
} bench_op;

/* The first operation of plan `i`; those of all plans before it. */
static int first_op(const bench_op *op, int i) {
    return (int)((int64_t)i * op->n_ops / op->n_plans);
}

/* Activations in (-1, 1) but in the outlier columns, which are spread over K. */
static gi8_status fill_activations(bench_op *op, gi8_error *error) {
    int64_t k = op->weights->shape.k;
    float *row = malloc((size_t)k * sizeof *row);
    if (row == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for activations of K = %" PRId64, k);
    }
    uint64_t random = 2;
    gi8_status status = GI8_OK;
    for (int64_t r = 0; r < op->m && status == GI8_OK; r++) {
        fill_random(row, k, &random);
        for (int64_t i = 0; i < op->n_outliers; i++) {
            row[i * k / op->n_outliers] = bench_random(&random) % 2 == 0 ? OUTLIER : -OUTLIER;
        }
        size_t bytes = (size_t)k * sizeof *row;
        status = gi8_tensor_write(op->x, (size_t)r * bytes, row, bytes, error);
    }
    free(row);
    return status;
}

/* How many plans of the same size, or nearly so. */
static int host_plans(const bench_op *op) {
    const bench_shape *shape = &op->weights->shape;
    double products = (double)shape->n * (double)shape->k * (double)op->m * op->n;
    return products / HOST_PRODUCTS < op->n ? 1 + (int)(products / HOST_PRODUCTS) : op->n;
}

static int device_ops(const bench_op *op, size_t result_bytes) {
    size_t most = DEVICE_RESULT_BYTES / (result_bytes > 0 ? result_bytes : 1);
    int n = most < DEVICE_OPS ? (int)most : DEVICE_OPS;
    return n > op->n ? n : op->n;
}

static gi8_status plan_op(bench_op *op, gi8_backend *backend, gi8_error *error) {
    const bench_weights *w = op->weights;
    op->ctx = gi8_context_create(NULL, error);
    gi8_graph **graphs = calloc((size_t)w->n, sizeof *graphs);
    op->plans = calloc((size_t)w->n, sizeof *op->plans);
    if (op->ctx == NULL || graphs == NULL || op->plans == NULL) {
        free(graphs);
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for %d graphs", w->n);
    }
    op->x = gi8_new_tensor_2d(op->ctx, GI8_TYPE_F32, w->shape.k, op->m);
    op->buffer = gi8_buffer_create(backend, gi8_buffer_space(op->x), error);
    gi8_status status = op->buffer != NULL ? GI8_OK : error->status;
    if (status == GI8_OK && op->x != NULL) {
        status = gi8_buffer_bind(op->buffer, op->x, 0, error);
    }
    /* All graphs before the first plan: a plan wants its context left alone. */
    size_t result_bytes = (size_t)(w->shape.n * op->m) * sizeof(float);
    op->n = copies_for(w->rotate_bytes, w->bytes + result_bytes);
    op->n = op->n < w->n ? op->n : w->n;
    bool host = gi8_backend_is_host(backend);
    op->n_plans = host ? host_plans(op) : 1;
    op->n_ops = host ? op->n : device_ops(op, result_bytes);
    for (int p = 0; p < op->n_plans; p++) {
        graphs[p] = gi8_graph_create(op->ctx);
        for (int i = first_op(op, p); i < first_op(op, p + 1); i++) {
            int copy = i % op->n;
            gi8_tensor *y = w->kind == BENCH_OP_INT8
                                ? gi8_linear_int8_forward(op->ctx, w->layers[copy], op->x)
                                : gi8_mul_mat(op->ctx, w->leaves[copy], op->x);
            gi8_graph_add_output(graphs[p], y);
        }
    }
    if (status == GI8_OK && gi8_context_status(op->ctx) != GI8_OK) {
        status = gi8_error_set(error, gi8_context_status(op->ctx), "%s",
                               gi8_context_message(op->ctx));
    }
    for (int i = 0; i < op->n_plans && status == GI8_OK; i++) {
        op->plans[i] = gi8_plan_create(backend, graphs[i], NULL, error);
        status = op->plans[i] != NULL ? GI8_OK : error->status;
    }
    free(graphs);
    return status == GI8_OK ? fill_activations(op, error) : status;
}

/* Adds the operations of the next plan to *n. */
static gi8_status execute_next(bench_op *op, int64_t *n, gi8_error *error) {
    int turn = op->next;
    op->next = turn + 1 < op->n_warm ? turn + 1 : 0;
    *n += first_op(op, turn + 1) - first_op(op, turn);
    return gi8_plan_execute(op->plans[turn], error);
}

/* Executes every plan once, or as many as the time allows: the memory of a plan that has never been
 * executed has no pages yet. */
static gi8_status warm_up(bench_op *op, gi8_error *error) {
    double start = bench_now();
    gi8_status status = GI8_OK;
    do {
        status = gi8_plan_execute(op->plans[op->n_warm++], error);
    } while (op->n_warm < op->n_plans && status == GI8_OK &&
             bench_now() - start < WARM_UP_SECONDS);
    gi8_outlier_stats found = gi8_plan_get_outlier_stats(op->plans[0]);
    int64_t expected = op->n_outliers * first_op(op, 1);
    if (status == GI8_OK && found.columns > 0 && found.outlier_columns != expected) {
        return gi8_error_set(error, GI8_ERR_DEVICE,
                             "%" PRId64 " columns hold outliers, but the backend found %" PRId64,
                             expected, found.outlier_columns);
    }
    return status;
}

gi8_status bench_op_time(const bench_weights *weights, gi8_backend *backend, int64_t m,
                         int64_t n_outliers, double *seconds, int *n_copies, gi8_error *error) {
    bench_op op = {.weights = weights, .m = m, .n_outliers = n_outliers};
    gi8_status status = plan_op(&op, backend, error);
    if (status == GI8_OK) {
        status = warm_up(&op, error);
    }
    double start = bench_now();
    double elapsed = 0;
    int64_t n = 0;
    while (status == GI8_OK && elapsed < SAMPLE_SECONDS) {
        status = execute_next(&op, &n, error);
        elapsed = bench_now() - start;
    }
    *seconds = elapsed / (double)n;
    *n_copies = op.n_warm == op.n_plans ? op.n : first_op(&op, op.n_warm);
    for (int i = 0; op.plans != NULL && i < op.n_plans; i++) {
        gi8_plan_free(op.plans[i]);
    }
    free(op.plans);
    gi8_buffer_free(op.buffer);
    gi8_context_free(op.ctx);
    return status;
}
