/* cublaslt.c - products through cuBLASLt. Row-major y [n, m] = w [k, n] x [k, m] is column-major
 * D (n x m) = A' B with A = w (k x n) and B = x (k x m), the only form in which int8 runs on tensor
 * cores. */
#define _POSIX_C_SOURCE 200809L
#include "cublaslt.h"

#include <float.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cublasLt.h>

#include "device.h"

#define MAX_CANDIDATES 8
#define TIMED_RUNS 5            /* of an algorithm, */
#define TIMED_MILLISECONDS 4.0f /* that it is run at most, but once at least */
#define FASTER 0.97f            /* what an algorithm needs of the time of one before it */
#define MAX_ALIGNMENT 16        /* no algorithm gains from more */

/* What an algorithm is chosen for. Compared byte by byte: all fields have 8 bytes. */
typedef struct lt_key {
    int64_t type, n, k, m;
    int64_t ldw, ldx, ldy, bias, alignment;
} lt_key;

typedef struct lt_choice {
    lt_key key;
    cublasLtMatmulAlgo_t algorithm;
    bool prepared; /* else the first that the heuristic named */
} lt_choice;

struct gi8i_cublaslt {
    const gi8i_cuda_device *device;
    bool no_timing;
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t preference;
    void *workspace;
    size_t workspace_bytes;
    pthread_mutex_t lock; /* choices, preference; held while algorithms are timed */
    lt_choice *choices;
    size_t n_choices, capacity;
};

/* The operands of one product and cuBLASLt's descriptions of them. */
typedef struct lt_product {
    const void *w, *x;
    void *y;
    bool is_int8;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t w_layout, x_layout, y_layout;
} lt_product;

static gi8_status check(cublasStatus_t result, const char *what, gi8_error *error) {
    if (result == CUBLAS_STATUS_SUCCESS) {
        return GI8_OK;
    }
    gi8_status status = result == CUBLAS_STATUS_ALLOC_FAILED    ? GI8_ERR_MEMORY
                        : result == CUBLAS_STATUS_NOT_SUPPORTED ? GI8_ERR_UNSUPPORTED
                        : result == CUBLAS_STATUS_ARCH_MISMATCH ? GI8_ERR_UNSUPPORTED
                                                                : GI8_ERR_DEVICE;
    return gi8_error_set(error, status, "cuda backend: cuBLASLt: %s: %s", what,
                         cublasLtGetStatusName(result));
}

/* ---- life ------------------------------------------------------------------------------------ */

static gi8_status make_parts(gi8i_cublaslt *lt, gi8_error *error) {
    gi8_status status = gi8i_cuda_device_use(lt->device, error);
    if (status == GI8_OK) {
        status = check(cublasLtCreate(&lt->handle), "making a handle", error);
    }
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaMalloc(&lt->workspace, lt->workspace_bytes),
                                 "taking a workspace for cuBLASLt", error);
    }
    if (status == GI8_OK) {
        status = check(cublasLtMatmulPreferenceCreate(&lt->preference), "making a preference",
                       error);
    }
    if (status == GI8_OK) {
        status = check(cublasLtMatmulPreferenceSetAttribute(
                           lt->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                           &lt->workspace_bytes, sizeof lt->workspace_bytes),
                       "limiting the workspace", error);
    }
    return status;
}

gi8i_cublaslt *gi8i_cublaslt_create(const gi8i_cuda_device *device, bool no_timing,
                                    gi8_error *error) {
    gi8i_cublaslt *lt = calloc(1, sizeof *lt);
    if (lt == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "cuda backend: out of memory (%zu bytes)", sizeof *lt);
        return NULL;
    }
    lt->device = device;
    lt->no_timing = no_timing;
    lt->workspace_bytes = (size_t)(device->major >= 9 ? 32 : 4) << 20;
    pthread_mutex_init(&lt->lock, NULL); /* the default attributes cannot fail */
    if (make_parts(lt, error) != GI8_OK) {
        gi8i_cublaslt_free(lt);
        return NULL;
    }
    return lt;
}

void gi8i_cublaslt_free(gi8i_cublaslt *lt) {
    if (lt == NULL) {
        return;
    }
    gi8i_cuda_device_use(lt->device, NULL);
    if (lt->preference != NULL) {
        cublasLtMatmulPreferenceDestroy(lt->preference);
    }
    if (lt->workspace != NULL) {
        cudaFree(lt->workspace);
    }
    if (lt->handle != NULL) {
        cublasLtDestroy(lt->handle);
    }
    cudaGetLastError();
    pthread_mutex_destroy(&lt->lock);
    free(lt->choices);
    free(lt);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static bool is_float(gi8_type type) {
    return type == GI8_TYPE_F16 || type == GI8_TYPE_BF16 || type == GI8_TYPE_F32;
}

bool gi8i_cublaslt_supports(const gi8i_cublaslt_shape *s) {
    const int64_t limit = INT32_MAX;
    if (!is_float(s->type) && s->type != GI8_TYPE_I8) {
        return false;
    }
    if (s->k < 1 || s->n < 1 || s->m < 1 || s->k > limit || s->n > limit || s->m > limit) {
        return false;
    }
    if (s->ldw < s->k || s->ldx < s->k || s->ldy < s->n || s->ldw > limit || s->ldx > limit ||
        s->ldy > limit) {
        return false;
    }
    if (is_float(s->type)) {
        return true;
    }
    /* cublasLtMatmul(), "To use IMMA kernels": leading dimensions, m and k (here n and k) */
    return !s->bias && (s->n | s->k | s->ldw | s->ldx | s->ldy) % 4 == 0;
}

/* The largest power of two up to MAX_ALIGNMENT that divides every address of an operand. */
static int64_t alignment_of(const gi8i_cublaslt_shape *s, const void *w, const void *x,
                            const void *bias, const void *y) {
    uintptr_t bits = (uintptr_t)w | (uintptr_t)x | (uintptr_t)y | (s->bias ? (uintptr_t)bias : 0);
    int64_t alignment = 1;
    while (alignment < MAX_ALIGNMENT && bits % ((uintptr_t)alignment * 2) == 0) {
        alignment *= 2;
    }
    return alignment;
}

static lt_key key_of(const gi8i_cublaslt_shape *s, int64_t alignment) {
    lt_key key = {.type = (int64_t)s->type, .n = s->n, .k = s->k, .m = s->m};
    key.ldw = s->ldw;
    key.ldx = s->ldx;
    key.ldy = s->ldy;
    key.bias = s->bias;
    key.alignment = alignment;
    return key;
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static void free_product(lt_product *p) {
    if (p->operation != NULL) {
        cublasLtMatmulDescDestroy(p->operation);
    }
    cublasLtMatrixLayout_t layouts[] = {p->w_layout, p->x_layout, p->y_layout};
    for (int i = 0; i < 3; i++) {
        if (layouts[i] != NULL) {
            cublasLtMatrixLayoutDestroy(layouts[i]);
        }
    }
}

static cublasStatus_t make_operation(lt_product *p, const void *bias) {
    cublasStatus_t result = cublasLtMatmulDescCreate(
        &p->operation, p->is_int8 ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
        p->is_int8 ? CUDA_R_32I : CUDA_R_32F);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    if (result == CUBLAS_STATUS_SUCCESS) {
        result = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                &transposed, sizeof transposed);
    }
    if (result == CUBLAS_STATUS_SUCCESS && bias != NULL) {
        const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
        result = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                &epilogue, sizeof epilogue);
        if (result == CUBLAS_STATUS_SUCCESS) {
            result = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                    &bias, sizeof bias);
        }
    }
    return result;
}

/* On failure there is nothing to free. */
static gi8_status make_product(lt_product *p, const gi8i_cublaslt_shape *s, const void *w,
                               const void *x, const void *bias, void *y, gi8_error *error) {
    *p = (lt_product){.w = w, .x = x, .y = y, .is_int8 = s->type == GI8_TYPE_I8};
    cudaDataType_t in = p->is_int8                 ? CUDA_R_8I
                        : s->type == GI8_TYPE_F16  ? CUDA_R_16F
                        : s->type == GI8_TYPE_BF16 ? CUDA_R_16BF
                                                   : CUDA_R_32F;
    cudaDataType_t out = p->is_int8 ? CUDA_R_32I : CUDA_R_32F;
    const uint64_t k = (uint64_t)s->k, n = (uint64_t)s->n, m = (uint64_t)s->m;
    cublasStatus_t result = make_operation(p, s->bias ? bias : NULL);
    if (result == CUBLAS_STATUS_SUCCESS) {
        result = cublasLtMatrixLayoutCreate(&p->w_layout, in, k, n, s->ldw);
    }
    if (result == CUBLAS_STATUS_SUCCESS) {
        result = cublasLtMatrixLayoutCreate(&p->x_layout, in, k, m, s->ldx);
    }
    if (result == CUBLAS_STATUS_SUCCESS) {
        result = cublasLtMatrixLayoutCreate(&p->y_layout, out, n, m, s->ldy);
    }
    if (result != CUBLAS_STATUS_SUCCESS) {
        free_product(p);
    }
    return check(result, "describing a product", error);
}

/* ---- algorithms ------------------------------------------------------------------------------ */

static cublasStatus_t multiply(const gi8i_cublaslt *lt, const lt_product *p,
                               const cublasLtMatmulAlgo_t *algorithm, cudaStream_t stream) {
    static const int32_t one_i = 1, zero_i = 0;
    static const float one_f = 1.0f, zero_f = 0.0f;
    const void *one = p->is_int8 ? (const void *)&one_i : (const void *)&one_f;
    const void *zero = p->is_int8 ? (const void *)&zero_i : (const void *)&zero_f;
    return cublasLtMatmul(lt->handle, p->operation, one, p->w, p->w_layout, p->x, p->x_layout, zero,
                          p->y, p->y_layout, p->y, p->y_layout, algorithm, lt->workspace,
                          lt->workspace_bytes, stream);
}

/* Up to `n` algorithms, the most promising first; *found of them, at least one. */
static gi8_status ask_heuristic(gi8i_cublaslt *lt, const lt_product *p, int64_t alignment, int n,
                                cublasLtMatmulHeuristicResult_t *results, int *found,
                                gi8_error *error) {
    static const cublasLtMatmulPreferenceAttributes_t attributes[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t bytes = (uint32_t)alignment;
    cublasStatus_t result = CUBLAS_STATUS_SUCCESS;
    for (int i = 0; i < 4 && result == CUBLAS_STATUS_SUCCESS; i++) {
        result = cublasLtMatmulPreferenceSetAttribute(lt->preference, attributes[i], &bytes,
                                                      sizeof bytes);
    }
    int count = 0;
    if (result == CUBLAS_STATUS_SUCCESS) {
        result = cublasLtMatmulAlgoGetHeuristic(lt->handle, p->operation, p->w_layout, p->x_layout,
                                                p->y_layout, p->y_layout, lt->preference, n,
                                                results, &count);
    }
    *found = 0;
    for (int i = 0; i < count && result == CUBLAS_STATUS_SUCCESS; i++) {
        if (results[i].state == CUBLAS_STATUS_SUCCESS) {
            results[(*found)++] = results[i];
        }
    }
    if (result == CUBLAS_STATUS_SUCCESS && *found == 0) {
        result = CUBLAS_STATUS_NOT_SUPPORTED;
    }
    return check(result, "asking for algorithms", error);
}

/* The choice for a key; NULL where there is none. */
static lt_choice *find_choice(gi8i_cublaslt *lt, const lt_key *key) {
    for (size_t i = 0; i < lt->n_choices; i++) {
        if (memcmp(&lt->choices[i].key, key, sizeof *key) == 0) {
            return &lt->choices[i];
        }
    }
    return NULL;
}

static gi8_status keep_choice(gi8i_cublaslt *lt, const lt_key *key,
                              const cublasLtMatmulAlgo_t *algorithm, bool prepared,
                              gi8_error *error) {
    lt_choice *choice = find_choice(lt, key);
    if (choice == NULL) {
        if (lt->n_choices == lt->capacity) {
            size_t capacity = lt->capacity > 0 ? 2 * lt->capacity : 64;
            lt_choice *grown = realloc(lt->choices, capacity * sizeof *grown);
            if (grown == NULL) {
                return gi8_error_set(error, GI8_ERR_MEMORY,
                                     "cuda backend: out of memory (%zu bytes)",
                                     capacity * sizeof *grown);
            }
            lt->choices = grown;
            lt->capacity = capacity;
        }
        choice = &lt->choices[lt->n_choices++];
    }
    *choice = (lt_choice){*key, *algorithm, prepared};
    return GI8_OK;
}

/* ---- timing ---------------------------------------------------------------------------------- */

typedef struct lt_timer {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    void *others; /* fills the level-2 cache before each run, as the layers of a model do that
                     follow each other; NULL: no memory for it */
    size_t others_bytes;
} lt_timer;

static gi8_status make_timer(lt_timer *timer, const gi8i_cublaslt *lt, cudaStream_t stream,
                             gi8_error *error) {
    *timer = (lt_timer){.stream = stream, .others_bytes = lt->device->l2_bytes};
    gi8_status status = gi8i_cuda_check(cudaEventCreate(&timer->begin), "making an event", error);
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaEventCreate(&timer->end), "making an event", error);
    }
    if (status == GI8_OK && timer->others_bytes > 0 &&
        cudaMalloc(&timer->others, timer->others_bytes) != cudaSuccess) {
        timer->others = NULL;
        cudaGetLastError();
    }
    return status;
}

static void free_timer(const lt_timer *timer) {
    if (timer->begin != NULL) {
        cudaEventDestroy(timer->begin);
    }
    if (timer->end != NULL) {
        cudaEventDestroy(timer->end);
    }
    if (timer->others != NULL) {
        cudaFree(timer->others);
    }
    cudaGetLastError();
}

static gi8_status time_run(const gi8i_cublaslt *lt, const lt_product *p,
                           const cublasLtMatmulAlgo_t *algorithm, const lt_timer *timer,
                           float *milliseconds, gi8_error *error) {
    static const char what[] = "timing an algorithm";
    gi8_status status = GI8_OK;
    if (timer->others != NULL) {
        status = gi8i_cuda_check(
            cudaMemsetAsync(timer->others, 0, timer->others_bytes, timer->stream), what, error);
    }
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaEventRecord(timer->begin, timer->stream), what, error);
    }
    if (status == GI8_OK) {
        status = check(multiply(lt, p, algorithm, timer->stream), what, error);
    }
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaEventRecord(timer->end, timer->stream), what, error);
    }
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaEventSynchronize(timer->end), what, error);
    }
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaEventElapsedTime(milliseconds, timer->begin, timer->end),
                                 what, error);
    }
    return status;
}

static int compare_floats(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median of some runs, after one that warms up; FLT_MAX where the algorithm refuses. */
static gi8_status time_algorithm(const gi8i_cublaslt *lt, const lt_product *p,
                                 const cublasLtMatmulAlgo_t *algorithm, const lt_timer *timer,
                                 float *milliseconds, gi8_error *error) {
    *milliseconds = FLT_MAX;
    if (multiply(lt, p, algorithm, timer->stream) != CUBLAS_STATUS_SUCCESS) {
        cudaGetLastError();
        return GI8_OK;
    }
    float runs[TIMED_RUNS], sum = 0.0f;
    int n = 0;
    while (n == 0 || (n < TIMED_RUNS && sum < TIMED_MILLISECONDS)) {
        gi8_status status = time_run(lt, p, algorithm, timer, &runs[n], error);
        if (status != GI8_OK) {
            return status;
        }
        sum += runs[n++];
    }
    qsort(runs, (size_t)n, sizeof *runs, compare_floats);
    *milliseconds = runs[(n - 1) / 2];
    return GI8_OK;
}

/* Index of the fastest of `n` algorithms; of the first of those that are nearly equal. */
static gi8_status time_all(const gi8i_cublaslt *lt, const lt_product *p,
                           const cublasLtMatmulHeuristicResult_t *results, int n,
                           cudaStream_t stream, int *fastest, gi8_error *error) {
    lt_timer timer;
    gi8_status status = make_timer(&timer, lt, stream, error);
    float best = FLT_MAX;
    *fastest = 0;
    for (int i = 0; i < n && status == GI8_OK; i++) {
        float milliseconds = FLT_MAX;
        status = time_algorithm(lt, p, &results[i].algo, &timer, &milliseconds, error);
        if (status == GI8_OK && milliseconds < best * FASTER) {
            best = milliseconds;
            *fastest = i;
        }
    }
    free_timer(&timer);
    if (status == GI8_OK && best == FLT_MAX) {
        status = gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                               "cuda backend: cuBLASLt: none of its %d algorithms for a product "
                               "runs",
                               n);
    }
    return status;
}

static gi8_status choose(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape, const lt_product *p,
                         int64_t alignment, cudaStream_t stream, gi8_error *error) {
    const lt_key key = key_of(shape, alignment);
    const lt_choice *known = find_choice(lt, &key);
    if (known != NULL && known->prepared) {
        return GI8_OK;
    }
    cublasLtMatmulHeuristicResult_t results[MAX_CANDIDATES];
    int found = 0, fastest = 0;
    gi8_status status = ask_heuristic(lt, p, alignment, lt->no_timing ? 1 : MAX_CANDIDATES, results,
                                      &found, error);
    if (status == GI8_OK && found > 1) {
        status = time_all(lt, p, results, found, stream, &fastest, error);
    }
    return status == GI8_OK ? keep_choice(lt, &key, &results[fastest].algo, true, error) : status;
}

/* ---- products -------------------------------------------------------------------------------- */

gi8_status gi8i_cublaslt_prepare(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape, const void *w,
                                 const void *x, const void *bias, void *y, cudaStream_t stream,
                                 gi8_error *error) {
    lt_product product;
    gi8_status status = make_product(&product, shape, w, x, bias, y, error);
    if (status != GI8_OK) {
        return status;
    }
    pthread_mutex_lock(&lt->lock);
    status = choose(lt, shape, &product, alignment_of(shape, w, x, bias, y), stream, error);
    pthread_mutex_unlock(&lt->lock);
    free_product(&product);
    return status;
}

/* The algorithm for a product. */
static gi8_status find_algorithm(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape,
                                 const lt_product *p, int64_t alignment,
                                 cublasLtMatmulAlgo_t *algorithm, gi8_error *error) {
    const lt_key key = key_of(shape, alignment);
    gi8_status status = GI8_OK;
    pthread_mutex_lock(&lt->lock);
    const lt_choice *known = find_choice(lt, &key);
    if (known != NULL) {
        *algorithm = known->algorithm;
    } else {
        cublasLtMatmulHeuristicResult_t result;
        int found = 0;
        status = ask_heuristic(lt, p, alignment, 1, &result, &found, error);
        if (status == GI8_OK) {
            *algorithm = result.algo;
            status = keep_choice(lt, &key, algorithm, false, error);
        }
    }
    pthread_mutex_unlock(&lt->lock);
    return status;
}

gi8_status gi8i_cublaslt_find(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape, const void *w,
                              const void *x, const void *bias, void *y, gi8_error *error) {
    lt_product product;
    cublasLtMatmulAlgo_t algorithm;
    gi8_status status = make_product(&product, shape, w, x, bias, y, error);
    if (status == GI8_OK) {
        status = find_algorithm(lt, shape, &product, alignment_of(shape, w, x, bias, y),
                                &algorithm, error);
        free_product(&product);
    }
    return status;
}

gi8_status gi8i_cublaslt_run(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape, const void *w,
                             const void *x, const void *bias, void *y, cudaStream_t stream,
                             gi8_error *error) {
    lt_product product;
    cublasLtMatmulAlgo_t algorithm;
    gi8_status status = make_product(&product, shape, w, x, bias, y, error);
    if (status != GI8_OK) {
        return status;
    }
    status = find_algorithm(lt, shape, &product, alignment_of(shape, w, x, bias, y), &algorithm,
                            error);
    if (status == GI8_OK) {
        status = check(multiply(lt, &product, &algorithm, stream), "a product", error);
    }
    free_product(&product);
    return status;
}
