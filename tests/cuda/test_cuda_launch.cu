/* test_cuda_launch.cu - launches with more shared memory than a kernel has unasked, each with its
 * own size: a smaller one must not take away what a launch in a graph needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <ptx.cuh>

#include "launch.cuh"

static __global__ void last_byte(size_t n, int *out) {
    GI8I_SHARED(int, one, 1);
    GI8I_DYNAMIC_SHARED(char, bytes);
    *one = 1;
    bytes[n - 1] = 1;
    *out += bytes[n - 1] + *one;
}

static int allowed() {
    cudaFuncAttributes attributes;
    const void *kernel = reinterpret_cast<const void *>(&last_byte);
    assert_int_equal(cudaFuncGetAttributes(&attributes, kernel), cudaSuccess);
    return attributes.maxDynamicSharedSizeBytes;
}

static void test_shared_memory_only_grows(void **state) {
    (void)state;
    void *memory = nullptr;
    assert_int_equal(cudaMalloc(&memory, sizeof(int)), cudaSuccess);
    assert_int_equal(cudaMemset(memory, 0, sizeof(int)), cudaSuccess);
    /* with what is static the first is more than 48 KiB; compute capability 7.5 has 64 KiB */
    const int kib = 1024, sizes[] = {48, 56, 1, 50, 60, 48, 60};
    int most = 0;
    for (int size : sizes) {
        const size_t bytes = static_cast<size_t>(size) * static_cast<size_t>(kib);
        gi8_error error = GI8_ERROR_INIT;
        assert_int_equal(gi8i_launch("last_byte", last_byte, dim3(1), dim3(1), bytes, nullptr,
                                     &error, bytes, static_cast<int *>(memory)),
                         GI8_OK);
        most = size > most ? size : most;
        assert_int_equal(allowed(), most * kib);
    }
    int sum = 0;
    assert_int_equal(cudaMemcpy(&sum, memory, sizeof sum, cudaMemcpyDeviceToHost), cudaSuccess);
    assert_int_equal(sum, 2 * 7);
    assert_int_equal(cudaFree(memory), cudaSuccess);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_memory_only_grows),
    };
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        print_message("no CUDA device\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
