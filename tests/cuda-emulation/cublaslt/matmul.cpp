/* matmul.cpp - what the emulated cuBLASLt takes and refuses, its algorithms, and the product. */
#include "arithmetic.h"
#include "descriptors.h"

#include "../host/runtime.h"

#include <algorithm>
#include <cstring>

namespace gi8emu {

namespace {

/* All that a product is made of, copied from the descriptors. */
struct Problem {
    Product product;
    Layout a, b, c, d;
    uint64_t m, n, k;
    cudaDataType bias_type;
};

struct Pointers {
    const void *a, *b, *c;
    void *d;
};

/* Algorithms differ in what they cost on the emulated clock, in percent, and whether they need
 * workspace, which they fill. The first offered is not the fastest; two are nearly equal. */
struct Algorithm {
    bool workspace;
    uint64_t cost;
};
const Algorithm algorithms[] = {{true, 400}, {false, 300}, {true, 200}, {false, 198}};
const uint64_t n_algorithms = sizeof algorithms / sizeof *algorithms;

/* The words of a cublasLtMatmulAlgo_t. */
enum { word_magic, word_algorithm, word_kind, word_alignment };
const uint64_t magic = 0x6769386C74616C67u;

bool is_half(uint32_t type) { return type == CUDA_R_16F || type == CUDA_R_16BF; }

uint64_t workspace_of(const Problem &p, uint64_t algorithm) {
    /* partial sums of two slices of k */
    return algorithms[algorithm].workspace
               ? p.m * p.n * static_cast<uint64_t>(p.d.batch) * 2 * sizeof(float)
               : 0;
}

uint64_t nanoseconds_of(const Problem &p, uint64_t algorithm) {
    return algorithms[algorithm].cost *
           (1000 + p.m * p.n * p.k * static_cast<uint64_t>(p.d.batch) / 1000) / 100;
}

/* What an algorithm is bound to: types, transposes and epilogue, not the dimensions. */
uint64_t kind_of(const Problem &p) {
    uint64_t kind = static_cast<uint64_t>(p.product.compute);
    for (uint32_t part : {p.a.type, p.b.type, p.c.type, p.d.type,
                          static_cast<uint32_t>(p.product.transa),
                          static_cast<uint32_t>(p.product.transb), p.product.epilogue}) {
        kind = kind * 1021 + part;
    }
    return kind;
}

/* False where a descriptor is none or dimensions do not fit together: an invalid value. */
bool read_problem(cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                  cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, Problem *p) {
    const Product *found = find_product(product);
    const Layout *layouts[] = {find_layout(a), find_layout(b), find_layout(c), find_layout(d)};
    if (found == nullptr) {
        return false;
    }
    for (const Layout *l : layouts) {
        if (l == nullptr || l->batch < 1 || l->ld < 1 || static_cast<uint64_t>(l->ld) < l->rows) {
            return false;
        }
    }
    p->product = *found;
    p->a = *layouts[0];
    p->b = *layouts[1];
    p->c = *layouts[2];
    p->d = *layouts[3];
    bool ta = found->transa != CUBLAS_OP_N, tb = found->transb != CUBLAS_OP_N;
    p->m = p->d.rows;
    p->n = p->d.cols;
    p->k = ta ? p->a.rows : p->a.cols;
    p->bias_type = found->bias_type >= 0 ? static_cast<cudaDataType>(found->bias_type)
                                         : static_cast<cudaDataType>(p->d.type);
    return (ta ? p->a.cols : p->a.rows) == p->m && (tb ? p->b.rows : p->b.cols) == p->n &&
           (tb ? p->b.cols : p->b.rows) == p->k && p->c.rows == p->m && p->c.cols == p->n &&
           p->a.batch == p->d.batch && p->b.batch == p->d.batch && p->c.batch == p->d.batch;
}

/* Regular layouts of integers: cuBLAS documentation, cublasLtMatmul(), "To use IMMA kernels". */
const char *integers_refused(const Problem &p) {
    if (p.product.scale != CUDA_R_32I || p.a.type != CUDA_R_8I || p.b.type != CUDA_R_8I ||
        p.c.type != CUDA_R_32I || p.d.type != CUDA_R_32I) {
        return "32-bit integers are computed from int8, to int32 with int32 scales only";
    }
    if (p.product.transa != CUBLAS_OP_T || p.product.transb != CUBLAS_OP_N) {
        return "int8 needs A transposed and B not";
    }
    if (p.m % 4 != 0 || p.k % 4 != 0) {
        return "int8 needs m and k to be multiples of 4";
    }
    if (p.a.ld % 4 != 0 || p.b.ld % 4 != 0 || p.c.ld % 4 != 0 || p.d.ld % 4 != 0) {
        return "int8 needs leading dimensions that are multiples of 4";
    }
    if (p.d.batch > 1 && (p.a.stride % 4 != 0 || p.b.stride % 4 != 0)) {
        return "int8 needs batch strides that are multiples of 4";
    }
    if (p.product.epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
        return "int8 to int32 has no epilogue";
    }
    return nullptr;
}

const char *floats_refused(const Problem &p) {
    if (p.product.scale != CUDA_R_32F || p.a.type != p.b.type || p.c.type != p.d.type ||
        !(is_half(p.a.type) || p.a.type == CUDA_R_32F) ||
        !(p.d.type == CUDA_R_32F || p.d.type == p.a.type)) {
        return "float products take A and B of one type, C and D of that type or float32";
    }
    if (p.product.epilogue != CUBLASLT_EPILOGUE_DEFAULT &&
        p.product.epilogue != CUBLASLT_EPILOGUE_BIAS) {
        return "this epilogue is not emulated";
    }
    if (p.product.epilogue == CUBLASLT_EPILOGUE_BIAS &&
        static_cast<uint32_t>(p.bias_type) != p.d.type) {
        return "the bias has the type of D";
    }
    return nullptr;
}

/* Why the product is not supported; NULL if it is. */
const char *refused(const Problem &p) {
    for (const Layout *l : {&p.a, &p.b, &p.c, &p.d}) {
        if (l->order != CUBLASLT_ORDER_COL) {
            return "layouts other than by columns are not emulated";
        }
    }
    if (p.m == 0 || p.n == 0 || p.k == 0) {
        return "a dimension is 0";
    }
    if (p.product.pointer_mode != CUBLASLT_POINTER_MODE_HOST) {
        return "alpha and beta in device memory are not emulated";
    }
    if (p.d.batch > 1 && p.d.stride == 0) {
        return "the products of a batch need places of their own";
    }
    switch (p.product.compute) {
    case CUBLAS_COMPUTE_32I: return integers_refused(p);
    case CUBLAS_COMPUTE_32F: return floats_refused(p);
    default: return "this compute type is not emulated";
    }
}

/* Bytes that a matrix, or a batch of them, spans. */
size_t span(const Layout &l) {
    uint64_t elements = (l.cols - 1) * static_cast<uint64_t>(l.ld) + l.rows +
                        static_cast<uint64_t>(l.batch - 1) * static_cast<uint64_t>(l.stride);
    return static_cast<size_t>(elements) * element_bytes(static_cast<cudaDataType>(l.type));
}

bool is_device_range(const void *p, size_t bytes) {
    Range r = locate(p, bytes);
    return p != nullptr && r.place == Place::device && r.whole;
}

size_t bias_span(const Problem &p) {
    return (static_cast<size_t>(p.m) +
            static_cast<size_t>(p.d.batch - 1) * static_cast<size_t>(p.product.bias_stride)) *
           element_bytes(p.bias_type);
}

/* NULL if every operand lies in device memory. */
const char *outside(const Problem &p, const Pointers &at) {
    if (!is_device_range(at.a, span(p.a))) {
        return "A does not lie in device memory";
    }
    if (!is_device_range(at.b, span(p.b))) {
        return "B does not lie in device memory";
    }
    if (!is_device_range(at.c, span(p.c))) {
        return "C does not lie in device memory";
    }
    if (!is_device_range(at.d, span(p.d))) {
        return "D does not lie in device memory";
    }
    if (p.product.epilogue == CUBLASLT_EPILOGUE_BIAS &&
        !is_device_range(p.product.bias, bias_span(p))) {
        return "the bias does not lie in device memory";
    }
    return nullptr;
}

bool is_aligned(const void *p, uint64_t bytes) {
    return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

/* True where C may be read from D's place: the same matrix. */
bool is_in_place_allowed(const Problem &p) {
    return p.c.type == p.d.type && p.c.ld == p.d.ld && p.c.stride == p.d.stride;
}

/* Alpha and beta, read when the product is enqueued. */
union Scale {
    float f;
    int32_t i;
};

cudaError_t compute(const Problem &p, const Pointers &at, Scale alpha, Scale beta, void *workspace,
                    uint64_t workspace_bytes) {
    const char *wrong = outside(p, at);
    if (wrong != nullptr) {
        return fail(cudaErrorIllegalAddress, std::string("cublasLtMatmul, when it ran: ") + wrong);
    }
    if (workspace_bytes > 0) {
        if (!is_device_range(workspace, workspace_bytes)) {
            return fail(cudaErrorIllegalAddress,
                        "cublasLtMatmul, when it ran: the workspace is gone");
        }
        std::memset(workspace, 0xFF, workspace_bytes);
    }
    for (int32_t i = 0; i < p.d.batch; i++) {
        auto part = [i](const void *whole, const Layout &l) {
            return static_cast<const char *>(whole) +
                   i * l.stride *
                       static_cast<int64_t>(element_bytes(static_cast<cudaDataType>(l.type)));
        };
        Operands o = {};
        o.a = {part(at.a, p.a), static_cast<cudaDataType>(p.a.type), p.a.ld,
               p.product.transa != CUBLAS_OP_N};
        o.b = {part(at.b, p.b), static_cast<cudaDataType>(p.b.type), p.b.ld,
               p.product.transb != CUBLAS_OP_N};
        o.c = {part(at.c, p.c), static_cast<cudaDataType>(p.c.type), p.c.ld, false};
        o.d = const_cast<char *>(part(at.d, p.d));
        o.d_type = static_cast<cudaDataType>(p.d.type);
        o.d_ld = p.d.ld;
        o.m = static_cast<int64_t>(p.m);
        o.n = static_cast<int64_t>(p.n);
        o.k = static_cast<int64_t>(p.k);
        if (p.product.epilogue == CUBLASLT_EPILOGUE_BIAS) {
            o.bias = static_cast<const char *>(p.product.bias) +
                     i * p.product.bias_stride *
                         static_cast<int64_t>(element_bytes(p.bias_type));
            o.bias_type = p.bias_type;
        }
        if (p.product.compute == CUBLAS_COMPUTE_32I) {
            multiply_integers(o, beta.i != 0);
        } else {
            multiply_floats(o, alpha.f, beta.f);
        }
    }
    return cudaSuccess;
}

cublasStatus_t invalid(const char *why) {
    gi8emu_report("cublasLtMatmul: %s", why);
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t not_supported(const char *why) {
    gi8emu_report("cublasLtMatmul: %s", why);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

/* The alignment that an algorithm may count on, from what the program promises for its pointers. */
uint64_t promised_alignment(const Preference &p) {
    uint32_t least = std::min(std::min(p.alignment_a, p.alignment_b),
                              std::min(p.alignment_c, p.alignment_d));
    return std::min<uint64_t>(least, 16);
}

bool is_ours(const cublasLtMatmulAlgo_t &algorithm) {
    return algorithm.data[word_magic] == magic && algorithm.data[word_algorithm] < n_algorithms &&
           algorithm.data[word_alignment] != 0;
}

} /* namespace */

} /* namespace gi8emu */

using namespace gi8emu;

extern "C" {

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int *n) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    cublasStatus_t status = enter_cublaslt(__func__);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    const Preference *wanted = find_preference(preference);
    Problem p = {};
    if (find_handle(handle) == nullptr || wanted == nullptr || requested < 1 ||
        results == nullptr || n == nullptr || !read_problem(product, a, b, c, d, &p)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    *n = 0;
    uint64_t alignment = promised_alignment(*wanted);
    if (refused(p) != nullptr || alignment == 0 || wanted->search != CUBLASLT_SEARCH_BEST_FIT ||
        (p.product.compute == CUBLAS_COMPUTE_32I && alignment % 4 != 0)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    for (uint64_t i = 0; i < n_algorithms && *n < requested; i++) {
        if (workspace_of(p, i) > wanted->workspace) {
            continue;
        }
        cublasLtMatmulHeuristicResult_t *r = &results[(*n)++];
        std::memset(r, 0, sizeof *r);
        r->algo.data[word_magic] = magic;
        r->algo.data[word_algorithm] = i;
        r->algo.data[word_kind] = kind_of(p);
        r->algo.data[word_alignment] = alignment;
        r->workspaceSize = static_cast<size_t>(workspace_of(p, i));
        r->state = CUBLAS_STATUS_SUCCESS;
        r->wavesCount = 1.0f;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    cublasStatus_t status = enter_cublaslt(__func__);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    Problem p = {};
    if (find_handle(handle) == nullptr || algorithm == nullptr || result == nullptr ||
        !read_problem(product, a, b, c, d, &p)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (refused(p) != nullptr || !is_ours(*algorithm) ||
        algorithm->data[word_kind] != kind_of(p)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    std::memset(result, 0, sizeof *result);
    result->algo = *algorithm;
    result->workspaceSize =
        static_cast<size_t>(workspace_of(p, algorithm->data[word_algorithm]));
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 1.0f;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                              const void *alpha, const void *a, cublasLtMatrixLayout_t a_layout,
                              const void *b, cublasLtMatrixLayout_t b_layout, const void *beta,
                              const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    cublasStatus_t status = enter_cublaslt(__func__);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    const cublasLtContext *context = find_handle(handle);
    if (context == nullptr) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (context->device != current_device()) {
        return invalid("the handle belongs to another device");
    }
    Problem p = {};
    if (!read_problem(product, a_layout, b_layout, c_layout, d_layout, &p)) {
        return invalid("a descriptor is none, or the dimensions do not fit together");
    }
    const char *wrong = refused(p);
    if (wrong != nullptr) {
        return not_supported(wrong);
    }
    if (alpha == nullptr || beta == nullptr) {
        return invalid("alpha or beta is NULL");
    }
    Scale scale_ab, scale_c;
    std::memcpy(&scale_ab, alpha, sizeof scale_ab);
    std::memcpy(&scale_c, beta, sizeof scale_c);
    if (p.product.compute == CUBLAS_COMPUTE_32I &&
        (scale_ab.i != 1 || (scale_c.i != 0 && scale_c.i != 1))) {
        return not_supported("int32 scales: alpha is 1, beta 0 or 1");
    }

    Pointers at = {a, b, c, d};
    wrong = outside(p, at);
    if (wrong != nullptr) {
        return invalid(wrong);
    }
    if (c == d && !is_in_place_allowed(p)) {
        return invalid("C and D share their place but not their layout");
    }
    uint64_t number = 1; /* without workspace */
    uint64_t alignment = 4;
    if (algorithm != nullptr) {
        if (!is_ours(*algorithm) || algorithm->data[word_kind] != kind_of(p)) {
            return not_supported("the algorithm was chosen for other types, or for nothing");
        }
        number = algorithm->data[word_algorithm];
        alignment = algorithm->data[word_alignment];
    } else if (is_half(p.a.type)) {
        alignment = 2;
    }
    if (!is_aligned(a, alignment) || !is_aligned(b, alignment) || !is_aligned(c, alignment) ||
        !is_aligned(d, alignment)) {
        return not_supported("a pointer is less aligned than the algorithm needs");
    }
    uint64_t needed = workspace_of(p, number);
    if (needed > 0 && (workspace_bytes < needed || !is_device_range(workspace, workspace_bytes) ||
                       !is_aligned(workspace, 256))) {
        return invalid("the workspace is smaller than announced, not aligned to 256 bytes, or not "
                       "device memory");
    }
    cudaError_t error = enqueue(
        stream, {"cublasLtMatmul",
                 [=] { return compute(p, at, scale_ab, scale_c, workspace, needed); },
                 nanoseconds_of(p, number)});
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

} /* extern "C" */
