/* device.cpp - the devices that the emulation pretends to have: GI8_EMU_DEVICES (1), GI8_EMU_SM
 * (80), GI8_EMU_MEMORY (bytes of each). */
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gi8emu {

namespace {

/* What differs between architectures (CUDA programming guide, "Technical Specifications per Compute
 * Capability"). */
struct Architecture {
    int sm;
    const char *name;
    size_t shared_per_block_optin, shared_per_multiprocessor;
    int multiprocessors, threads_per_multiprocessor, blocks_per_multiprocessor;
};

const Architecture architectures[] = {
    {70, "Emulated Volta", 96 << 10, 96 << 10, 80, 2048, 32},
    {75, "Emulated Turing", 64 << 10, 64 << 10, 40, 1024, 16},
    {80, "Emulated Ampere", 163 << 10, 164 << 10, 108, 2048, 32},
    {86, "Emulated Ampere", 99 << 10, 100 << 10, 84, 1536, 16},
    {89, "Emulated Ada", 99 << 10, 100 << 10, 128, 1536, 24},
    {90, "Emulated Hopper", 227 << 10, 228 << 10, 132, 2048, 32},
};

struct Settings {
    int devices;
    const Architecture *architecture;
    size_t memory;
};

unsigned long long number_from(const char *variable, unsigned long long otherwise) {
    const char *text = std::getenv(variable);
    if (text == nullptr || *text == '\0') {
        return otherwise;
    }
    char *end = nullptr;
    unsigned long long value = std::strtoull(text, &end, 10);
    if (*end != '\0') {
        std::fprintf(stderr, "%s is \"%s\", not a number\n", variable, text);
        std::abort();
    }
    return value;
}

Settings read_settings() {
    Settings s = {};
    s.devices = static_cast<int>(number_from("GI8_EMU_DEVICES", 1));
    s.memory = static_cast<size_t>(number_from("GI8_EMU_MEMORY", 4ull << 30));
    unsigned long long sm = number_from("GI8_EMU_SM", 80);
    for (const Architecture &a : architectures) {
        if (static_cast<unsigned long long>(a.sm) == sm) {
            s.architecture = &a;
        }
    }
    if (s.architecture == nullptr) {
        std::fprintf(stderr, "GI8_EMU_SM is %llu: 70, 75, 80, 86, 89 and 90 are emulated\n", sm);
        std::abort();
    }
    gi8emu_set_shared_limit(s.architecture->shared_per_block_optin);
    return s;
}

Settings &settings() {
    static Settings s = read_settings();
    return s;
}

/* Before main(), so that what a test sets afterwards stays. */
const int devices_at_start = settings().devices;

thread_local int chosen_device = 0;

cudaError_t check_device(const char *function, int device) {
    if (device < 0 || device >= settings().devices) {
        return fail(cudaErrorInvalidDevice, std::string(function) + ": there is no device " +
                                                std::to_string(device));
    }
    return cudaSuccess;
}

cudaError_t check_result(const char *function, const void *result) {
    return result != nullptr
               ? cudaSuccess
               : fail(cudaErrorInvalidValue, std::string(function) + ": the result is NULL");
}

void fill(cudaDeviceProp *p) {
    const Settings &s = settings();
    const Architecture &a = *s.architecture;
    std::memset(p, 0, sizeof *p);
    std::snprintf(p->name, sizeof p->name, "%s", a.name);
    p->totalGlobalMem = s.memory;
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = a.shared_per_block_optin;
    p->sharedMemPerMultiprocessor = a.shared_per_multiprocessor;
    p->reservedSharedMemPerBlock = a.sm >= 80 ? 1024 : 0;
    p->regsPerBlock = 65536;
    p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->memPitch = 2147483647;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsDim[0] = 1024;
    p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 2147483647;
    p->maxGridSize[1] = 65535;
    p->maxGridSize[2] = 65535;
    p->totalConstMem = 65536;
    p->major = a.sm / 10;
    p->minor = a.sm % 10;
    p->textureAlignment = 512;
    p->multiProcessorCount = a.multiprocessors;
    p->maxThreadsPerMultiProcessor = a.threads_per_multiprocessor;
    p->maxBlocksPerMultiProcessor = a.blocks_per_multiprocessor;
    p->canMapHostMemory = 1;
    p->unifiedAddressing = 1;
    p->concurrentKernels = 1;
    p->asyncEngineCount = 2;
    p->l2CacheSize = 1 << 20; /* small: programs that fill it are slow here */
    p->memoryBusWidth = 256;
    p->globalL1CacheSupported = 1;
    p->cooperativeLaunch = 1;
    p->clusterLaunch = a.sm >= 90 ? 1 : 0;
    p->ECCEnabled = 1;
}

} /* namespace */

int device_count() { return settings().devices; }
int current_device() { return chosen_device; }
size_t capacity() { return settings().memory; }

void reset_devices() {
    settings() = read_settings();
    chosen_device = 0;
}

} /* namespace gi8emu */

using namespace gi8emu;

extern "C" {

cudaError_t cudaGetDeviceCount(int *count) {
    return api(__func__, [&] {
        cudaError_t error = check_result("cudaGetDeviceCount", count);
        if (error == cudaSuccess) {
            *count = device_count();
        }
        return error;
    });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device) {
    return api(__func__, [&] {
        cudaError_t error = check_result("cudaGetDeviceProperties", prop);
        if (error == cudaSuccess) {
            error = check_device("cudaGetDeviceProperties", device);
        }
        if (error == cudaSuccess) {
            fill(prop);
        }
        return error;
    });
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attr, int device) {
    return api(__func__, [&] {
        cudaError_t error = check_result("cudaDeviceGetAttribute", value);
        if (error == cudaSuccess) {
            error = check_device("cudaDeviceGetAttribute", device);
        }
        if (error != cudaSuccess) {
            return error;
        }
        cudaDeviceProp p;
        fill(&p);
        switch (attr) {
        case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *value = static_cast<int>(p.sharedMemPerBlock);
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = static_cast<int>(p.sharedMemPerBlockOptin);
            break;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
            *value = static_cast<int>(p.sharedMemPerMultiprocessor);
            break;
        case cudaDevAttrReservedSharedMemoryPerBlock:
            *value = static_cast<int>(p.reservedSharedMemPerBlock);
            break;
        case cudaDevAttrWarpSize: *value = p.warpSize; break;
        case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
        case cudaDevAttrMaxThreadsPerMultiProcessor:
            *value = p.maxThreadsPerMultiProcessor;
            break;
        case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; break;
        case cudaDevAttrMaxRegistersPerBlock: *value = p.regsPerBlock; break;
        case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
        case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
        case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
        case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
        case cudaDevAttrMaxGridDimY: *value = p.maxGridSize[1]; break;
        case cudaDevAttrMaxGridDimZ: *value = p.maxGridSize[2]; break;
        case cudaDevAttrUnifiedAddressing: *value = p.unifiedAddressing; break;
        case cudaDevAttrIntegrated: *value = p.integrated; break;
        case cudaDevAttrClockRate: *value = 1410000; break;
        case cudaDevAttrMemoryClockRate: *value = 1215000; break;
        case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; break;
        default:
            return fail(cudaErrorInvalidValue, "cudaDeviceGetAttribute: attribute " +
                                                   std::to_string(static_cast<int>(attr)) +
                                                   " is not emulated");
        }
        return cudaSuccess;
    });
}

cudaError_t cudaSetDevice(int device) {
    return api(__func__, [&] {
        cudaError_t error = check_device("cudaSetDevice", device);
        if (error == cudaSuccess) {
            chosen_device = device;
        }
        return error;
    });
}

cudaError_t cudaGetDevice(int *device) {
    return api(__func__, [&] {
        cudaError_t error = check_result("cudaGetDevice", device);
        if (error == cudaSuccess) {
            *device = chosen_device;
        }
        return error;
    });
}

/* The versions of the toolkit whose headers these are. */
cudaError_t cudaRuntimeGetVersion(int *version) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    cudaError_t error = enter_anyhow(__func__);
    if (error == cudaSuccess) {
        error = check_result("cudaRuntimeGetVersion", version);
    }
    if (error == cudaSuccess) {
        *version = CUDART_VERSION;
    }
    return remember(error);
}

cudaError_t cudaDriverGetVersion(int *version) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    cudaError_t error = enter_anyhow(__func__);
    if (error == cudaSuccess) {
        error = check_result("cudaDriverGetVersion", version);
    }
    if (error == cudaSuccess) {
        *version = device_count() > 0 ? CUDART_VERSION : 0; /* 0: no driver */
    }
    return remember(error);
}

} /* extern "C" */
