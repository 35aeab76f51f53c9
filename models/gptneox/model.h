/* model.h - what a gptneox_model is made of. */
#ifndef GPTNEOXI_MODEL_H
#define GPTNEOXI_MODEL_H

#include "weights.h"

struct gptneox_model {
    gptneox_config config;
    gptneoxi_weights weights;
    gptneox_tokenizer *tokenizer; /* NULL where the directory has none */
    gi8_backend *backend;
    char *dir;       /* where it was loaded from, without symbolic links */
    float threshold; /* of outliers */
};

#endif
