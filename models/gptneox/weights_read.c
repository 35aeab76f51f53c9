/* weights_read.c - read a tile of whole rows, convert or quantize it, store it. */
#include "weights_read.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-int8/gi8_quantize.h"

/* Elements of a tile: few enough for the caches, enough for a row of any accepted config. */
#define TILE_ELEMENTS ((int64_t)1 << 19)
_Static_assert(TILE_ELEMENTS >= 3 * GI8_INT8_MAX_K,
               "a tile holds the longest vector, the qkv bias");

gi8_status gptneoxi_tile_reader_init(gptneoxi_tile_reader *reader, uint64_t total,
                                     const gptneox_model_params *params, gi8_error *error) {
    const size_t size = (size_t)TILE_ELEMENTS * sizeof(float);
    *reader = (gptneoxi_tile_reader){
        .raw = malloc(size),
        .wide = malloc(size),
        .narrow = malloc(size),
        .absmax = malloc(size),
        .total = total,
        .params = params,
    };
    if (reader->raw == NULL || reader->wide == NULL || reader->narrow == NULL ||
        reader->absmax == NULL) {
        gptneoxi_tile_reader_free(reader);
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for buffers of %zu bytes", 4 * size);
    }
    return GI8_OK;
}

void gptneoxi_tile_reader_free(gptneoxi_tile_reader *reader) {
    free(reader->raw);
    free(reader->wide);
    free(reader->narrow);
    free(reader->absmax);
    *reader = (gptneoxi_tile_reader){0};
}

bool gptneoxi_source_type(const gptneoxi_source *source, gi8_type *type) {
    static const gi8_type types[] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16, GI8_TYPE_I8};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(source->info->dtype, gi8_type_name(types[i])) == 0) {
            *type = types[i];
            return true;
        }
    }
    return false;
}

/* Rows [first, first + n) of a matrix, in the reader's buffers. */
typedef struct tile {
    int64_t first;
    int64_t n;
    gi8_type type; /* of reader->raw; with I8, reader->absmax is filled too */
} tile;

/* The first tile of a matrix. */
static tile tile_begin(const gptneoxi_matrix *m) {
    tile t = {.first = 0, .n = 0, .type = GI8_TYPE_COUNT};
    gptneoxi_source_type(m->values, &t.type);
    return t;
}

/* Goes to the next tile and reads it; t->n is 0 behind the last one. */
static gi8_status tile_next(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m, tile *t,
                            gi8_error *error) {
    t->first += t->n;
    const int64_t fit = TILE_ELEMENTS / m->cols;
    const int64_t left = m->rows - t->first;
    t->n = left < fit ? left : fit;
    const uint64_t row_size = (uint64_t)m->cols * gi8_type_size(t->type);
    gi8_status status = gptneoxi_file_read(m->values->file,
                                           m->values->info->offset + (uint64_t)t->first * row_size,
                                           reader->raw, (size_t)((uint64_t)t->n * row_size), error);
    if (status == GI8_OK && m->absmax != NULL) {
        status = gptneoxi_file_read(m->absmax->file,
                                    m->absmax->info->offset + (uint64_t)t->first * sizeof(float),
                                    reader->absmax, (size_t)t->n * sizeof(float), error);
    }
    return status;
}

/* Tells the caller that a tile is in its place. */
static gi8_status tile_done(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m, const tile *t,
                            gi8_error *error) {
    reader->done += (uint64_t)t->n * (uint64_t)m->cols * gi8_type_size(t->type);
    const gptneox_model_params *params = reader->params;
    if (params->progress != NULL && !params->progress(params->user, reader->done, reader->total)) {
        return gi8_error_set(error, GI8_ERR_CANCELLED,
                             "loading was cancelled after %" PRIu64 " of %" PRIu64 " bytes",
                             reader->done, reader->total);
    }
    return GI8_OK;
}

/* raw -> wide */
static void tile_widen(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m, const tile *t) {
    if (m->absmax != NULL) {
        gi8_int8_dequantize_weight_rows(reader->raw, reader->absmax, m->cols, t->n, reader->wide);
    } else {
        gi8_convert_to_fp32(t->type, reader->raw, t->n * m->cols, reader->wide);
    }
}

/* wide -> narrow, of a 16-bit type; a number must not become infinite on the way. */
static gi8_status tile_narrow(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m, const tile *t,
                              gi8_type type, gi8_error *error) {
    const int64_t n = t->n * m->cols;
    const uint16_t infinity = type == GI8_TYPE_F16 ? 0x7c00 : 0x7f80;
    const uint16_t *narrow = reader->narrow;
    gi8_convert_from_fp32(type, reader->wide, n, reader->narrow);
    for (int64_t i = 0; i < n; i++) {
        if ((narrow[i] & 0x7fff) == infinity && isfinite(reader->wide[i])) {
            return gi8_error_set(error, GI8_ERR_NOT_FINITE,
                                 "%s: tensor %s: %g is too large for %s: load the weights as %s",
                                 m->values->file->path, m->values->name, (double)reader->wide[i],
                                 gi8_type_name(type), type == GI8_TYPE_F16 ? "BF16 or F32" : "F32");
        }
    }
    return GI8_OK;
}

gi8_status gptneoxi_read_leaf(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                              gi8_tensor *leaf, gi8_error *error) {
    const size_t row_size = (size_t)m->cols * gi8_type_size(leaf->type);
    gi8_status status = GI8_OK;
    for (tile t = tile_begin(m); status == GI8_OK && t.first + t.n < m->rows;) {
        status = tile_next(reader, m, &t, error);
        const void *data = reader->raw;
        if (status == GI8_OK && t.type != leaf->type) {
            tile_widen(reader, m, &t);
            data = reader->wide;
            if (leaf->type != GI8_TYPE_F32) {
                status = tile_narrow(reader, m, &t, leaf->type, error);
                data = reader->narrow;
            }
        }
        if (status == GI8_OK) {
            status = gi8_tensor_write(leaf, (size_t)t.first * row_size, data,
                                      (size_t)t.n * row_size, error);
        }
        if (status == GI8_OK) {
            status = tile_done(reader, m, &t, error);
        }
    }
    return status;
}

/* The sentence for a weight that cannot be quantized; counts in all of it, not in one tile. */
static gi8_status not_finite(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                             gi8_error *error) {
    int64_t count = 0;
    for (tile t = tile_begin(m); t.first + t.n < m->rows;) {
        gi8_status status = tile_next(reader, m, &t, error);
        if (status != GI8_OK) {
            return status;
        }
        tile_widen(reader, m, &t);
        for (int64_t i = 0; i < t.n * m->cols; i++) {
            count += !isfinite(reader->wide[i]);
        }
    }
    return gi8_error_set(error, GI8_ERR_NOT_FINITE,
                         "%s: tensor %s: %" PRId64 " of %" PRId64
                         " values are NaN or Inf, expected none in a weight that is quantized",
                         m->values->file->path, m->values->name, count, m->rows * m->cols);
}

gi8_status gptneoxi_read_int8_weight(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                                     gi8_linear_int8 *linear, gi8_error *error) {
    gi8_status status = GI8_OK;
    for (tile t = tile_begin(m); status == GI8_OK && t.first + t.n < m->rows;) {
        status = tile_next(reader, m, &t, error);
        if (status != GI8_OK) {
            break;
        }
        if (m->absmax != NULL) {
            status = gi8_linear_int8_load_codes(linear, t.first, t.n, reader->raw, reader->absmax,
                                                error);
        } else {
            status = gi8_linear_int8_load_rows(linear, t.first, t.n, t.type, reader->raw, error);
        }
        if (status == GI8_ERR_NOT_FINITE) {
            status = not_finite(reader, m, error);
        } else if (status == GI8_OK) {
            status = tile_done(reader, m, &t, error);
        }
    }
    return status;
}

gi8_status gptneoxi_read_int8_bias(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                                   gi8_linear_int8 *linear, gi8_error *error) {
    tile t = tile_begin(m);
    gi8_status status = tile_next(reader, m, &t, error); /* a vector is one row and so one tile */
    if (status == GI8_OK) {
        status = gi8_linear_int8_load_bias(linear, t.type, reader->raw, error);
    }
    return status == GI8_OK ? tile_done(reader, m, &t, error) : status;
}
