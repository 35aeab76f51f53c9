/* linear.c - a linear layer with int8 weights: loading, the op, and back to floats. */
#include "ggml-int8/gi8_linear.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "allocator.h"
#include "build.h"
#include "checked.h"
#include "ggml-int8/gi8_backend_impl.h"
#include "ggml-int8/gi8_panels.h"
#include "ggml-int8/gi8_quantize.h"

/* Rows pass through host memory in tiles of at most this size where the layer's memory is elsewhere
 * or not made of rows. One row of the longest K fits. */
#define TILE_BYTES ((size_t)1 << 20)
#define CONTEXT_BYTES ((size_t)4096)

struct gi8_linear_int8 {
    gi8_backend *backend;
    gi8_allocator allocator;
    gi8_context *ctx; /* the three leaves */
    /* Apart: codes are often a power of two of bytes, which backends can place without a rest. */
    gi8_buffer *code_memory, *vector_memory;
    gi8_tensor *codes, *absmax, *bias;
    gi8_int8_params op;
    char name[GI8_MAX_NAME];
};

/* ---- life ------------------------------------------------------------------------------------ */

static gi8_status make_leaves(gi8_linear_int8 *linear, const gi8_linear_int8_params *params,
                              gi8_error *error) {
    const gi8_context_params ctx_params = {.size = CONTEXT_BYTES, .allocator = &linear->allocator};
    linear->ctx = gi8_context_create(&ctx_params, error);
    if (linear->ctx == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_context *ctx = linear->ctx;
    linear->codes = gi8_new_codes(ctx, params->in_features, params->out_features,
                                  linear->backend->vtable->codes_layout);
    linear->absmax = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, params->out_features);
    if (params->has_bias) {
        linear->bias = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, params->out_features);
    }
    if (gi8_context_status(ctx) != GI8_OK) {
        return gi8_error_set(error, gi8_context_status(ctx), "linear \"%s\": %s", linear->name,
                             gi8_context_message(ctx));
    }
    gi8_set_name(linear->codes, "%s.codes", linear->name);
    gi8_set_name(linear->absmax, "%s.absmax", linear->name);
    gi8_set_name(linear->bias, "%s.bias", linear->name);
    return GI8_OK;
}

static gi8_status make_memory(gi8_linear_int8 *linear, gi8_error *error) {
    size_t code_size = gi8_buffer_space(linear->codes);
    size_t bias_at = gi8_buffer_space(linear->absmax);
    size_t vector_size = 0, size = 0;
    if (!gi8i_add_size(bias_at, gi8_buffer_space(linear->bias), &vector_size) ||
        !gi8i_add_size(code_size, vector_size, &size)) {
        return gi8_error_set(error, GI8_ERR_SHAPE, "linear \"%s\": its weight exceeds %td bytes",
                             linear->name, PTRDIFF_MAX);
    }
    linear->code_memory = gi8_buffer_create(linear->backend, code_size, error);
    if (linear->code_memory == NULL) {
        return GI8_ERR_MEMORY;
    }
    linear->vector_memory = gi8_buffer_create(linear->backend, vector_size, error);
    if (linear->vector_memory == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_status status = gi8_buffer_bind(linear->code_memory, linear->codes, 0, error);
    if (status == GI8_OK) {
        status = gi8_buffer_bind(linear->vector_memory, linear->absmax, 0, error);
    }
    if (status == GI8_OK && linear->bias != NULL) {
        status = gi8_buffer_bind(linear->vector_memory, linear->bias, bias_at, error);
    }
    return status;
}

gi8_linear_int8 *gi8_linear_int8_create(gi8_backend *backend, const gi8_linear_int8_params *params,
                                        gi8_error *error) {
    if (backend == NULL || params == NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "linear_int8_create: the %s is NULL",
                      backend == NULL ? "backend" : "parameter struct");
        return NULL;
    }
    const char *name = params->name != NULL ? params->name : "";
    if (params->in_features < 1 || params->in_features > GI8_INT8_MAX_K ||
        params->out_features < 1) {
        gi8_error_set(error, GI8_ERR_SHAPE,
                      "linear \"%s\": in_features = %" PRId64 " (1 to %d), out_features = %" PRId64
                      " (at least 1)",
                      name, params->in_features, GI8_INT8_MAX_K, params->out_features);
        return NULL;
    }
    gi8_error reason = GI8_ERROR_INIT;
    if (gi8i_check_int8_params(&params->op, &reason) != GI8_OK) {
        gi8_error_set(error, reason.status, "linear \"%s\": %s", name, reason.message);
        return NULL;
    }
    gi8_allocator allocator;
    if (!gi8i_allocator_or_default(params->allocator, &allocator)) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "linear \"%s\": the allocator lacks a function",
                      name);
        return NULL;
    }
    gi8_linear_int8 *linear = gi8i_alloc(&allocator, sizeof *linear, 16);
    if (linear == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "linear \"%s\": no memory for %zu bytes of metadata",
                      name, sizeof *linear);
        return NULL;
    }
    *linear = (gi8_linear_int8){.backend = backend, .allocator = allocator, .op = params->op};
    snprintf(linear->name, sizeof linear->name, "%s", name);
    if (make_leaves(linear, params, error) != GI8_OK || make_memory(linear, error) != GI8_OK) {
        gi8_linear_int8_free(linear);
        return NULL;
    }
    return linear;
}

void gi8_linear_int8_free(gi8_linear_int8 *linear) {
    if (linear == NULL) {
        return;
    }
    gi8_buffer_free(linear->vector_memory);
    gi8_buffer_free(linear->code_memory);
    gi8_context_free(linear->ctx);
    const gi8_allocator allocator = linear->allocator;
    gi8i_free(&allocator, linear, sizeof *linear);
}

/* ---- host tiles ------------------------------------------------------------------------------ */

/* Rows of codes and absmax in host memory: the layer's own memory where the backend computes there
 * and keeps rows, else a tile that is copied. Each call has a tile of its own, so that threads do
 * not meet. */
typedef struct host_rows {
    int8_t *codes;
    float *absmax;
    int64_t max_rows; /* that fit at a time */
    void *tile;       /* NULL: the layer's own memory */
    size_t tile_size;
} host_rows;

static bool in_panels(const gi8_linear_int8 *linear) {
    return linear->codes->layout == GI8_LAYOUT_PANELS;
}

static size_t row_bytes(const gi8_linear_int8 *linear) {
    return (size_t)linear->codes->ne[0] + sizeof(float);
}

static gi8_status open_rows(const gi8_linear_int8 *linear, int64_t n, host_rows *rows,
                            gi8_error *error) {
    *rows = (host_rows){.max_rows = n};
    bool own_rows = gi8_backend_is_host(linear->backend) && !in_panels(linear);
    if (own_rows || n == 0) {
        return GI8_OK;
    }
    int64_t fit = (int64_t)(TILE_BYTES / row_bytes(linear));
    rows->max_rows = n < fit ? n : fit;
    rows->tile_size = (size_t)rows->max_rows * row_bytes(linear);
    rows->tile = gi8i_alloc(&linear->allocator, rows->tile_size, 16);
    if (rows->tile == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY,
                             "linear \"%s\": no memory for a tile of %zu bytes", linear->name,
                             rows->tile_size);
    }
    rows->absmax = rows->tile;
    rows->codes = (int8_t *)(rows->absmax + rows->max_rows);
    return GI8_OK;
}

static void close_rows(const gi8_linear_int8 *linear, host_rows *rows) {
    gi8i_free(&linear->allocator, rows->tile, rows->tile_size);
}

/* Points at rows `first` on, in the layer's memory if there is no tile. */
static void seek_rows(const gi8_linear_int8 *linear, host_rows *rows, int64_t first) {
    if (rows->tile == NULL) {
        rows->codes = (int8_t *)linear->codes->data + first * linear->codes->ne[0];
        rows->absmax = (float *)linear->absmax->data + first;
    }
}

static gi8_status check_rows(const gi8_linear_int8 *linear, int64_t first, int64_t n,
                             const void *data, gi8_error *error) {
    if (linear == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "linear_int8: the layer is NULL");
    }
    int64_t n_rows = linear->codes->ne[1];
    if (first < 0 || n < 0 || first > n_rows || n > n_rows - first) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "linear \"%s\": %" PRId64 " rows from row %" PRId64
                             " on, the layer has %" PRId64,
                             linear->name, n, first, n_rows);
    }
    if (data == NULL && n > 0) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "linear \"%s\": the data is NULL",
                             linear->name);
    }
    return GI8_OK;
}

/* Copies rows of codes and absmax into the layer. */
static gi8_status write_rows(gi8_linear_int8 *linear, int64_t first, int64_t n, const int8_t *codes,
                             const float *absmax, gi8_error *error) {
    size_t k = (size_t)linear->codes->ne[0];
    gi8_status status = GI8_OK;
    if (in_panels(linear)) { /* in host memory, so that they need no backend */
        gi8_panels_pack(codes, linear->codes->ne[0], first, n, linear->codes->data);
    } else {
        status = gi8_tensor_write(linear->codes, (size_t)first * k, codes, (size_t)n * k, error);
    }
    if (status == GI8_OK) {
        status = gi8_tensor_write(linear->absmax, (size_t)first * sizeof(float), absmax,
                                  (size_t)n * sizeof(float), error);
    }
    return status;
}

static gi8_status read_rows(const gi8_linear_int8 *linear, int64_t first, int64_t n,
                            const host_rows *rows, gi8_error *error) {
    size_t k = (size_t)linear->codes->ne[0];
    gi8_status status = GI8_OK;
    if (in_panels(linear)) {
        gi8_panels_unpack(linear->codes->data, linear->codes->ne[0], first, n, rows->codes);
    } else {
        status =
            gi8_tensor_read(linear->codes, (size_t)first * k, rows->codes, (size_t)n * k, error);
    }
    if (status == GI8_OK) {
        status = gi8_tensor_read(linear->absmax, (size_t)first * sizeof(float), rows->absmax,
                                 (size_t)n * sizeof(float), error);
    }
    return status;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* Quantizes rows of one panel, in its place; returns how many of their weights are NaN or Inf. */
static int64_t quantize_in_panel(gi8_linear_int8 *linear, int64_t first, int64_t n, gi8_type type,
                                 const char *w) {
    const gi8_backend_vtable *vtable = linear->backend->vtable;
    const int64_t k = linear->codes->ne[0];
    int8_t *panels = linear->codes->data;
    float *absmax = (float *)linear->absmax->data + first;
    if (n == GI8_PANEL_ROWS && vtable->quantize_panel != NULL) {
        return vtable->quantize_panel(linear->backend, type, w, k,
                                      panels + first * gi8_panels_k(k), absmax);
    }
    int64_t not_finite = 0;
    gi8_int8_quantize_weight_panels(type, w, k, first, n, panels, absmax, &not_finite);
    return not_finite;
}

static int64_t quantize_in_panels(gi8_linear_int8 *linear, int64_t first, int64_t n, gi8_type type,
                                  const char *w) {
    const size_t row_size = (size_t)linear->codes->ne[0] * gi8_type_size(type);
    int64_t not_finite = 0;
    for (int64_t done = 0; done < n;) {
        const int64_t room = GI8_PANEL_ROWS - (first + done) % GI8_PANEL_ROWS;
        const int64_t m = n - done < room ? n - done : room;
        not_finite += quantize_in_panel(linear, first + done, m, type, w + (size_t)done * row_size);
        done += m;
    }
    return not_finite;
}

static gi8_status quantize_in_rows(gi8_linear_int8 *linear, int64_t first, int64_t n, gi8_type type,
                                   const char *w, int64_t *not_finite, gi8_error *error) {
    host_rows rows;
    gi8_status status = open_rows(linear, n, &rows, error);
    const int64_t k = linear->codes->ne[0];
    for (int64_t done = 0; status == GI8_OK && done < n;) {
        int64_t m = n - done < rows.max_rows ? n - done : rows.max_rows;
        const char *from = w + (size_t)(done * k) * gi8_type_size(type);
        int64_t found = 0;
        seek_rows(linear, &rows, first + done);
        status = gi8_int8_quantize_weight_rows(type, from, k, m, rows.codes, rows.absmax, &found);
        if (status == GI8_ERR_NOT_FINITE) {
            status = GI8_OK; /* go on, so that the count is that of all rows */
        }
        if (status == GI8_OK && rows.tile != NULL) {
            status = write_rows(linear, first + done, m, rows.codes, rows.absmax, error);
        }
        *not_finite += found;
        done += m;
    }
    close_rows(linear, &rows);
    return status;
}

gi8_status gi8_linear_int8_load_rows(gi8_linear_int8 *linear, int64_t first, int64_t n,
                                     gi8_type type, const void *w, gi8_error *error) {
    gi8_status status = check_rows(linear, first, n, w, error);
    if (status != GI8_OK) {
        return status;
    }
    if (!gi8_type_is_float(type)) {
        return gi8_error_set(error, GI8_ERR_TYPE,
                             "linear \"%s\": the weight is %s, not F32, F16 or BF16", linear->name,
                             gi8_type_name(type));
    }
    int64_t not_finite = 0;
    if (in_panels(linear)) { /* in host memory */
        not_finite = quantize_in_panels(linear, first, n, type, w);
    } else {
        status = quantize_in_rows(linear, first, n, type, w, &not_finite, error);
    }
    if (status == GI8_OK && not_finite > 0) {
        return gi8_error_set(error, GI8_ERR_NOT_FINITE,
                             "linear \"%s\": %" PRId64 " of the %" PRId64
                             " weights of rows %" PRId64 " to %" PRId64 " are NaN or Inf",
                             linear->name, not_finite, n * linear->codes->ne[0], first,
                             first + n - 1);
    }
    return status;
}

gi8_status gi8_linear_int8_load_codes(gi8_linear_int8 *linear, int64_t first, int64_t n,
                                      const int8_t *codes, const float *absmax, gi8_error *error) {
    gi8_status status = check_rows(linear, first, n, codes, error);
    if (status == GI8_OK) {
        status = check_rows(linear, first, n, absmax, error);
    }
    if (status != GI8_OK) {
        return status;
    }
    int64_t k = linear->codes->ne[0];
    for (int64_t r = 0; r < n; r++) {
        if (!isfinite(absmax[r]) || absmax[r] < 0.0f) {
            return gi8_error_set(error, GI8_ERR_FORMAT,
                                 "linear \"%s\": absmax of row %" PRId64
                                 " is %g, not a finite number >= 0",
                                 linear->name, first + r, (double)absmax[r]);
        }
        const int8_t *bad = memchr(codes + r * k, 0x80, (size_t)k);
        if (bad != NULL) {
            return gi8_error_set(error, GI8_ERR_FORMAT,
                                 "linear \"%s\": code %td of row %" PRId64
                                 " is -128, not in [-127, 127]",
                                 linear->name, bad - (codes + r * k), first + r);
        }
    }
    return write_rows(linear, first, n, codes, absmax, error);
}

gi8_status gi8_linear_int8_load_bias(gi8_linear_int8 *linear, gi8_type type, const void *bias,
                                     gi8_error *error) {
    if (linear == NULL || bias == NULL || linear->bias == NULL) {
        return gi8_error_set(
            error, GI8_ERR_ARGUMENT, "linear \"%s\": %s", linear != NULL ? linear->name : "NULL",
            linear != NULL && linear->bias == NULL ? "the layer has no bias"
                                                   : "the layer or the bias is NULL");
    }
    if (!gi8_type_is_float(type)) {
        return gi8_error_set(error, GI8_ERR_TYPE,
                             "linear \"%s\": the bias is %s, not F32, F16 or BF16", linear->name,
                             gi8_type_name(type));
    }
    int64_t n = linear->bias->ne[0];
    float tile[256];
    const int64_t tile_n = (int64_t)(sizeof tile / sizeof tile[0]);
    gi8_status status = GI8_OK;
    for (int64_t done = 0; status == GI8_OK && done < n; done += tile_n) {
        int64_t m = n - done < tile_n ? n - done : tile_n;
        gi8_convert_to_fp32(type, (const char *)bias + (size_t)done * gi8_type_size(type), m, tile);
        status = gi8_tensor_write(linear->bias, (size_t)done * sizeof(float), tile,
                                  (size_t)m * sizeof(float), error);
    }
    return status;
}

/* ---- use ------------------------------------------------------------------------------------- */

gi8_tensor *gi8_linear_int8_forward(gi8_context *ctx, const gi8_linear_int8 *linear,
                                    gi8_tensor *x) {
    if (linear == NULL) { /* leaves an error in ctx, as any builder without its source */
        return gi8_mul_mat_int8_mixed(ctx, NULL, NULL, NULL, x, NULL);
    }
    return gi8_mul_mat_int8_mixed(ctx, linear->codes, linear->absmax, linear->bias, x, &linear->op);
}

gi8_status gi8_linear_int8_dequantize(const gi8_linear_int8 *linear, int64_t first, int64_t n,
                                      float *w, gi8_error *error) {
    gi8_status status = check_rows(linear, first, n, w, error);
    if (status != GI8_OK) {
        return status;
    }
    host_rows rows;
    status = open_rows(linear, n, &rows, error);
    int64_t k = linear->codes->ne[0];
    for (int64_t done = 0; status == GI8_OK && done < n;) {
        int64_t m = n - done < rows.max_rows ? n - done : rows.max_rows;
        seek_rows(linear, &rows, first + done);
        if (rows.tile != NULL) {
            status = read_rows(linear, first + done, m, &rows, error);
        }
        if (status == GI8_OK) {
            status = gi8_int8_dequantize_weight_rows(rows.codes, rows.absmax, k, m, w + done * k);
        }
        done += m;
    }
    close_rows(linear, &rows);
    return status;
}

gi8_status gi8_linear_int8_read_codes(const gi8_linear_int8 *linear, int64_t first, int64_t n,
                                      int8_t *codes, float *absmax, gi8_error *error) {
    gi8_status status = check_rows(linear, first, n, codes, error);
    if (status == GI8_OK) {
        status = check_rows(linear, first, n, absmax, error);
    }
    const host_rows rows = {.codes = codes, .absmax = absmax};
    return status == GI8_OK ? read_rows(linear, first, n, &rows, error) : status;
}

size_t gi8_linear_int8_footprint(const gi8_linear_int8 *linear) {
    if (linear == NULL) {
        return 0;
    }
    return gi8_nbytes(linear->codes) + gi8_nbytes(linear->absmax) + gi8_nbytes(linear->bias);
}

gi8_tensor *gi8_linear_int8_codes(const gi8_linear_int8 *linear) {
    return linear != NULL ? linear->codes : NULL;
}

gi8_tensor *gi8_linear_int8_absmax(const gi8_linear_int8 *linear) {
    return linear != NULL ? linear->absmax : NULL;
}

gi8_tensor *gi8_linear_int8_bias(const gi8_linear_int8 *linear) {
    return linear != NULL ? linear->bias : NULL;
}
