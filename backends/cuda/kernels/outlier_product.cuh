/* outlier_product.cuh - the outlier part of LLM.int8() for many outlier columns, on tensor cores:
 * sums [N, M], which the kernel of the int8 product adds in its epilogue.
 *
 * Two kernels, which return at once where gi8i_sums_are_given() says no: the number of columns is
 * known on the device only. The first packs the outlier columns of w side by side, and the four
 * digits (outliers.cuh) of what the outlier part takes of x as four rows of codes. The second is
 * the int8 GEMM of gemm_s8_mma.cuh for these rows; it joins the sums of digits to one of 64 bits:
 * exact, with the bits that every other kernel gives.
 *
 * Estimated, for n columns: 4 n / K of the int8 product's operations; 32 bytes read for each 32 of
 * w that hold an outlier column, at most all of w once; n bytes of each row of w and 4 n of each
 * row of x written, and read by tiles from the level-2 cache; 8 bytes an element of the result. On
 * an H100 with M = 512, N = K = 4096, beside the int8 product's 21 us (800 TOPS), in us:
 *
 *   outlier columns                                    0   7   32   256   all
 *   these kernels, and the sums or columns there       2   4    8    16   100
 *   fp32 multiply-adds there alone                     0   1    4    25   370
 *
 * All columns: as long as two products with the fp16 instruction of the same kind.
 *
 * Scratch, in bytes, for all K columns: N K of packed weights, 4 M K of digits, 4 N M of sums.
 */
#ifndef GI8I_CUDA_OUTLIER_PRODUCT_CUH
#define GI8I_CUDA_OUTLIER_PRODUCT_CUH

#include <ptx.cuh>

#include "kernels/gemm_s8_mma.cuh"

typedef struct gi8i_outlier_product_args {
    const int8_t *w; /* [K, N] contiguous */
    int64_t k, n, m;
    int8_t *packed;  /* [gi8i_outlier_ld(K), N] */
    int8_t *digits;  /* [gi8i_outlier_ld(K), gi8i_outlier_digit_rows(M)] */
    float *sums;     /* [N, M]; also in the epilogue */
    gi8i_epilogue epilogue;
} gi8i_outlier_product_args;

/* Columns of packed rows: a whole slice of the GEMM's. */
static __host__ __device__ inline int64_t gi8i_outlier_ld(int64_t n_columns) {
    return gi8i_div_up<int64_t>(n_columns, 64) * 64;
}

/* Row m of x is rows m / 8 * 32 + 8 d + m % 8 of digits, d = 0 to 3: what a thread of the GEMM has
 * of its result are all four digits of the same elements. */
static __host__ __device__ inline int64_t gi8i_outlier_digit_rows(int64_t m) {
    return gi8i_div_up<int64_t>(m, 8) * 32;
}

namespace {

constexpr int OUTLIER_PACK_THREADS = 256;
constexpr int OUTLIER_PACK_ROWS = 16; /* of a block at a time, 16 threads each */

typedef gi8i_gemm_s8_tile<64, 128, 64, 2, 2> outlier_tile_small;
typedef gi8i_gemm_s8_tile<128, 256, 64, 2, 4> outlier_tile_large;

/* Rows of w, then those of x, in blocks of OUTLIER_PACK_ROWS. (A template, since nvcc gives a plain
 * kernel a global symbol in spite of the namespace.) */
template <int THREADS>
__global__ void __launch_bounds__(THREADS) outlier_pack(gi8i_outlier_product_args args) {
    const gi8i_epilogue &e = args.epilogue;
    if (!gi8i_sums_are_given(e)) {
        return;
    }
    int32_t n_columns = *e.n_columns;
    int64_t ld = gi8i_outlier_ld(n_columns);
    int64_t w_blocks = gi8i_div_up<int64_t>(args.n, OUTLIER_PACK_ROWS);
    int64_t blocks = w_blocks + gi8i_div_up<int64_t>(args.m, OUTLIER_PACK_ROWS);
    for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
        bool is_w = block < w_blocks;
        int64_t row = (is_w ? block : block - w_blocks) * OUTLIER_PACK_ROWS + threadIdx.x / 16;
        if (row >= (is_w ? args.n : gi8i_div_up<int64_t>(args.m, 8) * 8)) {
            continue;
        }
#pragma unroll 2
        for (int64_t at = threadIdx.x % 16 * 4; at < ld; at += 64) {
            uint32_t v[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int64_t column = at + i < n_columns ? e.columns[at + i] : -1;
                v[i] = 0;
                if (is_w && column >= 0) {
                    v[i] = static_cast<uint8_t>(args.w[row * args.k + column]);
                } else if (column >= 0 && row < args.m) {
                    v[i] = gi8i_digits(gi8i_outlier_fixed(e, row, column));
                }
            }
            if (is_w) {
                *reinterpret_cast<uint32_t *>(args.packed + row * ld + at) =
                    v[0] | v[1] << 8 | v[2] << 16 | v[3] << 24;
                continue;
            }
            uint32_t words[4];
            gi8i_transpose_digits(v, words);
            int8_t *to = args.digits + (row / 8 * 32 + row % 8) * ld + at;
#pragma unroll
            for (int d = 0; d < 4; d++) {
                *reinterpret_cast<uint32_t *>(to + d * 8 * ld) = words[d];
            }
        }
    }
}

/* A block computes tile after tile. */
template <class T>
__global__ void __launch_bounds__(T::THREADS, T::RESIDENT)
    outlier_product(gi8i_outlier_product_args args, int stages) {
    GI8I_DYNAMIC_SHARED(unsigned char, shared);
    const gi8i_epilogue &e = args.epilogue;
    if (!gi8i_sums_are_given(e)) {
        return;
    }
    gi8i_gemm_s8_job job = {};
    job.w = args.packed;
    job.k = gi8i_outlier_ld(*e.n_columns);
    job.n = args.n;
    job.m = gi8i_outlier_digit_rows(args.m);
    job.tiles_n = static_cast<int>(gi8i_div_up<int64_t>(job.n, T::BN));
    job.tiles_m = static_cast<int>(gi8i_div_up<int64_t>(job.m, T::BM));
    job.slices = static_cast<int>(gi8i_div_up<int64_t>(job.k, T::BK));
    job.stages = stages;
    job.epilogue.q = args.digits;
    job.epilogue.ldq = job.k;
    int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    int64_t tiles = static_cast<int64_t>(job.tiles_n) * job.tiles_m;
#pragma unroll 1
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        int64_t n, m;
        gi8i_gemm_s8_place<T>(job, tile, &n, &m);
        int32_t acc[T::I][T::J][4] = {};
        gi8i_gemm_s8_sum<T>(job, shared, n, m, acc);
        n += warp % T::WARPS_N * T::WN + lane / 4;
        m = (m + warp / T::WARPS_N * T::WM) / 4 + lane % 4 * 2; /* of x */
#pragma unroll
        for (int j = 0; j < T::J / 4; j++) {
#pragma unroll
            for (int i = 0; i < T::I * 4; i++) {
                int64_t row = m + j * 8 + i % 2, column = n + i / 4 * 16 + i / 2 % 2 * 8;
                if (row < args.m && column < args.n) {
                    const int32_t (&a)[T::J][4] = acc[i / 4];
                    int64_t sum = gi8i_sum_of_digits(a[j * 4][i % 4], a[j * 4 + 1][i % 4],
                                                     a[j * 4 + 2][i % 4], a[j * 4 + 3][i % 4]);
                    args.sums[row * args.n + column] = gi8i_sum_to_fp32(sum, e.row_unit[row]);
                }
            }
        }
        __syncthreads(); /* all have left the stages */
    }
}

template <class T>
gi8_status outlier_launch(const gi8i_cuda_run *run, const gi8i_outlier_product_args &args,
                          int stages, gi8_error *error) {
    int64_t tiles = gi8i_div_up<int64_t>(args.n, T::BN) *
                    gi8i_div_up<int64_t>(gi8i_outlier_digit_rows(args.m), T::BM);
    int64_t resident = static_cast<int64_t>(run->device->n_multiprocessors) * T::RESIDENT;
    return gi8i_launch("outlier_product", outlier_product<T>,
                       dim3(static_cast<unsigned>(tiles < resident ? tiles : resident)),
                       dim3(static_cast<unsigned>(T::THREADS)),
                       static_cast<size_t>(T::STAGE_BYTES * stages), run->stream, error, args,
                       stages);
}

} // namespace

/* Enqueues both kernels. The epilogue has all that gi8i_outlier_fixed() reads, and the sums. */
static inline gi8_status gi8i_outlier_product(const gi8i_cuda_run *run,
                                              const gi8i_outlier_product_args &args,
                                              gi8_error *error) {
    const gi8i_cuda_device *device = run->device;
    int64_t blocks = gi8i_div_up<int64_t>(args.n, OUTLIER_PACK_ROWS) +
                     gi8i_div_up<int64_t>(args.m, OUTLIER_PACK_ROWS);
    int64_t resident = static_cast<int64_t>(device->n_multiprocessors) * 4;
    gi8_status status = gi8i_launch("outlier_pack", outlier_pack<OUTLIER_PACK_THREADS>,
                                    dim3(static_cast<unsigned>(blocks < resident ? blocks
                                                                                 : resident)),
                                    dim3(OUTLIER_PACK_THREADS), 0, run->stream, error, args);
    if (status != GI8_OK) {
        return status;
    }
    if (args.m > 64 && device->major >= 8 &&
        device->shared_bytes_max >= static_cast<size_t>(3 * outlier_tile_large::STAGE_BYTES)) {
        return outlier_launch<outlier_tile_large>(run, args, 3, error);
    }
    return outlier_launch<outlier_tile_small>(run, args, device->major >= 8 ? 3 : 2, error);
}

#endif
