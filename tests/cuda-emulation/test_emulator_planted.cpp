/* test_emulator_planted.cpp - kernels with mistakes that the emulation must find. Each test fails
 * where its mistake goes unseen. */
#include "emulator_test.h"
#include "sanitizers.h"

#if GI8EMU_WITH_TSAN
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Bad accesses that a sanitizer would end the program for, but that are to reach the emulation. */
#define UNSANITIZED __attribute__((no_sanitize("address", "undefined")))

static const dim3 one(1);
static const unsigned full = 0xffffffffu;

/* The launch must end with `error` and a message that has all the words. */
static void expect(cudaError_t got, cudaError_t error, std::initializer_list<const char *> words) {
    if (got != error) {
        fail_msg("error %d instead of %d: %s", static_cast<int>(got), static_cast<int>(error),
                 gi8emu_message());
    }
    for (const char *word : words) {
        if (strstr(gi8emu_message(), word) == nullptr) {
            fail_msg("\"%s\" is not in: %s", word, gi8emu_message());
        }
    }
}

/* ---- Data races: wrong numbers in some order of the threads, and reports of TSAN ---- */

static int n_races; /* that TSAN has reported */

#if GI8EMU_WITH_TSAN
/* Not itself watched: a race in here would be reported from within a report. */
extern "C" __attribute__((no_sanitize("thread"))) void __tsan_on_report(void *report) {
    (void)report;
    n_races++;
}
extern "C" const char *__tsan_default_options() {
    /* races are what this program is about, and each counts */
    return "symbolize=0:suppress_equal_addresses=0";
}
#endif

/* Runs a kernel of 64 threads that are to write 64 times `want`, and of which `right` says whether
 * they are free of races. */
static void expect_race(void (*kernel)(const int *, int *), bool right) {
    bool wrong = false;
    n_races = 0;
    in_every_order([&] {
        alignas(16) int in[256];
        int out[64] = {};
        for (int i = 0; i < 256; i++) {
            in[i] = 5;
        }
        run(kernel, one, dim3(64), 0, &in[0], &out[0]);
        for (int o : out) {
            wrong = wrong || o != 5;
        }
    });
    assert_int_equal(wrong, !right);
    assert_int_equal(GI8EMU_WITH_TSAN && !right, n_races != 0);
}

template <bool BARRIER> static __global__ void neighbours(const int *in, int *out) {
    GI8I_SHARED(int, parts, 64);
    parts[threadIdx.x] = in[threadIdx.x];
    if (BARRIER) {
        __syncthreads();
    }
    out[threadIdx.x] = parts[threadIdx.x ^ 63];
}

static void test_missing_barrier(void **state) {
    (void)state;
    expect_race(neighbours<true>, true);
    expect_race(neighbours<false>, false);
}

/* Of the threads of a large block TSAN takes some for one, but others in each launch. */
template <bool BARRIER, unsigned DISTANCE>
static __global__ void many_neighbours(const int *in, int *out) {
    GI8I_SHARED(int, parts, 1024);
    parts[threadIdx.x] = in[threadIdx.x % 64];
    if (BARRIER) {
        __syncthreads();
    }
    int value = parts[threadIdx.x ^ DISTANCE];
    if (value != 5 || threadIdx.x < 64) {
        out[threadIdx.x % 64] = value;
    }
}

static void test_missing_barrier_of_many(void **state) {
    (void)state;
    /* each a kernel of its own: TSAN reports a race of the same two lines once */
    void (*const kernels[])(const int *, int *) = {
        many_neighbours<true, 1023>, many_neighbours<false, 1023>, many_neighbours<true, 256>,
        many_neighbours<false, 256>, many_neighbours<true, 512>,   many_neighbours<false, 512>};
    for (int kind = 0; kind < 6; kind++) {
        const bool barrier = kind % 2 == 0;
        bool wrong = false;
        n_races = 0;
        in_every_order([&] {
            int in[64], out[64];
            for (int &i : in) {
                i = 5;
            }
            run(kernels[kind], one, dim3(1024), 0, &in[0], &out[0]);
            for (int o : out) {
                wrong = wrong || o != 5;
            }
        });
        assert_int_equal(wrong, !barrier);
        assert_int_equal(GI8EMU_WITH_TSAN && !barrier, n_races != 0);
    }
}

/* The second round overwrites what others may still have to read. */
template <bool BARRIER> static __global__ void two_rounds(const int *in, int *out) {
    GI8I_SHARED(int, parts, 64);
    int value = 0;
    for (int round = 0; round < 2; round++) {
        parts[threadIdx.x] = in[threadIdx.x] - 1 + round;
        __syncthreads();
        value = round == 0 ? parts[threadIdx.x ^ 63] : value;
        if (BARRIER) {
            __syncthreads();
        }
    }
    out[threadIdx.x] = value + 1;
}

static void test_missing_second_barrier(void **state) {
    (void)state;
    expect_race(two_rounds<true>, true);
    expect_race(two_rounds<false>, false);
}

template <bool BARRIER> static __global__ void within_warp(const int *in, int *out) {
    GI8I_SHARED(int, parts, 64);
    parts[threadIdx.x] = in[threadIdx.x];
    if (BARRIER) {
        __syncwarp();
    }
    out[threadIdx.x] = parts[threadIdx.x ^ 31];
}

static void test_missing_syncwarp(void **state) {
    (void)state;
    expect_race(within_warp<true>, true);
    expect_race(within_warp<false>, false);
}

template <bool WAIT, bool BARRIER> static __global__ void copied(const int *in, int *out) {
    GI8I_SHARED(int, stage, 256);
    gi8i_cp_async_16(stage + 4 * threadIdx.x, in + 4 * threadIdx.x, true);
    gi8i_cp_async_commit();
    if (WAIT) {
        gi8i_cp_async_wait<0>();
    } else {
        gi8i_cp_async_wait<1>();
    }
    if (BARRIER) {
        __syncthreads();
    }
    out[threadIdx.x] = stage[threadIdx.x];
    __syncthreads();
    gi8i_cp_async_wait<0>();
}

template <bool COMMIT> static __global__ void committed(const int *in, int *out) {
    GI8I_SHARED(int, stage, 256);
    gi8i_cp_async_16(stage + 4 * threadIdx.x, in + 4 * threadIdx.x, true);
    if (COMMIT) {
        gi8i_cp_async_commit();
    }
    gi8i_cp_async_wait<0>();
    out[threadIdx.x] = stage[4 * threadIdx.x];
    gi8i_cp_async_commit();
    gi8i_cp_async_wait<0>();
}

/* Only the order of memory is wrong in copied<true, false>; elsewhere nothing has landed. */
static void test_missing_wait(void **state) {
    (void)state;
    expect_race(copied<true, true>, true);
    expect_race(copied<true, false>, false);
    expect_race(committed<true>, true);
    in_every_order([] {
        alignas(16) int in[256] = {};
        int out[64] = {};
        run(copied<false, true>, one, dim3(64), 0, &in[0], &out[0]);
        assert_int_not_equal(out[7], 0);
        run(committed<false>, one, dim3(64), 0, &in[0], &out[0]);
        assert_int_not_equal(out[7], 0);
    });
}

/* A copy that nobody waits for: CUDA does not promise that it lands before the shared memory is
 * another block's. */
static __global__ void leave_copy(const int *in, bool commit, bool wait) {
    GI8I_SHARED(int, stage, 4);
    gi8i_cp_async_16(stage, in, true);
    if (commit) {
        gi8i_cp_async_commit();
    }
    if (wait) {
        gi8i_cp_async_wait<0>();
    }
    gi8i_cp_async_commit(); /* a group of no copies may be left */
}

static void test_copy_left(void **state) {
    (void)state;
    alignas(16) int in[4] = {};
    expect(launch(leave_copy, one, one, 0, &in[0], true, true), cudaSuccess, {});
    for (bool commit : {true, false}) {
        expect(launch(leave_copy, one, one, 0, &in[0], commit, !commit), cudaErrorLaunchFailure,
               {"leave_copy", "test_emulator_planted.cpp:", "has not landed"});
    }
}

/* Whose last block sums what all have written. Numbers are right without the fence, as blocks run
 * one after the other; only a race detector sees it. */
template <bool FENCE> static __global__ void last_sums(int *parts, unsigned *done, int *sum) {
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = 2;
        if (FENCE) {
            __threadfence();
        }
    }
    __syncthreads();
    if (threadIdx.x == 1 && atomicAdd(done, 1u) == gridDim.x - 1) {
        for (unsigned i = 0; i < gridDim.x; i++) {
            *sum += parts[i];
        }
    }
}

static void test_missing_fence(void **state) {
    (void)state;
    for (bool fence : {true, false}) {
        int parts[4] = {}, sum = 0;
        unsigned done = 0;
        n_races = 0;
        run(fence ? last_sums<true> : last_sums<false>, dim3(4), dim3(32), 0, &parts[0], &done,
            &sum);
        assert_int_equal(sum, 8);
        assert_int_equal(GI8EMU_WITH_TSAN && !fence, n_races != 0);
    }
}

/* ---- Memory ---- */

static UNSANITIZED __global__ void write_behind(int which, int offset) {
    GI8I_SHARED(int, parts, 64);
    GI8I_SHARED(int, three, 3);
    GI8I_DYNAMIC_SHARED(int, dynamic);
    int *arrays[3] = {&parts[0], &three[0], dynamic};
    if (threadIdx.x == 37) {
        volatile int *place = arrays[which] + offset;
        *place = 1;
    }
}

/* At once where the array ends; when the block has ended where only a few bytes are between. */
static void test_out_of_bounds_shared(void **state) {
    (void)state;
    const auto bad = cudaErrorIllegalAddress;
    expect(launch(write_behind, one, dim3(64), 400, 2, 99), cudaSuccess, {});
    if (!GI8EMU_WITH_TSAN) { /* which takes the signal for itself */
        expect(launch(write_behind, one, dim3(64), 400, 0, 64), bad,
               {"write_behind", "block (0, 0, 0)", "thread (37, 0, 0)",
                "0 bytes behind shared array parts of 256 bytes", "test_emulator_planted.cpp"});
        expect(launch(write_behind, one, dim3(64), 400, 2, 100), bad, {"behind", "dynamic of 400"});
        expect(launch(write_behind, one, dim3(64), 400, 1, 1000), bad, {"behind", "three"});
    }
    expect(launch(write_behind, one, dim3(64), 400, 1, 3), bad, {"behind shared array three"});
    expect(launch(write_behind, one, dim3(64), 400, 0, -1), bad, {"before shared array parts"});
    expect(launch(write_behind, one, dim3(64), 400, 2, -8), bad, {"before shared array dynamic"});
}

static __global__ void sum_uninitialised(float *out) {
    GI8I_SHARED(float, sums, 32);
    GI8I_DYNAMIC_SHARED(int8_t, bytes);
    GI8I_SHARED(half, halves, 8);
    sums[threadIdx.x] += 1.0f;
    out[threadIdx.x] = sums[threadIdx.x];
    out[32 + threadIdx.x] = bytes[threadIdx.x];
    out[64 + threadIdx.x] = __half2float(halves[threadIdx.x % 8]);
}

/* Also where a block before has left numbers. */
static void test_uninitialised_shared(void **state) {
    (void)state;
    in_every_order([] {
        float out[96] = {};
        run(sum_uninitialised, dim3(3), dim3(32), 32, &out[0]);
        for (int i = 0; i < 32; i++) {
            assert_true(isnan(out[i]));
            assert_true(out[32 + i] != 0.0f);
            assert_true(isnan(out[64 + i]));
        }
    });
}

static __global__ void too_much(int *out) {
    GI8I_SHARED(int, parts, 48 * 256 + 1);
    parts[threadIdx.x] = *out;
    *out = parts[threadIdx.x];
}

static __global__ void much(int *out) {
    GI8I_SHARED(int, parts, 48 * 256);
    parts[threadIdx.x] = *out;
    *out = parts[threadIdx.x] + 1;
}

static void test_too_much_shared(void **state) {
    (void)state;
    int out = 0;
    expect(launch(too_much, one, one, 0, &out), cudaErrorLaunchOutOfResources, {"parts", "static"});
    expect(launch(much, one, one, 0, &out), cudaSuccess, {});
    expect(launch(much, one, one, 50000, &out), cudaErrorInvalidValue, {"much", "shared memory"});
    assert_int_equal(out, 1);
}

static __global__ void both(int *out) {
    GI8I_SHARED(char, flags, 4);
    GI8I_SHARED(int, parts, 24 * 256 - 1);
    GI8I_DYNAMIC_SHARED(int, others);
    parts[threadIdx.x] = others[threadIdx.x] = 1;
    flags[threadIdx.x] = 1;
    *out += parts[threadIdx.x] + others[threadIdx.x] + flags[threadIdx.x];
}

/* A kernel of 24 KiB of static shared memory with dynamic besides. */
static void test_too_much_shared_in_all(void **state) {
    (void)state;
    const auto refused = cudaErrorInvalidValue;
    const void *kernel = reinterpret_cast<const void *>(&both);
    auto allow = [kernel](int bytes) {
        return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    };
    const int kib = 1024;
    int out = 0;
    expect(launch(both, one, one, 24 * kib, &out), cudaSuccess, {});
    expect(launch(both, one, one, 24 * kib + 1, &out), refused, {"both", "parts", "at most 49152"});
    assert_int_equal(allow(24 * kib + 1), cudaSuccess);
    expect(launch(both, one, one, 24 * kib + 1, &out), cudaSuccess, {});
    expect(launch(both, one, one, 24 * kib + 2, &out), refused, {"both", "was allowed"});
    assert_int_equal(allow(100), cudaSuccess); /* less than unasked */
    expect(launch(both, one, one, 101, &out), refused, {"both", "was allowed"});
    for (int limit : {64, 99, 163, 227}) { /* sm_75, sm_86 and sm_89, sm_80, sm_90 */
        gi8emu_set_shared_limit(static_cast<size_t>(limit * kib));
        assert_int_equal(allow((limit - 24) * kib), cudaSuccess);
        expect(launch(both, one, one, (limit - 24) * kib, &out), cudaSuccess, {});
        assert_int_equal(allow((limit - 24) * kib + 1), cudaSuccess);
        expect(launch(both, one, one, 100, &out), refused, {"parts", "cudaFuncSetAttribute()"});
        assert_int_equal(allow(limit * kib + 1), refused);
    }
    assert_int_equal(out, 3 * (2 + 4));
}

static void test_carveout(void **state) {
    (void)state;
    const void *kernel = reinterpret_cast<const void *>(&both);
    const auto attribute = cudaFuncAttributePreferredSharedMemoryCarveout;
    for (int percent : {-1, 0, 100}) {
        assert_int_equal(cudaFuncSetAttribute(kernel, attribute, percent), cudaSuccess);
    }
    for (int percent : {-2, 101}) {
        assert_int_equal(cudaFuncSetAttribute(kernel, attribute, percent), cudaErrorInvalidValue);
    }
    (void)cudaGetLastError();
}

static __global__ void arrays_in_branches(int *out) {
    if (threadIdx.x < 32) {
        GI8I_SHARED(int, one_array, 32);
        out[threadIdx.x] = one_array[threadIdx.x];
    } else {
        GI8I_SHARED(int, another, 32);
        out[threadIdx.x] = another[threadIdx.x - 32];
    }
}

static void test_shared_in_branches(void **state) {
    (void)state;
    int out[64];
    expect(launch(arrays_in_branches, one, dim3(64), 0, &out[0]), cudaErrorLaunchFailure,
           {"another order"});
}

static UNSANITIZED __global__ void touch(int kind, uintptr_t address, int divisor) {
    if (kind == 0) {
        volatile int *place = reinterpret_cast<int *>(address);
        *place = 1;
    } else {
        volatile int quotient = static_cast<int>(blockIdx.x) / divisor;
        (void)quotient;
    }
}

static UNSANITIZED int descend(int n) {
    volatile char room[1000];
    room[n % 1000] = 1;
    return n == 0 ? room[0] : descend(n - 1) + room[n % 1000];
}

static __global__ void recurse(int n, int *out) {
    *out = descend(n);
}

static void test_faults(void **state) {
    (void)state;
    if (GI8EMU_WITH_TSAN) {
        skip();
    }
    int out = 0;
    expect(launch(touch, dim3(5), dim3(3), 0, 0, 0x10, 0), cudaErrorIllegalAddress,
           {"touch", "thread (0, 0, 0)", "access to 0x10"});
    expect(launch(touch, dim3(5), dim3(3), 0, 1, 0, 0), cudaErrorLaunchFailure, {"division"});
    expect(launch(recurse, one, one, 0, 10000, &out), cudaErrorLaunchFailure, {"stack"});
    expect(launch(recurse, one, one, 0, 10, &out), cudaSuccess, {});
}

/* ---- Alignment ---- */

static __global__ void misaligned(int kind, const char *global, int shift) {
    GI8I_SHARED(char, stage, 1024);
    uint32_t r[4];
    if (kind == 0) {
        gi8i_ldmatrix_x4(r, stage + 16 * threadIdx.x + shift);
    } else if (kind == 1) {
        gi8i_ldmatrix_x4_trans(r, stage + 16 * threadIdx.x + shift);
    } else if (kind == 2) {
        gi8i_cp_async_16(stage + 16 * threadIdx.x + shift, global, true);
    } else if (kind == 3) {
        gi8i_cp_async_16(stage + 16 * threadIdx.x, global + shift, true);
    } else if (kind == 4) {
        uint4 v = gi8i_load_once(global + shift);
        stage[threadIdx.x] = static_cast<char>(v.x);
    } else {
        stage[threadIdx.x] = static_cast<char>(
            __ldg(reinterpret_cast<const unsigned *>(static_cast<const void *>(global + shift))));
    }
    gi8i_cp_async_commit();
    gi8i_cp_async_wait<0>();
}

static void test_misaligned(void **state) {
    (void)state;
    alignas(16) char global[64] = {};
    for (int kind = 0; kind < 6; kind++) {
        expect(launch(misaligned, one, dim3(32), 0, kind, &global[0], 0), cudaSuccess, {});
        expect(launch(misaligned, one, dim3(32), 0, kind, &global[0], kind < 5 ? 8 : 2),
               cudaErrorMisalignedAddress, {"misaligned", "multiple of"});
    }
}

static __global__ void ldmatrix_of(const int *global, int rows) {
    GI8I_SHARED(int, stage, 32 * 4);
    uint32_t r[4];
    gi8i_ldmatrix_x4(r, rows > 0 ? stage + 4 * (rows - 1 - 31 + static_cast<int>(threadIdx.x))
                                 : global);
}

static void test_ldmatrix_elsewhere(void **state) {
    (void)state;
    alignas(16) int global[4] = {};
    expect(launch(ldmatrix_of, one, dim3(32), 0, &global[0], 32), cudaSuccess, {});
    expect(launch(ldmatrix_of, one, dim3(32), 0, &global[0], 33), cudaErrorIllegalAddress,
           {"behind shared array stage"});
    expect(launch(ldmatrix_of, one, dim3(32), 0, &global[0], 0), cudaErrorIllegalAddress,
           {"not shared memory"});
}

/* ---- Threads that do not come together ---- */

static __global__ void diverge(int kind) {
    unsigned i = threadIdx.x;
    uint32_t r[4] = {};
    int32_t d[4] = {};
    switch (kind) {
    case 0: /* barriers on two lines */
        if (i < 32) {
            __syncthreads();
        } else {
            __syncthreads();
        }
        break;
    case 1: /* a barrier that some never reach */
        if (i == 17) {
            return;
        }
        __syncthreads();
        break;
    case 2: /* a warp waits for lanes that wait for the block */
        if (i % 2 == 0) {
            __syncwarp();
        }
        __syncthreads();
        break;
    case 3: /* shuffles on two lines */
        if (i % 32 < 16) {
            (void)__shfl_sync(full, 1, 0);
        } else {
            (void)__shfl_sync(full, 1, 0);
        }
        break;
    case 4: /* lanes of the mask have ended */
        if (i % 32 >= 16) {
            return;
        }
        (void)__shfl_xor_sync(full, 1, 1);
        break;
    case 5: /* the mask lacks the caller */
        (void)__shfl_xor_sync(0xffffu, 1, 1);
        break;
    case 6: /* two masks for one shuffle */
        (void)__shfl_xor_sync(i % 32 < 16 ? full : 0xffff0000u, 1, 1);
        break;
    case 7: /* from a lane outside of the mask */
        if (i % 32 < 16) {
            (void)__shfl_sync(0xffffu, 1, 20);
        }
        break;
    case 8: /* instructions of a whole warp, in a part of it */
        if (i % 32 < 31) {
            gi8i_mma_s8(d, r, r);
        }
        break;
    case 9: /* different votes */
        if (i % 32 < 16 ? __any_sync(full, 1) : __all_sync(full, 1)) {
        }
        break;
    default: break;
    }
}

static void test_divergence(void **state) {
    (void)state;
    const struct {
        const char *word;
        cudaError_t error;
    } want[] = {
        {"divergent barrier", cudaErrorLaunchFailure},
        {"thread (17, 0, 0) has exited; 63 of 64 threads wait", cudaErrorLaunchFailure},
        {"in __syncwarp", cudaErrorLaunchFailure},
        {"divergent warp", cudaErrorLaunchFailure},
        {"has exited", cudaErrorLaunchFailure},
        {"lacks the lane", cudaErrorIllegalInstruction},
        {"__shfl_xor_sync", cudaErrorLaunchFailure},
        {"which is not in mask 0000ffff", cudaErrorLaunchFailure},
        {"gi8i_mma_s8", cudaErrorLaunchFailure},
        {"divergent warp", cudaErrorLaunchFailure},
    };
    in_every_order([&] {
        for (int kind = 0; kind < 10; kind++) {
            expect(launch(diverge, dim3(2), dim3(64), 0, kind), want[kind].error,
                   {want[kind].word, "diverge(int)", "test_emulator_planted.cpp:"});
        }
        expect(launch(diverge, dim3(2), dim3(64), 0, 10), cudaSuccess, {}); /* and it goes on */
    });
}

static __global__ void odd_block(int *out) {
    out[threadIdx.x] = __shfl_xor_sync(full, 1, 1);
}

static void test_lanes_that_do_not_exist(void **state) {
    (void)state;
    int out[40];
    expect(launch(odd_block, one, dim3(40), 0, &out[0]), cudaErrorLaunchFailure,
           {"does not exist"});
}

/* Lanes shuffle within groups of a power of two. */
template <int WIDTH> static __global__ void grouped(int *out) {
    out[threadIdx.x] = __shfl_sync(full, 1, 0, WIDTH) + __shfl_up_sync(full, 1, 1, WIDTH) +
                       __shfl_down_sync(full, 1, 1, WIDTH) + __shfl_xor_sync(full, 1, 1, WIDTH);
}

static void test_width_of_shuffles(void **state) {
    (void)state;
    int out[32] = {};
    expect(launch(grouped<8>, one, dim3(32), 0, &out[0]), cudaSuccess, {});
    assert_int_equal(out[31], 4);
    for (auto kernel : {grouped<0>, grouped<-2>, grouped<12>, grouped<64>}) {
        expect(launch(kernel, one, dim3(32), 0, &out[0]), cudaErrorLaunchFailure,
               {"__shfl_sync", "power of two"});
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_barrier),
        cmocka_unit_test(test_missing_barrier_of_many),
        cmocka_unit_test(test_missing_second_barrier),
        cmocka_unit_test(test_missing_syncwarp),
        cmocka_unit_test(test_missing_wait),
        cmocka_unit_test(test_copy_left),
        cmocka_unit_test(test_missing_fence),
        cmocka_unit_test(test_out_of_bounds_shared),
        cmocka_unit_test(test_uninitialised_shared),
        cmocka_unit_test(test_too_much_shared),
        cmocka_unit_test(test_too_much_shared_in_all),
        cmocka_unit_test(test_carveout),
        cmocka_unit_test(test_shared_in_branches),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_misaligned),
        cmocka_unit_test(test_ldmatrix_elsewhere),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_lanes_that_do_not_exist),
        cmocka_unit_test(test_width_of_shuffles),
    };
    int failed = cmocka_run_group_tests_name("emulator_planted", tests, nullptr, nullptr);
#if GI8EMU_WITH_TSAN
    fflush(nullptr);
    syscall(SYS_exit_group, failed); /* past TSAN, to which a program with races has failed */
#endif
    return failed;
}
