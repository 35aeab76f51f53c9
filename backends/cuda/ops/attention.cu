/* attention.cu - causal attention: which of three kernels, and how it is divided.
 *
 *   decode    F16 cache, head sizes of SIZES, at most DECODE_TOKENS tokens: fp32, the keys split
 *   prefill   the same with more tokens: tensor cores, q and the weights rounded to fp16
 *   any       all else: F32 caches, other head sizes, memory that 16-byte loads do not reach: fp32
 *
 * Which tokens are of which sequence lies in device memory, and is not known when this is decided.
 * More than DECODE_TOKENS sequences that decode a token each are taken for a prompt, then: its
 * kernel gives them to different blocks, of which so many sequences and their heads make enough
 * without a split of the keys. Prompts in the kernel for decoding would read all keys again for
 * each token.
 */
#include "../kernels/attention_prefill.cuh"
#include "../launch.cuh"

enum {
    DECODE_TOKENS = 16,
    DECODE_SPLIT_KEYS = 128 /* of a split, at least */
};

#define SIZES(X) X(32) X(64) X(80) X(96) X(128) X(256)

typedef enum route {
    ROUTE_NONE, /* nothing to compute */
    ROUTE_ANY,
    ROUTE_DECODE,
    ROUTE_PREFILL
} route;

static bool aligned(const void *p, size_t alignment) {
    return reinterpret_cast<uintptr_t>(p) % alignment == 0;
}

static route route_of(const gi8_step *step) {
    const gi8_tensor *q = step->node->src[0];
    const gi8_tensor *k = step->node->src[1];
    if (gi8_nelements(step->node) == 0) {
        return ROUTE_NONE;
    }
    bool size = false;
#define SAME(D) size = size || q->ne[0] == D;
    SIZES(SAME)
#undef SAME
    if (!size || k->type != GI8_TYPE_F16 || !aligned(step->src[1], 16) ||
        !aligned(step->src[2], 16)) {
        return ROUTE_ANY;
    }
    return q->ne[2] <= DECODE_TOKENS ? ROUTE_DECODE : ROUTE_PREFILL;
}

/* Splits of a row's keys: as many as the device can work on at once. */
static int n_splits(const gi8i_cuda_device *device, const gi8_tensor *node) {
    const int64_t rows = node->ne[1] * node->ne[2];
    if (rows > static_cast<int64_t>(GI8I_CUDA_STATE_BYTES / sizeof(unsigned))) {
        return 1; /* there is a counter for each row that is split */
    }
    const int64_t wanted =
        static_cast<int64_t>(device->n_multiprocessors) * GI8I_DECODE_RESIDENT / rows;
    const int64_t useful =
        gi8i_div_up(node->src[1]->ne[1], static_cast<int64_t>(DECODE_SPLIT_KEYS));
    int64_t n = wanted < useful ? wanted : useful;
    n = n < GI8I_DECODE_SPLITS ? n : static_cast<int64_t>(GI8I_DECODE_SPLITS);
    return n < 1 ? 1 : static_cast<int>(n);
}

static size_t scratch_bytes(const gi8i_cuda_run *run, const gi8_step *step) {
    if (route_of(step) != ROUTE_DECODE) {
        return 0;
    }
    const gi8_tensor *node = step->node;
    const size_t splits = static_cast<size_t>(n_splits(run->device, node));
    /* No overflow: more than one split is for few rows only. */
    return splits == 1 ? 0
                       : splits * static_cast<size_t>(node->ne[1] * node->ne[2]) *
                             static_cast<size_t>(node->ne[0] + 2) * sizeof(float);
}

static gi8_status too_many_blocks(gi8_error *error) {
    return gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                         "attention: more tokens and heads than one launch has blocks");
}

template <int D>
static gi8_status decode(const gi8i_cuda_run *run, const gi8i_attention &a, int splits,
                         gi8_error *error) {
    const int64_t blocks = a.h * a.t * splits;
    if (blocks > INT32_MAX) {
        return too_many_blocks(error);
    }
    return gi8i_launch("attention_decode", gi8i_attention_decode<D>,
                       dim3(static_cast<unsigned>(blocks)), dim3(GI8I_DECODE_THREADS), 0,
                       run->stream, error, a, splits, static_cast<float *>(run->scratch),
                       static_cast<unsigned *>(run->state));
}

template <int D>
static gi8_status prefill(const gi8i_cuda_run *run, const gi8i_attention &a, gi8_error *error) {
    constexpr int KEYS = D > 128 ? 16 : 64; /* what registers and 64 KiB of shared memory allow */
    const int64_t items = a.h * gi8i_div_up(a.t, static_cast<int64_t>(GI8I_PREFILL_TOKENS));
    /* Where few blocks have several sequences each, those go to more blocks. */
    int64_t parts = static_cast<int64_t>(run->device->n_multiprocessors) * 2 / items;
    const int64_t most = GI8I_PREFILL_TOKENS;
    parts = parts < 1 ? 1 : parts < most ? parts : most;
    if (items * parts > INT32_MAX) {
        return too_many_blocks(error);
    }
    return gi8i_launch("attention_prefill", gi8i_attention_prefill<D, KEYS>,
                       dim3(static_cast<unsigned>(items * parts)), dim3(GI8I_PREFILL_THREADS),
                       gi8i_prefill_shape<D, KEYS>::BYTES, run->stream, error, a,
                       static_cast<int>(parts));
}

template <typename T>
static gi8_status any(const gi8i_cuda_run *run, const gi8i_attention &a, gi8_error *error) {
    const int64_t most = static_cast<int64_t>(run->device->n_multiprocessors) * 64;
    const int64_t rows = a.h * a.t;
    return gi8i_launch("attention_any", gi8i_attention_any<T>,
                       dim3(static_cast<unsigned>(rows < most ? rows : most)),
                       dim3(GI8I_ATTENTION_ANY_THREADS), 0, run->stream, error, a);
}

static gi8_status launch(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const gi8_tensor *q = step->node->src[0];
    const gi8_tensor *k = step->node->src[1];
    const void *params = step->node->params;
    const route chosen = route_of(step);
    if (chosen == ROUTE_NONE) {
        return GI8_OK;
    }
    gi8i_attention a = {};
    a.q = static_cast<const float *>(step->src[0]);
    a.q_nb1 = static_cast<int64_t>(q->nb[1]);
    a.q_nb2 = static_cast<int64_t>(q->nb[2]);
    a.k = step->src[1];
    a.v = step->src[2];
    a.positions = static_cast<const int32_t *>(step->src[3]);
    a.sequences = static_cast<const int32_t *>(step->src[4]);
    a.y = static_cast<float *>(step->dst);
    a.d = q->ne[0];
    a.c = k->ne[1];
    a.g = k->ne[2];
    a.s = k->ne[3];
    a.h = q->ne[1];
    a.t = q->ne[2];
    a.scale = static_cast<const gi8_attention_params *>(params)->scale;
    if (chosen == ROUTE_ANY) {
        return k->type == GI8_TYPE_F32 ? any<float>(run, a, error) : any<__half>(run, a, error);
    }
    const int splits = n_splits(run->device, step->node);
    switch (a.d) {
#define CASE(D)                                                                                    \
    case D:                                                                                        \
        return chosen == ROUTE_DECODE ? decode<D>(run, a, splits, error)                           \
                                      : prefill<D>(run, a, error);
        SIZES(CASE)
#undef CASE
    default: return any<__half>(run, a, error);
    }
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_attention = {nullptr, scratch_bytes, nullptr, launch};
