/* gemm_s8.cu - which tiles the int8 GEMM uses for a product, and its launch. */
#include "kernels/gemm_s8.cuh"

#include "kernels/gemm_s8_mma.cuh"

typedef gi8i_gemm_s8_tile<64, 16, 128, 4, 1> tile_16;
typedef gi8i_gemm_s8_tile<64, 32, 128, 4, 1> tile_32;
typedef gi8i_gemm_s8_tile<64, 64, 128, 2, 2> tile_64;
typedef gi8i_gemm_s8_tile<64, 128, 64, 2, 2> tile_128;
typedef gi8i_gemm_s8_tile<128, 256, 64, 2, 4> tile_256;

typedef struct tile_info {
    int bn, bm, bk, threads;
    int stage_bytes, outlier_bytes, parts_bytes;
    void (*kernel)(gi8i_gemm_s8_job);
} tile_info;

template <class T> static tile_info describe() {
    tile_info info = {T::BN, T::BM, T::BK, T::THREADS, T::STAGE_BYTES, T::OUTLIER_BYTES,
                      T::PARTS_BYTES, gi8i_gemm_s8_mma<T>};
    return info;
}

static tile_info tile_of(int tile) {
    switch (tile) {
    case 0: return describe<tile_16>();
    case 1: return describe<tile_32>();
    case 2: return describe<tile_64>();
    case 3: return describe<tile_128>();
    default: return describe<tile_256>();
    }
}

static int64_t n_tiles(const tile_info &t, int64_t n, int64_t m) {
    return gi8i_div_up<int64_t>(n, t.bn) * gi8i_div_up<int64_t>(m, t.bm);
}

static size_t partial_bytes(const tile_info &t, int64_t tiles, int splits) {
    return static_cast<size_t>(tiles) * static_cast<size_t>(splits * t.bn * t.bm) * 4;
}

/* The tile. Up to 128 rows of q the lowest one that takes them all, so that w is read once. Above,
 * 128 x 256 has half the traffic of 64 x 128 for each product and is assumed to run 1.4 times as
 * fast where it fills the multiprocessors: both are rated by the tiles of the busiest one. It needs
 * three stages of 24 KiB and cp.async: not on Turing. */
static int choose_tile(const gi8i_cuda_device *device, int64_t n, int64_t m) {
    for (int tile = 0; tile < 3; tile++) {
        if (m <= tile_of(tile).bm) {
            return tile;
        }
    }
    tile_info large = tile_of(4);
    if (m <= 128 || device->major < 8 ||
        device->shared_bytes_max < static_cast<size_t>(3 * large.stage_bytes)) {
        return 3;
    }
    int64_t sms = device->n_multiprocessors;
    int64_t large_load = gi8i_div_up(n_tiles(large, n, m), sms) * 4;
    int64_t small_load = gi8i_div_up(n_tiles(tile_of(3), n, m), sms);
    return large_load * 10 <= small_load * 14 ? 4 : 3;
}

gi8i_gemm_s8_choice gi8i_gemm_s8_choose(const gi8i_cuda_device *device, int64_t k, int64_t n,
                                        int64_t m) {
    gi8i_gemm_s8_choice choice = {choose_tile(device, n, m), 1, 2};
    tile_info t = tile_of(choice.tile);
    /* The ring: up to 4 stages, as many as leave room for a second block on the multiprocessor (but
     * of the largest tile). Without cp.async (Turing) a copy is not in the background: two, and
     * several blocks in turn. */
    int64_t blocks = choice.tile < 4 ? 2 : 1;
    int64_t fit = static_cast<int64_t>(device->shared_bytes_max) / (blocks * t.stage_bytes);
    if (device->major >= 8 && fit > 2) {
        choice.stages = fit < 4 ? static_cast<int>(fit) : 4;
    }
    /* Shared sums: two blocks for each multiprocessor (one of the largest tile), but for each block
     * at least 256 of k (512 where partial sums are large), or storing them costs more than it
     * gains; at most 16. */
    int64_t tiles = n_tiles(t, n, m);
    int64_t splits = blocks * device->n_multiprocessors / tiles;
    int64_t limit = k / (choice.tile < 2 ? 256 : 512);
    limit = limit < 16 ? limit : 16;
    splits = splits < limit ? splits : limit;
    if (splits > 1 && tiles <= GI8I_GEMM_S8_COUNTERS) {
        choice.splits = static_cast<int>(splits);
    }
    return choice;
}

size_t gi8i_gemm_s8_scratch_bytes(const gi8i_cuda_device *device, int64_t k, int64_t n, int64_t m) {
    gi8i_gemm_s8_choice choice = gi8i_gemm_s8_choose(device, k, n, m);
    tile_info t = tile_of(choice.tile);
    return choice.splits > 1 ? partial_bytes(t, n_tiles(t, n, m), choice.splits) : 0;
}

gi8_status gi8i_gemm_s8(const gi8i_cuda_run *run, const gi8i_gemm_s8_args *args, gi8_error *error) {
    gi8i_gemm_s8_choice choice = gi8i_gemm_s8_choose(run->device, args->k, args->n, args->m);
    if (args->scratch == nullptr || args->counters == nullptr) {
        choice.splits = 1;
    }
    return gi8i_gemm_s8_with(run, args, choice, error);
}

static bool is_aligned(const void *p) {
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

gi8_status gi8i_gemm_s8_with(const gi8i_cuda_run *run, const gi8i_gemm_s8_args *args,
                             gi8i_gemm_s8_choice choice, gi8_error *error) {
    const gi8i_epilogue &e = args->epilogue;
    if (args->k % 16 != 0 || e.ldq % 16 != 0 || !is_aligned(args->w) || !is_aligned(e.q) ||
        !is_aligned(args->scratch)) {
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                             "gemm_s8: rows of codes, k = %lld, are not multiples of 16 bytes",
                             static_cast<long long>(args->k));
    }
    tile_info t = tile_of(choice.tile);
    int64_t tiles = n_tiles(t, args->n, args->m);
    if (tiles > INT32_MAX || (choice.splits > 1 && tiles > GI8I_GEMM_S8_COUNTERS)) {
        return gi8_error_set(error, GI8_ERR_UNSUPPORTED, "gemm_s8: a grid of %lld tiles",
                             static_cast<long long>(tiles));
    }
    gi8i_gemm_s8_job job = {};
    job.w = args->w;
    job.k = args->k;
    job.n = args->n;
    job.m = args->m;
    job.tiles_n = static_cast<int>(gi8i_div_up<int64_t>(args->n, t.bn));
    job.tiles_m = static_cast<int>(gi8i_div_up<int64_t>(args->m, t.bm));
    int slices = static_cast<int>(gi8i_div_up<int64_t>(args->k, t.bk));
    job.slices = gi8i_div_up(slices, choice.splits);
    job.stages = choice.stages;
    int shared = t.stage_bytes * choice.stages;
    job.outlier_chunk = (shared - t.parts_bytes) / t.outlier_bytes;
    job.partial = static_cast<int4 *>(args->scratch);
    job.counters = args->counters;
    job.epilogue = e;
    dim3 grid(static_cast<unsigned>(tiles),
              static_cast<unsigned>(gi8i_div_up(slices, job.slices)));
    return gi8i_launch("gemm_s8", t.kernel, grid, dim3(static_cast<unsigned>(t.threads)),
                       static_cast<size_t>(shared), run->stream, error, job);
}
