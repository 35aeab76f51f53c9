/* descriptors.h - what the emulated cuBLASLt keeps in handles and descriptors. */
#ifndef GI8EMU_DESCRIPTORS_H
#define GI8EMU_DESCRIPTORS_H

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>

struct cublasLtContext {
    int device;
};

namespace gi8emu {

struct Layout {
    uint32_t type;
    int32_t order;
    uint64_t rows, cols;
    int64_t ld;
    int32_t batch;
    int64_t stride; /* elements from one of the batch to the next */
};

struct Product {
    int32_t compute, scale, pointer_mode, transa, transb, fill;
    uint32_t epilogue;
    const void *bias;
    int64_t bias_stride;
    int32_t bias_type; /* -1: that of D */
};

struct Preference {
    uint64_t workspace;
    uint32_t search, alignment_a, alignment_b, alignment_c, alignment_d;
};

/* NULL for what is none, or was destroyed. */
const cublasLtContext *find_handle(cublasLtHandle_t handle);
const Layout *find_layout(cublasLtMatrixLayout_t handle);
const Product *find_product(cublasLtMatmulDesc_t handle);
const Preference *find_preference(cublasLtMatmulPreference_t handle);

/* A function of cuBLASLt: counted; an injected failure at once. The lock is held. */
cublasStatus_t enter_cublaslt(const char *function);

} /* namespace gi8emu */

#endif
