/* runtime.h - what the files of the emulated CUDA runtime share. Everything happens under one lock,
 * which api() and the emulator's own entry points take. */
#ifndef GI8EMU_RUNTIME_H
#define GI8EMU_RUNTIME_H

#include "emulator.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace gi8emu {

/* ---- error.cpp: locks, counts and errors ---- */

std::recursive_mutex &lock();

/* Counts the call; what it has to return at once, if it may not go on: an injected failure, no
 * device, an error that nothing recovers from, a call from a host function of a stream. */
cudaError_t enter(const char *function);

/* The same for calls that work without a device and after any error. */
cudaError_t enter_anyhow(const char *function);

/* Counts the call; not 0 for an injected failure. */
int count_call(const char *function);

/* Remembers the error, and a sentence that says why. */
cudaError_t fail(cudaError_t error, const std::string &why);

/* Keeps the error for cudaGetLastError(). */
cudaError_t remember(cudaError_t error);

/* An error of work that ran: every later call returns it. */
void fail_for_good(cudaError_t error, const std::string &why);
cudaError_t error_for_good();

/* A function of the runtime: under the lock, counted, its error remembered. */
template <typename F> cudaError_t api(const char *function, F body) {
    std::lock_guard<std::recursive_mutex> guard(lock());
    cudaError_t error = enter(function);
    return remember(error != cudaSuccess ? error : body());
}

/* ---- device.cpp ---- */

int device_count();
int current_device();
size_t capacity();  /* bytes of a device */
void reset_devices();

/* ---- memory.cpp ---- */

enum class Place { pageable, pinned, device };

/* Where a range lies. `whole` is false for a range that leaves the allocation in which it begins,
 * and for memory that was freed. */
struct Range {
    Place place;
    bool whole;
    int device;
};
Range locate(const void *pointer, size_t bytes);

/* Device memory can be touched only between these two, which nest: host code that reads or writes
 * it dies. */
void open_device_memory();
void close_device_memory();

/* False, with the sentence kept, where somebody wrote around an allocation. */
bool check_canaries();
void reset_memory();
size_t live_allocations();

/* ---- stream.cpp ---- */

/* What a stream does: `run` returns an error, which is then for good. */
struct Work {
    const char *what;
    std::function<cudaError_t()> run;
    uint64_t nanoseconds; /* on the emulated clock */
};

/* A stream's capture under way. */
struct Capture {
    cudaStreamCaptureMode mode;
    std::thread::id thread; /* who began it */
    bool invalidated;
    std::vector<Work> nodes;
};

} /* namespace gi8emu */

/* A stream; the header of the runtime leaves open what it is. */
struct CUstream_st {
    int device = 0;
    bool non_blocking = false;
    uint64_t n_done = 0; /* items that ran since the stream was made */
    std::deque<gi8emu::Work> pending;
    std::unique_ptr<gi8emu::Capture> capture; /* NULL while not capturing */
    uint64_t end() const { return n_done + pending.size(); }
};

namespace gi8emu {

/* The stream of a handle, the legacy stream for 0; NULL, with the error, where it is none or not
 * one of the current device. */
std::shared_ptr<CUstream_st> find_stream(cudaStream_t handle, cudaError_t *error);

/* Adds work to a stream, or to the graph that it captures. */
cudaError_t enqueue(cudaStream_t handle, Work work);

/* Runs what a stream has up to a position (CUstream_st.end()). */
cudaError_t run_until(CUstream_st *stream, uint64_t position);
cudaError_t run_everything();
bool in_host_function();
std::vector<CUstream_st *> all_streams();
void reset_streams();
size_t live_streams(); /* and events */

/* ---- graph.cpp ---- */

/* An error where a capture forbids this call: any capture in global mode, or this thread's own in
 * thread-local mode. The capture is then spoiled. */
cudaError_t refuse_while_capturing(const char *function);

/* An error, and a spoiled capture, where this stream is capturing. */
cudaError_t refuse_captured(CUstream_st *stream, const char *function);

void reset_graphs();
size_t live_graphs();

/* ---- cublaslt ---- */

size_t live_cublaslt(); /* handles and descriptors */
void reset_cublaslt();

} /* namespace gi8emu */

#endif
