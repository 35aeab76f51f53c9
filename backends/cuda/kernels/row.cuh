/* row.cuh - rows that a team of threads works on together: a warp each where they are short, else a
 * block. Which thread has which elements depends on the row's length alone, and so do the sums. */
#ifndef GI8I_CUDA_ROW_CUH
#define GI8I_CUDA_ROW_CUH

#include "kernels/four.cuh"
#include "kernels/reduce.cuh"
#include "kernels/strided.cuh"
#include "launch.cuh"

enum { GI8I_ROW_THREADS = 256 }; /* of a block */

/* Calls function(i, k) for each unit i, i + 1, i + 2, i + 3 of a row of n elements that the calling
 * thread of the team has; k counts them from 0. KEPT: the most units that a thread has, 0 for any
 * number; k is then always 0. */
template <int TEAM, int KEPT, typename Function>
static __device__ inline void gi8i_my_units(int64_t n, const Function &function) {
    int64_t first = 4 * static_cast<int64_t>(threadIdx.x % TEAM);
    if (KEPT > 0) {
#pragma unroll
        for (int k = 0; k < KEPT; k++) {
            int64_t i = first + static_cast<int64_t>(k) * 4 * TEAM;
            if (i < n) {
                function(i, k);
            }
        }
    } else {
        for (int64_t i = first; i < n; i += 4 * TEAM) {
            function(i, 0);
        }
    }
}

/* The threads that work on a row of n elements. */
static __host__ __device__ inline int gi8i_row_team(int64_t n) {
    return n <= 1024 ? 32 : GI8I_ROW_THREADS;
}

/* Enqueues Kernel<TEAM, KEPT>::function(arguments, n_rows), the smallest that takes rows of n. */
template <template <int, int> class Kernel, typename Arguments>
static gi8_status gi8i_launch_rows(const char *name, const gi8i_cuda_run *run,
                                   const Arguments &arguments, int64_t n_rows, int64_t n,
                                   gi8_error *error) {
    if (n_rows <= 0 || n <= 0) {
        return GI8_OK;
    }
    void (*kernel)(Arguments, int64_t) = Kernel<GI8I_ROW_THREADS, 0>::function();
    int64_t teams = 1; /* in a block */
    if (gi8i_row_team(n) == 32) {
        teams = GI8I_ROW_THREADS / 32;
        kernel = n <= 256 ? Kernel<32, 2>::function() : Kernel<32, 8>::function();
    } else if (n <= 2048) {
        kernel = Kernel<GI8I_ROW_THREADS, 2>::function();
    } else if (n <= 8192) {
        kernel = Kernel<GI8I_ROW_THREADS, 8>::function();
    }
    int64_t blocks = gi8i_div_up(n_rows, teams);
    int64_t most = static_cast<int64_t>(run->device->n_multiprocessors) * 32;
    return gi8i_launch(name, kernel, dim3(static_cast<unsigned>(blocks < most ? blocks : most)),
                       dim3(GI8I_ROW_THREADS), 0, run->stream, error, arguments, n_rows);
}

#endif
