/* binary.h - what add and mul share. */
#ifndef GI8I_CPU_OPS_BINARY_H
#define GI8I_CPU_OPS_BINARY_H

#include "../cpu_impl.h"

/* dst = src[0] + src[1] or src[0] * src[1], src[1] repeated where its dimensions are 1. */
void gi8i_cpu_run_binary(const gi8i_cpu_run *run, const gi8_step *step, bool multiply);

#endif
