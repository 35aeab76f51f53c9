/* gptneox_options.h - the command line of gptneox. */
#ifndef GPTNEOX_OPTIONS_H
#define GPTNEOX_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"
#include "tool_backend.h"

/* What the command line asks for. Strings point into argv. */
typedef struct gptneox_options {
    const char *model;       /* NULL: the bundled model */
    const char *prompt;      /* NULL: none given */
    const char *prompt_file; /* NULL: none given; "-": standard input */
    int32_t n_predict;       /* -1: until the context is full */
    const char *device_name; /* as given */
    tool_device device;
    int32_t n_threads;       /* 0: one per core */
    int32_t n_ctx;           /* 0: the model's */
    int64_t seed;            /* -1: taken from the clock */
    float temperature;
    int32_t top_k;
    float top_p;
    float min_p;
    float repeat_penalty;
    int32_t repeat_last_n;
    bool ignore_eos;
    int32_t weights;  /* a gptneox_weight_type */
    float threshold;
    int32_t outliers; /* a gi8_outliers */
    bool quantize_head;
    bool verbose;
    bool help;
    bool version;
} gptneox_options;

/* Reads the command line. GI8_ERR_ARGUMENT with a sentence that names the option and its value. */
gi8_status gptneox_options_parse(gptneox_options *options, int argc, char **argv, gi8_error *error);

/* Writes the help text to standard output. False where that fails. */
bool gptneox_options_print_help(void);

#endif
