/* descriptors.cpp - handles, descriptors and their attributes. */
#include "descriptors.h"

#include "../host/runtime.h"

#include <cstring>
#include <map>

namespace gi8emu {

namespace {

/* All objects of a kind, by the handles that the program holds. */
template <typename Handle, typename T> struct Registry {
    std::map<Handle, std::unique_ptr<T>> all;

    Handle add(const T &value) {
        auto object = std::make_unique<T>(value);
        Handle handle = reinterpret_cast<Handle>(object.get());
        all[handle] = std::move(object);
        return handle;
    }
    T *find(Handle handle) {
        auto found = all.find(handle);
        return found != all.end() ? found->second.get() : nullptr;
    }
};

struct Objects {
    Registry<cublasLtHandle_t, cublasLtContext> handles;
    Registry<cublasLtMatrixLayout_t, Layout> layouts;
    Registry<cublasLtMatmulDesc_t, Product> products;
    Registry<cublasLtMatmulPreference_t, Preference> preferences;
};

Objects &objects() {
    static Objects all;
    return all;
}

/* An attribute's place in the object; NULL for one that is not emulated. */
struct Field {
    void *place;
    size_t bytes;
};
template <typename T> Field field(T &member) { return {&member, sizeof member}; }

Field find_field(Layout *l, int attribute) {
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE: return field(l->type);
    case CUBLASLT_MATRIX_LAYOUT_ORDER: return field(l->order);
    case CUBLASLT_MATRIX_LAYOUT_ROWS: return field(l->rows);
    case CUBLASLT_MATRIX_LAYOUT_COLS: return field(l->cols);
    case CUBLASLT_MATRIX_LAYOUT_LD: return field(l->ld);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return field(l->batch);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return field(l->stride);
    default: return {nullptr, 0};
    }
}

Field find_field(Product *p, int attribute) {
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE: return field(p->compute);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE: return field(p->scale);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: return field(p->pointer_mode);
    case CUBLASLT_MATMUL_DESC_TRANSA: return field(p->transa);
    case CUBLASLT_MATMUL_DESC_TRANSB: return field(p->transb);
    case CUBLASLT_MATMUL_DESC_FILL_MODE: return field(p->fill);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return field(p->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return field(p->bias);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE: return field(p->bias_stride);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return field(p->bias_type);
    default: return {nullptr, 0};
    }
}

Field find_field(Preference *p, int attribute) {
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE: return field(p->search);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return field(p->workspace);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return field(p->alignment_a);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return field(p->alignment_b);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return field(p->alignment_c);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return field(p->alignment_d);
    default: return {nullptr, 0};
    }
}

cublasStatus_t refuse(const char *function, const char *why) {
    gi8emu_report("%s: %s", function, why);
    return CUBLAS_STATUS_INVALID_VALUE;
}

using Guard = std::lock_guard<std::recursive_mutex>;

template <typename R, typename H, typename T>
cublasStatus_t create(const char *function, R &registry, H *result, const T &value) {
    cublasStatus_t status = enter_cublaslt(function);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    if (result == nullptr) {
        return refuse(function, "the result is NULL");
    }
    *result = registry.add(value);
    return CUBLAS_STATUS_SUCCESS;
}

template <typename R, typename H>
cublasStatus_t destroy(const char *function, R &registry, H handle) {
    cublasStatus_t status = enter_cublaslt(function);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    return registry.all.erase(handle) == 1 ? status : refuse(function, "no such object");
}

template <typename R, typename H>
cublasStatus_t set(const char *function, R &registry, H handle, int attribute, const void *from,
                   size_t bytes) {
    cublasStatus_t status = enter_cublaslt(function);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    auto *object = registry.find(handle);
    if (object == nullptr || from == nullptr) {
        return refuse(function, "no such object, or NULL");
    }
    Field f = find_field(object, attribute);
    if (f.place == nullptr) {
        return refuse(function, "an attribute that is not emulated");
    }
    if (bytes != f.bytes) {
        return refuse(function, "a value of the wrong size");
    }
    std::memcpy(f.place, from, bytes);
    return status;
}

template <typename R, typename H>
cublasStatus_t get(const char *function, R &registry, H handle, int attribute, void *to,
                   size_t bytes, size_t *written) {
    cublasStatus_t status = enter_cublaslt(function);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    auto *object = registry.find(handle);
    if (object == nullptr) {
        return refuse(function, "no such object");
    }
    Field f = find_field(object, attribute);
    if (f.place == nullptr || (bytes == 0 && written == nullptr) ||
        (bytes != 0 && (to == nullptr || bytes != f.bytes))) {
        return refuse(function, "an attribute that is not emulated, or a place of the wrong size");
    }
    if (bytes != 0) {
        std::memcpy(to, f.place, bytes);
    }
    if (written != nullptr) {
        *written = f.bytes;
    }
    return status;
}

struct StatusName {
    cublasStatus_t status;
    const char *name, *text;
};

const StatusName status_names[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED",
     "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE",
     "an unsupported value or parameter was passed to the function"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH",
     "the function requires a feature absent from the device architecture"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR",
     "an access to GPU memory space failed"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED",
     "the GPU program failed to execute"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED",
     "the functionality requested is not supported"},
};

const StatusName *find_status(cublasStatus_t status) {
    for (const StatusName &s : status_names) {
        if (s.status == status) {
            return &s;
        }
    }
    return nullptr;
}

} /* namespace */

const cublasLtContext *find_handle(cublasLtHandle_t h) { return objects().handles.find(h); }
const Layout *find_layout(cublasLtMatrixLayout_t h) { return objects().layouts.find(h); }
const Product *find_product(cublasLtMatmulDesc_t h) { return objects().products.find(h); }
const Preference *find_preference(cublasLtMatmulPreference_t h) {
    return objects().preferences.find(h);
}

cublasStatus_t enter_cublaslt(const char *function) {
    return static_cast<cublasStatus_t>(count_call(function));
}

size_t live_cublaslt() {
    const Objects &o = objects();
    return o.handles.all.size() + o.layouts.all.size() + o.products.all.size() +
           o.preferences.all.size();
}

void reset_cublaslt() { objects() = Objects(); }

} /* namespace gi8emu */

using namespace gi8emu;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *result) {
    Guard guard(lock());
    if (device_count() == 0 || refuse_while_capturing("cublasLtCreate") != cudaSuccess) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    return create(__func__, objects().handles, result, cublasLtContext{current_device()});
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    Guard guard(lock());
    return destroy(__func__, objects().handles, handle);
}

size_t cublasLtGetVersion(void) { return CUBLAS_VERSION; }
size_t cublasLtGetCudartVersion(void) { return CUDART_VERSION; }

const char *cublasLtGetStatusName(cublasStatus_t status) {
    const StatusName *s = find_status(status);
    return s != nullptr ? s->name : "unknown status";
}

const char *cublasLtGetStatusString(cublasStatus_t status) {
    const StatusName *s = find_status(status);
    return s != nullptr ? s->text : "unknown status";
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *result, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
    Guard guard(lock());
    return create(__func__, objects().layouts, result,
                  Layout{static_cast<uint32_t>(type), CUBLASLT_ORDER_COL, rows, cols, ld, 1, 0});
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    Guard guard(lock());
    return destroy(__func__, objects().layouts, layout);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *from, size_t bytes) {
    Guard guard(lock());
    return set(__func__, objects().layouts, layout, attribute, from, bytes);
}

cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, void *to,
                                                size_t bytes, size_t *written) {
    Guard guard(lock());
    return get(__func__, objects().layouts, layout, attribute, to, bytes, written);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *result, cublasComputeType_t compute,
                                        cudaDataType scale) {
    Guard guard(lock());
    return create(__func__, objects().products, result,
                  Product{compute, scale, CUBLASLT_POINTER_MODE_HOST, CUBLAS_OP_N, CUBLAS_OP_N,
                          CUBLAS_FILL_MODE_FULL, CUBLASLT_EPILOGUE_DEFAULT, nullptr, 0, -1});
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
    Guard guard(lock());
    return destroy(__func__, objects().products, product);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *from, size_t bytes) {
    Guard guard(lock());
    return set(__func__, objects().products, product, attribute, from, bytes);
}

cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute, void *to,
                                              size_t bytes, size_t *written) {
    Guard guard(lock());
    return get(__func__, objects().products, product, attribute, to, bytes, written);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *result) {
    Guard guard(lock());
    return create(__func__, objects().preferences, result,
                  Preference{0, CUBLASLT_SEARCH_BEST_FIT, 256, 256, 256, 256});
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    Guard guard(lock());
    return destroy(__func__, objects().preferences, preference);
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                     cublasLtMatmulPreferenceAttributes_t attribute,
                                     const void *from, size_t bytes) {
    Guard guard(lock());
    return set(__func__, objects().preferences, preference, attribute, from, bytes);
}

cublasStatus_t
cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                     cublasLtMatmulPreferenceAttributes_t attribute, void *to,
                                     size_t bytes, size_t *written) {
    Guard guard(lock());
    return get(__func__, objects().preferences, preference, attribute, to, bytes, written);
}

} /* extern "C" */
