/* bench_options.c - the two command lines of gptneox-bench: models, and single operations. */
#include "bench_options.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "ggml-int8/gi8_types.h"
#include "gi8_cpu.h"

/* The options that both command lines have, `common` being the first field of both structs. */
#define COMMON(name) offsetof(bench_common, name)
#define COMMON_OPTIONS                                                                             \
    {0, "device", TOOL_DEVICE_ARGUMENT, TOOL_OPTION_TEXT, COMMON(device_name), 0, 0,               \
     TOOL_DEVICE_HELP "\n(default: cpu)"},                                                         \
    {'t', "threads", "N", TOOL_OPTION_INT_LIST, COMMON(threads), 0, 1024,                          \
     "threads of the CPU; 0: one per core (default: 0)"},                                          \
    {'r', "repetitions", "N", TOOL_OPTION_INT, COMMON(repetitions), 1, 100000,                     \
     "measurements of each row (default: 5)"},                                                     \
    {'o', "output", BENCH_FORMATS, TOOL_OPTION_CHOICE, COMMON(format), 0, 0,                       \
     "the format of the table (default: md)"},                                                     \
    {'v', "verbose", NULL, TOOL_OPTION_FLAG, COMMON(verbose), 0, 0,                                \
     "say on standard error what is being done"},                                                  \
    {'h', "help", NULL, TOOL_OPTION_FLAG, COMMON(help), 0, 0, "print this help"},                  \
    {0, "version", NULL, TOOL_OPTION_FLAG, COMMON(version), 0, 0, "print the version"}

static void print_forms(const char *underscored, const char *exit_3) {
    printf("\n"
           "Options also take the form --option=value, and _ for - (%s). [,...] marks\n"
           "lists: values separated by commas, all combinations of which are measured.\n"
           "Exit codes: 0 fine, 2 bad option, 3 %s,\n"
           "4 a file or the output cannot be read or written, 5 out of memory.\n",
           underscored, exit_3);
}

/* What a list holds where it was not given. */
static void set_default(tool_list *list, double value) {
    if (list->n == 0) {
        list->values[list->n++] = value;
    }
}

static gi8_status complete_common(bench_common *common, gi8_error *error) {
    tool_list *threads = &common->threads;
    set_default(threads, 0);
    for (int i = 0; i < threads->n; i++) {
        if (threads->values[i] < 1) {
            threads->values[i] = gi8_cpu_available_cores();
        }
    }
    const char *device = common->device_name != NULL ? common->device_name : "cpu";
    return tool_device_parse(device, &common->device, error);
}

/* ---- models ---------------------------------------------------------------------------------- */

#define MODEL(name) offsetof(bench_model_options, name)

static const tool_option model_specs[] = {
    {'m', "model", "DIR[,DIR...]", TOOL_OPTION_TEXT, MODEL(models), 0, 0,
     "checkpoint directories (default: the bundled model)"},
    {'p', "n-prompt", "N", TOOL_OPTION_INT_LIST, MODEL(n_prompt), 0, 1 << 20,
     "tokens of a prompt, computed at once; 0: no such test\n"
     "(default: 512)"},
    {'n', "n-gen", "N", TOOL_OPTION_INT_LIST, MODEL(n_gen), 0, 1 << 20,
     "tokens that are generated, one at a time; 0: no such\n"
     "test (default: 128)"},
    {'d', "n-depth", "N", TOOL_OPTION_INT_LIST, MODEL(n_depth), 0, 1 << 20,
     "tokens in the cache before the test begins (default: 0)"},
    {0, "weights", "int8|f16|bf16|f32", TOOL_OPTION_CHOICE_LIST, MODEL(weights), 0, 0,
     "how linear layers are kept in memory (default: int8)"},
    {0, "threshold", "X", TOOL_OPTION_FLOAT, MODEL(threshold), 0, FLT_MAX,
     "int8: activations of at least X bypass int8; 0: none\n"
     "does (default: 6)"},
    {0, "outliers", "column|token", TOOL_OPTION_CHOICE, MODEL(outliers), 0, 0,
     "int8: outliers by column of a batch or token by token\n"
     "(default: column)"},
    {0, "quantize-head", NULL, TOOL_OPTION_FLAG, MODEL(quantize_head), 0, 0,
     "int8: the output head too"},
    COMMON_OPTIONS,
    {0, "kernel", NULL, TOOL_OPTION_FLAG, MODEL(kernel), 0, 0,
     "as the first argument: measure single operations; see\n"
     "gptneox-bench --kernel --help"},
};

static const tool_option_table model_table = {
    model_specs, sizeof model_specs / sizeof *model_specs, "a model needs -m"};

static bool any_above_0(const tool_list *list) {
    for (int i = 0; i < list->n; i++) {
        if (list->values[i] > 0) {
            return true;
        }
    }
    return false;
}

gi8_status bench_model_options_parse(bench_model_options *options, int argc, char **argv,
                                     gi8_error *error) {
    *options = (bench_model_options){.common = {.repetitions = 5},
                                     .threshold = GI8_DEFAULT_THRESHOLD};
    gi8_status status = tool_options_parse(&model_table, argc, argv, options, error);
    if (status != GI8_OK) {
        return status;
    }
    if (options->kernel) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "--kernel must be the first argument");
    }
    set_default(&options->n_prompt, 512);
    set_default(&options->n_gen, 128);
    set_default(&options->n_depth, 0);
    set_default(&options->weights, 0);
    status = complete_common(&options->common, error);
    if (status == GI8_OK && !any_above_0(&options->n_prompt) && !any_above_0(&options->n_gen)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "there is nothing to measure: --n-prompt and --n-gen are 0");
    }
    return status;
}

void bench_model_options_print_help(void) {
    printf("usage: gptneox-bench [-m DIR[,DIR...]] [options]\n"
           "       gptneox-bench --kernel [options]\n"
           "\n"
           "Measures how fast GPT-NeoX models compute prompts (pp) and generate (tg), in tokens\n"
           "per second: mean, standard deviation and median of the repetitions after a warm-up.\n"
           "Tokens are random: a model needs no tokenizer. With --kernel: single operations.\n"
           "\n");
    tool_options_print(&model_table);
    print_forms("--n_prompt", "bad model");
}

/* ---- single operations ----------------------------------------------------------------------- */

enum { MAX_N = 1 << 24, MAX_SAMPLES = 1000000 };

#define KERNEL(name) offsetof(bench_kernel_options, name)

static const tool_option kernel_specs[] = {
    {'M', "rows", "N", TOOL_OPTION_INT_LIST, KERNEL(m), 1, 1 << 20,
     "rows of activations: tokens (default: 1,512)"},
    {'N', "out-features", "N", TOOL_OPTION_INT_LIST, KERNEL(n), 1, MAX_N,
     "rows of the weight (default: 4096)"},
    {'K', "in-features", "N", TOOL_OPTION_INT_LIST, KERNEL(k), 1, GI8_INT8_MAX_K,
     "columns of the weight and the activations\n"
     "(default: 4096)"},
    {0, "shape", "NxK[,NxK...]", TOOL_OPTION_TEXT, KERNEL(shape_text), 0, 0,
     "weights, instead of -N and -K"},
    {0, "outliers", "P", TOOL_OPTION_FLOAT_LIST, KERNEL(outliers), 0, 100,
     "int8: columns of outliers, in percent of K; each row\n"
     "of activations has one in each (default: 0)"},
    {0, "outlier-columns", "N", TOOL_OPTION_INT_LIST, KERNEL(outlier_columns), 0, GI8_INT8_MAX_K,
     "their number instead; what exceeds K is K"},
    {0, "rule", "column|token", TOOL_OPTION_CHOICE, KERNEL(rule), 0, 0,
     "int8: outliers by column or token by token\n"
     "(default: column)"},
    {0, "op", "int8|f16|bf16|f32", TOOL_OPTION_CHOICE_LIST, KERNEL(ops), 0, 0,
     "int8: mul_mat_int8_mixed with a bias; the others:\n"
     "mul_mat with such weights (default: int8)"},
    {0, "isa", "scalar|avx2|avxvnni|avx512|avx512vnni|neon|neondot|best", TOOL_OPTION_CHOICE_LIST,
     KERNEL(isa), 0, 0, "the highest instruction set to use (default: best)"},
    {0, "rotate", "MIB", TOOL_OPTION_INT, KERNEL(rotate), 0, 1 << 20,
     "use copies of the weight in turns that fill so much\n"
     "memory; 0: a single one, in the cache if it fits\n"
     "(default: 4 times the last-level cache, at least 1024)"},
    {0, "no-limits", NULL, TOOL_OPTION_FLAG, KERNEL(no_limits), 0, 0,
     "do not measure what the machine could do"},
    COMMON_OPTIONS,
};

static const tool_option_table kernel_table = {
    kernel_specs, sizeof kernel_specs / sizeof *kernel_specs, NULL};

/* Reads a whole number in [1, max] and nothing else up to `end`. */
static bool read_size(const char *text, const char *end, int64_t max, int64_t *size) {
    char *stop;
    errno = 0;
    long long value = strtoll(text, &stop, 10);
    *size = value;
    return text[0] >= '0' && text[0] <= '9' && stop == end && errno == 0 && value >= 1 &&
           value <= max;
}

static gi8_status read_shapes(bench_kernel_options *options, gi8_error *error) {
    for (const char *text = options->shape_text; text != NULL;) {
        size_t size = strcspn(text, ",");
        const char *end = text + size;
        const char *by = memchr(text, 'x', size);
        bench_shape shape;
        if (by == NULL || !read_size(text, by, MAX_N, &shape.n) ||
            !read_size(by + 1, end, GI8_INT8_MAX_K, &shape.k)) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 "--shape needs NxK with N to %d and K to %d, not \"%.*s\"",
                                 MAX_N, GI8_INT8_MAX_K, (int)size, text);
        }
        if (options->n_shapes == BENCH_MAX_SHAPES) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT, "--shape takes %d values at most",
                                 BENCH_MAX_SHAPES);
        }
        options->shapes[options->n_shapes++] = shape;
        text = *end == ',' ? end + 1 : NULL;
    }
    return GI8_OK;
}

static void combine_shapes(bench_kernel_options *options) {
    set_default(&options->n, 4096);
    set_default(&options->k, 4096);
    for (int i = 0; i < options->n.n; i++) {
        for (int j = 0; j < options->k.n; j++) {
            options->shapes[options->n_shapes++] =
                (bench_shape){(int64_t)options->n.values[i], (int64_t)options->k.values[j]};
        }
    }
}

gi8_status bench_kernel_options_parse(bench_kernel_options *options, int argc, char **argv,
                                      gi8_error *error) {
    memset(options, 0, sizeof *options);
    options->common.repetitions = 5;
    options->rotate = -1;
    gi8_status status = tool_options_parse(&kernel_table, argc, argv, options, error);
    if (status != GI8_OK) {
        return status;
    }
    if (options->shape_text != NULL && (options->n.n > 0 || options->k.n > 0)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "--shape (%s) excludes -N and -K",
                             options->shape_text);
    }
    if (options->shape_text != NULL) {
        status = read_shapes(options, error);
    } else {
        combine_shapes(options);
    }
    if (options->m.n == 0) {
        set_default(&options->m, 1);
        options->m.values[options->m.n++] = 512;
    }
    if (options->outliers.n > 0 && options->outlier_columns.n > 0) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "--outliers and --outlier-columns exclude each other");
    }
    if (options->outlier_columns.n == 0) {
        set_default(&options->outliers, 0);
    }
    set_default(&options->ops, BENCH_OP_INT8);
    set_default(&options->isa, GI8_CPU_ISA_COUNT);
    if (status == GI8_OK) {
        status = complete_common(&options->common, error);
    }
    int64_t rows = bench_kernel_options_rows(options);
    if (status == GI8_OK && rows > MAX_SAMPLES / options->common.repetitions) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "%" PRId64 " rows of %" PRId32 " repetitions are too many to measure",
                             rows, options->common.repetitions);
    }
    return status;
}

int64_t bench_kernel_options_rows(const bench_kernel_options *options) {
    const bench_kernel_options *o = options;
    int n_outliers = o->outliers.n + o->outlier_columns.n; /* one of them is 0 */
    return (int64_t)o->ops.n * o->n_shapes * o->m.n * n_outliers * o->isa.n *
           o->common.threads.n; /* 2^42 at most */
}

void bench_kernel_options_print_help(void) {
    printf("usage: gptneox-bench --kernel [options]\n"
           "\n"
           "Measures a single operation, y[m][n] = sum over k of w[n][k] * x[m][k]: the median\n"
           "time of the repetitions and their spread, the arithmetic (2*M*N*K) and the bytes of\n"
           "weights per second, and what part that is of what this machine could do, measured in\n"
           "between.\n"
           "\n");
    tool_options_print(&kernel_table);
    print_forms("--no_limits", "an instruction set that this processor lacks");
}
