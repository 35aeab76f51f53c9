/* error.cpp - the lock, counted calls, injected failures, and errors and their names. */
#include "runtime.h"

#include <map>

namespace gi8emu {

namespace {

struct Counter {
    unsigned long calls;
    unsigned long fail_at; /* 0: never */
    int error;
};

std::map<std::string, Counter> &counters() {
    static std::map<std::string, Counter> all;
    return all;
}

cudaError_t for_good = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;

struct ErrorName {
    cudaError_t error;
    const char *name, *text;
};

const ErrorName error_names[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorIllegalInstruction, "cudaErrorIllegalInstruction",
     "an illegal instruction was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not initiated in this stream"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const ErrorName *find_error(cudaError_t error) {
    for (const ErrorName &e : error_names) {
        if (e.error == error) {
            return &e;
        }
    }
    return nullptr;
}

} /* namespace */

std::recursive_mutex &lock() {
    static std::recursive_mutex mutex;
    return mutex;
}

int count_call(const char *function) {
    Counter &c = counters()[function];
    c.calls++;
    if (c.calls != c.fail_at) {
        return 0;
    }
    c.fail_at = 0;
    gi8emu_report("%s: made to fail", function);
    return c.error;
}

cudaError_t enter_anyhow(const char *function) {
    return static_cast<cudaError_t>(count_call(function));
}

cudaError_t enter(const char *function) {
    cudaError_t error = enter_anyhow(function);
    if (error != cudaSuccess) {
        return error;
    }
    if (device_count() == 0) {
        return fail(cudaErrorNoDevice, std::string(function) + ": there is no device");
    }
    if (in_host_function()) {
        return fail(cudaErrorNotPermitted,
                    std::string(function) + ": called from a host function of a stream");
    }
    return for_good;
}

cudaError_t fail(cudaError_t error, const std::string &why) {
    gi8emu_report("%s", why.c_str());
    return error;
}

cudaError_t remember(cudaError_t error) {
    if (error != cudaSuccess) {
        last = error;
    }
    return error;
}

void fail_for_good(cudaError_t error, const std::string &why) {
    if (for_good == cudaSuccess) {
        for_good = fail(error, why);
    }
}

cudaError_t error_for_good() { return for_good; }

} /* namespace gi8emu */

using namespace gi8emu;

extern "C" {

cudaError_t gi8emu_note_error(cudaError_t error) { return remember(error); }

cudaError_t gi8emu_enter(const char *function) {
    return api(function, [] { return cudaSuccess; });
}

void gi8emu_fail_call(const char *function, unsigned long n, int error) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    Counter &c = counters()[function];
    c.fail_at = n == 0 ? 0 : c.calls + n;
    c.error = error;
}

unsigned long gi8emu_calls(const char *function) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    return counters()[function].calls;
}

size_t gi8emu_live_objects(void) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    return live_allocations() + live_streams() + live_graphs() + live_cublaslt();
}

bool gi8emu_memory_is_intact(void) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    return check_canaries();
}

void gi8emu_reset(void) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    reset_streams();
    reset_graphs();
    reset_cublaslt();
    reset_memory();
    reset_devices();
    gi8emu_forget_attributes();
    counters().clear();
    for_good = cudaSuccess;
    last = cudaSuccess;
    gi8emu_clear_message();
}

cudaError_t cudaGetLastError(void) {
    cudaError_t error = last;
    last = error_for_good();
    return error;
}

cudaError_t cudaPeekAtLastError(void) { return last; }

const char *cudaGetErrorName(cudaError_t error) {
    const ErrorName *e = find_error(error);
    return e != nullptr ? e->name : "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
    const ErrorName *e = find_error(error);
    return e != nullptr ? e->text : "unrecognized error code";
}

} /* extern "C" */
