/* gemm_s8.cuh - the int8 product with tensor cores, its epilogue fused. */
#ifndef GI8I_CUDA_GEMM_S8_CUH
#define GI8I_CUDA_GEMM_S8_CUH

#include "epilogue.cuh"

/* y [N, M] = epilogue(sum over k of q[m][k] * w[n][k]). */
typedef struct gi8i_gemm_s8_args {
    const int8_t *w;        /* [K, N] contiguous, aligned to 16 bytes */
    int64_t k, n, m;        /* k a multiple of 16; n, m >= 1 */
    gi8i_epilogue epilogue; /* q aligned to 16 bytes, ldq a multiple of 16 and at least k */

    /* Where few tiles would leave multiprocessors idle, blocks share the sum over k. */
    void *scratch;      /* device, aligned to 16 bytes, gi8i_gemm_s8_scratch_bytes() of any content;
                           NULL: k is not split */
    uint32_t *counters; /* device, GI8I_GEMM_S8_COUNTERS of zero, and zero again behind the product;
                           NULL: k is not split */
} gi8i_gemm_s8_args;

/* Counters for blocks that share sums: the last bytes of gi8i_cuda_run.state are meant for them. */
#define GI8I_GEMM_S8_COUNTERS 1024

/* Bytes of args.scratch that a product can use; 0 where k is not split. */
size_t gi8i_gemm_s8_scratch_bytes(const gi8i_cuda_device *device, int64_t k, int64_t n, int64_t m);

/* Which kernel computes a product. */
typedef struct gi8i_gemm_s8_choice {
    int tile;   /* 0 to GI8I_GEMM_S8_TILES - 1: gemm_s8.cu has the table */
    int splits; /* blocks that share a sum over k */
    int stages; /* of the pipeline through shared memory: 2 to 4 */
} gi8i_gemm_s8_choice;

#define GI8I_GEMM_S8_TILES 5

/* The kernel for a product on a device; the rule is described in gemm_s8.cu. */
gi8i_gemm_s8_choice gi8i_gemm_s8_choose(const gi8i_cuda_device *device, int64_t k, int64_t n,
                                        int64_t m);

/* Enqueues the product on run->stream, for any m; may be captured. The outlier columns are counted
 * on the device. GI8_ERR_UNSUPPORTED: k, ldq or an address is not aligned to 16. */
gi8_status gi8i_gemm_s8(const gi8i_cuda_run *run, const gi8i_gemm_s8_args *args, gi8_error *error);

/* The same with a kernel of the caller's choice, for tests and benchmarks. The scratch must suffice
 * for it: splits * 4 bytes for each element of y, n and m rounded up to 128 and 256. */
gi8_status gi8i_gemm_s8_with(const gi8i_cuda_run *run, const gi8i_gemm_s8_args *args,
                             gi8i_gemm_s8_choice choice, gi8_error *error);

#endif
