/* launch.cpp - checks of launches, and kernels as objects. */
#include "block.h"

#include <map>
#include <mutex>
#include <new>

#include <gi8emu_launch.h>

static size_t shared_limit = 227 * 1024;
static std::mutex attributes_lock;

/* Dynamic shared memory that each kernel was allowed. */
static std::map<const void *, size_t> &allowed() {
    static std::map<const void *, size_t> bytes;
    return bytes;
}

size_t gi8emu_shared_limit() {
    return shared_limit;
}

void gi8emu_set_shared_limit(size_t bytes) {
    shared_limit = bytes;
}

void gi8emu_forget_attributes() {
    std::lock_guard<std::mutex> lock(attributes_lock);
    allowed().clear();
}

extern "C" cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes,
                                             const void *function) {
    cudaError_t error = gi8emu_enter("cudaFuncGetAttributes");
    if (error != cudaSuccess) {
        return error;
    }
    if (attributes == nullptr) {
        gi8emu_report("cudaFuncGetAttributes: the result is NULL");
        return gi8emu_note_error(cudaErrorInvalidValue);
    }
    std::lock_guard<std::mutex> lock(attributes_lock);
    auto found = allowed().find(function);
    *attributes = {};
    /* unasked, what its static shared memory leaves of 48 KiB: that shows when it runs, and may be
     * all */
    attributes->maxDynamicSharedSizeBytes =
        found != allowed().end() ? static_cast<int>(found->second) : 0;
    return cudaSuccess;
}

extern "C" cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute,
                                            int value) {
    cudaError_t error = gi8emu_enter("cudaFuncSetAttribute");
    if (error != cudaSuccess) {
        return error;
    }
    switch (attribute) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize: {
        if (value < 0 || static_cast<size_t>(value) > shared_limit) {
            gi8emu_report("cudaFuncSetAttribute: kernel %s: %d bytes of dynamic shared memory, at "
                          "most %zu are there", gi8emu_symbol(function), value, shared_limit);
            return gi8emu_note_error(cudaErrorInvalidValue);
        }
        std::lock_guard<std::mutex> lock(attributes_lock);
        allowed()[function] = static_cast<size_t>(value);
        return cudaSuccess;
    }
    case cudaFuncAttributePreferredSharedMemoryCarveout:
        if (value < -1 || value > 100) {
            gi8emu_report("cudaFuncSetAttribute: %d percent of shared memory", value);
            return gi8emu_note_error(cudaErrorInvalidValue);
        }
        return cudaSuccess;
    default: return gi8emu_note_error(cudaErrorInvalidValue);
    }
}

static cudaError_t refuse(cudaError_t error, const void *function, const char *why) {
    gi8emu_report("launch of kernel %s: %s", gi8emu_symbol(function), why);
    return gi8emu_note_error(error);
}

cudaError_t gi8emu_launch(const cudaLaunchConfig_t *config, const void *function,
                          std::function<void()> &&body,
                          std::vector<gi8emu_given> &&pointers) {
    dim3 grid = config->gridDim, block = config->blockDim;
    uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 2147483647u || grid.y > 65535u ||
        grid.z > 65535u) {
        return refuse(cudaErrorInvalidConfiguration, function, "grid of no or too many blocks");
    }
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads == 0 ||
        threads > gi8emu_max_threads) {
        return refuse(cudaErrorInvalidConfiguration, function, "block of no or too many threads");
    }
    size_t asked = gi8emu_not_asked;
    {
        std::lock_guard<std::mutex> lock(attributes_lock);
        auto found = allowed().find(function);
        asked = found != allowed().end() ? found->second : asked;
    }
    /* what the kernel has of static shared memory shows when it runs, and is added there */
    if (config->dynamicSmemBytes > (asked == gi8emu_not_asked ? gi8emu_shared_unasked : asked)) {
        return refuse(cudaErrorInvalidValue, function,
                      "more dynamic shared memory than the kernel was allowed");
    }
    if (config->numAttrs != 0) {
        return refuse(cudaErrorNotSupported, function, "launch attributes are not emulated");
    }
    try {
        gi8emu_kernel *kernel = new gi8emu_kernel{
            function, grid, block, config->dynamicSmemBytes, asked, std::move(body),
            std::move(pointers)};
        return gi8emu_enqueue(config->stream, kernel);
    } catch (const std::bad_alloc &) {
        return gi8emu_note_error(cudaErrorMemoryAllocation);
    }
}

gi8emu_kernel *gi8emu_kernel_clone(const gi8emu_kernel *kernel) {
    try {
        return new gi8emu_kernel(*kernel);
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void gi8emu_kernel_free(gi8emu_kernel *kernel) {
    delete kernel;
}

const char *gi8emu_kernel_name(const gi8emu_kernel *kernel) {
    return gi8emu_symbol(kernel->function);
}
