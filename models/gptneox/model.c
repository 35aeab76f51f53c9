/* model.c - loading a directory: first what is quick to check. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "config.h"
#include "file.h"

/* Loads tokenizer.json if there is one; ids are embedded, so each needs a row of the embedding. */
static gi8_status load_tokenizer(gptneox_model *model, const char *dir, gi8_error *error) {
    char *path = gptneoxi_path_join(dir, "tokenizer.json", error);
    if (path == NULL) {
        return GI8_ERR_MEMORY;
    }
    gi8_status status = GI8_OK;
    if (gptneoxi_path_exists(path)) {
        gi8_error failure = GI8_ERROR_INIT; /* the caller may not want the sentence */
        model->tokenizer = gptneox_tokenizer_load(path, &failure);
        if (model->tokenizer == NULL) {
            status = gi8_error_set(error, failure.status, "%s", failure.message);
        }
    }
    const int32_t n_ids = gptneox_tokenizer_n_ids(model->tokenizer);
    if (n_ids > model->config.vocab_size) {
        status =
            gi8_error_set(error, GI8_ERR_FORMAT,
                          "%s: expected ids below the vocab_size %d of config.json, found id %d",
                          path, model->config.vocab_size, n_ids - 1);
    }
    free(path);
    return status;
}

/* Keeps the directory's name for gptneox_model_save(), whatever the working directory is then. */
static gi8_status keep_dir(gptneox_model *model, const char *dir, gi8_error *error) {
    gi8_status status = gptneoxi_dir_check(dir, error);
    if (status == GI8_OK) {
        model->dir = realpath(dir, NULL);
        if (model->dir == NULL) {
            status = gptneoxi_io_error(error, dir, "cannot open the directory", errno);
        }
    }
    return status;
}

static bool is_weight_type(gptneox_weight_type type) {
    switch (type) {
    case GPTNEOX_WEIGHTS_INT8:
    case GPTNEOX_WEIGHTS_F16:
    case GPTNEOX_WEIGHTS_BF16:
    case GPTNEOX_WEIGHTS_F32: return true;
    }
    return false;
}

static gi8_status check_params(const gptneox_model_params *params, gi8_error *error) {
    if (!is_weight_type(params->weights)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "gptneox_model_load: weights: expected a gptneox_weight_type, found "
                             "%d", (int)params->weights);
    }
    if (!isfinite(params->threshold)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "gptneox_model_load: threshold: expected a finite number, found %g",
                             (double)params->threshold);
    }
    if (params->outliers != GI8_OUTLIERS_COLUMN && params->outliers != GI8_OUTLIERS_PER_TOKEN) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "gptneox_model_load: outliers: expected a gi8_outliers, found %d",
                             (int)params->outliers);
    }
    return GI8_OK;
}

gptneox_model *gptneox_model_load(const char *dir, gi8_backend *backend,
                                  const gptneox_model_params *params, gi8_error *error) {
    if (dir == NULL || backend == NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_model_load: the %s is NULL",
                      dir == NULL ? "directory" : "backend");
        return NULL;
    }
    const gptneox_model_params defaults = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params = params != NULL ? params : &defaults;
    gptneox_model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for a model", dir);
        return NULL;
    }
    model->backend = backend;
    model->threshold = params->threshold;
    if (check_params(params, error) != GI8_OK || keep_dir(model, dir, error) != GI8_OK ||
        gptneoxi_config_load(&model->config, dir, error) != GI8_OK ||
        load_tokenizer(model, dir, error) != GI8_OK ||
        gptneoxi_weights_load(&model->weights, dir, &model->config, backend, params, error) !=
            GI8_OK) {
        gptneox_model_free(model);
        return NULL;
    }
    return model;
}

void gptneox_model_free(gptneox_model *model) {
    if (model == NULL) {
        return;
    }
    gptneoxi_weights_free(&model->weights, &model->config);
    gptneox_tokenizer_free(model->tokenizer);
    free(model->dir);
    free(model);
}

const gptneox_config *gptneox_model_config(const gptneox_model *model) {
    return model != NULL ? &model->config : NULL;
}

const gptneox_tokenizer *gptneox_model_tokenizer(const gptneox_model *model) {
    return model != NULL ? model->tokenizer : NULL;
}

gptneox_footprint gptneox_model_footprint(const gptneox_model *model) {
    gptneox_footprint footprint = {0, 0, 0};
    if (model != NULL) {
        footprint.weight_bytes = model->weights.bytes;
        footprint.fp16_bytes = 2 * model->weights.n_parameters;
        footprint.n_parameters = model->weights.n_parameters;
    }
    return footprint;
}

int32_t gptneox_n_tokens(const gptneox_model *model) {
    if (model == NULL) {
        return 0;
    }
    return model->tokenizer != NULL ? gptneox_tokenizer_n_ids(model->tokenizer)
                                    : model->config.vocab_size;
}
