/* fp16_baseline.c - what the int8 operation is compared with on a GPU: y = w x + bias in fp16, by
 * the fastest of all algorithms that cuBLASLt's heuristic names, and of cublasGemmEx(), which has
 * kernels for few rows (and leaves out the bias). For tools/gpu-check.sh.
 *
 *   fp16_baseline NxK[,NxK...] M[,M...] REPETITIONS
 *
 * Weights are used in turns, copies of more than three times the level-2 cache, as layers of a
 * model follow each other; all of them are one CUDA graph. Their numbers are random: a GPU that
 * multiplies zeros needs less power and keeps a higher clock. A line per product: the median of the
 * time.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

enum { MAX_CANDIDATES = 32, MAX_COPIES = 1024, MAX_REPETITIONS = 101, WORKSPACE = 32 << 20 };

typedef struct product {
    long n, k, m;
    int copies;
    char *w, *x, *y, *bias;
    void *workspace;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t w_layout, x_layout, y_layout;
} product;

static cublasLtHandle_t handle;
static cublasHandle_t blas;
static cudaStream_t stream;

static void need(int ok, const char *what) {
    if (!ok) {
        const char *error = cudaGetErrorString(cudaGetLastError());
        fprintf(stderr, "fp16_baseline: %s failed: %s\n", what, error);
        exit(1);
    }
}

static void cuda(cudaError_t result, const char *what) {
    need(result == cudaSuccess, what);
}

static void lt(cublasStatus_t result, const char *what) {
    need(result == CUBLAS_STATUS_SUCCESS, what);
}

static size_t w_bytes(const product *p) {
    return (size_t)p->n * (size_t)p->k * 2;
}

/* Device memory of halves of random sign and size, 0.5 to 1. */
static void *filled(size_t size) {
    static uint16_t halves[1 << 19];
    static uint64_t random = 1;
    char *memory = NULL;
    void *address = NULL;
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        halves[i] = (uint16_t)((random >> 48 & 0x83ffu) | 0x3800u);
    }
    cuda(cudaMalloc(&address, size), "cudaMalloc");
    memory = address;
    for (size_t done = 0; done < size; done += sizeof halves) {
        const size_t part = size - done < sizeof halves ? size - done : sizeof halves;
        cuda(cudaMemcpy(memory + done, halves, part, cudaMemcpyHostToDevice), "cudaMemcpy");
    }
    return memory;
}

static void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                const void *value, size_t size) {
    lt(cublasLtMatmulDescSetAttribute(operation, attribute, value, size), "describing the product");
}

static void begin(product *p, int l2_bytes) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    size_t copies = 3 * (size_t)l2_bytes / w_bytes(p) + 2;
    p->copies = copies < MAX_COPIES ? (int)copies : MAX_COPIES;
    p->w = filled((size_t)p->copies * w_bytes(p));
    p->x = filled((size_t)p->k * (size_t)p->m * 2);
    p->y = filled((size_t)p->n * (size_t)p->m * 2);
    p->bias = filled((size_t)p->n * 2);
    p->workspace = filled(WORKSPACE);
    lt(cublasSetWorkspace(blas, p->workspace, WORKSPACE), "cublasSetWorkspace");
    lt(cublasLtMatmulDescCreate(&p->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "the description");
    set(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    set(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    set(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
    const unsigned long n = (unsigned long)p->n, k = (unsigned long)p->k, m = (unsigned long)p->m;
    lt(cublasLtMatrixLayoutCreate(&p->w_layout, CUDA_R_16F, k, n, p->k), "the layout of w");
    lt(cublasLtMatrixLayoutCreate(&p->x_layout, CUDA_R_16F, k, m, p->k), "the layout of x");
    lt(cublasLtMatrixLayoutCreate(&p->y_layout, CUDA_R_16F, n, m, p->n), "the layout of y");
}

static void end(product *p) {
    cublasLtMatrixLayoutDestroy(p->w_layout);
    cublasLtMatrixLayoutDestroy(p->x_layout);
    cublasLtMatrixLayoutDestroy(p->y_layout);
    cublasLtMatmulDescDestroy(p->operation);
    void *const memory[] = {p->w, p->x, p->y, p->bias, p->workspace};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        cuda(cudaFree(memory[i]), "cudaFree");
    }
}

static int find_candidates(const product *p, cublasLtMatmulHeuristicResult_t *found) {
    const size_t workspace = WORKSPACE;
    cublasLtMatmulPreference_t preference;
    int n = 0;
    lt(cublasLtMatmulPreferenceCreate(&preference), "the preference");
    lt(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                            &workspace, sizeof workspace),
       "the size of the workspace");
    lt(cublasLtMatmulAlgoGetHeuristic(handle, p->operation, p->w_layout, p->x_layout, p->y_layout,
                                      p->y_layout, preference, MAX_CANDIDATES, found, &n),
       "the heuristic");
    cublasLtMatmulPreferenceDestroy(preference);
    return n;
}

static cublasStatus_t multiply(const product *p, const char *w,
                               const cublasLtMatmulAlgo_t *algorithm) {
    const float one = 1.0f, zero = 0.0f;
    if (algorithm == NULL) {
        const int n = (int)p->n, k = (int)p->k, m = (int)p->m;
        return cublasGemmEx(blas, CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &one, w, CUDA_R_16F, k, p->x,
                            CUDA_R_16F, k, &zero, p->y, CUDA_R_16F, n, CUBLAS_COMPUTE_32F,
                            CUBLAS_GEMM_DEFAULT);
    }
    return cublasLtMatmul(handle, p->operation, &one, w, p->w_layout, p->x, p->x_layout, &zero,
                          p->y, p->y_layout, p->y, p->y_layout, algorithm, p->workspace, WORKSPACE,
                          stream);
}

/* All copies, one after another. `algorithm` NULL: by cublasGemmEx(). */
static cublasStatus_t enqueue(const product *p, const cublasLtMatmulAlgo_t *algorithm) {
    cublasStatus_t result = CUBLAS_STATUS_SUCCESS;
    for (int i = 0; i < p->copies && result == CUBLAS_STATUS_SUCCESS; i++) {
        result = multiply(p, p->w + (size_t)i * w_bytes(p), algorithm);
    }
    return result;
}

static int by_value(const void *a, const void *b) {
    float d = *(const float *)a - *(const float *)b;
    return (d > 0) - (d < 0);
}

/* The median time of one product in microseconds; below 0 where the algorithm cannot do it. */
static float measure(const product *p, const cublasLtMatmulAlgo_t *algorithm, int repetitions) {
    cudaGraph_t graph;
    cudaGraphExec_t replay;
    cudaEvent_t start, stop;
    float times[MAX_REPETITIONS];
    cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "the capture");
    cublasStatus_t result = enqueue(p, algorithm);
    cudaError_t captured = cudaStreamEndCapture(stream, &graph);
    if (result != CUBLAS_STATUS_SUCCESS || captured != cudaSuccess) {
        cudaGetLastError();
        return -1;
    }
    cuda(cudaGraphInstantiate(&replay, graph, 0), "cudaGraphInstantiate");
    cuda(cudaEventCreate(&start), "cudaEventCreate");
    cuda(cudaEventCreate(&stop), "cudaEventCreate");
    cuda(cudaGraphLaunch(replay, stream), "the warm-up");
    for (int i = 0; i < repetitions; i++) {
        cuda(cudaEventRecord(start, stream), "cudaEventRecord");
        cuda(cudaGraphLaunch(replay, stream), "cudaGraphLaunch");
        cuda(cudaEventRecord(stop, stream), "cudaEventRecord");
        cuda(cudaEventSynchronize(stop), "the products");
        cuda(cudaEventElapsedTime(&times[i], start, stop), "cudaEventElapsedTime");
    }
    cudaEventDestroy(start);
    cudaEventDestroy(stop);
    cudaGraphExecDestroy(replay);
    cudaGraphDestroy(graph);
    qsort(times, (size_t)repetitions, sizeof *times, by_value);
    return times[repetitions / 2] * 1000.0f / (float)p->copies;
}

static void run(product p, int l2_bytes, int repetitions) {
    cublasLtMatmulHeuristicResult_t found[MAX_CANDIDATES];
    begin(&p, l2_bytes);
    int n = find_candidates(&p, found);
    float best = measure(&p, NULL, repetitions);
    for (int i = 0; i < n; i++) {
        float time = measure(&p, &found[i].algo, repetitions);
        if (time >= 0 && (best < 0 || time < best)) {
            best = time;
        }
    }
    printf("%ld,%ld,%ld,%.4f,%d,%d\n", p.n, p.k, p.m, (double)best, n, p.copies);
    fflush(stdout);
    end(&p);
}

int main(int argc, char **argv) {
    int devices = 0, l2_bytes = 0;
    int repetitions = argc > 3 ? atoi(argv[3]) : 0;
    if (repetitions < 1 || repetitions > MAX_REPETITIONS) {
        fprintf(stderr, "usage: fp16_baseline NxK[,NxK...] M[,M...] REPETITIONS (1 to %d)\n",
                MAX_REPETITIONS);
        return 2;
    }
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) {
        fprintf(stderr, "fp16_baseline: no CUDA device\n");
        return 77;
    }
    cuda(cudaDeviceGetAttribute(&l2_bytes, cudaDevAttrL2CacheSize, 0), "the size of the cache");
    cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    lt(cublasLtCreate(&handle), "cublasLtCreate");
    lt(cublasCreate(&blas), "cublasCreate");
    lt(cublasSetStream(blas, stream), "cublasSetStream");
    printf("n,k,m,median_us,algorithms,copies\n");
    for (char *shape = argv[1]; shape != NULL; shape = strchr(shape, ',')) {
        product p = {0};
        shape += *shape == ',';
        if (sscanf(shape, "%ldx%ld", &p.n, &p.k) != 2 || p.n < 1 || p.k < 1) {
            fprintf(stderr, "fp16_baseline: a shape is NxK, not \"%s\"\n", shape);
            return 2;
        }
        for (char *m = argv[2]; m != NULL; m = strchr(m, ',')) {
            m += *m == ',';
            p.m = atol(m);
            if (p.m < 1) {
                fprintf(stderr, "fp16_baseline: M is 1 or more, not \"%s\"\n", m);
                return 2;
            }
            run(p, l2_bytes, repetitions);
        }
    }
    cublasDestroy(blas);
    cublasLtDestroy(handle);
    cudaStreamDestroy(stream);
    return 0;
}
