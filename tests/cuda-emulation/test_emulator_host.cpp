/* test_emulator_host.cpp - the emulated runtime: devices, memory, copies, errors; and that it
 * catches wrong uses of them. */
#include "host_test.h"
#include "sanitizers.h"

#include <vector>

/* ---- Devices ---- */

static void reset_with(const char *variable, const char *value) {
    assert_int_equal(setenv(variable, value, 1), 0);
    gi8emu_reset();
}

static void test_devices(void **) {
    int n = -1, value = -1;
    OK(cudaGetDeviceCount(&n));
    assert_int_equal(n, 1);
    FAILS(cudaSetDevice(1), cudaErrorInvalidDevice);
    OK(cudaRuntimeGetVersion(&value));
    assert_int_equal(value, CUDART_VERSION);
    OK(cudaDriverGetVersion(&value));
    assert_true(value >= CUDART_VERSION);

    for (int sm : {75, 80, 86, 89, 90}) {
        char text[8];
        snprintf(text, sizeof text, "%d", sm);
        reset_with("GI8_EMU_SM", text);
        cudaDeviceProp p;
        OK(cudaGetDeviceProperties(&p, 0));
        assert_int_equal(10 * p.major + p.minor, sm);
        OK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0));
        assert_int_equal(value, sm / 10);
        OK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
        assert_int_equal(value, p.sharedMemPerBlockOptin);
        assert_int_equal(gi8emu_shared_limit(), p.sharedMemPerBlockOptin);
        assert_true(p.sharedMemPerBlockOptin > p.sharedMemPerBlock);
        assert_true(p.sharedMemPerBlockOptin <= p.sharedMemPerMultiprocessor);
        assert_int_equal(p.warpSize, 32);
    }
    FAILS(cudaDeviceGetAttribute(&value, cudaDevAttrMax, 0), cudaErrorInvalidValue);
}

static void test_no_device(void **) {
    reset_with("GI8_EMU_DEVICES", "0");
    int n = -1;
    void *memory = nullptr;
    FAILS(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    FAILS(cudaMalloc(&memory, 16), cudaErrorNoDevice);
    OK(cudaDriverGetVersion(&n));
    assert_int_equal(n, 0);
}

static void test_two_devices(void **) {
    reset_with("GI8_EMU_DEVICES", "2");
    int n = -1;
    OK(cudaGetDeviceCount(&n));
    assert_int_equal(n, 2);
    cudaStream_t stream;
    OK(cudaStreamCreate(&stream));
    char *memory = device_array<char>(1000);
    OK(cudaSetDevice(1));
    OK(cudaGetDevice(&n));
    assert_int_equal(n, 1);
    size_t unused, total;
    OK(cudaMemGetInfo(&unused, &total));
    assert_int_equal(unused, total);
    FAILS(cudaMemsetAsync(memory, 0, 1000, stream), cudaErrorInvalidResourceHandle);
    OK(cudaSetDevice(0));
    OK(cudaMemGetInfo(&unused, &total));
    assert_int_equal(unused, total - 1024);
    OK(cudaFree(memory));
    OK(cudaStreamDestroy(stream));
}

/* ---- Memory ---- */

static void test_capacity(void **) {
    reset_with("GI8_EMU_MEMORY", "1048576");
    size_t unused = 0, total = 0;
    OK(cudaMemGetInfo(&unused, &total));
    assert_int_equal(total, 1048576);
    char *half = device_array<char>(524288);
    void *more = &more;
    FAILS(cudaMalloc(&more, 524289), cudaErrorMemoryAllocation);
    assert_null(more);
    FAILS(cudaMalloc(&more, SIZE_MAX), cudaErrorMemoryAllocation);
    OK(cudaMalloc(&more, 524288));
    OK(cudaMemGetInfo(&unused, &total));
    assert_int_equal(unused, 0);
    OK(cudaFree(half));
    OK(cudaFree(more));
    OK(cudaMemGetInfo(&unused, &total));
    assert_int_equal(unused, total);
    OK(cudaMalloc(&more, 0));
    assert_null(more);
    OK(cudaFree(nullptr));
}

static void test_fresh_memory(void **) {
    for (size_t bytes : {size_t{1}, size_t{255}, size_t{256}, size_t{257}, size_t{100000}}) {
        unsigned char *memory = device_array<unsigned char>(bytes);
        assert_int_equal(reinterpret_cast<uintptr_t>(memory) % 256, 0);
        std::vector<unsigned char> seen(bytes, 0);
        OK(cudaMemcpy(seen.data(), memory, bytes, cudaMemcpyDeviceToHost));
        for (unsigned char byte : seen) {
            assert_true(byte == 0xFF || byte == 0x7B);
        }
        OK(cudaFree(memory));
    }
}

static void test_copies(void **) {
    std::vector<int> in(1000), out(1000, -1);
    for (int i = 0; i < 1000; i++) {
        in[static_cast<size_t>(i)] = 7 * i;
    }
    int *a = device_array<int>(1000), *b = device_array<int>(1000), *p = pinned_array<int>(1000);
    OK(cudaMemcpy(a, in.data(), 4000, cudaMemcpyHostToDevice));
    OK(cudaMemcpy(b + 1, a, 3996, cudaMemcpyDeviceToDevice));
    OK(cudaMemset(b, 0x55, 4));
    OK(cudaMemcpy(p, b, 4000, cudaMemcpyDefault));
    OK(cudaMemcpy(out.data(), p, 4000, cudaMemcpyHostToHost));
    assert_int_equal(out[0], 0x55555555);
    assert_memory_equal(&out[1], &in[0], 3996);
    OK(cudaMemcpy(a, b, 0, cudaMemcpyDeviceToDevice));
    OK(cudaFree(a));
    OK(cudaFree(b));
    OK(cudaFreeHost(p));
}

static void test_pointer_attributes(void **) {
    int *device = device_array<int>(4), *pinned = pinned_array<int>(4), mine = 0;
    cudaPointerAttributes found;
    OK(cudaPointerGetAttributes(&found, device + 1));
    assert_int_equal(found.type, cudaMemoryTypeDevice);
    OK(cudaPointerGetAttributes(&found, pinned));
    assert_int_equal(found.type, cudaMemoryTypeHost);
    OK(cudaPointerGetAttributes(&found, &mine));
    assert_int_equal(found.type, cudaMemoryTypeUnregistered);
    assert_true(gi8emu_is_device(device + 4));
    assert_false(gi8emu_is_device(device + 5));
    assert_false(gi8emu_is_device(pinned));
    assert_false(gi8emu_is_device(&mine));
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
    assert_false(gi8emu_is_device(device));
}

/* ---- Planted bugs ---- */

static void planted_wrong_kind(void **) {
    int mine[4] = {0}, *device = device_array<int>(4), *pinned = pinned_array<int>(4);
    FAILS(cudaMemcpy(mine, mine, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(pinned, mine, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(device, device, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(mine, mine, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(device, device, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(device, mine, 4, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(device, nullptr, 4, cudaMemcpyDefault), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(device, mine, 4, static_cast<cudaMemcpyKind>(7)),
          cudaErrorInvalidMemcpyDirection);
    FAILS(cudaMemset(mine, 0, 4), cudaErrorInvalidValue);
    FAILS(cudaMemset(pinned, 0, 4), cudaErrorInvalidValue);
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
}

static void planted_beyond_allocation(void **) {
    char mine[64] = {0}, *device = device_array<char>(33), *pinned = pinned_array<char>(33);
    FAILS(cudaMemcpy(device, mine, 34, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(device + 1, mine, 33, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(device - 1, mine, 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(mine, device, 34, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    FAILS(cudaMemcpy(pinned, device, 34, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    FAILS(cudaMemset(device, 0, 34), cudaErrorInvalidValue);
    FAILS(cudaMemset(device, 0, SIZE_MAX), cudaErrorInvalidValue);
    OK(cudaMemset(device, 0, 33));
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
}

static void planted_bad_free(void **) {
    char mine[64], *device = device_array<char>(64), *pinned = pinned_array<char>(64);
    FAILS(cudaFree(device + 1), cudaErrorInvalidValue);
    FAILS(cudaFree(mine), cudaErrorInvalidValue);
    FAILS(cudaFree(pinned), cudaErrorInvalidValue);
    FAILS(cudaFreeHost(device), cudaErrorInvalidValue);
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
    FAILS(cudaFree(device), cudaErrorInvalidValue);
    FAILS(cudaFreeHost(pinned), cudaErrorInvalidValue);
}

/* AddressSanitizer is not to end the program before the emulation sees it. */
__attribute__((no_sanitize("address"))) static __global__ void write_at(char *p, int64_t offset) {
    p[offset] = 1;
}

static void planted_use_after_free(void **) {
    char mine[4], *device = device_array<char>(64), *other = device_array<char>(64);
    OK(cudaFree(device));
    assert_false(device == device_array<char>(64)); /* addresses come only once */
    FAILS(cudaMemcpy(mine, device, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    FAILS(cudaMemset(device, 0, 4), cudaErrorInvalidValue);
    if (launch_one(nullptr, write_at, device, 0) == cudaSuccess) {
        assert_int_not_equal(cudaDeviceSynchronize(), cudaSuccess);
    }
    assert_string_not_equal(gi8emu_message(), "");
    (void)other;
    gi8emu_reset();
}

static void planted_host_access(void **) {
    volatile int *device = device_array<int>(4);
    assert_true(dies([=] { device[0] = 1; }));
    assert_true(dies([=] { fprintf(stdout, "%d", device[0]); }));
    volatile int *pinned = pinned_array<int>(1024);
    assert_false(dies([=] { pinned[0] = 1; }));
    assert_true(dies([=] { pinned[1024] = 1; }));
    OK(cudaFree(const_cast<int *>(device)));
    OK(cudaFreeHost(const_cast<int *>(pinned)));
}

/* Next to an allocation, where no page begins, too. */
static void planted_kernel_writes_beside(void **) {
    for (int64_t offset : {-1, 100, 255}) {
        char *device = device_array<char>(100);
        OK(launch_one(nullptr, write_at, device, 99));
        OK(cudaDeviceSynchronize());
        assert_true(gi8emu_memory_is_intact());
        OK(launch_one(nullptr, write_at, device, offset));
        FAILS(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
        /* from then on nothing works */
        void *more;
        assert_int_equal(cudaMalloc(&more, 4), cudaErrorIllegalAddress);
        assert_int_equal(cudaFree(device), cudaErrorIllegalAddress);
        gi8emu_reset();
        int n;
        OK(cudaGetDeviceCount(&n));
    }
}

static __global__ void read_at(const char *p, int64_t offset, char *out) {
    *out = p[offset];
}

/* Where a page begins; up to there only AddressSanitizer sees it. */
static void planted_kernel_reads_behind(void **) {
    char *device = device_array<char>(100), *out = device_array<char>(1);
    auto read = [=](int64_t offset) {
        OK(launch_one(nullptr, read_at, device, offset, out));
        return cudaDeviceSynchronize();
    };
    OK(read(99));
    for (int64_t offset : {100, 255}) {
        assert_int_equal(GI8EMU_ASAN, dies([=] { (void)read(offset); }));
    }
    if (!GI8EMU_WITH_TSAN) { /* which takes the signal for itself */
        FAILS(read(256), cudaErrorIllegalAddress);
    }
    gi8emu_reset();
}

static void planted_host_pointer_in_kernel(void **) {
    char mine[4] = {0};
    if (launch_one(nullptr, write_at, mine, 0) == cudaSuccess) {
        assert_int_not_equal(cudaDeviceSynchronize(), cudaSuccess);
    }
    assert_string_not_equal(gi8emu_message(), "");
    assert_int_equal(mine[0], 0);
    gi8emu_reset();
}

struct pair_of_pointers {
    double weight;
    int *x[2];
};

struct pointers_inside {
    bool flag; /* seven bytes of padding */
    pair_of_pointers pairs[2];
    uintptr_t number;
};

static __global__ void write_through(int value, pointers_inside inside) {
    *inside.pairs[1].x[0] = value;
}

/* In a struct; but numbers and padding that look like one are none. */
static void planted_host_pointer_in_struct(void **) {
    int mine = 0, *pointer = &mine, *device = device_array<int>(1);
    pointers_inside inside;
    for (size_t at = 0; at < sizeof inside; at += sizeof pointer) {
        memcpy(reinterpret_cast<char *>(&inside) + at, &pointer, sizeof pointer);
    }
    inside.flag = true;
    inside.pairs[0].x[0] = inside.pairs[1].x[0] = device;
    inside.pairs[0].x[1] = inside.pairs[1].x[1] = nullptr;
    OK(launch_one(nullptr, write_through, 7, inside));
    OK(cudaMemcpy(&mine, device, sizeof mine, cudaMemcpyDeviceToHost));
    assert_int_equal(mine, 7);

    inside.pairs[1].x[0] = pointer;
    OK(launch_one(nullptr, write_through, 8, inside));
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
    assert_non_null(strstr(gi8emu_message(), "write_through"));
    assert_non_null(strstr(gi8emu_message(), "argument 1, byte 40: "));
    assert_int_equal(mine, 7);
    gi8emu_reset();
}

static void planted_leak(void **) {
    assert_int_equal(gi8emu_live_objects(), 0);
    char *device = device_array<char>(1);
    assert_int_equal(gi8emu_live_objects(), 1);
    OK(cudaFree(device));
    assert_int_equal(gi8emu_live_objects(), 0);
}

/* ---- Errors ---- */

static void test_errors(void **) {
    assert_string_equal(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
    assert_string_equal(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
    assert_string_equal(cudaGetErrorString(static_cast<cudaError_t>(12345)),
                        "unrecognized error code");
    int n;
    assert_int_equal(cudaFree(&n), cudaErrorInvalidValue);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorInvalidValue);
    OK(cudaGetDeviceCount(&n)); /* success does not clear it */
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_non_null(strstr(gi8emu_message(), "cudaFree"));
}

static void test_injected_failures(void **) {
    void *memory = nullptr;
    gi8emu_fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
    OK(cudaMalloc(&memory, 16));
    void *second = nullptr;
    FAILS(cudaMalloc(&second, 16), cudaErrorMemoryAllocation);
    assert_null(second);
    OK(cudaMalloc(&second, 16));
    assert_int_equal(gi8emu_calls("cudaMalloc"), 3);
    assert_int_equal(gi8emu_calls("cudaFree"), 0);
    gi8emu_fail_call("cudaFree", 1, cudaErrorUnknown);
    gi8emu_fail_call("cudaFree", 0, 0); /* taken back */
    OK(cudaFree(memory));
    OK(cudaFree(second));
    gi8emu_fail_call("cudaLaunchKernelExC", 1, cudaErrorLaunchOutOfResources);
    FAILS(launch_one(nullptr, write_at, static_cast<char *>(nullptr), 0),
          cudaErrorLaunchOutOfResources);
}

int main() {
    const struct CMUnitTest tests[] = {
        TEST(test_devices),
        TEST(test_no_device),
        TEST(test_two_devices),
        TEST(test_capacity),
        TEST(test_fresh_memory),
        TEST(test_copies),
        TEST(test_pointer_attributes),
        TEST(planted_wrong_kind),
        TEST(planted_beyond_allocation),
        TEST(planted_bad_free),
        TEST(planted_use_after_free),
        TEST(planted_host_access),
        TEST(planted_kernel_writes_beside),
        TEST(planted_kernel_reads_behind),
        TEST(planted_host_pointer_in_kernel),
        TEST(planted_host_pointer_in_struct),
        TEST(planted_leak),
        TEST(test_errors),
        TEST(test_injected_failures),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
