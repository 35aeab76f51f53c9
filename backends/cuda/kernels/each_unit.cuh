/* each_unit.cuh - one kernel for everything that is computed unit by unit over the rows of tensors.
 *
 * `f` is a struct of values with a type `place` and two functions on the device:
 *   place begin(int64_t row)                what its units need to know of a row
 *   void unit(const place &p, int64_t i)    unit i of that row
 */
#ifndef GI8I_CUDA_EACH_UNIT_CUH
#define GI8I_CUDA_EACH_UNIT_CUH

#include "launch.cuh"

template <typename F>
static __global__ void gi8i_each_unit(F f, int64_t n_rows, int64_t n_units) {
    int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
    for (; row < n_rows; row += static_cast<int64_t>(gridDim.x) * blockDim.y) {
        typename F::place place = f.begin(row);
        int64_t i = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
        for (; i < n_units; i += static_cast<int64_t>(gridDim.y) * blockDim.x) {
            f.unit(place, i);
        }
    }
}

/* Enqueues f for `n_rows` rows of `n_units` units; nothing where one of them is 0. */
template <typename F>
static gi8_status gi8i_launch_each_unit(const char *name, const gi8i_cuda_run *run, const F &f,
                                        int64_t n_rows, int64_t n_units, gi8_error *error) {
    if (n_rows <= 0 || n_units <= 0) {
        return GI8_OK;
    }
    const int64_t threads = 256;
    int64_t width = 1; /* threads side by side in a row: a part of a warp, or some warps */
    while (width < 32 && width < n_units) {
        width *= 2;
    }
    if (n_units > width) {
        width = n_units < threads ? gi8i_div_up(n_units, width) * width : threads;
    }
    int64_t height = threads / width;
    int64_t most = static_cast<int64_t>(run->device->n_multiprocessors) * 32;
    int64_t columns = gi8i_div_up(n_rows, height);
    columns = columns < most ? columns : most;
    int64_t rest = most / columns;
    rest = rest < 65535 ? rest : 65535;
    int64_t parts = gi8i_div_up(n_units, width);
    parts = parts < rest ? parts : rest;
    return gi8i_launch(name, gi8i_each_unit<F>,
                       dim3(static_cast<unsigned>(columns), static_cast<unsigned>(parts)),
                       dim3(static_cast<unsigned>(width), static_cast<unsigned>(height)), 0,
                       run->stream, error, f, n_rows, n_units);
}

#endif
