/* isa.h - which instruction set the kernels may use. */
#ifndef GI8I_CPU_ISA_H
#define GI8I_CPU_ISA_H

#include <stdbool.h>

#include "gi8_cpu.h"

/* The set of a new backend: the best that is available, not above `limit` where `limited`, and not
 * above what the environment variable GI8_CPU_ISA names.
 * GI8_ERR_ARGUMENT: an unknown name there, or a `limit` that is no set; GI8_ERR_UNSUPPORTED: a set
 * that this processor lacks, or of another architecture. */
gi8_status gi8i_cpu_choose_isa(bool limited, gi8_cpu_isa limit, gi8_cpu_isa *chosen,
                               gi8_error *error);

/* True where a backend for `isa` uses kernels written for `kernel_isa`. */
bool gi8i_cpu_isa_includes(gi8_cpu_isa isa, gi8_cpu_isa kernel_isa);

#endif
