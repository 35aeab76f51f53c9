/* test_emulator_device.cpp - threads, blocks, what they share, and kernels as objects, on the
 * emulation. */
#include "emulator_test.h"

/* ---- Indices and blocks ---- */

static __global__ void count_threads(int *seen, int *order, int *n) {
    int block = static_cast<int>(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
    int thread = static_cast<int>(threadIdx.x +
                                  blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
    seen[block * 24 + thread]++;
    if (thread == 0) {
        order[atomicAdd(n, 1)] = block;
    }
}

static void test_indices(void **state) {
    (void)state;
    bool permuted = false;
    in_every_order([&] {
        std::vector<int> seen(2 * 3 * 5 * 24), order(30);
        int n = 0;
        run(count_threads, dim3(2, 3, 5), dim3(2, 3, 4), 0, seen.data(), order.data(), &n);
        assert_int_equal(n, 30);
        for (int s : seen) {
            assert_int_equal(s, 1);
        }
        permuted = permuted || (order[0] != 0 && order[0] != 29);
    });
    assert_true(permuted);
}

struct arguments_struct {
    int a;
    double b;
    const float *c;
};

static __global__ void take_arguments(arguments_struct s, int8_t small, double *out) {
    *out = s.a + s.b + static_cast<double>(*s.c) + small;
}

static void test_arguments(void **state) {
    (void)state;
    float c = 0.25f;
    double out = 0.0;
    run(take_arguments, dim3(1), dim3(1), 0, arguments_struct{1, 0.5, &c}, 100, &out);
    assert_true(out == 101.75);
}

/* ---- Shared memory, barriers ---- */

static __global__ void reverse(const int *in, int *out) {
    GI8I_SHARED(int, parts, 256);
    GI8I_SHARED(int, other, 3);
    GI8I_DYNAMIC_SHARED(short, dynamic);
    parts[threadIdx.x] = in[threadIdx.x];
    dynamic[threadIdx.x] = static_cast<short>(threadIdx.x);
    if (threadIdx.x < 3) {
        other[threadIdx.x] = 1000;
    }
    __syncthreads();
    out[threadIdx.x] = parts[255 - threadIdx.x] + dynamic[threadIdx.x ^ 1] + other[threadIdx.x % 3];
}

static void test_shared(void **state) {
    (void)state;
    in_every_order([] {
        std::vector<int> in(256), out(256);
        for (int i = 0; i < 256; i++) {
            in[static_cast<size_t>(i)] = i * i;
        }
        run(reverse, dim3(1), dim3(256), 512, in.data(), out.data());
        for (int i = 0; i < 256; i++) {
            assert_int_equal(out[static_cast<size_t>(i)], (255 - i) * (255 - i) + (i ^ 1) + 1000);
        }
    });
}

static __global__ void barrier_values(int *out) {
    int i = static_cast<int>(threadIdx.x);
    for (int round = 0; round < 3; round++) {
        int count = __syncthreads_count(i % 3 == round);
        int either = __syncthreads_or(i == 70 && round == 1);
        int all = __syncthreads_and(i < 96 || round != 2);
        out[round * 100 + i] = count * 4 + either * 2 + all;
    }
}

static void test_barrier_values(void **state) {
    (void)state;
    in_every_order([] {
        std::vector<int> out(300);
        run(barrier_values, dim3(1), dim3(100), 0, out.data());
        const int want[3] = {34 * 4 + 1, 33 * 4 + 2 + 1, 33 * 4};
        for (size_t i = 0; i < 300; i++) {
            assert_int_equal(out[i], want[i / 100]);
        }
    });
}

static __global__ void early_exit(int *out) {
    if (threadIdx.x >= 40) {
        return;
    }
    out[threadIdx.x] = 1;
}

static void test_threads_may_end_early(void **state) {
    (void)state;
    std::vector<int> out(64);
    run(early_exit, dim3(1), dim3(64), 0, out.data());
    assert_int_equal(out[39], 1);
    assert_int_equal(out[40], 0);
}

/* ---- Atomics ---- */

struct counters {
    int sum, least, most, swapped;
    unsigned bits, kept, turn;
    unsigned long long wide;
    float real;
};

static __global__ void count(counters *c, int *tickets) {
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    tickets[atomicAdd(&c->sum, 1)] = i;
    atomicMin(&c->least, 7 - i);
    atomicMax(&c->most, i);
    atomicOr(&c->bits, 1u << (i % 32));
    atomicAnd(&c->kept, ~(1u << (i % 16)));
    atomicAdd(&c->wide, 1ull << 32);
    atomicAdd(&c->real, 0.5f);
    atomicInc(&c->turn, 4);
    if (atomicCAS(&c->swapped, 0, 5) == 0) {
        atomicExch(&c->swapped, 6);
    }
}

static void test_atomics(void **state) {
    (void)state;
    in_every_order([] {
        counters c = {};
        c.kept = 0xffffffffu;
        std::vector<int> tickets(256, -1), seen(256);
        run(count, dim3(4), dim3(64), 0, &c, tickets.data());
        for (int t : tickets) {
            seen[static_cast<size_t>(t)]++;
        }
        for (int s : seen) {
            assert_int_equal(s, 1);
        }
        assert_int_equal(c.sum, 256);
        assert_int_equal(c.least, 7 - 255);
        assert_int_equal(c.most, 255);
        assert_int_equal(c.bits, 0xffffffffu);
        assert_int_equal(c.kept, 0xffff0000u);
        assert_true(c.wide == 256ull << 32);
        assert_true(c.real == 128.0f);
        assert_int_equal(c.turn, 256 % 5);
        assert_int_equal(c.swapped, 6);
    });
}

static __global__ void last_block_sums(const int *x, int *parts, unsigned *done, int *sum) {
    GI8I_SHARED(int, last, 1);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = x[blockIdx.x] * 2;
        __threadfence();
        last[0] = atomicAdd(done, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last[0] != 0 && threadIdx.x == 33) {
        __threadfence();
        for (unsigned i = 0; i < gridDim.x; i++) {
            *sum += parts[i];
        }
    }
}

static void test_last_block(void **state) {
    (void)state;
    in_every_order([] {
        std::vector<int> x = {1, 2, 3, 4, 5, 6, 7}, parts(7);
        unsigned done = 0;
        int sum = 0;
        run(last_block_sums, dim3(7), dim3(64), 0, x.data(), parts.data(), &done, &sum);
        assert_int_equal(sum, 56);
    });
}

/* ---- Kernels as objects ---- */

static __global__ void add_to(int *sum, int value) {
    *sum += value;
}

static void test_name(void **state) {
    (void)state;
    gi8emu_clear_message();
    assert_int_equal(launch(add_to, dim3(1), dim3(2048), 0, nullptr, 1),
                     cudaErrorInvalidConfiguration);
    assert_non_null(strstr(gi8emu_message(), "add_to"));
}

static void test_limits(void **state) {
    (void)state;
    int sum = 0;
    const dim3 bad_grids[] = {dim3(0), dim3(1, 0), dim3(1, 65536), dim3(1, 1, 65536)};
    for (dim3 grid : bad_grids) {
        assert_int_equal(launch(add_to, grid, dim3(1), 0, &sum, 1), cudaErrorInvalidConfiguration);
    }
    const dim3 bad_blocks[] = {dim3(0), dim3(1025), dim3(1, 1025), dim3(1, 1, 65), dim3(512, 3)};
    for (dim3 block : bad_blocks) {
        assert_int_equal(launch(add_to, dim3(1), block, 0, &sum, 1), cudaErrorInvalidConfiguration);
    }
    const void *kernel = reinterpret_cast<const void *>(&add_to);
    assert_int_equal(launch(add_to, dim3(1), dim3(1), 49152, &sum, 1), cudaSuccess);
    assert_int_equal(launch(add_to, dim3(1), dim3(1), 49153, &sum, 1), cudaErrorInvalidValue);
    auto attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
    assert_int_equal(cudaFuncSetAttribute(kernel, attribute, 232449), cudaErrorInvalidValue);
    assert_int_equal(cudaFuncSetAttribute(kernel, attribute, -1), cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    cudaFuncAttributes known;
    assert_int_equal(cudaFuncGetAttributes(nullptr, kernel), cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_int_equal(cudaFuncGetAttributes(&known, kernel), cudaSuccess);
    assert_int_equal(known.maxDynamicSharedSizeBytes, 0);
    assert_int_equal(cudaFuncSetAttribute(kernel, attribute, 232448), cudaSuccess);
    assert_int_equal(cudaFuncGetAttributes(&known, kernel), cudaSuccess);
    assert_int_equal(known.maxDynamicSharedSizeBytes, 232448);
    assert_int_equal(launch(add_to, dim3(1), dim3(1), 232448, &sum, 1), cudaSuccess);
    assert_int_equal(sum, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_indices),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_barrier_values),
        cmocka_unit_test(test_threads_may_end_early),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_last_block),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("emulator_device", tests, nullptr, nullptr);
}
