/* gptneox_options.c - the command line of gptneox. */
#include "gptneox_options.h"

#include <float.h>
#include <stddef.h>
#include <stdio.h>

#include "gptneox.h"
#include "tool_options.h"

#define FIELD(name) offsetof(gptneox_options, name)

static const tool_option specs[] = {
    {'m', "model", "DIR", TOOL_OPTION_TEXT, FIELD(model), 0, 0,
     "checkpoint directory: config.json, tokenizer.json,\n"
     "*.safetensors (default: the bundled model)"},
    {'p', "prompt", "TEXT", TOOL_OPTION_TEXT, FIELD(prompt), 0, 0,
     "the text to continue; \"\" starts from the model's\n"
     "begin-of-text token"},
    {'f', "file", "FILE", TOOL_OPTION_TEXT, FIELD(prompt_file), 0, 0,
     "the prompt from a file, - for standard input; one\n"
     "newline at its end is dropped"},
    {'n', "n-predict", "N", TOOL_OPTION_INT, FIELD(n_predict), -1, INT32_MAX,
     "tokens to generate; -1: until the context is full\n"
     "(default: 128)"},
    {'c', "ctx-size", "N", TOOL_OPTION_INT, FIELD(n_ctx), 0, INT32_MAX,
     "context in tokens; 0: what the model was trained for\n"
     "(default: 0)"},
    {0, "device", TOOL_DEVICE_ARGUMENT, TOOL_OPTION_TEXT, FIELD(device_name), 0, 0,
     TOOL_DEVICE_HELP "\n(default: auto)"},
    {'t', "threads", "N", TOOL_OPTION_INT, FIELD(n_threads), 0, 1024,
     "threads of the CPU; 0: one per core (default: 0)"},
    {'s', "seed", "N", TOOL_OPTION_BIG_INT, FIELD(seed), -1, 9007199254740991.0,
     "random seed; -1: from the clock, and printed\n"
     "(default: -1)"},
    {0, "temp", "T", TOOL_OPTION_FLOAT, FIELD(temperature), 0, FLT_MAX,
     "temperature; 0: always the likeliest token\n"
     "(default: 0.8)"},
    {0, "top-k", "K", TOOL_OPTION_INT, FIELD(top_k), 0, INT32_MAX,
     "keep the K likeliest tokens; 0: all (default: 40)"},
    {0, "top-p", "P", TOOL_OPTION_FLOAT, FIELD(top_p), 1e-6, 1,
     "keep the likeliest tokens that together reach\n"
     "probability P; 1: all (default: 0.95)"},
    {0, "min-p", "P", TOOL_OPTION_FLOAT, FIELD(min_p), 0, 1,
     "keep tokens of at least P times the best one's\n"
     "probability; 0: all (default: 0)"},
    {0, "repeat-penalty", "R", TOOL_OPTION_FLOAT, FIELD(repeat_penalty), 0.01, FLT_MAX,
     "penalty on recent tokens; 1: none (default: 1)"},
    {0, "repeat-last-n", "N", TOOL_OPTION_INT, FIELD(repeat_last_n), 0, INT32_MAX,
     "how many tokens are recent (default: 64)"},
    {0, "ignore-eos", NULL, TOOL_OPTION_FLAG, FIELD(ignore_eos), 0, 0,
     "never choose the end-of-text token"},
    {0, "weights", "int8|f16|bf16|f32", TOOL_OPTION_CHOICE, FIELD(weights), 0, 0,
     "how linear layers are kept in memory (default: int8)"},
    {0, "threshold", "X", TOOL_OPTION_FLOAT, FIELD(threshold), 0, FLT_MAX,
     "int8: activations of at least X bypass int8; 0: none\n"
     "does (default: 6)"},
    {0, "outliers", "column|token", TOOL_OPTION_CHOICE, FIELD(outliers), 0, 0,
     "int8: outliers by column of a batch or token by token\n"
     "(default: column)"},
    {0, "quantize-head", NULL, TOOL_OPTION_FLAG, FIELD(quantize_head), 0, 0,
     "int8: the output head too"},
    {'v', "verbose", NULL, TOOL_OPTION_FLAG, FIELD(verbose), 0, 0,
     "say what is loaded and how it is computed"},
    {'h', "help", NULL, TOOL_OPTION_FLAG, FIELD(help), 0, 0, "print this help"},
    {0, "version", NULL, TOOL_OPTION_FLAG, FIELD(version), 0, 0, "print the version"},
};

static const tool_option_table table = {specs, sizeof specs / sizeof *specs, "a prompt needs -p"};

gi8_status gptneox_options_parse(gptneox_options *options, int argc, char **argv,
                                 gi8_error *error) {
    const gptneox_sampler_params sampler = GPTNEOX_SAMPLER_PARAMS_DEFAULT;
    *options = (gptneox_options){
        .device_name = "auto",
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
    gi8_status status = tool_options_parse(&table, argc, argv, options, error);
    if (status != GI8_OK) {
        return status;
    }
    if (options->prompt != NULL && options->prompt_file != NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "--prompt and --file (%s) exclude each other", options->prompt_file);
    }
    return tool_device_parse(options->device_name, &options->device, error);
}

bool gptneox_options_print_help(void) {
    printf("usage: gptneox [-m DIR] -p TEXT [options]\n"
           "\n"
           "Continues a text with a GPT-NeoX model (Pythia and others), linear layers in int8\n"
           "as in LLM.int8(). The prompt and what follows it go to standard output, everything\n"
           "else to standard error. Without -p and -f the prompt is read from standard input;\n"
           "from a terminal line by line, each continuing the same text: Ctrl-C stops an answer,\n"
           "Ctrl-D or Ctrl-C at the \"> \" leaves.\n"
           "\n");
    tool_options_print(&table);
    printf("\n"
           "Options also take the form --option=value, and _ for - (--n_predict).\n"
           "Exit codes: 0 fine, 2 bad option, 3 bad model or prompt, 4 a file or the output\n"
           "cannot be read or written, 5 out of memory, 130 interrupted.\n");
    return fflush(stdout) == 0 && !ferror(stdout);
}
