/* bench_options.h - the two command lines of gptneox-bench: models, and single operations. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"
#include "tool_backend.h"
#include "tool_options.h"

/* What both have. */
typedef struct bench_common {
    const char *device_name; /* as given */
    tool_device device;
    tool_list threads;   /* of the CPU, each at least 1 */
    int32_t repetitions;
    int32_t format;      /* a bench_format */
    bool verbose;
    bool help;
    bool version;
} bench_common;

typedef struct bench_model_options {
    bench_common common;
    const char *models; /* folders, separated by commas; NULL: the bundled model */
    tool_list n_prompt;
    tool_list n_gen;
    tool_list n_depth;
    tool_list weights;  /* of gptneox_weight_type */
    float threshold;
    int32_t outliers;   /* a gi8_outliers */
    bool quantize_head;
    bool kernel;        /* always false: --kernel is the first argument or nothing */
} bench_model_options;

/* In the order in which --op names them. */
typedef enum bench_op_kind {
    BENCH_OP_INT8,
    BENCH_OP_F16,
    BENCH_OP_BF16,
    BENCH_OP_F32
} bench_op_kind;

/* A weight of `n` rows of `k` elements. */
typedef struct bench_shape {
    int64_t n;
    int64_t k;
} bench_shape;

enum { BENCH_MAX_SHAPES = TOOL_LIST_MAX * TOOL_LIST_MAX };

typedef struct bench_kernel_options {
    bench_common common;
    tool_list m;
    tool_list n;
    tool_list k;
    const char *shape_text; /* of --shape; NULL: not given */
    bench_shape shapes[BENCH_MAX_SHAPES]; /* what --shape, or -N and -K, come to */
    int n_shapes;
    tool_list outliers; /* columns of outliers in percent of K */
    tool_list outlier_columns; /* instead: their number, at most K of them */
    int32_t rule;       /* a gi8_outliers */
    tool_list isa;      /* of gi8_cpu_isa; GI8_CPU_ISA_COUNT: the best */
    tool_list ops;      /* of bench_op_kind */
    int32_t rotate;     /* MiB; -1: chosen by the size of the cache */
    bool no_limits;
} bench_kernel_options;

/* Read the command line. GI8_ERR_ARGUMENT with a sentence that names the option and its value.
 * Lists that are not given get their defaults, and 0 threads become one per core. */
gi8_status bench_model_options_parse(bench_model_options *options, int argc, char **argv,
                                     gi8_error *error);
gi8_status bench_kernel_options_parse(bench_kernel_options *options, int argc, char **argv,
                                      gi8_error *error);

/* The most rows that the options may come to. */
int64_t bench_kernel_options_rows(const bench_kernel_options *options);

/* Write the help texts to standard output. */
void bench_model_options_print_help(void);
void bench_kernel_options_print_help(void);

#endif
