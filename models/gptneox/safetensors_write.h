/* safetensors_write.h - the header of a .safetensors file that is written. */
#ifndef GPTNEOXI_SAFETENSORS_WRITE_H
#define GPTNEOXI_SAFETENSORS_WRITE_H

#include <stdint.h>

#include "ggml-int8/gi8_status.h"

/* A tensor to write. */
typedef struct gptneoxi_tensor_entry {
    const char *name;
    const char *dtype; /* "F32", "F16", "BF16", "I8", "U8" */
    int n_dims;        /* 0 for a scalar */
    uint64_t shape[2]; /* the last dimension is contiguous */
    uint64_t size;     /* bytes */
} gptneoxi_tensor_entry;

/* The first bytes of the file: length and JSON, padded to a multiple of 8 bytes, with the metadata
 * {"format": "pt"} that transformers asks for. The data follows without holes, in the order of the
 * entries; readers that map the file want larger element types first. *size gets the bytes; the
 * caller frees what it gets. NULL: GI8_ERR_MEMORY. */
char *gptneoxi_safetensors_header(const gptneoxi_tensor_entry *entries, size_t n, size_t *size,
                                  gi8_error *error);

#endif
