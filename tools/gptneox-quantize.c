/* gptneox-quantize.c - writes the int8 form of a checkpoint, as bitsandbytes does. */
#define _POSIX_C_SOURCE 200809L

#include <float.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "gi8_cpu.h"
#include "gptneox.h"
#include "tool.h"
#include "tool_options.h"

typedef struct quantize_options {
    const char *model;
    const char *output;
    float threshold;
    int32_t n_threads;
    bool quantize_head;
    bool force;
    bool help;
    bool version;
} quantize_options;

#define FIELD(name) offsetof(quantize_options, name)

static const tool_option specs[] = {
    {'m', "model", "DIR", TOOL_OPTION_TEXT, FIELD(model), 0, 0,
     "checkpoint directory: config.json, *.safetensors"},
    {'o', "output", "DIR", TOOL_OPTION_TEXT, FIELD(output), 0, 0,
     "where to; made if absent"},
    {0, "quantize-head", NULL, TOOL_OPTION_FLAG, FIELD(quantize_head), 0, 0,
     "the output head too"},
    {0, "threshold", "X", TOOL_OPTION_FLOAT, FIELD(threshold), 0, FLT_MAX,
     "what config.json tells transformers (gptneox takes its\n"
     "own --threshold): activations of at least X bypass\n"
     "int8 (default: 6)"},
    {0, "force", NULL, TOOL_OPTION_FLAG, FIELD(force), 0, 0,
     "replace a checkpoint that is there"},
    {'t', "threads", "N", TOOL_OPTION_INT, FIELD(n_threads), 0, 1024,
     "threads; 0: one per core (default: 0)"},
    {'h', "help", NULL, TOOL_OPTION_FLAG, FIELD(help), 0, 0, "print this help"},
    {0, "version", NULL, TOOL_OPTION_FLAG, FIELD(version), 0, 0, "print the version"},
};

static const tool_option_table table = {specs, sizeof specs / sizeof *specs,
                                        "-m names the model, -o the output"};

static int fail(const gi8_error *error) {
    fprintf(stderr, "gptneox-quantize: %s\n", error->message);
    return tool_exit_code(error->status);
}

static int print_help(void) {
    puts("usage: gptneox-quantize -m DIR -o DIR [options]\n"
         "\n"
         "Writes a GPT-NeoX checkpoint with int8 weights, in the form of transformers with\n"
         "bitsandbytes (LLM.int8()): it loads without being quantized again.\n");
    tool_options_print(&table);
    puts("\n"
         "Options also take the form --option=value, and _ for - (--quantize_head).\n"
         "Exit codes: 0 fine, 2 bad option, 3 bad model, 4 a file or the output cannot be\n"
         "read or written, 5 out of memory.");
    return tool_finish_output("gptneox-quantize");
}

/* A bar, drawn anew for each percent. */
static bool on_progress(void *user, uint64_t done, uint64_t total) {
    int *shown = user;
    int percent = total > 0 ? (int)((double)done / (double)total * 100) : 100;
    if (percent != *shown && isatty(STDERR_FILENO)) {
        *shown = percent;
        fprintf(stderr, "\rquantizing %3d %%", percent);
    }
    return true;
}

static gptneox_model *load(const quantize_options *o, gi8_backend *backend, gi8_error *error) {
    int shown = -1;
    gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
    params.threshold = o->threshold;
    params.quantize_head = o->quantize_head;
    params.progress = on_progress;
    params.user = &shown;
    gptneox_model *model = gptneox_model_load(o->model, backend, &params, error);
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K");
    }
    return model;
}

static int print_footprint(const char *dir, const gptneox_model *model) {
    gptneox_footprint f = gptneox_model_footprint(model);
    static const double MIB = 1024.0 * 1024.0;
    printf("%s: %" PRIu64 " parameters, %.1f MiB of weights, %.3f of the %.1f in fp16\n", dir,
           f.n_parameters, (double)f.weight_bytes / MIB,
           (double)f.weight_bytes / (double)f.fp16_bytes, (double)f.fp16_bytes / MIB);
    return tool_finish_output("gptneox-quantize");
}

static int quantize(const quantize_options *o) {
    gi8_error error = GI8_ERROR_INIT;
    gi8_cpu_params cpu = {.n_threads = o->n_threads};
    gi8_backend *backend = gi8_cpu_backend_create(&cpu, &error);
    gptneox_model *model = backend != NULL ? load(o, backend, &error) : NULL;
    int code;
    if (model == NULL || gptneox_model_save(model, o->output, o->force, &error) != GI8_OK) {
        code = fail(&error);
    } else {
        code = print_footprint(o->output, model);
    }
    gptneox_model_free(model);
    gi8_backend_free(backend);
    return code;
}

int main(int argc, char **argv) {
    quantize_options o = {.threshold = GI8_DEFAULT_THRESHOLD};
    gi8_error error = GI8_ERROR_INIT;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error to report */
    if (tool_options_parse(&table, argc, argv, &o, &error) == GI8_OK) {
        if (o.help) {
            return print_help();
        }
        if (o.version) {
            puts("gptneox-quantize " GPTNEOX_VERSION);
            return tool_finish_output("gptneox-quantize");
        }
        if (o.model != NULL && o.output != NULL) {
            return quantize(&o);
        }
        gi8_error_set(&error, GI8_ERR_ARGUMENT, "needs a model (-m) and an output (-o)");
    }
    fprintf(stderr, "gptneox-quantize: %s; --help lists the options\n", error.message);
    return TOOL_EXIT_USAGE;
}
