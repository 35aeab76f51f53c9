/* dequant_epilogue.cuh - from sums in memory to the result of LLM.int8(): scales, outlier columns,
 * bias and fused nodes in one pass. */
#ifndef GI8I_CUDA_DEQUANT_EPILOGUE_CUH
#define GI8I_CUDA_DEQUANT_EPILOGUE_CUH

#include <ptx.cuh>

#include "kernels/epilogue.cuh"
#include "launch.cuh"

typedef struct gi8i_dequant_args {
    const int32_t *acc; /* [N, M] contiguous */
    const int8_t *w;    /* [K, N] contiguous */
    int64_t k, n, m;
    gi8i_epilogue epilogue;
} gi8i_dequant_args;

namespace {

/* A block's part of the result, and what a thread has of it: 4 columns side by side, 8 rows. */
constexpr int DEQUANT_N = 128;
constexpr int DEQUANT_M = 64;
constexpr int DEQUANT_THREADS = 256;
/* Outlier columns in shared memory: all, unless there are too many for e.sums. */
constexpr int DEQUANT_STEP = GI8I_FEW_OUTLIERS;
constexpr int DEQUANT_W_ROW = DEQUANT_N + 4; /* words between rows there: fewer bank conflicts */
constexpr int DEQUANT_X_ROW = DEQUANT_M + 4;

/* `count` outlier columns from list entry `first` on to shared memory. */
__device__ inline void gather_outliers(const gi8i_dequant_args &args, int64_t n0, int64_t m0,
                                       int32_t first, int32_t count, int32_t *w_values,
                                       int32_t *x_values) {
    const gi8i_epilogue &e = args.epilogue;
    __syncthreads(); /* nobody reads any more what lies there */
    for (int i = threadIdx.x; i < count * DEQUANT_N; i += DEQUANT_THREADS) {
        int64_t n = n0 + i % DEQUANT_N;
        int step = i / DEQUANT_N;
        w_values[step * DEQUANT_W_ROW + i % DEQUANT_N] =
            n < args.n ? args.w[n * args.k + e.columns[first + step]] : 0;
    }
    for (int i = threadIdx.x; i < count * DEQUANT_M; i += DEQUANT_THREADS) {
        int64_t m = m0 + i % DEQUANT_M;
        int step = i / DEQUANT_M;
        x_values[step * DEQUANT_X_ROW + i % DEQUANT_M] =
            m < args.m ? gi8i_outlier_fixed(e, m, e.columns[first + step]) : 0;
    }
    __syncthreads();
}

/* The outlier part of a thread's elements. */
__device__ inline void multiply_outliers(const gi8i_dequant_args &args, int64_t n0, int64_t m0,
                                         int32_t *w_values, int32_t *x_values, float out[8][4]) {
    int32_t n_columns = gi8i_own_columns(args.epilogue);
    if (n_columns == 0) {
        return;
    }
    const int32_t *my_w = w_values + threadIdx.x % 32 * 4;
    const int32_t *my_x = x_values + threadIdx.x / 32 * 8;
#pragma unroll
    for (int row = 0; row < 8; row += 4) { /* or it takes too many registers */
        int64_t sum[4][4] = {};
        for (int32_t first = 0; first < n_columns; first += DEQUANT_STEP) {
            int32_t rest = n_columns - first;
            int32_t count = rest < DEQUANT_STEP ? rest : DEQUANT_STEP;
            if (row == 0 || n_columns > DEQUANT_STEP) { /* else they are still there */
                gather_outliers(args, n0, m0, first, count, w_values, x_values);
            }
            for (int s = 0; s < count; s++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        sum[j][i] += static_cast<int64_t>(my_x[s * DEQUANT_X_ROW + row + j]) *
                                     my_w[s * DEQUANT_W_ROW + i];
                    }
                }
            }
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int64_t m = m0 + threadIdx.x / 32 * 8 + row + j;
            float unit = m < args.m ? args.epilogue.row_unit[m] : 0.0f;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                out[row + j][i] = gi8i_sum_to_fp32(sum[j][i], unit);
            }
        }
    }
}

/* What a thread has of rows with Inf, from (m, n) on: without acc, which makes no difference. */
__device__ inline void infinite_rows(const gi8i_dequant_args &args, int64_t n, int64_t m) {
    const gi8i_epilogue &e = args.epilogue;
#pragma unroll 1
    for (int64_t row = m; row < m + 8 && row < args.m; row++) {
        if (gi8i_has_unit(e.row_unit[row])) {
            continue;
        }
#pragma unroll 1
        for (int64_t column = n; column < n + 4 && column < args.n; column++) {
            float part = gi8i_infinite_part(e, args.w + column * args.k, row);
            gi8i_store(e.out, row, column,
                       gi8i_finish_int8(0, part, 0.0f, gi8i_column_scale(e, column),
                                        gi8i_column_bias(e, column)));
        }
    }
}

/* `wide`: sums and results are read and written four at a time. (A template, since nvcc gives a
 * plain kernel a global symbol in spite of the namespace.) */
template <int THREADS>
__global__ void __launch_bounds__(THREADS) dequant_epilogue(gi8i_dequant_args args, bool wide) {
    GI8I_SHARED(uint4, w_shared, DEQUANT_STEP * DEQUANT_W_ROW / 4);
    GI8I_SHARED(uint4, x_shared, DEQUANT_STEP * DEQUANT_X_ROW / 4);
    const gi8i_epilogue &e = args.epilogue;
    int64_t tiles_n = gi8i_div_up<int64_t>(args.n, DEQUANT_N);
    int64_t n0 = blockIdx.x % tiles_n * DEQUANT_N;
    int64_t m0 = blockIdx.x / tiles_n * DEQUANT_M;
    int64_t n = n0 + threadIdx.x % 32 * 4;
    int64_t m = m0 + threadIdx.x / 32 * 8;

    float out[8][4] = {};
    multiply_outliers(args, n0, m0, reinterpret_cast<int32_t *>(w_shared),
                      reinterpret_cast<int32_t *>(x_shared), out);
    const float *given = gi8i_sums_are_given(e) ? e.sums : nullptr;
    bool decompose = e.columns != nullptr && *e.n_columns > 0;

    float scale[4] = {};
    float bias[4] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (n + i < args.n) {
            scale[i] = gi8i_column_scale(e, n + i);
            bias[i] = gi8i_column_bias(e, n + i);
        }
    }
    wide = wide && n + 4 <= args.n;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        if (m + j >= args.m) {
            break;
        }
        if (decompose && !gi8i_has_unit(e.row_unit[m + j])) {
            continue; /* left to infinite_rows() */
        }
        if (given != nullptr) {
            gi8i_four<float> parts = gi8i_load_four(given + (m + j) * args.n, n, args.n,
                                                    args.n % 4 == 0);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                out[j][i] = parts.v[i];
            }
        }
        const int32_t *acc = args.acc + (m + j) * args.n + n;
        int4 four = {};
        if (wide) {
            four = *reinterpret_cast<const int4 *>(acc);
        }
        int32_t sums[4] = {four.x, four.y, four.z, four.w};
        float row_scale = e.row_scale[m + j];
        gi8i_four<float> y = {};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (n + i < args.n) {
                sums[i] = wide ? sums[i] : acc[i];
                y.v[i] = gi8i_finish_int8(sums[i], out[j][i], row_scale, scale[i], bias[i]);
            }
        }
        gi8i_store_row_four(e.out, m + j, n, args.n, wide, y);
    }
    if (decompose) {
        infinite_rows(args, n, m);
    }
}

} // namespace

/* Enqueues the kernel; the epilogue's list of columns may be any that the device has. */
static inline gi8_status gi8i_dequant_epilogue(const gi8i_cuda_run *run,
                                               const gi8i_dequant_args *args, gi8_error *error) {
    int64_t tiles = gi8i_div_up<int64_t>(args->n, DEQUANT_N) *
                    gi8i_div_up<int64_t>(args->m, DEQUANT_M);
    if (tiles > INT32_MAX) {
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                             "mul_mat_int8_mixed: a result of %lld x %lld is more than one launch "
                             "computes",
                             static_cast<long long>(args->n), static_cast<long long>(args->m));
    }
    dim3 grid(static_cast<unsigned>(tiles));
    dim3 block(DEQUANT_THREADS);
    bool wide = args->n % 4 == 0 && reinterpret_cast<uintptr_t>(args->acc) % 16 == 0 &&
                gi8i_output_is_wide(args->epilogue.out);
    return gi8i_launch("dequant_epilogue", dequant_epilogue<DEQUANT_THREADS>, grid, block, 0,
                       run->stream, error, *args, wide);
}

#endif
