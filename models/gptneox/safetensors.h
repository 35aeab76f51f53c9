/* safetensors.h - one .safetensors file: its table of tensors, checked, and their bytes.
 *
 * The format: 8 bytes of header length, little-endian; a JSON object of that length,
 *   {"name": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}, "__metadata__": {..}}
 * then the data, to which the offsets refer, without holes or overlaps, little-endian.
 */
#ifndef GPTNEOXI_SAFETENSORS_H
#define GPTNEOXI_SAFETENSORS_H

#include "file.h"

#define GPTNEOXI_MAX_DIMS 8

typedef struct gptneoxi_tensor_info {
    char *name;
    const char *dtype; /* "F32", "F16", "BF16", "I8", "U8", ...: a static string */
    int n_dims;
    uint64_t shape[GPTNEOXI_MAX_DIMS]; /* as in the file: the last dimension is contiguous */
    uint64_t offset;                   /* of the first byte in the file */
    uint64_t size;                     /* bytes */
} gptneoxi_tensor_info;

typedef struct gptneoxi_safetensors {
    gptneoxi_file file;
    gptneoxi_tensor_info *tensors; /* in the order of their offsets */
    size_t n_tensors;
} gptneoxi_safetensors;

/* Opens a file and checks its whole header, so that every tensor in the table lies in the file and
 * has the bytes of its shape. GI8_ERR_IO, GI8_ERR_FORMAT, GI8_ERR_UNSUPPORTED (an element type that
 * is not known), GI8_ERR_MEMORY; then *st is left empty. */
gi8_status gptneoxi_safetensors_open(gptneoxi_safetensors *st, const char *path, gi8_error *error);
void gptneoxi_safetensors_close(gptneoxi_safetensors *st);

/* Writes a shape as "[2, 3]"; a text that does not fit is cut. Returns `text`. */
char *gptneoxi_shape_text(char *text, size_t size, const uint64_t *shape, int n_dims);

#endif
