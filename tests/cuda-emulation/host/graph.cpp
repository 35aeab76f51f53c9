/* graph.cpp - capture of a stream, and graphs, which run their nodes in the order of the
 * capture. */
#include "runtime.h"

#include <set>

struct CUgraph_st {
    std::vector<gi8emu::Work> nodes;
};

struct CUgraphExec_st {
    std::shared_ptr<const std::vector<gi8emu::Work>> nodes; /* launches under way keep them */
    int device = 0;
};

namespace gi8emu {

namespace {

std::set<cudaGraph_t> &graphs() {
    static std::set<cudaGraph_t> all;
    return all;
}

std::set<cudaGraphExec_t> &executables() {
    static std::set<cudaGraphExec_t> all;
    return all;
}

cudaError_t instantiate(const char *function, cudaGraphExec_t *result, cudaGraph_t graph) {
    if (result == nullptr || graphs().count(graph) == 0) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": NULL, or not a graph");
    }
    *result = new CUgraphExec_st;
    (*result)->nodes = std::make_shared<const std::vector<Work>>(graph->nodes);
    (*result)->device = current_device();
    executables().insert(*result);
    return cudaSuccess;
}

cudaError_t run_nodes(const std::vector<Work> &nodes) {
    for (const Work &node : nodes) {
        cudaError_t error = node.run();
        if (error != cudaSuccess) {
            gi8emu_report("%s failed in a graph", node.what);
            return error;
        }
    }
    return cudaSuccess;
}

cudaError_t check_executable(const char *function, cudaGraphExec_t graph) {
    if (executables().count(graph) == 0) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": not an executable graph");
    }
    if (graph->device != current_device()) {
        return fail(cudaErrorInvalidValue, std::string(function) + ": made for another device");
    }
    return cudaSuccess;
}

} /* namespace */

cudaError_t refuse_while_capturing(const char *function) {
    for (CUstream_st *stream : all_streams()) {
        Capture *c = stream->capture.get();
        if (c == nullptr || c->mode == cudaStreamCaptureModeRelaxed ||
            (c->mode == cudaStreamCaptureModeThreadLocal &&
             c->thread != std::this_thread::get_id())) {
            continue;
        }
        c->invalidated = true;
        return fail(cudaErrorStreamCaptureUnsupported,
                    std::string(function) + ": called while a stream is capturing");
    }
    return cudaSuccess;
}

cudaError_t refuse_captured(CUstream_st *stream, const char *function) {
    if (!stream->capture) {
        return cudaSuccess;
    }
    stream->capture->invalidated = true;
    return fail(cudaErrorStreamCaptureUnsupported,
                std::string(function) + ": the stream is capturing");
}

void reset_graphs() {
    for (cudaGraph_t graph : graphs()) {
        delete graph;
    }
    for (cudaGraphExec_t graph : executables()) {
        delete graph;
    }
    graphs().clear();
    executables().clear();
}

size_t live_graphs() { return graphs().size() + executables().size(); }

} /* namespace gi8emu */

using namespace gi8emu;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        std::shared_ptr<CUstream_st> stream = find_stream(handle, &error);
        if (stream == nullptr) {
            return error;
        }
        if (stream.get() != handle) {
            return fail(cudaErrorStreamCaptureUnsupported,
                        "cudaStreamBeginCapture: the legacy stream cannot be captured");
        }
        if (stream->capture) {
            return fail(cudaErrorIllegalState, "cudaStreamBeginCapture: captures already");
        }
        stream->capture = std::make_unique<Capture>();
        stream->capture->mode = mode;
        stream->capture->thread = std::this_thread::get_id();
        stream->capture->invalidated = false;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *result) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        std::shared_ptr<CUstream_st> stream = find_stream(handle, &error);
        if (stream == nullptr) {
            return error;
        }
        if (result == nullptr || !stream->capture) {
            return fail(result == nullptr ? cudaErrorInvalidValue : cudaErrorIllegalState,
                        "cudaStreamEndCapture: the result is NULL, or nothing is captured");
        }
        *result = nullptr;
        if (stream->capture->mode != cudaStreamCaptureModeRelaxed &&
            stream->capture->thread != std::this_thread::get_id()) {
            return fail(cudaErrorStreamCaptureWrongThread,
                        "cudaStreamEndCapture: another thread began the capture");
        }
        std::unique_ptr<Capture> captured = std::move(stream->capture);
        if (captured->invalidated) {
            return fail(cudaErrorStreamCaptureInvalidated,
                        "cudaStreamEndCapture: something spoiled the capture");
        }
        *result = new CUgraph_st{std::move(captured->nodes)};
        graphs().insert(*result);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
    return api(__func__, [&] {
        cudaError_t error = cudaSuccess;
        std::shared_ptr<CUstream_st> stream = find_stream(handle, &error);
        if (stream == nullptr || status == nullptr) {
            return stream == nullptr ? error : cudaErrorInvalidValue;
        }
        *status = !stream->capture               ? cudaStreamCaptureStatusNone
                  : stream->capture->invalidated ? cudaStreamCaptureStatusInvalidated
                                                 : cudaStreamCaptureStatusActive;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *result, cudaGraph_t graph, unsigned long long) {
    return api(__func__, [&] { return instantiate("cudaGraphInstantiate", result, graph); });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *result, cudaGraph_t graph,
                                          unsigned long long) {
    return api(__func__,
               [&] { return instantiate("cudaGraphInstantiateWithFlags", result, graph); });
}

/* How many nodes there are; the nodes themselves have no handles here. */
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n) {
    return api(__func__, [&] {
        if (graphs().count(graph) == 0 || n == nullptr || nodes != nullptr) {
            return fail(cudaErrorInvalidValue,
                        "cudaGraphGetNodes: only counts the nodes of a graph");
        }
        *n = graph->nodes.size();
        return cudaSuccess;
    });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t graph, cudaStream_t stream) {
    return api(__func__, [&] {
        cudaError_t error = check_executable("cudaGraphUpload", graph);
        return error != cudaSuccess
                   ? error
                   : enqueue(stream, {"the upload of a graph", [] { return cudaSuccess; }, 1000});
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t handle) {
    return api(__func__, [&] {
        cudaError_t error = check_executable("cudaGraphLaunch", graph);
        if (error != cudaSuccess) {
            return error;
        }
        std::shared_ptr<CUstream_st> stream = find_stream(handle, &error);
        if (stream == nullptr) {
            return error;
        }
        error = refuse_captured(stream.get(), "cudaGraphLaunch"); /* no graphs within graphs */
        if (error != cudaSuccess) {
            return error;
        }
        auto nodes = graph->nodes;
        uint64_t nanoseconds = 0;
        for (const Work &node : *nodes) {
            nanoseconds += node.nanoseconds;
        }
        return enqueue(handle, {"a graph", [nodes] { return run_nodes(*nodes); }, nanoseconds});
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    return api(__func__, [&] {
        if (graphs().erase(graph) == 0) {
            return fail(cudaErrorInvalidValue, "cudaGraphDestroy: not a graph");
        }
        delete graph;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    return api(__func__, [&] {
        if (executables().erase(graph) == 0) {
            return fail(cudaErrorInvalidValue, "cudaGraphExecDestroy: not an executable graph");
        }
        delete graph;
        return cudaSuccess;
    });
}

} /* extern "C" */
