/* kv_store.cu - keys or values of new tokens into a cache. */
#include "kernels/each_unit.cuh"
#include "kernels/four.cuh"
#include "kernels/strided.cuh"

/* The rows of x [D, H, T] to a cache [D, C, H, S]. */
template <typename T> struct rows_into_cache {
    gi8i_rows_at x, cache;
    const int32_t *positions, *sequences;

    struct place {
        const float *from;
        T *to; /* NULL: not stored */
    };

    __device__ place begin(int64_t row) const {
        int64_t token = row / x.at.ne[1];
        int64_t head = row - token * x.at.ne[1];
        int64_t position = positions[token];
        int64_t sequence = sequences[token];
        place p = {};
        if (position >= 0 && position < cache.at.ne[1] && sequence >= 0 &&
            sequence < cache.at.ne[3]) {
            p.from = reinterpret_cast<const float *>(x.data + head * x.at.nb[1] +
                                                     token * x.at.nb[2]);
            p.to = reinterpret_cast<T *>(cache.data + position * cache.at.nb[1] +
                                         head * cache.at.nb[2] + sequence * cache.at.nb[3]);
        }
        return p;
    }

    __device__ void unit(const place &p, int64_t unit) const {
        if (p.to != nullptr) {
            int64_t i = 4 * unit;
            int64_t n = x.at.ne[0];
            gi8i_store_four(p.to, i, n, cache.aligned, gi8i_load_four(p.from, i, n, x.aligned));
        }
    }
};

template <typename T>
static gi8_status launch_type(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const gi8_tensor *cache = step->node->src[0];
    const gi8_tensor *x = step->node->src[1];
    rows_into_cache<T> f = {};
    f.x = gi8i_rows_at_of(x, step->src[1], x, false);
    f.cache = gi8i_rows_at_of(cache, step->src[0], cache, false);
    f.positions = static_cast<const int32_t *>(step->src[2]);
    f.sequences = static_cast<const int32_t *>(step->src[3]);
    return gi8i_launch_each_unit("kv_store", run, f, gi8_nrows(x),
                                 gi8i_div_up<int64_t>(x->ne[0], 4), error);
}

static gi8_status launch_kv_store(const gi8i_cuda_run *run, const gi8_step *step,
                                  gi8_error *error) {
    return step->node->src[0]->type == GI8_TYPE_F16 ? launch_type<__half>(run, step, error)
                                                    : launch_type<float>(run, step, error);
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_kv_store = {NULL, NULL, NULL, launch_kv_store};
