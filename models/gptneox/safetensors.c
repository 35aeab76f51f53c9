/* safetensors.c - reading the header of a .safetensors file, believing nothing unchecked. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define LENGTH_SIZE 8 /* bytes of the header's length in front of it */
/* A tensor takes about 100 bytes of header; the models of the family have up to 1000 of them. */
#define MAX_HEADER_SIZE ((uint64_t)16 << 20)

static const struct {
    const char *name;
    unsigned bits;
} dtypes[] = {
    {"F32", 32},        {"F16", 16},       {"BF16", 16},    {"I8", 8},       {"U8", 8},
    {"BOOL", 8},        {"I16", 16},       {"U16", 16},     {"I32", 32},     {"U32", 32},
    {"I64", 64},        {"U64", 64},       {"F64", 64},     {"C64", 64},     {"F8_E4M3", 8},
    {"F8_E5M2", 8},     {"F8_E8M0", 8},    {"F6_E2M3", 6},  {"F6_E3M2", 6},  {"F4", 4},
    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
};

char *gptneoxi_shape_text(char *text, size_t size, const uint64_t *shape, int n_dims) {
    size_t used = 0;
    for (int i = 0; i < n_dims && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%" PRIu64, i == 0 ? "[" : ", ", shape[i]);
        used += (size_t)n;
    }
    if (used < size) {
        snprintf(text + used, size - used, n_dims == 0 ? "[]" : "]");
    }
    return text;
}

/* What the entry of a tensor says, with the sentence for everything that may be wrong with it. */
typedef struct entry_reader {
    const char *path;
    const char *name;
    gi8_error *error;
} entry_reader;

static gi8_status bad_entry(const entry_reader *r, const char *key, const char *expected,
                            const json_t *found) {
    return gi8_error_set(r->error, GI8_ERR_FORMAT, "%s: tensor %.128s: %s: expected %s, found %s",
                         r->path, r->name, key, expected, gptneoxi_json_kind(found));
}

static gi8_status read_dtype(const entry_reader *r, const json_t *value, gptneoxi_tensor_info *t,
                             unsigned *bits) {
    if (!json_is_string(value)) {
        return bad_entry(r, "dtype", "a string", value);
    }
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(dtypes[i].name, json_string_value(value)) == 0) {
            t->dtype = dtypes[i].name;
            *bits = dtypes[i].bits;
            return GI8_OK;
        }
    }
    return gi8_error_set(r->error, GI8_ERR_UNSUPPORTED,
                         "%s: tensor %.128s: the dtype \"%.32s\" is not known", r->path, r->name,
                         json_string_value(value));
}

/* A JSON integer that is not negative. */
static bool read_size(const json_t *value, uint64_t *size) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *size = (uint64_t)json_integer_value(value);
    return true;
}

static gi8_status read_shape(const entry_reader *r, const json_t *value, gptneoxi_tensor_info *t) {
    if (!json_is_array(value)) {
        return bad_entry(r, "shape", "an array of sizes", value);
    }
    size_t n_dims = json_array_size(value);
    if (n_dims > GPTNEOXI_MAX_DIMS) {
        return gi8_error_set(r->error, GI8_ERR_UNSUPPORTED,
                             "%s: tensor %.128s: shape: expected at most %d dimensions, found %zu",
                             r->path, r->name, GPTNEOXI_MAX_DIMS, n_dims);
    }
    t->n_dims = (int)n_dims;
    for (size_t i = 0; i < n_dims; i++) {
        const json_t *size = json_array_get(value, i);
        if (!read_size(size, &t->shape[i])) {
            return bad_entry(r, "shape", "sizes of 0 or more", size);
        }
    }
    return GI8_OK;
}

/* Bytes of the shape. False where they are no whole number, or do not fit 64 bits. */
static bool shape_bytes(const gptneoxi_tensor_info *t, unsigned bits, uint64_t *bytes) {
    uint64_t total = bits;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->shape[i] != 0 && total > UINT64_MAX / t->shape[i]) {
            return false;
        }
        total *= t->shape[i];
    }
    *bytes = total / 8;
    return total % 8 == 0;
}

/* Fills *t but for its name. `data_size` bytes of data begin at `data_begin` of the file. */
static gi8_status read_entry(const entry_reader *r, const json_t *entry, uint64_t data_begin,
                             uint64_t data_size, gptneoxi_tensor_info *t) {
    if (!json_is_object(entry)) {
        return bad_entry(r, "entry", "an object", entry);
    }
    unsigned bits = 0;
    gi8_status status = read_dtype(r, json_object_get(entry, "dtype"), t, &bits);
    if (status == GI8_OK) {
        status = read_shape(r, json_object_get(entry, "shape"), t);
    }
    if (status != GI8_OK) {
        return status;
    }
    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t begin;
    uint64_t end;
    if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &begin) ||
        !read_size(json_array_get(offsets, 1), &end)) {
        return gi8_error_set(r->error, GI8_ERR_FORMAT,
                             "%s: tensor %.128s: data_offsets: expected two offsets of 0 or more",
                             r->path, r->name);
    }
    if (begin > end || end > data_size) {
        return gi8_error_set(r->error, GI8_ERR_FORMAT,
                             "%s: tensor %.128s: data_offsets: expected a range within the %" PRIu64
                             " bytes of data, found %" PRIu64 " to %" PRIu64, r->path, r->name,
                             data_size, begin, end);
    }
    t->offset = data_begin + begin;
    t->size = end - begin;
    uint64_t expected = 0;
    char shape[96];
    gptneoxi_shape_text(shape, sizeof shape, t->shape, t->n_dims);
    if (!shape_bytes(t, bits, &expected)) {
        return gi8_error_set(r->error, GI8_ERR_FORMAT,
                             "%s: tensor %.128s: a %s of shape %s has no size in bytes", r->path,
                             r->name, t->dtype, shape);
    }
    if (t->size != expected) {
        return gi8_error_set(r->error, GI8_ERR_FORMAT,
                             "%s: tensor %.128s: data_offsets: expected the %" PRIu64
                             " bytes of a %s of shape %s, found %" PRIu64,
                             r->path, r->name, expected, t->dtype, shape, t->size);
    }
    return GI8_OK;
}

static int by_offset(const void *a, const void *b) {
    const gptneoxi_tensor_info *x = a;
    const gptneoxi_tensor_info *y = b;
    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    return x->size < y->size ? -1 : x->size > y->size; /* empty tensors first */
}

/* Sorts the table and checks that the tensors cover the data exactly. */
static gi8_status check_layout(gptneoxi_safetensors *st, uint64_t data_begin, gi8_error *error) {
    if (st->n_tensors > 0) {
        qsort(st->tensors, st->n_tensors, sizeof st->tensors[0], by_offset);
    }
    uint64_t next = data_begin;
    for (size_t i = 0; i < st->n_tensors; i++) {
        const gptneoxi_tensor_info *t = &st->tensors[i];
        if (t->offset != next) {
            return gi8_error_set(error, GI8_ERR_FORMAT,
                                 "%s: tensor %.128s: data_offsets: expected %" PRIu64
                                 " to be the next offset, found %" PRIu64 " (%s)", st->file.path,
                                 t->name, next - data_begin, t->offset - data_begin,
                                 t->offset < next ? "tensors overlap" : "a hole in the data");
        }
        next = t->offset + t->size;
    }
    if (next != st->file.size) {
        return gi8_error_set(error, GI8_ERR_FORMAT,
                             "%s: expected %" PRIu64 " bytes by its header, found %" PRIu64,
                             st->file.path, next, st->file.size);
    }
    return GI8_OK;
}

/* Reads the whole table from the parsed header. */
static gi8_status read_table(gptneoxi_safetensors *st, json_t *header, uint64_t data_begin,
                             gi8_error *error) {
    if (!json_is_object(header)) {
        return gi8_error_set(error, GI8_ERR_FORMAT, "%s: the header: expected an object, found %s",
                             st->file.path, gptneoxi_json_kind(header));
    }
    st->tensors = calloc(json_object_size(header) + 1, sizeof st->tensors[0]);
    if (st->tensors == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for its table of tensors",
                             st->file.path);
    }
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            continue;
        }
        entry_reader r = {st->file.path, name, error};
        gptneoxi_tensor_info *t = &st->tensors[st->n_tensors];
        gi8_status status = read_entry(&r, entry, data_begin, st->file.size - data_begin, t);
        if (status != GI8_OK) {
            return status;
        }
        t->name = strdup(name);
        if (t->name == NULL) {
            return gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for a tensor's name",
                                 st->file.path);
        }
        st->n_tensors++;
    }
    return check_layout(st, data_begin, error);
}

/* Length, then text, then table. */
static gi8_status read_header(gptneoxi_safetensors *st, gi8_error *error) {
    const gptneoxi_file *file = &st->file;
    uint8_t bytes[LENGTH_SIZE];
    if (file->size < LENGTH_SIZE + 2) { /* 2: {} */
        return gi8_error_set(error, GI8_ERR_FORMAT,
                             "%s: expected a safetensors file, found only %" PRIu64 " bytes",
                             file->path, file->size);
    }
    gi8_status status = gptneoxi_file_read(file, 0, bytes, sizeof bytes, error);
    if (status != GI8_OK) {
        return status;
    }
    uint64_t length = 0;
    for (int i = LENGTH_SIZE - 1; i >= 0; i--) {
        length = length << 8 | bytes[i];
    }
    uint64_t limit = file->size - LENGTH_SIZE;
    limit = limit < MAX_HEADER_SIZE ? limit : MAX_HEADER_SIZE;
    if (length < 2 || length > limit) {
        return gi8_error_set(
            error, GI8_ERR_FORMAT,
            "%s: not a safetensors file, or a truncated one: header length: expected "
            "2 to %" PRIu64 ", found %" PRIu64,
            file->path, limit, length);
    }
    char *text = malloc((size_t)length);
    if (text == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for its header of %" PRIu64
                             " bytes", file->path, length);
    }
    status = gptneoxi_file_read(file, LENGTH_SIZE, text, (size_t)length, error);
    if (status == GI8_OK) {
        gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
        json_t *header = gptneoxi_json_parse(file->path, text, (size_t)length, &failure);
        if (header != NULL) {
            status = read_table(st, header, LENGTH_SIZE + length, error);
        } else {
            status = gi8_error_set(error, failure.status, "%s", failure.message);
        }
        json_decref(header);
    }
    free(text);
    return status;
}

gi8_status gptneoxi_safetensors_open(gptneoxi_safetensors *st, const char *path, gi8_error *error) {
    *st = (gptneoxi_safetensors){.file = {.fd = -1}};
    gi8_status status = gptneoxi_file_open(&st->file, path, error);
    if (status == GI8_OK) {
        status = read_header(st, error);
    }
    if (status != GI8_OK) {
        gptneoxi_safetensors_close(st);
    }
    return status;
}

void gptneoxi_safetensors_close(gptneoxi_safetensors *st) {
    for (size_t i = 0; i < st->n_tensors; i++) {
        free(st->tensors[i].name);
    }
    free(st->tensors);
    gptneoxi_file_close(&st->file);
    *st = (gptneoxi_safetensors){.file = {.fd = -1}};
}
