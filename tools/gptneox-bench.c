/* gptneox-bench.c - measures speed: of models, and of single operations. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench_modes.h"
#include "tool.h"

static int fail(const gi8_error *error) {
    fprintf(stderr, "gptneox-bench: %s\n", error->message);
    return tool_exit_code(error->status);
}

/* The exit code, once everything written has reached standard output. */
static int finish(gi8_status status, gi8_error *error) {
    errno = 0;
    if (status == GI8_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        status = gi8_error_set(error, GI8_ERR_IO, "standard output cannot be written%s%s",
                               errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    }
    return status == GI8_OK ? TOOL_EXIT_OK : fail(error);
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
    return finish(status, &error);
}
