/* stream.cpp - streams and events. Work runs only when something waits for it, so a result that
 * nobody waited for is not there yet. A query runs one item, so polling ends. The legacy stream and
 * blocking streams wait for each other, as CUDA's do. */
#include "runtime.h"

#include <map>

/* What an event stands for since it was recorded: a position in a stream. */
struct Recorded {
    std::shared_ptr<CUstream_st> stream;
    uint64_t position;
    uint64_t time;
};

struct CUevent_st {
    int device = 0;
    bool timing = true;
    bool captured = false; /* last recorded in a capture */
    std::shared_ptr<Recorded> recorded; /* NULL before */
};

namespace gi8emu {

namespace {

std::map<cudaStream_t, std::shared_ptr<CUstream_st>> &streams() {
    static std::map<cudaStream_t, std::shared_ptr<CUstream_st>> all;
    return all;
}

std::map<int, std::shared_ptr<CUstream_st>> &legacy_streams() {
    static std::map<int, std::shared_ptr<CUstream_st>> all;
    return all;
}

std::map<cudaEvent_t, std::unique_ptr<CUevent_st>> &events() {
    static std::map<cudaEvent_t, std::unique_ptr<CUevent_st>> all;
    return all;
}

uint64_t clock_now = 0;
bool host_function_runs = false;

bool is_legacy(const CUstream_st *stream) {
    auto found = legacy_streams().find(stream->device);
    return found != legacy_streams().end() && found->second.get() == stream;
}

/* Makes a stream wait for all that another one has now. */
void push_wait(CUstream_st *stream, const std::shared_ptr<CUstream_st> &other, uint64_t position) {
    if (other->n_done < position) {
        stream->pending.push_back(
            {"a wait", [=] { return run_until(other.get(), position); }, 0});
    }
}

/* What comes before work on a stream that CUDA orders by itself. */
cudaError_t push_implicit_waits(CUstream_st *stream) {
    if (!is_legacy(stream)) {
        auto legacy = legacy_streams().find(stream->device);
        if (!stream->non_blocking && legacy != legacy_streams().end()) {
            push_wait(stream, legacy->second, legacy->second->end());
        }
        return cudaSuccess;
    }
    for (auto &entry : streams()) {
        const std::shared_ptr<CUstream_st> &other = entry.second;
        if (other->non_blocking || other->device != stream->device) {
            continue;
        }
        if (other->capture) {
            other->capture->invalidated = true;
            return fail(cudaErrorStreamCaptureImplicit,
                        "work for the legacy stream while a blocking stream is capturing");
        }
        push_wait(stream, other, other->end());
    }
    return cudaSuccess;
}

cudaError_t create_stream(const char *function, cudaStream_t *result, unsigned flags) {
    if (result == nullptr || (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": NULL, or unknown flags");
    }
    auto stream = std::make_shared<CUstream_st>();
    stream->device = current_device();
    stream->non_blocking = (flags & cudaStreamNonBlocking) != 0;
    *result = stream.get();
    streams()[*result] = stream;
    return cudaSuccess;
}

cudaError_t create_event(const char *function, cudaEvent_t *result, unsigned flags) {
    const unsigned known = cudaEventBlockingSync | cudaEventDisableTiming;
    if (result == nullptr || (flags & ~known) != 0) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": NULL, or unknown flags");
    }
    auto event = std::make_unique<CUevent_st>();
    event->device = current_device();
    event->timing = (flags & cudaEventDisableTiming) == 0;
    *result = event.get();
    events()[*result] = std::move(event);
    return cudaSuccess;
}

CUevent_st *find_event(const char *function, cudaEvent_t handle, cudaError_t *error) {
    auto found = events().find(handle);
    if (found == events().end()) {
        *error = fail(cudaErrorInvalidResourceHandle, std::string(function) + ": not an event");
        return nullptr;
    }
    *error = cudaSuccess;
    return found->second.get();
}

/* An event that the host asks about: not one of a capture. */
CUevent_st *find_event_for_host(const char *function, cudaEvent_t handle, cudaError_t *error) {
    CUevent_st *event = find_event(function, handle, error);
    if (event != nullptr && event->captured) {
        *error = fail(cudaErrorCapturedEvent,
                      std::string(function) + ": the event was recorded in a capture");
        return nullptr;
    }
    return event;
}

bool is_over(const Recorded &r) { return r.stream->n_done >= r.position; }

cudaError_t run_one(CUstream_st *stream) { return run_until(stream, stream->n_done + 1); }

cudaError_t record(cudaEvent_t handle, cudaStream_t stream) {
    cudaError_t error = cudaSuccess;
    CUevent_st *event = find_event("cudaEventRecord", handle, &error);
    if (event == nullptr) {
        return error;
    }
    std::shared_ptr<CUstream_st> s = find_stream(stream, &error);
    if (s == nullptr) {
        return error;
    }
    if (event->device != s->device) {
        return fail(cudaErrorInvalidResourceHandle,
                    "cudaEventRecord: event and stream belong to different devices");
    }
    event->captured = s->capture != nullptr;
    if (event->captured) {
        return cudaSuccess; /* what was captured before is ordered before what follows, anyway */
    }
    auto recorded = std::make_shared<Recorded>();
    recorded->stream = s;
    error = enqueue(stream, {"an event", [recorded] {
                                 recorded->time = clock_now;
                                 return cudaSuccess;
                             },
                             0});
    if (error == cudaSuccess) {
        recorded->position = s->end();
        event->recorded = recorded;
    }
    return error;
}

cudaError_t wait_for(cudaStream_t stream, cudaEvent_t handle) {
    cudaError_t error = cudaSuccess;
    CUevent_st *event = find_event("cudaStreamWaitEvent", handle, &error);
    if (event == nullptr) {
        return error;
    }
    std::shared_ptr<CUstream_st> s = find_stream(stream, &error);
    if (s == nullptr) {
        return error;
    }
    if (s->capture != nullptr || event->captured) {
        if (s->capture != nullptr && event->captured) {
            return cudaSuccess; /* its own: nothing to add */
        }
        if (s->capture != nullptr) {
            s->capture->invalidated = true;
        }
        return fail(cudaErrorStreamCaptureIsolation,
                    "cudaStreamWaitEvent: a dependency between a capture and what is outside of it "
                    "(the emulation captures single streams)");
    }
    if (event->recorded != nullptr) {
        push_wait(s.get(), event->recorded->stream, event->recorded->position);
    }
    return cudaSuccess;
}

} /* namespace */

std::shared_ptr<CUstream_st> find_stream(cudaStream_t handle, cudaError_t *error) {
    *error = cudaSuccess;
    if (handle == nullptr || handle == cudaStreamLegacy) {
        std::shared_ptr<CUstream_st> &legacy = legacy_streams()[current_device()];
        if (legacy == nullptr) {
            legacy = std::make_shared<CUstream_st>();
            legacy->device = current_device();
        }
        return legacy;
    }
    auto found = streams().find(handle);
    if (found == streams().end()) {
        *error = fail(cudaErrorInvalidResourceHandle, "not a stream");
        return nullptr;
    }
    if (found->second->device != current_device()) {
        *error = fail(cudaErrorInvalidResourceHandle,
                      "a stream of another device than the current one");
        return nullptr;
    }
    return found->second;
}

cudaError_t enqueue(cudaStream_t handle, Work work) {
    cudaError_t error = cudaSuccess;
    std::shared_ptr<CUstream_st> stream = find_stream(handle, &error);
    if (stream == nullptr) {
        return error;
    }
    if (stream->capture) {
        if (stream->capture->invalidated) {
            return cudaErrorStreamCaptureInvalidated;
        }
        stream->capture->nodes.push_back(std::move(work));
        return cudaSuccess;
    }
    error = push_implicit_waits(stream.get());
    if (error == cudaSuccess) {
        stream->pending.push_back(std::move(work));
    }
    return error;
}

cudaError_t run_until(CUstream_st *stream, uint64_t position) {
    if (stream->n_done >= position) {
        return error_for_good();
    }
    open_device_memory();
    while (error_for_good() == cudaSuccess && stream->n_done < position) {
        Work work = std::move(stream->pending.front());
        stream->pending.pop_front();
        cudaError_t error = work.run();
        clock_now += work.nanoseconds;
        stream->n_done++;
        if (error != cudaSuccess) {
            fail_for_good(error, std::string(work.what) + " failed in a stream");
        }
    }
    close_device_memory();
    return error_for_good();
}

cudaError_t run_everything() {
    for (CUstream_st *stream : all_streams()) {
        run_until(stream, stream->end());
    }
    return error_for_good();
}

std::vector<CUstream_st *> all_streams() {
    std::vector<CUstream_st *> all;
    for (auto &entry : streams()) {
        all.push_back(entry.second.get());
    }
    for (auto &entry : legacy_streams()) {
        all.push_back(entry.second.get());
    }
    return all;
}

bool in_host_function() { return host_function_runs; }

void reset_streams() {
    for (CUstream_st *stream : all_streams()) {
        stream->pending.clear(); /* waits hold each other's streams */
    }
    streams().clear();
    legacy_streams().clear();
    events().clear();
}

size_t live_streams() { return streams().size() + events().size(); }

} /* namespace gi8emu */

using namespace gi8emu;

extern "C" {

cudaError_t gi8emu_enqueue(cudaStream_t stream, gi8emu_kernel *kernel) {
    std::shared_ptr<gi8emu_kernel> owned(kernel, gi8emu_kernel_free);
    return api("cudaLaunchKernelExC", [&] {
        return enqueue(stream, {gi8emu_kernel_name(kernel), [owned] {
                                    cudaError_t error = gi8emu_execute(owned.get());
                                    if (error != cudaSuccess || check_canaries()) {
                                        return error;
                                    }
                                    return cudaErrorIllegalAddress;
                                },
                                5000});
    });
}

cudaError_t cudaStreamCreate(cudaStream_t *result) {
    return api(__func__, [&] { return create_stream("cudaStreamCreate", result, 0); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *result, unsigned int flags) {
    return api(__func__, [&] { return create_stream("cudaStreamCreateWithFlags", result, flags); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *result, unsigned int flags, int) {
    return api(__func__,
               [&] { return create_stream("cudaStreamCreateWithPriority", result, flags); });
}

/* Its work runs to the end. */
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    return api(__func__, [&] {
        auto found = streams().find(handle);
        if (found == streams().end()) {
            return fail(cudaErrorInvalidResourceHandle, "cudaStreamDestroy: not a stream");
        }
        cudaError_t error = run_until(handle, handle->end());
        streams().erase(found);
        return error;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        std::shared_ptr<CUstream_st> stream = find_stream(handle, &error);
        if (stream == nullptr) {
            return error;
        }
        error = refuse_captured(stream.get(), "cudaStreamSynchronize");
        if (error == cudaSuccess && is_legacy(stream.get())) {
            error = push_implicit_waits(stream.get());
        }
        return error != cudaSuccess ? error : run_until(stream.get(), stream->end());
    });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        std::shared_ptr<CUstream_st> stream = find_stream(handle, &error);
        if (stream == nullptr) {
            return error;
        }
        error = refuse_captured(stream.get(), "cudaStreamQuery");
        if (error != cudaSuccess || stream->pending.empty()) {
            return error;
        }
        error = run_one(stream.get());
        return error != cudaSuccess ? error : cudaErrorNotReady;
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
    return api(__func__, [&] { return wait_for(stream, event); });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *user) {
    return api(__func__, [&] {
        return enqueue(stream, {"a host function", [=] {
                                    host_function_runs = true;
                                    function(user);
                                    host_function_runs = false;
                                    return cudaSuccess;
                                },
                                1000});
    });
}

cudaError_t cudaDeviceSynchronize(void) {
    return api(__func__, [&] {
        for (CUstream_st *stream : all_streams()) {
            cudaError_t error = refuse_captured(stream, "cudaDeviceSynchronize");
            if (error != cudaSuccess) {
                return error;
            }
        }
        return run_everything();
    });
}

cudaError_t cudaEventCreate(cudaEvent_t *result) {
    return api(__func__, [&] { return create_event("cudaEventCreate", result, 0); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *result, unsigned int flags) {
    return api(__func__, [&] { return create_event("cudaEventCreateWithFlags", result, flags); });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    return api(__func__, [&] {
        return events().erase(handle) == 1
                   ? cudaSuccess
                   : fail(cudaErrorInvalidResourceHandle, "cudaEventDestroy: not an event");
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return api(__func__, [&] { return record(event, stream); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        CUevent_st *event = find_event_for_host("cudaEventSynchronize", handle, &error);
        if (event == nullptr || event->recorded == nullptr) {
            return error;
        }
        return run_until(event->recorded->stream.get(), event->recorded->position);
    });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        CUevent_st *event = find_event_for_host("cudaEventQuery", handle, &error);
        if (event != nullptr) {
            error = refuse_while_capturing("cudaEventQuery");
        }
        if (error != cudaSuccess || event->recorded == nullptr || is_over(*event->recorded)) {
            return error;
        }
        error = run_one(event->recorded->stream.get());
        return error != cudaSuccess ? error : cudaErrorNotReady;
    });
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        CUevent_st *a = find_event_for_host("cudaEventElapsedTime", start, &error);
        CUevent_st *b = a == nullptr ? nullptr
                                     : find_event_for_host("cudaEventElapsedTime", end, &error);
        if (b == nullptr) {
            return error;
        }
        if (milliseconds == nullptr || a->recorded == nullptr || b->recorded == nullptr ||
            !a->timing || !b->timing) {
            return fail(milliseconds == nullptr ? cudaErrorInvalidValue
                                                : cudaErrorInvalidResourceHandle,
                        "cudaEventElapsedTime: the result is NULL, or an event has no time");
        }
        if (!is_over(*a->recorded) || !is_over(*b->recorded)) {
            return cudaErrorNotReady;
        }
        *milliseconds = static_cast<float>(static_cast<double>(b->recorded->time) -
                                           static_cast<double>(a->recorded->time)) *
                        1e-6f;
        return cudaSuccess;
    });
}

} /* extern "C" */
