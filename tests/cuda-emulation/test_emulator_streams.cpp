/* test_emulator_streams.cpp - the emulated runtime: streams, events, capture, graphs; and that it
 * catches what is not waited for, and what a capture forbids. */
#include "host_test.h"

#include <thread>
#include <vector>

static __global__ void add_to(int *p, int amount) { *p += amount; }

static __global__ void copy_to(int *to, const int *from) { *to = *from; }

static cudaStream_t make_stream(unsigned flags) {
    cudaStream_t stream = nullptr;
    OK(cudaStreamCreateWithFlags(&stream, flags));
    return stream;
}

static cudaEvent_t make_event() {
    cudaEvent_t event = nullptr;
    OK(cudaEventCreate(&event));
    return event;
}

/* A device integer with this value. */
static int *make_int(int value) {
    int *p = device_array<int>(1);
    OK(cudaMemcpy(p, &value, sizeof value, cudaMemcpyHostToDevice));
    return p;
}

static int value_of(const int *device) {
    int value = 0;
    OK(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
    return value;
}

/* ---- What is waited for, and what is not ---- */

static void planted_missing_synchronize(void **) {
    cudaStream_t stream = make_stream(cudaStreamNonBlocking);
    int *device = make_int(1), *result = pinned_array<int>(1);
    *result = 0;
    OK(launch_one(stream, add_to, device, 10));
    OK(cudaMemcpyAsync(result, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
    assert_int_equal(*result, 0);         /* not there yet */
    assert_int_equal(value_of(device), 1); /* the legacy stream does not wait */
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(*result, 11);
    assert_int_equal(value_of(device), 11);
    OK(cudaFree(device));
    OK(cudaFreeHost(result));
    OK(cudaStreamDestroy(stream));
}

/* The device reads pinned memory when it comes to it, pageable memory at the call. */
static void planted_reused_source(void **) {
    cudaStream_t stream = make_stream(cudaStreamNonBlocking);
    int *device = make_int(0), *pinned = pinned_array<int>(1), pageable = 1;
    *pinned = 1;
    OK(cudaMemcpyAsync(device, pinned, sizeof(int), cudaMemcpyHostToDevice, stream));
    *pinned = 2;
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(value_of(device), 2);
    OK(cudaMemcpyAsync(device, &pageable, sizeof(int), cudaMemcpyHostToDevice, stream));
    pageable = 2;
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(value_of(device), 1);
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
    OK(cudaStreamDestroy(stream));
}

static void planted_missing_event_wait(void **) {
    cudaStream_t first = make_stream(cudaStreamNonBlocking),
                 second = make_stream(cudaStreamNonBlocking);
    cudaEvent_t event = make_event();
    for (bool waits : {false, true}) {
        int *a = make_int(1), *b = make_int(0);
        OK(launch_one(first, add_to, a, 10));
        OK(cudaEventRecord(event, first));
        OK(launch_one(first, add_to, a, 100));
        if (waits) {
            OK(cudaStreamWaitEvent(second, event, 0));
        }
        OK(launch_one(second, copy_to, b, a));
        OK(cudaStreamSynchronize(second));
        assert_int_equal(value_of(b), waits ? 11 : 1);
        OK(cudaStreamSynchronize(first));
        assert_int_equal(value_of(a), 111);
        OK(cudaFree(a));
        OK(cudaFree(b));
    }
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(first));
    OK(cudaStreamDestroy(second));
}

static void test_legacy_stream(void **) {
    cudaStream_t blocking = make_stream(cudaStreamDefault);
    int *device = make_int(1);
    OK(launch_one(blocking, add_to, device, 10));
    assert_int_equal(value_of(device), 11); /* cudaMemcpy waits for blocking streams */
    int *result = pinned_array<int>(1);
    OK(cudaMemset(device, 0, sizeof(int)));
    OK(cudaMemcpyAsync(result, device, sizeof(int), cudaMemcpyDeviceToHost, blocking));
    OK(cudaStreamSynchronize(blocking)); /* and they wait for the legacy stream */
    assert_int_equal(*result, 0);
    OK(launch_one(blocking, add_to, device, 5));
    OK(cudaStreamSynchronize(nullptr));
    OK(cudaStreamDestroy(blocking));
    assert_int_equal(value_of(device), 5);
    OK(cudaFree(device));
    OK(cudaFreeHost(result));
}

static void test_destroyed_stream_runs(void **) {
    cudaStream_t stream = make_stream(cudaStreamNonBlocking);
    int *device = make_int(1);
    OK(launch_one(stream, add_to, device, 10));
    OK(cudaStreamDestroy(stream));
    assert_int_equal(value_of(device), 11);
    FAILS(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
    FAILS(launch_one(stream, add_to, device, 10), cudaErrorInvalidResourceHandle);
    FAILS(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
    OK(cudaFree(device));
}

static void test_queries(void **) {
    cudaStream_t stream = make_stream(cudaStreamNonBlocking);
    cudaEvent_t event = make_event();
    int *device = make_int(1);
    OK(cudaEventQuery(event)); /* never recorded */
    OK(cudaEventSynchronize(event));
    OK(cudaStreamQuery(stream));
    OK(launch_one(stream, add_to, device, 10));
    OK(cudaEventRecord(event, stream));
    OK(launch_one(stream, add_to, device, 100));
    int n = 0;
    while (cudaEventQuery(event) == cudaErrorNotReady) {
        n++;
    }
    assert_in_range(n, 1, 10);
    assert_int_equal(value_of(device), 11);
    FAILS(cudaStreamQuery(stream), cudaErrorNotReady);
    while (cudaStreamQuery(stream) == cudaErrorNotReady) {
    }
    (void)cudaGetLastError();
    assert_int_equal(value_of(device), 111);
    OK(cudaFree(device));
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(stream));
}

static void test_elapsed_time(void **) {
    cudaStream_t stream = make_stream(cudaStreamNonBlocking);
    cudaEvent_t start = make_event(), end = make_event(), untimed = nullptr;
    OK(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
    int *device = make_int(1);
    float milliseconds = -1.0f;
    FAILS(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
    OK(cudaEventRecord(start, stream));
    for (int i = 0; i < 1000; i++) {
        OK(launch_one(stream, add_to, device, 1));
    }
    OK(cudaEventRecord(end, stream));
    OK(cudaEventRecord(untimed, stream));
    FAILS(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
    OK(cudaEventSynchronize(end));
    OK(cudaEventElapsedTime(&milliseconds, start, end));
    assert_true(milliseconds > 0.1f && milliseconds < 100.0f);
    OK(cudaStreamSynchronize(stream));
    FAILS(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
    assert_int_equal(value_of(device), 1001);
    OK(cudaFree(device));
    for (cudaEvent_t event : {start, end, untimed}) {
        OK(cudaEventDestroy(event));
    }
    FAILS(cudaEventDestroy(start), cudaErrorInvalidResourceHandle);
    OK(cudaStreamDestroy(stream));
}

static void count_and_call(void *user) {
    ++*static_cast<int *>(user);
    int n;
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorNotPermitted);
}

static void test_host_function(void **) {
    cudaStream_t stream = make_stream(cudaStreamNonBlocking);
    int n = 0;
    OK(cudaLaunchHostFunc(stream, count_and_call, &n));
    assert_int_equal(n, 0);
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(n, 1);
    assert_int_equal(cudaGetLastError(), cudaErrorNotPermitted);
    OK(cudaStreamDestroy(stream));
}

/* ---- Graphs ---- */

static cudaStream_t begin_capture(cudaStreamCaptureMode mode) {
    cudaStream_t stream = make_stream(cudaStreamNonBlocking);
    OK(cudaStreamBeginCapture(stream, mode));
    return stream;
}

static cudaGraphExec_t end_capture(cudaStream_t stream, size_t expected_nodes) {
    cudaGraph_t graph = nullptr;
    OK(cudaStreamEndCapture(stream, &graph));
    size_t nodes = 0;
    OK(cudaGraphGetNodes(graph, nullptr, &nodes));
    assert_int_equal(nodes, expected_nodes);
    cudaGraphExec_t executable = nullptr;
    OK(cudaGraphInstantiate(&executable, graph, 0));
    OK(cudaGraphDestroy(graph));
    return executable;
}

static void test_graph(void **) {
    int *a = make_int(1), *b = make_int(0), *in = pinned_array<int>(1), *out = pinned_array<int>(1);
    *in = 5;
    *out = 0;
    cudaStream_t stream = begin_capture(cudaStreamCaptureModeThreadLocal);
    cudaStreamCaptureStatus status;
    OK(cudaStreamIsCapturing(stream, &status));
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    OK(cudaMemcpyAsync(a, in, sizeof(int), cudaMemcpyHostToDevice, stream));
    OK(launch_one(stream, add_to, a, 10));
    OK(cudaMemsetAsync(b, 0, sizeof(int), stream));
    OK(launch_one(stream, copy_to, b, a));
    OK(cudaMemcpyAsync(out, b, sizeof(int), cudaMemcpyDeviceToHost, stream));
    cudaGraphExec_t graph = end_capture(stream, 5);
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(*out, 0); /* a capture runs nothing */
    OK(cudaGraphUpload(graph, stream));
    for (int i = 0; i < 3; i++) {
        *in = 100 * i;
        OK(cudaGraphLaunch(graph, stream));
        assert_int_not_equal(*out, 100 * i + 10);
        OK(cudaStreamSynchronize(stream));
        assert_int_equal(*out, 100 * i + 10);
    }
    OK(cudaGraphLaunch(graph, stream));
    OK(cudaGraphExecDestroy(graph)); /* what was launched runs nevertheless */
    *in = 7;
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(*out, 17);
    FAILS(cudaGraphLaunch(graph, stream), cudaErrorInvalidValue);
    FAILS(cudaGraphExecDestroy(graph), cudaErrorInvalidValue);
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(a));
    OK(cudaFree(b));
    OK(cudaFreeHost(in));
    OK(cudaFreeHost(out));
}

/* A replay takes the arguments of the capture: a step that changes must be in device memory. */
static void planted_argument_changes_between_replays(void **) {
    int *device = make_int(0), amount = 1;
    cudaStream_t stream = begin_capture(cudaStreamCaptureModeGlobal);
    OK(launch_one(stream, add_to, device, amount));
    cudaGraphExec_t graph = end_capture(stream, 1);
    for (amount = 1; amount <= 3; amount++) {
        OK(cudaGraphLaunch(graph, stream));
    }
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(value_of(device), 3); /* not 1 + 2 + 3 */
    OK(cudaGraphExecDestroy(graph));
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(device));
}

static void planted_freed_memory_in_graph(void **) {
    int *device = make_int(0);
    cudaStream_t stream = begin_capture(cudaStreamCaptureModeGlobal);
    OK(cudaMemsetAsync(device, 0, sizeof(int), stream));
    cudaGraphExec_t graph = end_capture(stream, 1);
    OK(cudaFree(device));
    OK(cudaGraphLaunch(graph, stream));
    FAILS(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    gi8emu_reset();
}

/* The call returns the error, and the capture comes to nothing. */
template <typename F>
static void assert_spoils(cudaStreamCaptureMode mode, cudaError_t expected, F call) {
    cudaStream_t stream = begin_capture(mode);
    FAILS(call(stream), expected);
    cudaGraph_t graph = nullptr;
    FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_null(graph);
    OK(cudaStreamSynchronize(stream));
    OK(cudaStreamDestroy(stream));
}

static void planted_forbidden_while_capturing(void **) {
    const cudaError_t unsupported = cudaErrorStreamCaptureUnsupported;
    int *device = make_int(0), *pinned = pinned_array<int>(1), pageable = 0;
    void *memory = nullptr;
    cudaEvent_t event = make_event();
    for (cudaStreamCaptureMode mode :
         {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal}) {
        assert_spoils(mode, unsupported, [&](cudaStream_t) { return cudaMalloc(&memory, 4); });
        assert_spoils(mode, unsupported, [&](cudaStream_t) { return cudaFree(device); });
        assert_spoils(mode, unsupported, [&](cudaStream_t) { return cudaMallocHost(&memory, 4); });
        assert_spoils(mode, unsupported, [&](cudaStream_t) { return cudaFreeHost(pinned); });
        assert_spoils(mode, unsupported, [&](cudaStream_t) { return cudaMemset(device, 0, 4); });
        assert_spoils(mode, unsupported, [&](cudaStream_t) {
            return cudaMemcpy(device, &pageable, 4, cudaMemcpyHostToDevice);
        });
        assert_spoils(mode, unsupported, [&](cudaStream_t) { return cudaEventQuery(event); });
    }
    const cudaStreamCaptureMode relaxed = cudaStreamCaptureModeRelaxed;
    assert_spoils(relaxed, unsupported, cudaStreamSynchronize);
    assert_spoils(relaxed, unsupported, cudaStreamQuery);
    assert_spoils(relaxed, unsupported, [](cudaStream_t) { return cudaDeviceSynchronize(); });
    assert_spoils(relaxed, unsupported, [&](cudaStream_t stream) {
        return cudaMemcpyAsync(device, &pageable, 4, cudaMemcpyHostToDevice, stream);
    });
    assert_null(memory);
    OK(cudaEventDestroy(event));
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
}

static void test_capture_errors(void **) {
    cudaGraph_t graph = nullptr;
    cudaStream_t stream = make_stream(cudaStreamDefault);
    FAILS(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
          cudaErrorStreamCaptureUnsupported);
    FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
    int *device = make_int(0);
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    FAILS(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
    FAILS(launch_one(nullptr, add_to, device, 1), cudaErrorStreamCaptureImplicit);
    FAILS(launch_one(stream, add_to, device, 1), cudaErrorStreamCaptureInvalidated);
    FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);

    cudaEvent_t outside = make_event(), inside = make_event();
    OK(cudaEventRecord(outside, stream));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    OK(cudaEventRecord(inside, stream));
    OK(cudaStreamWaitEvent(stream, inside, 0));
    FAILS(cudaEventSynchronize(inside), cudaErrorCapturedEvent);
    FAILS(cudaStreamWaitEvent(stream, outside, 0), cudaErrorStreamCaptureIsolation);
    FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    OK(cudaEventDestroy(outside));
    OK(cudaEventDestroy(inside));
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(device));
}

/* In thread-local mode other threads may allocate; in global mode they spoil the capture. */
static void test_capture_and_threads(void **) {
    for (cudaStreamCaptureMode mode :
         {cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeGlobal}) {
        bool global = mode == cudaStreamCaptureModeGlobal;
        cudaStream_t stream = begin_capture(mode);
        cudaError_t allocated = cudaSuccess, freed = cudaSuccess, ended = cudaSuccess;
        std::thread([&] {
            void *memory = nullptr;
            allocated = cudaMalloc(&memory, 4);
            freed = cudaFree(memory);
            cudaGraph_t none = nullptr;
            ended = cudaStreamEndCapture(stream, &none);
        }).join();
        assert_int_equal(allocated, global ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
        assert_int_equal(freed, cudaSuccess);
        assert_int_equal(ended, cudaErrorStreamCaptureWrongThread);
        assert_int_equal(cudaGetLastError(), cudaSuccess); /* each thread has its own */
        cudaGraph_t graph = nullptr;
        cudaError_t result = cudaStreamEndCapture(stream, &graph);
        assert_int_equal(result, global ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
        if (!global) {
            OK(cudaGraphDestroy(graph));
        }
        OK(cudaStreamDestroy(stream));
    }
}

/* Two threads on streams of their own at once. */
static void test_threads(void **) {
    std::vector<std::thread> threads;
    int results[4] = {0};
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([t, &results] {
            cudaStream_t stream = nullptr;
            void *memory = nullptr;
            if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess ||
                cudaMalloc(&memory, sizeof(int)) != cudaSuccess) {
                return;
            }
            (void)cudaMemsetAsync(memory, 0, sizeof(int), stream);
            for (int i = 0; i < 50; i++) {
                (void)launch_one(stream, add_to, static_cast<int *>(memory), t + 1);
            }
            (void)cudaMemcpyAsync(&results[t], memory, sizeof(int), cudaMemcpyDeviceToHost,
                                  stream);
            (void)cudaStreamSynchronize(stream);
            (void)cudaFree(memory);
            (void)cudaStreamDestroy(stream);
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (int t = 0; t < 4; t++) {
        assert_int_equal(results[t], 50 * (t + 1));
    }
}

int main() {
    const struct CMUnitTest tests[] = {
        TEST(planted_missing_synchronize),
        TEST(planted_reused_source),
        TEST(planted_missing_event_wait),
        TEST(test_legacy_stream),
        TEST(test_destroyed_stream_runs),
        TEST(test_queries),
        TEST(test_elapsed_time),
        TEST(test_host_function),
        TEST(test_graph),
        TEST(planted_argument_changes_between_replays),
        TEST(planted_freed_memory_in_graph),
        TEST(planted_forbidden_while_capturing),
        TEST(test_capture_errors),
        TEST(test_capture_and_threads),
        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
