/* checkpoint.h - the tensors of a Hugging Face checkpoint directory, in whichever files. */
#ifndef GPTNEOXI_CHECKPOINT_H
#define GPTNEOXI_CHECKPOINT_H

#include "safetensors.h"

/* A tensor and where it lies. */
typedef struct gptneoxi_source {
    const char *name; /* without the prefix "gpt_neox.", which some files lack */
    const gptneoxi_file *file;
    const gptneoxi_tensor_info *info;
} gptneoxi_source;

typedef struct gptneoxi_checkpoint {
    gptneoxi_safetensors *shards;
    size_t n_shards;
    gptneoxi_source *tensors; /* in the order of their names */
    size_t n_tensors;
} gptneoxi_checkpoint;

/* Opens DIR/model.safetensors, or else the shards that DIR/model.safetensors.index.json names, and
 * checks their headers. GI8_ERR_IO, GI8_ERR_FORMAT, GI8_ERR_UNSUPPORTED (only PyTorch files are
 * there; an unknown element type), GI8_ERR_MEMORY; then *checkpoint is left empty. */
gi8_status gptneoxi_checkpoint_open(gptneoxi_checkpoint *checkpoint, const char *dir,
                                    gi8_error *error);
void gptneoxi_checkpoint_close(gptneoxi_checkpoint *checkpoint);

/* Removes the shards that DIR/model.safetensors.index.json names, if the names end in .safetensors:
 * the index is not to be trusted with other files. Nothing happens where there is no index, or one
 * that breaks its format. GI8_ERR_IO, GI8_ERR_MEMORY. */
gi8_status gptneoxi_checkpoint_remove_shards(const char *dir, gi8_error *error);

/* The tensor of this name, NULL if there is none. */
const gptneoxi_source *gptneoxi_checkpoint_find(const gptneoxi_checkpoint *checkpoint,
                                                const char *name);

#endif
