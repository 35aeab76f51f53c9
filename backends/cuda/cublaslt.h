/* cublaslt.h - products through cuBLASLt: descriptors and algorithms are chosen once a shape. */
#ifndef GI8I_CUDA_CUBLASLT_H
#define GI8I_CUDA_CUBLASLT_H

#include "cuda_impl.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gi8i_cublaslt gi8i_cublaslt;

/* y [n, m] = w [k, n] times x [k, m], as in gi8.h: k contiguous in both, n in the result (cuBLASLt:
 * column-major y = op(w)' x with op T on w and N on x). */
typedef struct gi8i_cublaslt_shape {
    gi8_type type;       /* of w and x: I8 (y is I32), F16 or BF16 (y is F32), F32 (y is F32) */
    int64_t k, n, m;
    int64_t ldw, ldx, ldy; /* elements between rows; I8: multiples of 4 */
    bool bias; /* float types: y += bias [n], F32, the same for each m, in cuBLASLt's epilogue */
} gi8i_cublaslt_shape;

/* Handle, workspace and a cache of algorithms for one device; `no_timing`: those that the heuristic
 * names first. NULL on failure. */
gi8i_cublaslt *gi8i_cublaslt_create(const gi8i_cuda_device *device, bool no_timing,
                                    gi8_error *error);
void gi8i_cublaslt_free(gi8i_cublaslt *lt);

/* True where cuBLASLt takes the shape (alignment, dimensions); else the caller uses its own
 * kernel. */
bool gi8i_cublaslt_supports(const gi8i_cublaslt_shape *shape);

/* Chooses an algorithm: asks the heuristic for several, times them on the stream with the given
 * operands (y is overwritten), each run with none of them in the level-2 cache, and keeps the
 * fastest for this very shape and alignment: an algorithm for one m may need more workspace for
 * another, or not take it. Takes device memory of the size of that cache meanwhile. Not during
 * capture. Thread-safe. */
gi8_status gi8i_cublaslt_prepare(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape, const void *w,
                                 const void *x, const void *bias, void *y, cudaStream_t stream,
                                 gi8_error *error);

/* Looks up the algorithm that gi8i_cublaslt_run() would take, on the host alone. Like that it
 * returns GI8_ERR_UNSUPPORTED where cuBLASLt names none, so that a caller can know this before it
 * enqueues what the product needs. */
gi8_status gi8i_cublaslt_find(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape, const void *w,
                              const void *x, const void *bias, void *y, gi8_error *error);

/* Enqueues the product with the algorithm that gi8i_cublaslt_prepare() chose (the heuristic's first
 * where it was not called). Allocates no device memory; may be captured. */
gi8_status gi8i_cublaslt_run(gi8i_cublaslt *lt, const gi8i_cublaslt_shape *shape, const void *w,
                             const void *x, const void *bias, void *y, cudaStream_t stream,
                             gi8_error *error);

#ifdef __cplusplus
}
#endif

#endif
