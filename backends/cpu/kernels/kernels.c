/* kernels.c - fills the table of kernels for an instruction set. */
#include "kernels.h"

#include "../isa.h"

void gi8i_kernels_choose(gi8_cpu_isa isa, gi8i_kernels *kernels) {
    /* The list goes from the least to the best: the last one that fits stays. */
#define GI8I_KERNEL(kernel)
#define GI8I_KERNEL_VARIANT(kernel, variant, kernel_isa)            \
    if (gi8i_cpu_isa_includes(isa, GI8_CPU_ISA_##kernel_isa)) {     \
        kernels->kernel = gi8i_##kernel##_##variant;                \
    }
#include "kernels.def"
#undef GI8I_KERNEL
#undef GI8I_KERNEL_VARIANT
}
