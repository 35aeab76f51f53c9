/* test_emulator_cublaslt.cpp - the emulated cuBLASLt: products against plain loops, and what it
 * refuses. */
#include "host_test.h"

#include <cmath>
#include <vector>

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "test_seed.h"

static uint64_t seed;

/* One product D = alpha op(A) op(B) + beta C with all that can be said of it. Numbers are small
 * integers (and quarters for C and bias): sums are exact in every order. */
struct Problem {
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
    cudaDataType scale = CUDA_R_32F, in = CUDA_R_16F, out = CUDA_R_32F;
    bool transpose_a = true, transpose_b = false;
    int m = 8, n = 3, k = 12;
    int pad_a = 0, pad_b = 0, pad_d = 0; /* added to the leading dimensions */
    int batch = 1;
    float alpha = 1.0f, beta = 0.0f;
    bool bias = false;
    size_t workspace = 1 << 20; /* of the preference */
    uint32_t alignment = 256;
};

static Problem int8_problem() {
    Problem p;
    p.compute = CUBLAS_COMPUTE_32I;
    p.scale = CUDA_R_32I;
    p.in = CUDA_R_8I;
    p.out = CUDA_R_32I;
    return p;
}

static size_t bytes_of(cudaDataType type) {
    return type == CUDA_R_8I ? 1 : type == CUDA_R_16F || type == CUDA_R_16BF ? 2 : 4;
}

static void put(void *array, cudaDataType type, size_t i, float value) {
    switch (type) {
    case CUDA_R_8I: static_cast<int8_t *>(array)[i] = static_cast<int8_t>(value); break;
    case CUDA_R_32I: static_cast<int32_t *>(array)[i] = static_cast<int32_t>(value); break;
    case CUDA_R_16F: static_cast<__half *>(array)[i] = __float2half_rn(value); break;
    case CUDA_R_16BF:
        static_cast<__nv_bfloat16 *>(array)[i] = __float2bfloat16_rn(value);
        break;
    default: static_cast<float *>(array)[i] = value; break;
    }
}

static float get(const void *array, cudaDataType type, size_t i) {
    switch (type) {
    case CUDA_R_8I: return static_cast<float>(static_cast<const int8_t *>(array)[i]);
    case CUDA_R_32I: return static_cast<float>(static_cast<const int32_t *>(array)[i]);
    case CUDA_R_16F: return __half2float(static_cast<const __half *>(array)[i]);
    case CUDA_R_16BF: return __bfloat162float(static_cast<const __nv_bfloat16 *>(array)[i]);
    default: return static_cast<const float *>(array)[i];
    }
}

/* A matrix on host and device. */
struct Matrix {
    cudaDataType type;
    size_t rows, cols, ld, stride, batch;
    std::vector<char> host;
    char *device;

    Matrix(cudaDataType t, int r, int c, int pad, int n_batch, float step, test_rng *rng)
        : type(t), rows(static_cast<size_t>(r)), cols(static_cast<size_t>(c)),
          ld(static_cast<size_t>(r + pad)), stride(ld * cols + 4),
          batch(static_cast<size_t>(n_batch)) {
        size_t elements = stride * (batch - 1) + ld * (cols - 1) + rows;
        host.resize(elements * bytes_of(type));
        for (size_t i = 0; i < elements; i++) {
            put(host.data(), type, i,
                step * (static_cast<float>(test_rng_next(rng) % 15) - 7.0f));
        }
        device = device_array<char>(host.size());
        OK(cudaMemcpy(device, host.data(), host.size(), cudaMemcpyHostToDevice));
    }
    size_t at(size_t b, size_t row, size_t col) const { return b * stride + col * ld + row; }
    float value(size_t b, size_t row, size_t col) const {
        return get(host.data(), type, at(b, row, col));
    }
    cublasLtMatrixLayout_t layout() const {
        cublasLtMatrixLayout_t l = nullptr;
        assert_int_equal(
            cublasLtMatrixLayoutCreate(&l, type, rows, cols, static_cast<int64_t>(ld)), 0);
        int32_t count = static_cast<int32_t>(batch);
        int64_t offset = static_cast<int64_t>(stride);
        assert_int_equal(cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                          &count, sizeof count),
                         0);
        assert_int_equal(cublasLtMatrixLayoutSetAttribute(
                             l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset,
                             sizeof offset),
                         0);
        return l;
    }
};

/* Everything that a call needs; freed at the end. */
struct Setup {
    const Problem p;
    test_rng rng;
    Matrix a, b, d;
    std::vector<float> bias;
    char *device_bias, *workspace;
    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDesc_t product = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatrixLayout_t la, lb, ld;
    cublasLtMatmulHeuristicResult_t found[8];
    int n_found = 0;
    float alpha_f, beta_f;
    int32_t alpha_i, beta_i;

    template <typename T> void set(cublasLtMatmulDescAttributes_t attribute, T value) {
        assert_int_equal(
            cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value), 0);
    }
    template <typename T> void prefer(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
        assert_int_equal(
            cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value), 0);
    }

    explicit Setup(const Problem &problem)
        : p(problem), rng{seed},
          a(p.in, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.pad_a, p.batch, 1.0f,
            &rng),
          b(p.in, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.pad_b, p.batch, 1.0f,
            &rng),
          d(p.out, p.m, p.n, p.pad_d, p.batch, p.out == CUDA_R_32I ? 1.0f : 0.25f, &rng),
          alpha_f(p.alpha), beta_f(p.beta), alpha_i(static_cast<int32_t>(p.alpha)),
          beta_i(static_cast<int32_t>(p.beta)) {
        assert_int_equal(cublasLtCreate(&handle), 0);
        assert_int_equal(cublasLtMatmulDescCreate(&product, p.compute, p.scale), 0);
        set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
        size_t m = static_cast<size_t>(p.m);
        device_bias = device_array<char>(m * bytes_of(p.out));
        if (p.bias) {
            std::vector<char> typed(m * bytes_of(p.out));
            for (size_t i = 0; i < m; i++) {
                bias.push_back(0.25f * static_cast<float>(i % 9) - 1.0f);
                put(typed.data(), p.out, i, bias[i]);
            }
            OK(cudaMemcpy(device_bias, typed.data(), typed.size(), cudaMemcpyHostToDevice));
            set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
            set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void *>(device_bias));
        }
        assert_int_equal(cublasLtMatmulPreferenceCreate(&preference), 0);
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(p.workspace));
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p.alignment);
        workspace = device_array<char>(1 << 20);
        la = a.layout();
        lb = b.layout();
        ld = d.layout();
    }
    ~Setup() {
        cublasLtMatrixLayoutDestroy(la);
        cublasLtMatrixLayoutDestroy(lb);
        cublasLtMatrixLayoutDestroy(ld);
        cublasLtMatmulPreferenceDestroy(preference);
        cublasLtMatmulDescDestroy(product);
        cublasLtDestroy(handle);
        for (char *memory : {a.device, b.device, d.device, device_bias, workspace}) {
            cudaFree(memory);
        }
    }
    cublasStatus_t ask() {
        return cublasLtMatmulAlgoGetHeuristic(handle, product, la, lb, ld, ld, preference, 8,
                                              found, &n_found);
    }
    cublasStatus_t multiply_at(const void *at_a, const void *at_b, void *at_d,
                               const cublasLtMatmulAlgo_t *algorithm, void *at_workspace,
                               size_t bytes, cudaStream_t stream) {
        bool integers = p.scale == CUDA_R_32I;
        const void *alpha = integers ? static_cast<const void *>(&alpha_i) : &alpha_f;
        const void *beta = integers ? static_cast<const void *>(&beta_i) : &beta_f;
        return cublasLtMatmul(handle, product, alpha, at_a, la, at_b, lb, beta, at_d, ld, at_d, ld,
                              algorithm, at_workspace, bytes, stream);
    }
    cublasStatus_t multiply(const cublasLtMatmulAlgo_t *algorithm, cudaStream_t stream = nullptr) {
        return multiply_at(a.device, b.device, d.device, algorithm, workspace, 1 << 20, stream);
    }

    /* D as it must be now, and nothing beside it touched; `times`: products that ran. */
    void check(int times = 1) {
        std::vector<char> expected = d.host, got(d.host.size());
        for (size_t batch = 0; batch < d.batch; batch++) {
            for (size_t j = 0; j < d.cols; j++) {
                for (size_t i = 0; i < d.rows; i++) {
                    float value = d.value(batch, i, j);
                    for (int t = 0; t < times; t++) {
                        value = one(batch, i, j, value);
                    }
                    put(expected.data(), p.out, d.at(batch, i, j), value);
                }
            }
        }
        OK(cudaMemcpy(got.data(), d.device, got.size(), cudaMemcpyDeviceToHost));
        assert_memory_equal(got.data(), expected.data(), got.size());
    }
    float one(size_t batch, size_t i, size_t j, float before) const {
        float sum = 0.0f;
        for (size_t l = 0; l < static_cast<size_t>(p.k); l++) {
            sum += (p.transpose_a ? a.value(batch, l, i) : a.value(batch, i, l)) *
                   (p.transpose_b ? b.value(batch, j, l) : b.value(batch, l, j));
        }
        return p.alpha * sum + p.beta * before + (p.bias ? bias[i] : 0.0f);
    }
};

/* The product with every algorithm, and with none given. */
static void check_all(const Problem &p) {
    int n = 1;
    for (int i = -1; i < n; i++) {
        Setup s(p);
        assert_int_equal(s.ask(), CUBLAS_STATUS_SUCCESS);
        assert_true(s.n_found >= 2);
        n = s.n_found;
        assert_int_equal(s.multiply(i < 0 ? nullptr : &s.found[i].algo), CUBLAS_STATUS_SUCCESS);
        s.check();
    }
}

static void test_int8(void **) {
    check_all(int8_problem());
    Problem p = int8_problem();
    p.m = 20;
    p.n = 1;
    p.k = 400;
    p.pad_a = 4;
    p.pad_b = 8;
    p.pad_d = 4;
    p.batch = 3;
    check_all(p);
    p.beta = 1.0f;
    check_all(p);
}

/* The extremes: sums that float32 cannot hold. */
static void test_int8_is_exact(void **) {
    Problem p = int8_problem();
    p.m = 4;
    p.n = 1;
    p.k = 40000;
    Setup s(p);
    std::vector<int8_t> a(s.a.host.size(), -128), b(s.b.host.size(), -128);
    b[0] = -127;
    OK(cudaMemcpy(s.a.device, a.data(), a.size(), cudaMemcpyHostToDevice));
    OK(cudaMemcpy(s.b.device, b.data(), b.size(), cudaMemcpyHostToDevice));
    assert_int_equal(s.multiply(nullptr), CUBLAS_STATUS_SUCCESS);
    int32_t sums[4];
    OK(cudaMemcpy(sums, s.d.device, sizeof sums, cudaMemcpyDeviceToHost));
    for (int32_t sum : sums) {
        assert_int_equal(sum, 40000 * 128 * 128 - 128);
    }
}

static void test_floats(void **) {
    for (cudaDataType in : {CUDA_R_16F, CUDA_R_16BF, CUDA_R_32F}) {
        for (int bits = 0; bits < 16; bits++) {
            Problem p;
            p.in = in;
            p.out = (bits & 1) != 0 ? in : CUDA_R_32F;
            p.transpose_a = (bits & 2) == 0;
            p.transpose_b = (bits & 4) != 0;
            p.bias = (bits & 8) != 0;
            p.m = 5;
            p.n = 7;
            p.k = 9;
            p.pad_a = 1;
            p.pad_d = 2;
            p.batch = 1 + bits % 3;
            check_all(p);
            p.alpha = 0.5f;
            p.beta = 2.0f;
            check_all(p);
        }
    }
}

/* With beta = 0 D is not read. */
static void test_garbage_in_d(void **) {
    Problem p;
    Setup s(p);
    std::vector<char> nan(s.d.host.size(), static_cast<char>(0xFF));
    OK(cudaMemcpy(s.d.device, nan.data(), nan.size(), cudaMemcpyHostToDevice));
    assert_int_equal(s.multiply(nullptr), CUBLAS_STATUS_SUCCESS);
    s.check();
}

static void test_stream_and_graph(void **) {
    Problem p;
    p.beta = 1.0f;
    Setup s(p);
    assert_int_equal(s.ask(), CUBLAS_STATUS_SUCCESS);
    cudaStream_t stream = nullptr;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    assert_int_equal(s.multiply(&s.found[0].algo, stream), CUBLAS_STATUS_SUCCESS);
    s.check(0); /* nobody waited */
    OK(cudaStreamSynchronize(stream));
    s.check(1);

    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    assert_int_equal(s.multiply(&s.found[0].algo, stream), CUBLAS_STATUS_SUCCESS);
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&executable, graph, 0));
    s.beta_f = 100.0f; /* was read in the capture */
    OK(cudaGraphLaunch(executable, stream));
    OK(cudaGraphLaunch(executable, stream));
    OK(cudaStreamSynchronize(stream));
    s.check(3);
    OK(cudaGraphExecDestroy(executable));
    OK(cudaGraphDestroy(graph));
    OK(cudaStreamDestroy(stream));
}

/* Events tell which algorithm is the fastest, and it is not the first. */
static void test_algorithms(void **) {
    Setup s(int8_problem());
    assert_int_equal(s.ask(), CUBLAS_STATUS_SUCCESS);
    float best = INFINITY;
    int fastest = -1;
    cudaEvent_t start, end;
    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    for (int i = 0; i < s.n_found; i++) {
        OK(cudaEventRecord(start, nullptr));
        assert_int_equal(s.multiply(&s.found[i].algo), CUBLAS_STATUS_SUCCESS);
        OK(cudaEventRecord(end, nullptr));
        OK(cudaEventSynchronize(end));
        float milliseconds = 0.0f;
        OK(cudaEventElapsedTime(&milliseconds, start, end));
        fastest = milliseconds < best ? i : fastest;
        best = milliseconds < best ? milliseconds : best;
        cublasLtMatmulHeuristicResult_t checked;
        assert_int_equal(cublasLtMatmulAlgoCheck(s.handle, s.product, s.la, s.lb, s.ld, s.ld,
                                                 &s.found[i].algo, &checked),
                         CUBLAS_STATUS_SUCCESS);
        assert_int_equal(checked.workspaceSize, s.found[i].workspaceSize);
    }
    assert_true(fastest > 0);
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));

    Problem small = int8_problem();
    small.workspace = 0;
    Setup without(small);
    assert_int_equal(without.ask(), CUBLAS_STATUS_SUCCESS);
    assert_true(without.n_found < s.n_found);
    for (int i = 0; i < without.n_found; i++) {
        assert_int_equal(without.found[i].workspaceSize, 0);
    }
    /* an algorithm for int8 is none for float16 */
    Setup other{Problem()};
    assert_int_equal(other.multiply(&s.found[1].algo), CUBLAS_STATUS_NOT_SUPPORTED);
    cublasLtMatmulAlgo_t nothing = {};
    assert_int_equal(s.multiply(&nothing), CUBLAS_STATUS_NOT_SUPPORTED);
}

/* ---- What is refused ---- */

static void assert_refused(const Problem &p) {
    Setup s(p);
    assert_int_equal(s.ask(), CUBLAS_STATUS_NOT_SUPPORTED);
    assert_int_equal(s.n_found, 0);
    assert_int_equal(s.multiply(nullptr), CUBLAS_STATUS_NOT_SUPPORTED);
    assert_string_not_equal(gi8emu_message(), "");
    gi8emu_clear_message();
    OK(cudaDeviceSynchronize());
    s.check(0);
}

template <typename F> static void assert_int8_refused(F change) {
    Problem p = int8_problem();
    change(p);
    assert_refused(p);
}

static void planted_int8_shapes(void **) {
    assert_int8_refused([](Problem &p) { p.k = 6; }); /* a leading dimension of 6 */
    assert_int8_refused([](Problem &p) { p.pad_a = 2; });
    assert_int8_refused([](Problem &p) { p.pad_b = 1; });
    assert_int8_refused([](Problem &p) { p.pad_d = 2; });
    assert_int8_refused([](Problem &p) { p.m = 6; p.pad_d = 2; });
    assert_int8_refused([](Problem &p) { p.k = 6; p.pad_a = p.pad_b = 2; });
    assert_int8_refused([](Problem &p) { p.transpose_a = false; });
    assert_int8_refused([](Problem &p) { p.n = 4; p.transpose_b = true; });
    assert_int8_refused([](Problem &p) { p.bias = true; });
    assert_int8_refused([](Problem &p) { p.out = CUDA_R_32F; });
    assert_int8_refused([](Problem &p) { p.scale = CUDA_R_32F; });
}

static void planted_float_types(void **) {
    Problem p;
    p.out = CUDA_R_16BF;
    assert_refused(p);
    p = Problem();
    p.compute = CUBLAS_COMPUTE_16F;
    assert_refused(p);
    p = Problem();
    p.in = CUDA_R_8I;
    assert_refused(p);
}

static void planted_int8_scales(void **) {
    Problem p = int8_problem();
    p.alpha = 2.0f;
    Setup s(p);
    assert_int_equal(s.ask(), CUBLAS_STATUS_SUCCESS); /* it does not see alpha */
    assert_int_equal(s.multiply(&s.found[0].algo), CUBLAS_STATUS_NOT_SUPPORTED);
}

static void planted_workspace(void **) {
    Setup s(int8_problem());
    assert_int_equal(s.ask(), CUBLAS_STATUS_SUCCESS);
    const cublasLtMatmulAlgo_t *algorithm = &s.found[0].algo;
    size_t needed = s.found[0].workspaceSize;
    assert_true(needed > 0);
    std::vector<char> mine(needed + 256);
    auto with = [&](void *workspace, size_t bytes) {
        return s.multiply_at(s.a.device, s.b.device, s.d.device, algorithm, workspace, bytes,
                             nullptr);
    };
    assert_int_equal(with(s.workspace, needed - 1), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(with(nullptr, 0), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(with(nullptr, needed), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(with(mine.data(), needed), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(with(s.workspace + 16, needed), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(with(s.workspace, (1 << 20) + 1), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(with(s.workspace, needed), CUBLAS_STATUS_SUCCESS);
    s.check();
}

static void planted_operands(void **) {
    Problem p;
    p.in = CUDA_R_32F;
    Setup s(p);
    std::vector<char> mine(4096);
    auto at = [&](void *a, void *b, void *d) {
        return s.multiply_at(a, b, d, nullptr, nullptr, 0, nullptr);
    };
    char *a = s.a.device, *b = s.b.device, *d = s.d.device, *host = mine.data();
    for (char *bad : {host, static_cast<char *>(nullptr)}) {
        assert_int_equal(at(bad, b, d), CUBLAS_STATUS_INVALID_VALUE);
        assert_int_equal(at(a, bad, d), CUBLAS_STATUS_INVALID_VALUE);
        assert_int_equal(at(a, b, bad), CUBLAS_STATUS_INVALID_VALUE);
    }
    assert_int_equal(at(a + 4, b, d), CUBLAS_STATUS_INVALID_VALUE); /* ends too late */
    assert_int_equal(at(a, b + 4, d), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(at(a, b, d + 4), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(at(a, b, d), CUBLAS_STATUS_SUCCESS);
    OK(cudaFree(s.a.device)); /* waits for the product; from then on: */
    assert_int_equal(at(a, b, d), CUBLAS_STATUS_INVALID_VALUE);
    s.a.device = nullptr;
    s.check();
}

/* The heuristic was promised pointers aligned to 16 bytes. */
static void planted_alignment(void **) {
    for (uint32_t promised : {16u, 4u}) {
        Problem p = int8_problem();
        p.alignment = promised;
        Setup s(p);
        assert_int_equal(s.ask(), CUBLAS_STATUS_SUCCESS);
        char *shifted = device_array<char>(s.a.host.size() + 4);
        OK(cudaMemcpy(shifted + 4, s.a.host.data(), s.a.host.size(), cudaMemcpyHostToDevice));
        cublasStatus_t status = s.multiply_at(shifted + 4, s.b.device, s.d.device,
                                              &s.found[0].algo, s.workspace, 1 << 20, nullptr);
        assert_int_equal(status, promised == 4 ? CUBLAS_STATUS_SUCCESS
                                               : CUBLAS_STATUS_NOT_SUPPORTED);
        s.check(promised == 4 ? 1 : 0);
        OK(cudaFree(shifted));
    }
    Problem p = int8_problem();
    p.alignment = 2;
    Setup s(p);
    assert_int_equal(s.ask(), CUBLAS_STATUS_NOT_SUPPORTED);
}

static void planted_bad_descriptors(void **) {
    Setup s(int8_problem());
    cublasLtMatrixLayout_t layout = nullptr;
    assert_int_equal(cublasLtMatrixLayoutCreate(&layout, CUDA_R_8I, 16, 8, 8), 0);
    std::swap(layout, s.la); /* another k, and a leading dimension below its rows */
    assert_int_equal(s.ask(), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(s.multiply(nullptr), CUBLAS_STATUS_INVALID_VALUE);
    std::swap(layout, s.la);
    assert_int_equal(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_INVALID_VALUE);
    uint64_t wide = 0;
    assert_int_equal(cublasLtMatmulDescSetAttribute(s.product, CUBLASLT_MATMUL_DESC_TRANSA, &wide,
                                                    sizeof wide),
                     CUBLAS_STATUS_INVALID_VALUE);
    int32_t transposed = 0;
    size_t written = 0;
    assert_int_equal(cublasLtMatmulDescGetAttribute(s.product, CUBLASLT_MATMUL_DESC_TRANSA,
                                                    &transposed, sizeof transposed, &written),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(transposed, CUBLAS_OP_T);
    assert_int_equal(written, sizeof transposed);
}

static void test_versions_and_failures(void **) {
    assert_int_equal(cublasLtGetVersion(), CUBLAS_VERSION);
    assert_string_equal(cublasLtGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED),
                        "CUBLAS_STATUS_NOT_SUPPORTED");
    assert_string_not_equal(cublasLtGetStatusString(CUBLAS_STATUS_ALLOC_FAILED), "");
    cublasLtHandle_t handle = nullptr;
    gi8emu_fail_call("cublasLtCreate", 1, CUBLAS_STATUS_ALLOC_FAILED);
    assert_int_equal(cublasLtCreate(&handle), CUBLAS_STATUS_ALLOC_FAILED);
    assert_null(handle);
    Setup s{Problem()};
    gi8emu_fail_call("cublasLtMatmul", 2, CUBLAS_STATUS_EXECUTION_FAILED);
    assert_int_equal(s.multiply(nullptr), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(s.multiply(nullptr), CUBLAS_STATUS_EXECUTION_FAILED);
    s.check(1);
}

int main() {
    seed = test_rng_seeded(1).state;
    const struct CMUnitTest tests[] = {
        TEST(test_int8),
        TEST(test_int8_is_exact),
        TEST(test_floats),
        TEST(test_garbage_in_d),
        TEST(test_stream_and_graph),
        TEST(test_algorithms),
        TEST(planted_int8_shapes),
        TEST(planted_float_types),
        TEST(planted_int8_scales),
        TEST(planted_workspace),
        TEST(planted_operands),
        TEST(planted_alignment),
        TEST(planted_bad_descriptors),
        TEST(test_versions_and_failures),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
