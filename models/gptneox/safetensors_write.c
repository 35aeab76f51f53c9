/* safetensors_write.c - the header of a .safetensors file. */
#include "safetensors_write.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_SIZE = 8 };

/* {"dtype": .., "shape": [..], "data_offsets": [begin, end]} */
static json_t *entry_json(const gptneoxi_tensor_entry *entry, uint64_t begin) {
    json_t *shape = json_array();
    for (int i = 0; i < entry->n_dims; i++) {
        if (json_array_append_new(shape, json_integer((json_int_t)entry->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", entry->dtype, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + entry->size));
}

static json_t *header_json(const gptneoxi_tensor_entry *entries, size_t n) {
    json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    uint64_t offset = 0;
    for (size_t i = 0; root != NULL && i < n; i++) {
        if (json_object_set_new(root, entries[i].name, entry_json(&entries[i], offset)) != 0) {
            json_decref(root);
            root = NULL;
        }
        offset += entries[i].size;
    }
    return root;
}

char *gptneoxi_safetensors_header(const gptneoxi_tensor_entry *entries, size_t n, size_t *size,
                                  gi8_error *error) {
    json_t *root = header_json(entries, n);
    char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    const size_t length = text != NULL ? strlen(text) : 0;
    const size_t padded = (length + 7) / 8 * 8;
    char *header = text != NULL ? malloc(LENGTH_SIZE + padded) : NULL;
    if (header != NULL) {
        for (int i = 0; i < LENGTH_SIZE; i++) {
            header[i] = (char)(unsigned char)((uint64_t)padded >> (8 * i));
        }
        memcpy(header + LENGTH_SIZE, text, length);
        memset(header + LENGTH_SIZE + length, ' ', padded - length);
        *size = LENGTH_SIZE + padded;
    } else {
        gi8_error_set(error, GI8_ERR_MEMORY, "no memory for a table of %zu tensors", n);
    }
    free(text);
    json_decref(root);
    return header;
}
