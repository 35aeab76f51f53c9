/* cuda_runtime.h - stands in front of the toolkit's header of this name where .cu files are
 * compiled as C++ for the CUDA emulation: the toolkit's types and runtime functions, and CUDA's
 * language. */
#ifndef GI8EMU_CUDA_RUNTIME_H
#define GI8EMU_CUDA_RUNTIME_H

#ifndef __cplusplus
#error "the CUDA emulation compiles .cu files as C++17"
#endif

#include <math.h>
#include <stdint.h>

#include <builtin_types.h>
#include <cuda_runtime_api.h>
#include <library_types.h>
#include <vector_functions.h>

/* The toolkit defines __global__, __device__, __host__ and the like to nothing already. */
#define __launch_bounds__(...)

#include <gi8emu_device.h>
#include <gi8emu_launch.h>
#include <gi8emu_collective.h>
#include <gi8emu_atomic.h>
#include <gi8emu_math.h>

#endif
