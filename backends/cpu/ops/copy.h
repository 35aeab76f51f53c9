/* copy.h - what cont and cpy share. */
#ifndef GI8I_CPU_OPS_COPY_H
#define GI8I_CPU_OPS_COPY_H

#include "../cpu_impl.h"

/* Copies the elements of `src` in the order of its dimensions to those of `dst` in the order of its
 * own; any strides; float types are converted. */
void gi8i_cpu_copy(const gi8i_cpu_run *run, const gi8_tensor *src, const void *src_data,
                   const gi8_tensor *dst, void *dst_data);

#endif
