/* bench_modes.h - what gptneox-bench measures. */
#ifndef BENCH_MODES_H
#define BENCH_MODES_H

#include "bench_options.h"

/* Measure what the options ask for and write the table to standard output. The statuses are the
 * library's. */
gi8_status bench_models(const bench_model_options *options, gi8_error *error);
gi8_status bench_kernels(const bench_kernel_options *options, gi8_error *error);

#endif
