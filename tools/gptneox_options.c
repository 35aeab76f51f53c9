/* gptneox_options.c - the command line of gptneox: one table for parsing and for --help. */
#include "gptneox_options.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gptneox.h"

typedef enum option_kind {
    KIND_FLAG,   /* bool, takes no value */
    KIND_TEXT,   /* const char * */
    KIND_INT,    /* int32_t in [min, max] */
    KIND_SEED,   /* int64_t in [min, max] */
    KIND_FLOAT,  /* float in [min, max] */
    KIND_CHOICE  /* int32_t: the place of the value in `argument`, "a|b|c" */
} option_kind;

typedef struct option_spec {
    char letter; /* 0: none */
    const char *name;
    const char *argument; /* how --help calls the value; NULL: takes none */
    option_kind kind;
    size_t offset; /* of the field of gptneox_options */
    double min;
    double max;
    const char *help;
} option_spec;

#define FIELD(name) offsetof(gptneox_options, name)

static const option_spec specs[] = {
    {'m', "model", "DIR", KIND_TEXT, FIELD(model), 0, 0,
     "checkpoint directory: config.json, tokenizer.json,\n"
     "*.safetensors (default: the bundled model)"},
    {'p', "prompt", "TEXT", KIND_TEXT, FIELD(prompt), 0, 0,
     "the text to continue; \"\" starts from the model's\n"
     "begin-of-text token"},
    {'f', "file", "FILE", KIND_TEXT, FIELD(prompt_file), 0, 0,
     "the prompt from a file, - for standard input; one\n"
     "newline at its end is dropped"},
    {'n', "n-predict", "N", KIND_INT, FIELD(n_predict), -1, INT32_MAX,
     "tokens to generate; -1: until the context is full\n"
     "(default: 128)"},
    {'c', "ctx-size", "N", KIND_INT, FIELD(n_ctx), 0, INT32_MAX,
     "context in tokens; 0: what the model was trained for\n"
     "(default: 0)"},
    {'t', "threads", "N", KIND_INT, FIELD(n_threads), 0, 1024,
     "threads; 0: one per core (default: 0)"},
    {'s', "seed", "N", KIND_SEED, FIELD(seed), -1, 9007199254740992.0,
     "random seed; -1: from the clock, and printed\n"
     "(default: -1)"},
    {0, "temp", "T", KIND_FLOAT, FIELD(temperature), 0, FLT_MAX,
     "temperature; 0: always the likeliest token\n"
     "(default: 0.8)"},
    {0, "top-k", "K", KIND_INT, FIELD(top_k), 0, INT32_MAX,
     "keep the K likeliest tokens; 0: all (default: 40)"},
    {0, "top-p", "P", KIND_FLOAT, FIELD(top_p), 1e-6, 1,
     "keep the likeliest tokens that together reach\n"
     "probability P; 1: all (default: 0.95)"},
    {0, "min-p", "P", KIND_FLOAT, FIELD(min_p), 0, 1,
     "keep tokens of at least P times the best one's\n"
     "probability; 0: all (default: 0)"},
    {0, "repeat-penalty", "R", KIND_FLOAT, FIELD(repeat_penalty), 0.01, FLT_MAX,
     "penalty on recent tokens; 1: none (default: 1)"},
    {0, "repeat-last-n", "N", KIND_INT, FIELD(repeat_last_n), 0, INT32_MAX,
     "how many tokens are recent (default: 64)"},
    {0, "ignore-eos", NULL, KIND_FLAG, FIELD(ignore_eos), 0, 0,
     "never choose the end-of-text token"},
    {0, "weights", "int8|f16|bf16|f32", KIND_CHOICE, FIELD(weights), 0, 0,
     "how linear layers are kept in memory (default: int8)"},
    {0, "threshold", "X", KIND_FLOAT, FIELD(threshold), 0, FLT_MAX,
     "int8: activations of at least X bypass int8; 0: none\n"
     "does (default: 6)"},
    {0, "outliers", "column|token", KIND_CHOICE, FIELD(outliers), 0, 0,
     "int8: outliers by column of a batch or token by token\n"
     "(default: column)"},
    {0, "quantize-head", NULL, KIND_FLAG, FIELD(quantize_head), 0, 0,
     "int8: the output head too"},
    {'v', "verbose", NULL, KIND_FLAG, FIELD(verbose), 0, 0,
     "say what is loaded and how it is computed"},
    {'h', "help", NULL, KIND_FLAG, FIELD(help), 0, 0, "print this help"},
    {0, "version", NULL, KIND_FLAG, FIELD(version), 0, 0, "print the version"},
};

enum { N_SPECS = (int)(sizeof specs / sizeof specs[0]) };

/* True where the `size` characters at `name` spell `expected`; '_' counts as '-'. */
static bool same_name(const char *name, size_t size, const char *expected) {
    if (strlen(expected) != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (name[i] != expected[i] && !(name[i] == '_' && expected[i] == '-')) {
            return false;
        }
    }
    return true;
}

/* The option that `arg` names, or NULL; *value points behind a '=' in it, or is NULL. */
static const option_spec *find_spec(const char *arg, const char **value) {
    *value = NULL;
    if (arg[0] != '-' || arg[1] == '\0') {
        return NULL;
    }
    if (arg[1] != '-') {
        for (int i = 0; i < N_SPECS; i++) {
            if (specs[i].letter == arg[1] && arg[2] == '\0') {
                return &specs[i];
            }
        }
        return NULL;
    }
    const char *name = arg + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    for (int i = 0; i < N_SPECS; i++) {
        if (same_name(name, size, specs[i].name)) {
            *value = equals != NULL ? equals + 1 : NULL;
            return &specs[i];
        }
    }
    return NULL;
}

/* Reads a number and nothing else; false also for what is not finite. */
static bool read_number(const char *text, bool whole, double *number) {
    char *end;
    *number = whole ? (double)strtoll(text, &end, 10) : strtod(text, &end);
    return !isspace((unsigned char)text[0]) && end != text && *end == '\0' && isfinite(*number);
}

static gi8_status store_choice(const option_spec *spec, const char *value, int32_t *field,
                               gi8_error *error) {
    int32_t place = 0;
    for (const char *name = spec->argument; name != NULL; place++) {
        const char *bar = strchr(name, '|');
        size_t size = bar != NULL ? (size_t)(bar - name) : strlen(name);
        if (strlen(value) == size && memcmp(name, value, size) == 0) {
            *field = place;
            return GI8_OK;
        }
        name = bar != NULL ? bar + 1 : NULL;
    }
    return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s is one of %s, not \"%s\"", spec->name,
                         spec->argument, value);
}

static gi8_status store_number(const option_spec *spec, const char *value, void *field,
                               gi8_error *error) {
    double number;
    bool whole = spec->kind != KIND_FLOAT;
    if (!read_number(value, whole, &number)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s needs a %snumber, not \"%s\"",
                             spec->name, whole ? "whole " : "", value);
    }
    if (number < spec->min || number > spec->max) {
        if (spec->max < (double)INT32_MAX) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s is between %g and %g, not %s",
                                 spec->name, spec->min, spec->max, value);
        }
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s is %s %.16g, not %s", spec->name,
                             number < spec->min ? "at least" : "at most",
                             number < spec->min ? spec->min : spec->max, value);
    }
    if (spec->kind == KIND_FLOAT) {
        *(float *)field = (float)number;
    } else if (spec->kind == KIND_SEED) {
        *(int64_t *)field = (int64_t)number;
    } else {
        *(int32_t *)field = (int32_t)number;
    }
    return GI8_OK;
}

static gi8_status store(const option_spec *spec, const char *value, gptneox_options *options,
                        gi8_error *error) {
    void *field = (char *)options + spec->offset;
    switch (spec->kind) {
    case KIND_FLAG: *(bool *)field = true; return GI8_OK;
    case KIND_TEXT: *(const char **)field = value; return GI8_OK;
    case KIND_CHOICE: return store_choice(spec, value, field, error);
    case KIND_INT:
    case KIND_SEED:
    case KIND_FLOAT: break;
    }
    return store_number(spec, value, field, error);
}

gi8_status gptneox_options_parse(gptneox_options *options, int argc, char **argv,
                                 gi8_error *error) {
    const gptneox_sampler_params sampler = GPTNEOX_SAMPLER_PARAMS_DEFAULT;
    *options = (gptneox_options){
        .n_predict = 128,
        .seed = -1,
        .temperature = sampler.temperature,
        .top_k = sampler.top_k,
        .top_p = sampler.top_p,
        .min_p = sampler.min_p,
        .repeat_penalty = sampler.repeat_penalty,
        .repeat_last_n = sampler.repeat_last_n,
        .threshold = GI8_DEFAULT_THRESHOLD,
    };
    for (int i = 1; i < argc; i++) {
        const char *value;
        const option_spec *spec = find_spec(argv[i], &value);
        if (spec == NULL) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 argv[i][0] == '-' ? "there is no option %s"
                                                   : "\"%s\" is not an option (a prompt needs -p)",
                                 argv[i]);
        }
        if (spec->kind == KIND_FLAG && value != NULL) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s takes no value, but has \"%s\"",
                                 spec->name, value);
        }
        if (spec->kind != KIND_FLAG && value == NULL) {
            if (i + 1 == argc) {
                return gi8_error_set(error, GI8_ERR_ARGUMENT, "%s needs a value (%s)", argv[i],
                                     spec->argument);
            }
            value = argv[++i];
        }
        gi8_status status = store(spec, value, options, error);
        if (status != GI8_OK) {
            return status;
        }
    }
    if (options->prompt != NULL && options->prompt_file != NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "--prompt and --file (%s) exclude each other", options->prompt_file);
    }
    return GI8_OK;
}

bool gptneox_options_print_help(void) {
    printf("usage: gptneox [-m DIR] -p TEXT [options]\n"
           "\n"
           "Continues a text with a GPT-NeoX model (Pythia and others), linear layers in int8 as in\n"
           "LLM.int8(). The prompt and what follows it go to standard output, everything else to\n"
           "standard error. Without -p and -f the prompt is read from standard input; from a\n"
           "terminal line by line, each continuing the same text: Ctrl-C stops an answer, Ctrl-D\n"
           "or Ctrl-C at the \"> \" leaves.\n"
           "\n");
    for (int i = 0; i < N_SPECS; i++) {
        char left[64];
        char letter[5] = {'-', specs[i].letter, ',', ' ', '\0'};
        snprintf(left, sizeof left, "  %s--%s %s", specs[i].letter != 0 ? letter : "    ",
                 specs[i].name, specs[i].argument != NULL ? specs[i].argument : "");
        bool fits = strlen(left) < 30;
        printf(fits ? "%-30s" : "%s\n%30s", left, "");
        for (const char *c = specs[i].help; *c != '\0'; c++) {
            if (*c == '\n') {
                printf("\n%30s", "");
            } else {
                putchar(*c);
            }
        }
        putchar('\n');
    }
    printf("\n"
           "Options also take the form --option=value, and _ for - (--n_predict).\n"
           "Exit codes: 0 fine, 2 bad option, 3 bad model or prompt, 4 a file or the output cannot\n"
           "be read or written, 5 out of memory, 130 interrupted.\n");
    return fflush(stdout) == 0 && !ferror(stdout);
}
