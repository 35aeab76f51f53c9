/* rope_kv_store.cu - rope and kv_store, each by itself; and those that stand next to each other, as
 * queries, keys and values of a layer do, in one launch.
 *
 * Of several steps in one launch none may see what another one writes, but for keys that are stored
 * into a cache as soon as they are turned. */
#include "kernels/rope_store.cuh"

namespace {

typedef struct memory_range {
    const void *begin;
    size_t bytes;
} memory_range;

bool overlap(memory_range a, memory_range b) {
    return gi8i_overlap(a.begin, a.bytes, b.begin, b.bytes);
}

memory_range range_of(const gi8_tensor *t, const void *data) {
    return {data, t != nullptr ? gi8_nbytes(t) : 0};
}

/* What one launch computes: the steps so far. */
typedef struct rope_job {
    gi8i_rope_store_args args;
    const gi8_rope_params *params;           /* NULL: nothing is turned */
    const gi8_tensor *turned[GI8I_ROPE_SETS]; /* the node of each set that is turned, or NULL */
    memory_range x[GI8I_ROPE_SETS], y[GI8I_ROPE_SETS], cache[GI8I_ROPE_SETS]; /* no bytes: none */
    gi8_type cache_type; /* F32 where there is no cache */
    bool has_cache;
} rope_job;

/* The operands of a step. */
typedef struct rope_step {
    bool turns, stores; /* one of them, or none: another operation */
    int x;              /* the number of the source whose rows are turned or stored */
    const void *positions;
    memory_range written;
} rope_step;

rope_step look_at(const gi8_step *step) {
    rope_step s = {};
    s.turns = step->node->op == GI8_OP_ROPE;
    s.stores = step->node->op == GI8_OP_KV_STORE;
    s.x = s.stores ? 1 : 0;
    s.positions = step->src[s.x + 1];
    s.written = s.turns ? range_of(step->node, step->dst)
                        : range_of(step->node->src[0], step->src[0]);
    return s;
}

const gi8_rope_params *params_of(const gi8_step *step) {
    const void *params = step->node->params;
    return static_cast<const gi8_rope_params *>(params);
}

/* The set whose turned rows the step stores: the next one where there is none. */
int set_of(const rope_job *job, const gi8_step *step) {
    for (int i = 0; i < job->args.n_sets && step->node->op == GI8_OP_KV_STORE; i++) {
        if (job->turned[i] == step->node->src[1] && job->cache[i].bytes == 0) {
            return i;
        }
    }
    return job->args.n_sets;
}

/* True where the step neither sees what those of the job write nor the other way round. Rows that
 * have gone to a cache may lose their memory, which the planner has given to this step. */
bool is_apart(const rope_job *job, const gi8_step *step, int set) {
    const rope_step s = look_at(step);
    const gi8_tensor *x = step->node->src[s.x];
    const memory_range read = set < job->args.n_sets ? memory_range{} /* the set's own rows */
                                                     : range_of(x, step->src[s.x]);
    const size_t indices = static_cast<size_t>(x->ne[2]) * sizeof(int32_t);
    if (job->args.sequences != nullptr && overlap(s.written, {job->args.sequences, indices})) {
        return false;
    }
    for (int i = 0; i < job->args.n_sets; i++) {
        const bool dead = s.turns && job->cache[i].bytes > 0;
        if (overlap(s.written, job->x[i]) || overlap(s.written, job->cache[i]) ||
            (overlap(s.written, job->y[i]) && !dead) || overlap(read, job->y[i]) ||
            overlap(read, job->cache[i])) {
            return false;
        }
    }
    return true;
}

/* True where there is nothing to turn, or nothing or no place to store. */
bool is_empty(const gi8_step *step) {
    return gi8_nelements(step->node->src[look_at(step).x]) == 0 || gi8_nelements(step->node) == 0;
}

/* True where the launch that computes the job can compute the step as well. */
bool joins(const rope_job *job, const gi8_step *step) {
    const rope_step s = look_at(step);
    if ((!s.turns && !s.stores) || job->args.half > GI8I_ROPE_PAIRS ||
        s.positions != job->args.positions) {
        return false;
    }
    const gi8_tensor *x = step->node->src[s.x];
    const gi8i_strided &rows = job->args.sets[0].x.at;
    const int set = set_of(job, step);
    if (set == GI8I_ROPE_SETS || is_empty(step) || x->ne[0] != rows.ne[0] ||
        x->ne[2] != rows.ne[2]) {
        return false;
    }
    if (s.turns) {
        const gi8_rope_params *params = params_of(step);
        if (params->n_rot / 2 > GI8I_ROPE_PAIRS ||
            (job->params != nullptr && (params->n_rot != job->params->n_rot ||
                                        params->base != job->params->base ||
                                        params->freq_scale != job->params->freq_scale))) {
            return false;
        }
    } else if (job->has_cache && (step->node->src[0]->type != job->cache_type ||
                                  step->src[3] != job->args.sequences)) {
        return false;
    }
    return is_apart(job, step, set);
}

void add(rope_job *job, const gi8_step *step) {
    const rope_step s = look_at(step);
    const gi8_tensor *x = step->node->src[s.x];
    const int set = set_of(job, step);
    gi8i_rope_set *to = &job->args.sets[set];
    job->args.positions = static_cast<const int32_t *>(s.positions);
    if (set == job->args.n_sets) {
        job->args.n_sets++;
        to->x = gi8i_rows_at_of(x, step->src[s.x], x, false);
        job->x[set] = range_of(x, step->src[s.x]);
    }
    if (s.turns) {
        for (int i = 0; i < set; i++) {
            if (overlap(s.written, job->y[i])) { /* is_apart(): nobody needs them any more */
                job->args.sets[i].y.data = nullptr;
                job->y[i] = {};
            }
        }
        to->turned = true;
        to->y = gi8i_rows_at_of(step->node, step->dst, x, false);
        job->y[set] = s.written;
        job->turned[set] = step->node;
        job->params = params_of(step);
        job->args.half = job->params->n_rot / 2;
    } else {
        const gi8_tensor *cache = step->node->src[0];
        to->cache = gi8i_rows_at_of(cache, step->src[0], cache, false);
        job->cache[set] = s.written;
        job->cache_type = cache->type;
        job->has_cache = true;
        job->args.sequences = static_cast<const int32_t *>(step->src[3]);
    }
}

/* False where one of `n` steps overwrites memory of a result before any of them reads it: then the
 * planner knows that nobody does. */
bool may_be_read(memory_range result, const gi8_step *steps, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        for (int s = 0; s < GI8_MAX_SRC; s++) {
            if (overlap(range_of(steps[i].node->src[s], steps[i].src[s]), result)) {
                return true;
            }
        }
        for (int f = 0; f < steps[i].n_fused; f++) {
            const gi8_fused *fused = &steps[i].fused[f];
            if (overlap(range_of(fused->other, fused->other_data), result)) {
                return true;
            }
        }
        if (overlap(range_of(steps[i].node, steps[i].dst), result)) {
            return false;
        }
    }
    return true;
}

/* The steps from the first of `n` on that one launch computes. Turned keys that go to a cache are
 * stored nowhere else unless somebody may read them. Returns how many steps these are. */
int64_t collect(rope_job *job, const gi8_step *steps, int64_t n) {
    int64_t count = 1;
    *job = {};
    add(job, steps);
    while (count < n && joins(job, steps + count)) {
        add(job, steps + count);
        count++;
    }
    for (int i = 0; i < job->args.n_sets; i++) {
        if (job->cache[i].bytes > 0 && job->y[i].bytes > 0 &&
            !may_be_read(job->y[i], steps + count, n - count)) {
            job->args.sets[i].y.data = nullptr;
        }
    }
    return count;
}

int64_t length(const gi8i_cuda_run *, const gi8_step *steps, int64_t n) {
    const rope_step first = look_at(steps);
    if ((!first.turns && !first.stores) || is_empty(steps)) {
        return 1;
    }
    rope_job job;
    return collect(&job, steps, n);
}

gi8_status launch_job(const char *name, const gi8i_cuda_run *run, const rope_job *job,
                      gi8_error *error) {
    return job->has_cache && job->cache_type == GI8_TYPE_F16
               ? gi8i_rope_store<__half>(name, run, job->args, job->params, error)
               : gi8i_rope_store<float>(name, run, job->args, job->params, error);
}

gi8_status launch_group(const gi8i_cuda_run *run, const gi8_step *steps, int64_t n,
                        gi8_error *error) {
    rope_job job;
    collect(&job, steps, n);
    return launch_job("rope_kv_store", run, &job, error);
}

gi8_status launch_rope(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    rope_job job = {};
    add(&job, step);
    return launch_job("rope", run, &job, error);
}

gi8_status launch_kv_store(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    rope_job job = {};
    add(&job, step);
    return launch_job("kv_store", run, &job, error);
}

} // namespace

extern "C" const gi8i_cuda_op gi8i_cuda_op_rope = {nullptr, nullptr, nullptr, launch_rope};
extern "C" const gi8i_cuda_op gi8i_cuda_op_kv_store = {nullptr, nullptr, nullptr, launch_kv_store};
extern "C" const gi8i_cuda_group gi8i_cuda_rope_kv_store = {length, launch_group};
