/* gptneox-bench.c - measures speed: of models, and of single operations. */
#include <stdio.h>
#include <string.h>

#include "bench_modes.h"
#include "tool.h"

static int fail(const gi8_error *error) {
    fprintf(stderr, "gptneox-bench: %s\n", error->message);
    return tool_exit_code(error->status);
}

int main(int argc, char **argv) {
    static bench_model_options model; /* large */
    static bench_kernel_options kernel;
    gi8_error error = GI8_ERROR_INIT;
    bool kernels = argc > 1 && (strcmp(argv[1], "--kernel") == 0 || strcmp(argv[1], "kernel") == 0);
    gi8_status status = kernels ? bench_kernel_options_parse(&kernel, argc - 1, argv + 1, &error)
                                : bench_model_options_parse(&model, argc, argv, &error);
    if (status != GI8_OK) {
        fprintf(stderr, "gptneox-bench: %s; --help lists the options\n", error.message);
        return TOOL_EXIT_USAGE;
    }
    const bench_common *common = kernels ? &kernel.common : &model.common;
    if (common->help && kernels) {
        bench_kernel_options_print_help();
    } else if (common->help) {
        bench_model_options_print_help();
    } else if (common->version) {
        puts("gptneox-bench " GPTNEOX_VERSION);
    } else {
        status = kernels ? bench_kernels(&kernel, &error) : bench_models(&model, &error);
    }
    return status == GI8_OK ? tool_finish_output("gptneox-bench") : fail(&error);
}
