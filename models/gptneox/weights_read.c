/* weights_read.c - read tiles of whole rows, convert or quantize them, store them.
 *
 * Threads take tiles in the order of the file. Each reads its own into a buffer that stays in its
 * cache until the values are where they belong, and announces what lies some way ahead, so that a
 * disk is kept busy while weights are quantized.
 */
#define _POSIX_C_SOURCE 200809L /* pthread.h */
#include "weights_read.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-int8/gi8_panels.h"
#include "ggml-int8/gi8_quantize.h"

/* Elements of a tile: few enough for the caches; whole panels, unless rows are very long. */
#define TILE_ELEMENTS ((int64_t)1 << 16)
#define MAX_TILE_ELEMENTS ((int64_t)1 << 19)
_Static_assert(MAX_TILE_ELEMENTS >= 3 * GI8_INT8_MAX_K,
               "a tile holds the longest vector, the qkv bias");

/* Of all buffers in use at a time. */
#define MAX_BUFFER_BYTES ((int64_t)16 << 20)

/* How far ahead of what is read a range is announced. */
#define ANNOUNCE_AHEAD ((uint64_t)16 << 20)

/* Rows [first, first + n) of a matrix, and memory for so many. */
typedef struct tile {
    int64_t first;
    int64_t n;
    void *raw;     /* as in the file */
    float *absmax; /* of int8 codes */
    float *wide;   /* as F32 */
    void *narrow;  /* as kept */
} tile;

/* A matrix on its way: what all its tiles share. */
typedef struct reading {
    gptneoxi_tile_reader *reader;
    const gptneoxi_matrix *m;
    gi8_type type; /* in the file */
    gi8_status (*store)(struct reading *r, tile *t, gi8_error *error);
    gi8_tensor *leaf;        /* one of the two is where it goes */
    gi8_linear_int8 *linear;
    bool widens;             /* tiles need the buffers */
    bool narrows;
    int64_t tile_rows;
    int64_t n_tiles;
    pthread_t caller;
    pthread_mutex_t mutex; /* for what follows, and the reader */
    int64_t next;          /* the tile that is taken next */
    int64_t failed;        /* the first one that failed; n_tiles: none did */
    gi8_error failure;
    int64_t not_finite;    /* store_count() */
} reading;

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

/* ---- a tile ---------------------------------------------------------------------------------- */

static int64_t rows_of_tile(const gptneoxi_matrix *m) {
    int64_t rows = TILE_ELEMENTS / m->cols / GI8_PANEL_ROWS * GI8_PANEL_ROWS;
    rows = rows < GI8_PANEL_ROWS ? GI8_PANEL_ROWS : rows;
    rows = rows * m->cols > MAX_TILE_ELEMENTS ? MAX_TILE_ELEMENTS / m->cols : rows;
    return rows < m->rows ? rows : m->rows;
}

/* Bytes of a tile's buffers. */
static int64_t tile_bytes(const reading *r) {
    const int64_t per_element = (int64_t)gi8_type_size(r->type) +
                                (r->widens ? (int64_t)sizeof(float) : 0) +
                                (r->narrows ? (int64_t)sizeof(uint16_t) : 0);
    return r->tile_rows * (r->m->cols * per_element + (int64_t)sizeof(float));
}

static gi8_status tile_alloc(const reading *r, tile *t, gi8_error *error) {
    const size_t elements = (size_t)(r->tile_rows * r->m->cols);
    t->raw = malloc(elements * gi8_type_size(r->type));
    t->absmax = malloc((size_t)r->tile_rows * sizeof(float));
    t->wide = r->widens ? malloc(elements * sizeof(float)) : NULL;
    t->narrow = r->narrows ? malloc(elements * sizeof(uint16_t)) : NULL;
    if (t->raw == NULL || t->absmax == NULL || (r->widens && t->wide == NULL) ||
        (r->narrows && t->narrow == NULL)) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for buffers of %" PRId64 " bytes",
                             tile_bytes(r));
    }
    return GI8_OK;
}

static void tile_free(tile *t) {
    free(t->raw);
    free(t->absmax);
    free(t->wide);
    free(t->narrow);
}

/* What no quantizer writes in a checkpoint of int8 codes, whatever type they are wanted in. */
static gi8_status check_codes(const gptneoxi_matrix *m, const tile *t, gi8_error *error) {
    const char *path = m->values->file->path;
    for (int64_t i = 0; i < t->n; i++) {
        const int8_t *codes = (const int8_t *)t->raw + i * m->cols;
        if (!isfinite(t->absmax[i]) || t->absmax[i] < 0.0f) {
            return gi8_error_set(error, GI8_ERR_FORMAT,
                                 "%s: tensor %s: absmax (SCB) of row %" PRId64
                                 ": expected a finite number >= 0, found %g",
                                 path, m->values->name, t->first + i, (double)t->absmax[i]);
        }
        if (memchr(codes, 0x80, (size_t)m->cols) != NULL) {
            return gi8_error_set(error, GI8_ERR_FORMAT,
                                 "%s: tensor %s: row %" PRId64
                                 ": expected codes in [-127, 127], found -128",
                                 path, m->values->name, t->first + i);
        }
    }
    return GI8_OK;
}

static gi8_status tile_read(const reading *r, tile *t, gi8_error *error) {
    const gptneoxi_matrix *m = r->m;
    const uint64_t row_size = (uint64_t)m->cols * gi8_type_size(r->type);
    const uint64_t offset = m->values->info->offset + (uint64_t)t->first * row_size;
    const size_t size = (size_t)((uint64_t)t->n * row_size);
    gptneoxi_file_announce(m->values->file, offset + ANNOUNCE_AHEAD, size);
    gi8_status status = gptneoxi_file_read(m->values->file, offset, t->raw, size, error);
    if (status == GI8_OK && m->absmax != NULL) {
        status = gptneoxi_file_read(m->absmax->file,
                                    m->absmax->info->offset + (uint64_t)t->first * sizeof(float),
                                    t->absmax, (size_t)t->n * sizeof(float), error);
        if (status == GI8_OK) {
            status = check_codes(m, t, error);
        }
    }
    return status;
}

/* raw -> wide */
static void tile_widen(const reading *r, tile *t) {
    if (r->m->absmax != NULL) {
        gi8_int8_dequantize_weight_rows(t->raw, t->absmax, r->m->cols, t->n, t->wide);
    } else {
        gi8_convert_to_fp32(r->type, t->raw, t->n * r->m->cols, t->wide);
    }
}

/* wide -> narrow, of a 16-bit type; a number must not become infinite on the way. */
static gi8_status tile_narrow(const reading *r, tile *t, gi8_type type, gi8_error *error) {
    const int64_t n = t->n * r->m->cols;
    const uint16_t infinity = type == GI8_TYPE_F16 ? 0x7c00 : 0x7f80;
    const uint16_t *narrow = t->narrow;
    gi8_convert_from_fp32(type, t->wide, n, t->narrow);
    for (int64_t i = 0; i < n; i++) {
        if ((narrow[i] & 0x7fff) == infinity && isfinite(t->wide[i])) {
            return gi8_error_set(error, GI8_ERR_NOT_FINITE,
                                 "%s: tensor %s: %g is too large for %s: load the weights as %s",
                                 r->m->values->file->path, r->m->values->name, (double)t->wide[i],
                                 gi8_type_name(type), type == GI8_TYPE_F16 ? "BF16 or F32" : "F32");
        }
    }
    return GI8_OK;
}

/* ---- all tiles ------------------------------------------------------------------------------- */

/* Tells the caller how far it is, in the caller's thread. */
static gi8_status report(gptneoxi_tile_reader *reader, uint64_t done, gi8_error *error) {
    const gptneox_model_params *params = reader->params;
    if (params == NULL || params->progress == NULL || done == reader->reported) {
        return GI8_OK;
    }
    reader->reported = done;
    if (params->progress(params->user, done, reader->total)) {
        return GI8_OK;
    }
    return gi8_error_set(error, GI8_ERR_CANCELLED,
                         "loading was cancelled after %" PRIu64 " of %" PRIu64 " bytes", done,
                         reader->total);
}

/* The number of a tile that nobody has taken; -1 where none is left, or one failed. */
static int64_t take(reading *r) {
    pthread_mutex_lock(&r->mutex);
    const int64_t index = r->next < r->n_tiles && r->failed == r->n_tiles ? r->next++ : -1;
    pthread_mutex_unlock(&r->mutex);
    return index;
}

/* Tiles are taken in order, so the first one that cannot be stored is among those that were. */
static void fail(reading *r, int64_t index, const gi8_error *error) {
    pthread_mutex_lock(&r->mutex);
    if (index < r->failed) {
        r->failed = index;
        r->failure = *error;
    }
    pthread_mutex_unlock(&r->mutex);
}

static gi8_status done(reading *r, const tile *t, gi8_error *error) {
    pthread_mutex_lock(&r->mutex);
    r->reader->done += (uint64_t)(t->n * r->m->cols) * gi8_type_size(r->type);
    const uint64_t so_far = r->reader->done;
    pthread_mutex_unlock(&r->mutex);
    return pthread_equal(pthread_self(), r->caller) ? report(r->reader, so_far, error) : GI8_OK;
}

/* Reads tiles until none is left: one of several calls at the same time. */
static void read_tiles(void *arg, int64_t call) {
    (void)call;
    reading *r = arg;
    tile t = {0};
    for (int64_t index; (index = take(r)) >= 0;) {
        gi8_error error = GI8_ERROR_INIT;
        gi8_status status = t.raw == NULL ? tile_alloc(r, &t, &error) : GI8_OK;
        t.first = index * r->tile_rows;
        t.n = r->m->rows - t.first < r->tile_rows ? r->m->rows - t.first : r->tile_rows;
        if (status == GI8_OK) {
            status = tile_read(r, &t, &error);
        }
        if (status == GI8_OK) {
            status = r->store(r, &t, &error);
        }
        if (status == GI8_OK) {
            status = done(r, &t, &error);
        }
        if (status != GI8_OK) {
            fail(r, index, &error);
        }
    }
    tile_free(&t);
}

static gi8_status read_matrix(reading *r, gi8_error *error) {
    gptneoxi_source_type(r->m->values, &r->type);
    r->tile_rows = rows_of_tile(r->m);
    r->n_tiles = (r->m->rows + r->tile_rows - 1) / r->tile_rows;
    r->failed = r->n_tiles;
    r->caller = pthread_self();
    if (pthread_mutex_init(&r->mutex, NULL) != 0) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for a mutex");
    }
    const int64_t fit = MAX_BUFFER_BYTES / tile_bytes(r);
    const int64_t calls = fit < 1 ? 1 : fit;
    gi8_backend_parallel(r->reader->backend, r->n_tiles < calls ? r->n_tiles : calls, read_tiles,
                         r);
    pthread_mutex_destroy(&r->mutex);
    if (r->failed < r->n_tiles) {
        return gi8_error_set(error, r->failure.status, "%s", r->failure.message);
    }
    return report(r->reader, r->reader->done, error);
}

/* ---- what becomes of a tile ------------------------------------------------------------------ */

static gi8_status store_leaf(reading *r, tile *t, gi8_error *error) {
    const gi8_type type = r->leaf->type;
    const size_t row_size = (size_t)r->m->cols * gi8_type_size(type);
    const void *data = t->raw;
    if (r->widens) {
        tile_widen(r, t);
        data = t->wide;
    }
    if (r->narrows) {
        gi8_status status = tile_narrow(r, t, type, error);
        if (status != GI8_OK) {
            return status;
        }
        data = t->narrow;
    }
    return gi8_tensor_write(r->leaf, (size_t)t->first * row_size, data, (size_t)t->n * row_size,
                            error);
}

static gi8_status store_int8(reading *r, tile *t, gi8_error *error) {
    if (r->m->absmax != NULL) {
        return gi8_linear_int8_load_codes(r->linear, t->first, t->n, t->raw, t->absmax, error);
    }
    return gi8_linear_int8_load_rows(r->linear, t->first, t->n, r->type, t->raw, error);
}

static gi8_status store_bias(reading *r, tile *t, gi8_error *error) {
    return gi8_linear_int8_load_bias(r->linear, r->type, t->raw, error); /* a vector is one tile */
}

static gi8_status store_count(reading *r, tile *t, gi8_error *error) {
    (void)error;
    int64_t count = 0;
    tile_widen(r, t);
    for (int64_t i = 0; i < t->n * r->m->cols; i++) {
        count += !isfinite(t->wide[i]);
    }
    pthread_mutex_lock(&r->mutex);
    r->not_finite += count;
    pthread_mutex_unlock(&r->mutex);
    return GI8_OK;
}

/* The sentence for a weight that cannot be quantized; counts in all of it, not in one tile. */
static gi8_status not_finite(const gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                             gi8_error *error) {
    gptneoxi_tile_reader again = {.backend = reader->backend};
    reading r = {.reader = &again, .m = m, .store = store_count, .widens = true};
    gi8_status status = read_matrix(&r, error);
    if (status != GI8_OK) {
        return status;
    }
    return gi8_error_set(error, GI8_ERR_NOT_FINITE,
                         "%s: tensor %s: %" PRId64 " of %" PRId64
                         " values are NaN or Inf, expected none in a weight that is quantized",
                         m->values->file->path, m->values->name, r.not_finite, m->rows * m->cols);
}

gi8_status gptneoxi_read_leaf(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                              gi8_tensor *leaf, gi8_error *error) {
    gi8_type type = leaf->type;
    gptneoxi_source_type(m->values, &type);
    reading r = {
        .reader = reader,
        .m = m,
        .store = store_leaf,
        .leaf = leaf,
        .widens = type != leaf->type,
        .narrows = type != leaf->type && leaf->type != GI8_TYPE_F32,
    };
    return read_matrix(&r, error);
}

gi8_status gptneoxi_read_int8_weight(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                                     gi8_linear_int8 *linear, gi8_error *error) {
    reading r = {.reader = reader, .m = m, .store = store_int8, .linear = linear};
    gi8_status status = read_matrix(&r, error);
    return status == GI8_ERR_NOT_FINITE ? not_finite(reader, m, error) : status;
}

gi8_status gptneoxi_read_int8_bias(gptneoxi_tile_reader *reader, const gptneoxi_matrix *m,
                                   gi8_linear_int8 *linear, gi8_error *error) {
    reading r = {.reader = reader, .m = m, .store = store_bias, .linear = linear};
    return read_matrix(&r, error);
}
