/* checkpoint.c - one safetensors file, or shards by their index. */
#define _POSIX_C_SOURCE 200809L /* opendir */
#include "checkpoint.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "output.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"
#define MAX_INDEX_SIZE ((size_t)16 << 20)
#define PREFIX "gpt_neox."

/* ---- shards ---------------------------------------------------------------------------------- */

static gi8_status open_shard(gptneoxi_checkpoint *checkpoint, const char *path, gi8_error *error) {
    size_t size = (checkpoint->n_shards + 1) * sizeof checkpoint->shards[0];
    gptneoxi_safetensors *shards = realloc(checkpoint->shards, size);
    if (shards == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory to open one more file", path);
    }
    checkpoint->shards = shards;
    gi8_status status = gptneoxi_safetensors_open(&shards[checkpoint->n_shards], path, error);
    if (status == GI8_OK) {
        checkpoint->n_shards++;
    }
    return status;
}

/* The name of an open shard in its directory. */
static const char *shard_name(const gptneoxi_safetensors *shard) {
    const char *slash = strrchr(shard->file.path, '/');
    return slash != NULL ? slash + 1 : shard->file.path;
}

static bool is_open(const gptneoxi_checkpoint *checkpoint, const char *name) {
    for (size_t i = 0; i < checkpoint->n_shards; i++) {
        if (strcmp(shard_name(&checkpoint->shards[i]), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether a name in the index stays in its directory. */
static bool is_file_name(const char *name) {
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, "..") != 0;
}

/* Opens every file that the index names, each once. */
static gi8_status open_shards(gptneoxi_checkpoint *checkpoint, const char *dir,
                              const char *index_path, json_t *weight_map, gi8_error *error) {
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value) {
        const char *shard = json_string_value(value);
        if (shard == NULL) {
            return gi8_error_set(error, GI8_ERR_FORMAT,
                                 "%s: weight_map: %.128s: expected a file name, found %s",
                                 index_path, name, gptneoxi_json_kind(value));
        }
        if (!is_file_name(shard)) {
            return gi8_error_set(error, GI8_ERR_FORMAT,
                                 "%s: weight_map: %.128s: expected the name of a file in the same "
                                 "directory, found \"%.128s\"", index_path, name, shard);
        }
        if (is_open(checkpoint, shard)) {
            continue;
        }
        char *path = gptneoxi_path_join(dir, shard, error);
        gi8_status status = path != NULL ? open_shard(checkpoint, path, error) : GI8_ERR_MEMORY;
        free(path);
        if (status != GI8_OK) {
            return status;
        }
    }
    return GI8_OK;
}

/* ---- the table of tensors -------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    const gptneoxi_source *x = a;
    const gptneoxi_source *y = b;
    return strcmp(x->name, y->name);
}

/* Lists the tensors of all shards; with a weight_map only those it assigns to their shard. */
static gi8_status list_tensors(gptneoxi_checkpoint *checkpoint, const char *dir,
                               const json_t *weight_map, gi8_error *error) {
    size_t n = 0;
    for (size_t i = 0; i < checkpoint->n_shards; i++) {
        n += checkpoint->shards[i].n_tensors;
    }
    checkpoint->tensors = calloc(n + 1, sizeof checkpoint->tensors[0]);
    if (checkpoint->tensors == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for a table of %zu tensors", dir,
                             n);
    }
    for (size_t i = 0; i < checkpoint->n_shards; i++) {
        const gptneoxi_safetensors *shard = &checkpoint->shards[i];
        for (size_t j = 0; j < shard->n_tensors; j++) {
            const char *name = shard->tensors[j].name;
            if (weight_map != NULL) {
                const char *assigned = json_string_value(json_object_get(weight_map, name));
                if (assigned == NULL || strcmp(assigned, shard_name(shard)) != 0) {
                    continue;
                }
            }
            bool prefixed = strncmp(name, PREFIX, sizeof PREFIX - 1) == 0;
            checkpoint->tensors[checkpoint->n_tensors++] = (gptneoxi_source){
                .name = prefixed ? name + (sizeof PREFIX - 1) : name,
                .file = &shard->file,
                .info = &shard->tensors[j],
            };
        }
    }
    qsort(checkpoint->tensors, checkpoint->n_tensors, sizeof checkpoint->tensors[0], by_name);
    for (size_t i = 1; i < checkpoint->n_tensors; i++) {
        const char *name = checkpoint->tensors[i].name;
        if (strcmp(checkpoint->tensors[i - 1].name, name) == 0) {
            return gi8_error_set(
                error, GI8_ERR_FORMAT,
                "%s: tensor %.128s: found twice, with and without the prefix " PREFIX, dir, name);
        }
    }
    return GI8_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static gi8_status open_index(gptneoxi_checkpoint *checkpoint, const char *dir, const char *path,
                             gi8_error *error) {
    gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
    json_t *index = gptneoxi_json_load(path, MAX_INDEX_SIZE, &failure);
    if (index == NULL) {
        return gi8_error_set(error, failure.status, "%s", failure.message);
    }
    json_t *weight_map = json_object_get(index, "weight_map");
    gi8_status status;
    if (!json_is_object(weight_map)) {
        status =
            gi8_error_set(error, GI8_ERR_FORMAT, "%s: weight_map: expected an object, found %s",
                          path, gptneoxi_json_kind(weight_map));
    } else {
        status = open_shards(checkpoint, dir, path, weight_map, error);
    }
    if (status == GI8_OK) {
        status = list_tensors(checkpoint, dir, weight_map, error);
    }
    json_decref(index);
    return status;
}

static bool has_suffix(const char *text, const char *suffix) {
    size_t length = strlen(text);
    size_t suffix_length = strlen(suffix);
    return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

/* Says what is there instead of safetensors. */
static gi8_status refuse_directory(const char *dir, gi8_error *error) {
    gi8_status status = gptneoxi_dir_check(dir, error);
    if (status != GI8_OK) {
        return status;
    }
    status =
        gi8_error_set(error, GI8_ERR_IO,
                      "%.512s: expected " SINGLE_NAME " or " INDEX_NAME ", found neither", dir);
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        if (has_suffix(name, ".bin") || has_suffix(name, ".pt") || has_suffix(name, ".pth")) {
            status =
                gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                              "%.512s: expected " SINGLE_NAME ", found %.128s: PyTorch files are "
                              "not read; convert it with transformers: from_pretrained(), then "
                              "save_pretrained(..., safe_serialization=True)",
                              dir, name);
            break;
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return status;
}

gi8_status gptneoxi_checkpoint_open(gptneoxi_checkpoint *checkpoint, const char *dir,
                                    gi8_error *error) {
    *checkpoint = (gptneoxi_checkpoint){0};
    char *single = gptneoxi_path_join(dir, SINGLE_NAME, error);
    char *index = gptneoxi_path_join(dir, INDEX_NAME, error);
    gi8_status status = GI8_ERR_MEMORY;
    if (single != NULL && index != NULL) {
        if (gptneoxi_path_exists(single)) {
            status = open_shard(checkpoint, single, error);
            if (status == GI8_OK) {
                status = list_tensors(checkpoint, dir, NULL, error);
            }
        } else if (gptneoxi_path_exists(index)) {
            status = open_index(checkpoint, dir, index, error);
        } else {
            status = refuse_directory(dir, error);
        }
    }
    free(single);
    free(index);
    if (status != GI8_OK) {
        gptneoxi_checkpoint_close(checkpoint);
    }
    return status;
}

gi8_status gptneoxi_checkpoint_remove_shards(const char *dir, gi8_error *error) {
    char *path = gptneoxi_path_join(dir, INDEX_NAME, error);
    if (path == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
    const bool exists = gptneoxi_path_exists(path);
    json_t *index = exists ? gptneoxi_json_load(path, MAX_INDEX_SIZE, &failure) : NULL;
    free(path);
    if (index == NULL && exists && failure.status != GI8_ERR_FORMAT) {
        return gi8_error_set(error, failure.status, "%s", failure.message);
    }
    gi8_status status = GI8_OK;
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(index, "weight_map"), name, value) {
        const char *shard = json_string_value(value);
        if (status == GI8_OK && shard != NULL && is_file_name(shard) &&
            has_suffix(shard, ".safetensors")) {
            status = gptneoxi_file_remove(dir, shard, error);
        }
    }
    json_decref(index);
    return status;
}

void gptneoxi_checkpoint_close(gptneoxi_checkpoint *checkpoint) {
    for (size_t i = 0; i < checkpoint->n_shards; i++) {
        gptneoxi_safetensors_close(&checkpoint->shards[i]);
    }
    free(checkpoint->shards);
    free(checkpoint->tensors);
    *checkpoint = (gptneoxi_checkpoint){0};
}

const gptneoxi_source *gptneoxi_checkpoint_find(const gptneoxi_checkpoint *checkpoint,
                                                const char *name) {
    gptneoxi_source key = {.name = name};
    if (checkpoint->n_tensors == 0) {
        return NULL;
    }
    return bsearch(&key, checkpoint->tensors, checkpoint->n_tensors, sizeof checkpoint->tensors[0],
                   by_name);
}
