/* memory.cpp - device memory and pinned memory, copies and fills.
 *
 * An allocation ends (rounded up to 256 bytes) where its last page does, with a page before and a
 * page behind that nobody may touch; what is left of its own pages holds canaries. New memory is
 * full of garbage. AddressSanitizer is told that canaries are out of bounds. Freed memory keeps its
 * addresses, which nobody may touch from then on. Device memory is out of reach but while work of a
 * stream runs. */
#include "runtime.h"

#include <cstring>
#include <iterator>
#include <map>

#include <sys/mman.h>
#include <unistd.h>

#include "sanitizers.h"
#if GI8EMU_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace gi8emu {

namespace {

const size_t alignment = 256;
const unsigned char canary = 0xC5;

struct Allocation {
    unsigned char *start;
    size_t bytes;
    unsigned char *pages;
    size_t page_bytes; /* without the guards */
    Place place;
    int device;
    bool freed;
};

/* By the address of its first page; what was freed stays, so that messages can say so. */
std::map<uintptr_t, Allocation> &allocations() {
    static std::map<uintptr_t, Allocation> all;
    return all;
}

std::map<int, size_t> &bytes_in_use() {
    static std::map<int, size_t> all;
    return all;
}

unsigned open_count = 0;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void fill_with_garbage(unsigned char *p, size_t n) {
    static uint64_t state = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < n; i += 16) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        /* not-a-number, or a number of great magnitude, in every type */
        std::memset(p + i, (state >> 63) != 0 ? 0xFF : 0x7B, n - i < 16 ? n - i : 16);
    }
}

void set_access(const Allocation &a, int access) {
    if (mprotect(a.pages, a.page_bytes, access) != 0) {
        fail_for_good(cudaErrorUnknown, "mprotect() failed on memory of the device");
    }
}

/* Takes part of the address space; NULL where there is none. */
void *allocate(size_t bytes, Place place) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    if (bytes > SIZE_MAX / 2) {
        return nullptr;
    }
    Allocation a = {};
    a.bytes = bytes;
    a.place = place;
    a.device = current_device();
    a.page_bytes = round_up(round_up(bytes, alignment), page);
    void *mapped = mmap(nullptr, a.page_bytes + 2 * page, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        return nullptr;
    }
    a.pages = static_cast<unsigned char *>(mapped) + page;
    a.start = a.pages + a.page_bytes - round_up(bytes, alignment);
    set_access(a, PROT_READ | PROT_WRITE);
    std::memset(a.pages, canary, static_cast<size_t>(a.start - a.pages));
    fill_with_garbage(a.start, bytes);
    std::memset(a.start + bytes, canary, round_up(bytes, alignment) - bytes);
#if GI8EMU_ASAN
    __asan_poison_memory_region(a.pages, static_cast<size_t>(a.start - a.pages));
    __asan_poison_memory_region(a.start + bytes, round_up(bytes, alignment) - bytes);
#endif
    if (place == Place::device && open_count == 0) {
        set_access(a, PROT_NONE);
    }
    allocations()[reinterpret_cast<uintptr_t>(a.pages)] = a;
    return a.start;
}

/* The allocation whose pages hold the address or end there, alive or not; NULL for other memory. */
Allocation *find(const void *pointer) {
    uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    auto after = allocations().upper_bound(address);
    if (after == allocations().begin()) {
        return nullptr;
    }
    Allocation &a = std::prev(after)->second;
    return address <= reinterpret_cast<uintptr_t>(a.pages) + a.page_bytes ? &a : nullptr;
}

__attribute__((no_sanitize("address"))) bool intact(const Allocation &a) {
    for (const unsigned char *p = a.pages; p < a.start; p++) {
        if (*p != canary) {
            return false;
        }
    }
    for (const unsigned char *p = a.start + a.bytes; p < a.pages + a.page_bytes; p++) {
        if (*p != canary) {
            return false;
        }
    }
    return true;
}

void release(Allocation &a) {
    a.freed = true;
    set_access(a, PROT_NONE);
    madvise(a.pages, a.page_bytes, MADV_DONTNEED);
    if (a.place == Place::device) {
        bytes_in_use()[a.device] -= round_up(a.bytes, alignment);
    }
}

cudaError_t free_memory(const char *function, void *pointer, Place place) {
    if (pointer == nullptr) {
        return cudaSuccess;
    }
    cudaError_t error = refuse_while_capturing(function);
    if (error == cudaSuccess) {
        error = run_everything();
    }
    if (error != cudaSuccess) {
        return error;
    }
    Allocation *a = find(pointer);
    if (a == nullptr || a->place != place || a->start != pointer) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": not the address of " +
                                               (place == Place::device ? "device" : "pinned") +
                                               " memory");
    }
    if (a->freed) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": freed before");
    }
    open_device_memory();
    bool untouched = intact(*a);
    close_device_memory();
    release(*a);
    return untouched ? cudaSuccess
                     : fail(cudaErrorIllegalAddress,
                            std::string(function) + ": something wrote around the allocation");
}

cudaError_t allocate_host(const char *function, void **result, size_t bytes) {
    if (result == nullptr) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": the result is NULL");
    }
    cudaError_t error = refuse_while_capturing(function);
    if (error != cudaSuccess) {
        return error;
    }
    *result = nullptr;
    if (bytes == 0) {
        return cudaSuccess;
    }
    *result = allocate(bytes, Place::pinned);
    return *result != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

const char *place_name(Place place) {
    switch (place) {
    case Place::device: return "device memory";
    case Place::pinned: return "pinned host memory";
    default: return "pageable host memory";
    }
}

/* What is wrong with a range that `function` calls `what`; `device` and `host` say what it may
 * be. */
cudaError_t check_range(const char *function, const char *what, const void *pointer, size_t bytes,
                        bool device, bool host) {
    Range r = locate(pointer, bytes);
    if (!r.whole) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": " + what +
                                               " leaves the allocation that it begins in, or "
                                               "lies in one that was freed");
    }
    if (r.place == Place::device ? !device : !host) {
        return fail(cudaErrorInvalidValue,
                    std::string(function) + ": " + what + " is " + place_name(r.place));
    }
    return cudaSuccess;
}

/* The same for both sides of a copy. */
cudaError_t check_copy(const char *function, const void *to, const void *from, size_t bytes,
                       cudaMemcpyKind kind) {
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
        return fail(cudaErrorInvalidMemcpyDirection, std::string(function) + ": no such kind");
    }
    if (to == nullptr || from == nullptr) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": a pointer is NULL");
    }
    bool any = kind == cudaMemcpyDefault;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    cudaError_t error =
        check_range(function, "the destination", to, bytes, any || to_device, any || !to_device);
    return error != cudaSuccess ? error
                                : check_range(function, "the source", from, bytes,
                                              any || from_device, any || !from_device);
}

/* Copies when the stream comes to it. A source in pageable memory is read at once, as CUDA stages
 * it; everything else as late as CUDA may. */
cudaError_t enqueue_copy(const char *function, void *to, const void *from, size_t bytes,
                         cudaMemcpyKind kind, cudaStream_t stream) {
    if (bytes == 0) {
        return cudaSuccess;
    }
    cudaError_t error = check_copy(function, to, from, bytes, kind);
    if (error != cudaSuccess) {
        return error;
    }
    std::shared_ptr<CUstream_st> s = find_stream(stream, &error);
    if (s == nullptr) {
        return error;
    }
    bool pageable = locate(from, bytes).place == Place::pageable;
    if (s->capture && (pageable || locate(to, bytes).place == Place::pageable)) {
        s->capture->invalidated = true;
        return fail(cudaErrorStreamCaptureUnsupported,
                    std::string(function) + ": pageable memory while the stream is capturing");
    }
    std::shared_ptr<std::vector<unsigned char>> staged;
    if (pageable) {
        const unsigned char *bytes_of = static_cast<const unsigned char *>(from);
        staged = std::make_shared<std::vector<unsigned char>>(bytes_of, bytes_of + bytes);
    }
    return enqueue(stream, {"a copy", [=] {
                                cudaError_t late = check_copy("a copy, when it ran", to, from,
                                                              bytes, kind);
                                if (late == cudaSuccess) {
                                    std::memmove(to, staged ? staged->data() : from, bytes);
                                }
                                return late == cudaSuccess ? late : cudaErrorIllegalAddress;
                            },
                            1000});
}

cudaError_t enqueue_fill(const char *function, void *to, int value, size_t bytes,
                         cudaStream_t stream) {
    if (bytes == 0) {
        return cudaSuccess;
    }
    cudaError_t error = check_range(function, "the destination", to, bytes, true, false);
    if (error != cudaSuccess) {
        return error;
    }
    return enqueue(stream, {"a fill", [=] {
                                cudaError_t late = check_range("a fill, when it ran",
                                                               "the destination", to, bytes, true,
                                                               false);
                                if (late == cudaSuccess) {
                                    std::memset(to, value, bytes);
                                }
                                return late == cudaSuccess ? late : cudaErrorIllegalAddress;
                            },
                            1000});
}

} /* namespace */

Range locate(const void *pointer, size_t bytes) {
    const Allocation *a = find(pointer);
    if (a == nullptr) {
        return {Place::pageable, true, -1};
    }
    uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    uintptr_t start = reinterpret_cast<uintptr_t>(a->start);
    bool whole = !a->freed && address >= start && address - start <= a->bytes &&
                 bytes <= a->bytes - (address - start);
    return {a->place, whole, a->device};
}

void open_device_memory() {
    if (open_count++ == 0) {
        for (auto &entry : allocations()) {
            if (entry.second.place == Place::device && !entry.second.freed) {
                set_access(entry.second, PROT_READ | PROT_WRITE);
            }
        }
    }
}

void close_device_memory() {
    if (--open_count == 0) {
        for (auto &entry : allocations()) {
            if (entry.second.place == Place::device && !entry.second.freed) {
                set_access(entry.second, PROT_NONE);
            }
        }
    }
}

bool check_canaries() {
    bool good = true;
    open_device_memory();
    for (auto &entry : allocations()) {
        if (!entry.second.freed && !intact(entry.second)) {
            good = false;
            gi8emu_report("something wrote around an allocation of %zu bytes of %s",
                          entry.second.bytes, place_name(entry.second.place));
        }
    }
    close_device_memory();
    return good;
}

void reset_memory() {
    for (auto &entry : allocations()) {
        if (!entry.second.freed) {
            release(entry.second);
        }
    }
    bytes_in_use().clear();
}

size_t live_allocations() {
    size_t n = 0;
    for (auto &entry : allocations()) {
        n += entry.second.freed ? 0 : 1;
    }
    return n;
}

} /* namespace gi8emu */

using namespace gi8emu;

extern "C" {

bool gi8emu_is_device(const void *address) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    Range r = locate(address, 0);
    return r.place == Place::device && r.whole;
}

cudaError_t cudaMalloc(void **result, size_t bytes) {
    return api(__func__, [&] {
        if (result == nullptr) {
            return fail(cudaErrorInvalidValue, "cudaMalloc: the result is NULL");
        }
        cudaError_t error = refuse_while_capturing("cudaMalloc");
        if (error != cudaSuccess) {
            return error;
        }
        *result = nullptr;
        if (bytes == 0) {
            return cudaSuccess;
        }
        size_t &used = bytes_in_use()[current_device()];
        if (bytes > capacity() || round_up(bytes, alignment) > capacity() - used) {
            return cudaErrorMemoryAllocation;
        }
        *result = allocate(bytes, Place::device);
        if (*result == nullptr) {
            return cudaErrorMemoryAllocation;
        }
        used += round_up(bytes, alignment);
        return cudaSuccess;
    });
}

cudaError_t cudaFree(void *pointer) {
    return api(__func__, [&] { return free_memory("cudaFree", pointer, Place::device); });
}

cudaError_t cudaMallocHost(void **result, size_t bytes) {
    return api(__func__, [&] { return allocate_host("cudaMallocHost", result, bytes); });
}

cudaError_t cudaHostAlloc(void **result, size_t bytes, unsigned int) {
    return api(__func__, [&] { return allocate_host("cudaHostAlloc", result, bytes); });
}

cudaError_t cudaFreeHost(void *pointer) {
    return api(__func__, [&] { return free_memory("cudaFreeHost", pointer, Place::pinned); });
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    return api(__func__, [&] {
        if (free_bytes == nullptr || total == nullptr) {
            return fail(cudaErrorInvalidValue, "cudaMemGetInfo: a result is NULL");
        }
        *total = capacity();
        *free_bytes = capacity() - bytes_in_use()[current_device()];
        return cudaSuccess;
    });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *result, const void *pointer) {
    return api(__func__, [&] {
        if (result == nullptr) {
            return fail(cudaErrorInvalidValue, "cudaPointerGetAttributes: the result is NULL");
        }
        std::memset(result, 0, sizeof *result);
        Range r = locate(pointer, 0);
        result->type = cudaMemoryTypeUnregistered;
        result->device = r.device;
        if (r.whole && r.place != Place::pageable) {
            bool device = r.place == Place::device;
            result->type = device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
            result->devicePointer = const_cast<void *>(pointer);
            result->hostPointer = device ? nullptr : const_cast<void *>(pointer);
        }
        return cudaSuccess;
    });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return api(__func__,
               [&] { return enqueue_copy("cudaMemcpyAsync", to, from, bytes, kind, stream); });
}

/* Through the legacy stream; only a copy within the device may be under way when it returns. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    return api(__func__, [&] {
        cudaError_t error = refuse_while_capturing("cudaMemcpy");
        if (error == cudaSuccess) {
            error = enqueue_copy("cudaMemcpy", to, from, bytes, kind, nullptr);
        }
        if (error != cudaSuccess || bytes == 0 ||
            (locate(to, bytes).place == Place::device &&
             locate(from, bytes).place == Place::device)) {
            return error;
        }
        std::shared_ptr<CUstream_st> legacy = find_stream(nullptr, &error);
        return run_until(legacy.get(), legacy->end());
    });
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    return api(__func__,
               [&] { return enqueue_fill("cudaMemsetAsync", to, value, bytes, stream); });
}

/* Through the legacy stream, and not waited for. */
cudaError_t cudaMemset(void *to, int value, size_t bytes) {
    return api(__func__, [&] {
        cudaError_t error = refuse_while_capturing("cudaMemset");
        return error != cudaSuccess ? error
                                    : enqueue_fill("cudaMemset", to, value, bytes, nullptr);
    });
}

} /* extern "C" */
