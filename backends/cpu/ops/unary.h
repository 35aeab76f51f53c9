/* unary.h - what the elementwise operations of one source share. */
#ifndef GI8I_CPU_OPS_UNARY_H
#define GI8I_CPU_OPS_UNARY_H

#include "../cpu_impl.h"

/* dst = kind(src[0]), shared among the threads. */
void gi8i_cpu_run_unary(const gi8i_cpu_run *run, const gi8_step *step, gi8i_unary kind,
                        float factor);

/* What the kernel computes for an activation. */
gi8i_unary gi8i_cpu_activation_kind(const gi8_tensor *node);

#endif
