/* rope.cu - rotary position embedding, half-rotation form. The CPU backend's operations, and so its
 * bits: products are written __fmul_rn() and __dmul_rn(), so that the compiler fuses none of them
 * with a sum. */
#include <math.h>
#include <ptx.cuh>

#include "kernels/four.cuh"
#include "kernels/strided.cuh"
#include "launch.cuh"

static const int64_t MAX_PAIRS = 256; /* that one launch turns */
static const int64_t ROPE_THREADS = 256; /* of a block */

typedef struct rope_rows {
    gi8i_rows_at x, y; /* [D, H, T] */
    const int32_t *positions;
    int64_t half;    /* pairs of a row: i and i + half */
    int64_t first;   /* the first pair of this launch */
    int64_t n_pairs; /* and how many */
    int64_t n_rest;  /* dimensions behind the pairs that this launch copies */
    float frequencies[MAX_PAIRS]; /* finite or not, but set, up to a multiple of 4 pairs */
} rope_rows;

/* sin and cos of an fp32 angle, computed in double and rounded once. pi/2 is taken away in three
 * parts, the first two of 33 bits (Cody and Waite 1980). */
static __device__ void sin_cos(float angle, float *sine, float *cosine) {
    double a = static_cast<double>(angle);
    if (!(fabs(a) < 2147483648.0)) { /* only a base far below 1 leads here */
        *sine = static_cast<float>(sin(a));
        *cosine = static_cast<float>(cos(a));
        return;
    }
    double turns = rint(__dmul_rn(a, 0.63661977236758134308));
    double r = a - __dmul_rn(turns, 1.5707963267341256e+00);
    r -= __dmul_rn(turns, 6.0771005063039660e-11);
    r -= __dmul_rn(turns, 2.0222662487959506e-21);
    double r2 = __dmul_rn(r, r);
    /* Taylor series: |r| <= pi/4, so that the first term left out is below 1e-13. */
    double s = 1.0 / 6227020800.0;
    s = __dmul_rn(s, r2) - 1.0 / 39916800;
    s = __dmul_rn(s, r2) + 1.0 / 362880;
    s = __dmul_rn(s, r2) - 1.0 / 5040;
    s = __dmul_rn(s, r2) + 1.0 / 120;
    s = __dmul_rn(s, r2) - 1.0 / 6;
    s = __dmul_rn(s, r2) + 1.0;
    s = __dmul_rn(s, r);
    double c = 1.0 / 479001600;
    c = __dmul_rn(c, r2) - 1.0 / 3628800;
    c = __dmul_rn(c, r2) + 1.0 / 40320;
    c = __dmul_rn(c, r2) - 1.0 / 720;
    c = __dmul_rn(c, r2) + 1.0 / 24;
    c = __dmul_rn(c, r2) - 1.0 / 2;
    c = __dmul_rn(c, r2) + 1.0;
    int quadrant = static_cast<int>(turns) & 3;
    double sin_value = (quadrant & 1) != 0 ? c : s;
    double cos_value = (quadrant & 1) != 0 ? s : c;
    *sine = static_cast<float>((quadrant & 2) != 0 ? -sin_value : sin_value);
    *cosine = static_cast<float>(quadrant == 1 || quadrant == 2 ? -cos_value : cos_value);
}

/* Turns pairs i to i + 3 of a row of n; `high` lies half a turned row behind `low`. */
static __device__ inline void rotate(const rope_rows &p, const float *low_x, float *low_y,
                                     const float *cosine, const float *sine, int64_t i) {
    const bool aligned = p.half % 4 == 0;
    gi8i_four<float> low = gi8i_load_four(low_x, i, p.n_pairs, p.x.aligned);
    gi8i_four<float> high = gi8i_load_four(low_x + p.half, i, p.n_pairs, p.x.aligned && aligned);
    gi8i_four<float> new_low;
    gi8i_four<float> new_high;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float c = cosine[i + j];
        float s = sine[i + j];
        new_low.v[j] = __fmul_rn(low.v[j], c) - __fmul_rn(high.v[j], s);
        new_high.v[j] = __fmul_rn(high.v[j], c) + __fmul_rn(low.v[j], s);
    }
    gi8i_store_four(low_y, i, p.n_pairs, p.y.aligned, new_low);
    gi8i_store_four(low_y + p.half, i, p.n_pairs, p.y.aligned && aligned, new_high);
}

/* A block takes a token and some of its heads, a row of threads a head. */
static __global__ void rope_kernel(rope_rows p) {
    GI8I_SHARED(float, cosine, MAX_PAIRS);
    GI8I_SHARED(float, sine, MAX_PAIRS);
    const int64_t n_heads = p.x.at.ne[1];
    const int64_t n_tokens = p.x.at.ne[2];
    const int64_t pair_units = gi8i_div_up<int64_t>(p.n_pairs, 4);
    const int64_t units = pair_units + gi8i_div_up<int64_t>(p.n_rest, 4);
    for (int64_t token = blockIdx.x; token < n_tokens; token += gridDim.x) {
        float position = static_cast<float>(p.positions[token]);
        for (unsigned i = threadIdx.y * blockDim.x + threadIdx.x; i < 4 * pair_units;
             i += blockDim.x * blockDim.y) {
            sin_cos(__fmul_rn(position, p.frequencies[i]), sine + i, cosine + i);
        }
        __syncthreads();
        for (int64_t head = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y;
             head < n_heads; head += static_cast<int64_t>(gridDim.y) * blockDim.y) {
            const float *x = gi8i_row_of<const float>(p.x, token * n_heads + head);
            float *y = gi8i_row_of<float>(p.y, token * n_heads + head);
            for (int64_t unit = threadIdx.x; unit < units; unit += blockDim.x) {
                if (unit < pair_units) {
                    rotate(p, x + p.first, y + p.first, cosine, sine, 4 * unit);
                } else {
                    int64_t n_rot = 2 * p.half;
                    int64_t i = 4 * (unit - pair_units);
                    bool aligned = n_rot % 4 == 0;
                    gi8i_store_four(y + n_rot, i, p.n_rest, p.y.aligned && aligned,
                                    gi8i_load_four(x + n_rot, i, p.n_rest,
                                                   p.x.aligned && aligned));
                }
            }
        }
        __syncthreads(); /* before the tables are made anew */
    }
}

/* As the CPU backend computes them. */
static void set_frequencies(rope_rows *p, const gi8_rope_params *params) {
    for (int64_t i = 0; i < p->n_pairs; i++) {
        /* Rounded to fp32 where PyTorch rounds: the exponent, the power, its inverse. */
        float exponent = static_cast<float>(2 * (p->first + i)) /
                         static_cast<float>(params->n_rot);
        float power = static_cast<float>(
            pow(static_cast<double>(params->base), static_cast<double>(exponent)));
        p->frequencies[i] = 1.0f / power * params->freq_scale;
    }
}

static gi8_status launch_rope(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const gi8_tensor *x = step->node->src[0];
    const void *node_params = step->node->params;
    const gi8_rope_params *params = static_cast<const gi8_rope_params *>(node_params);
    rope_rows p = {};
    p.x = gi8i_rows_at_of(x, step->src[0], x, false);
    p.y = gi8i_rows_at_of(step->node, step->dst, x, false);
    p.positions = static_cast<const int32_t *>(step->src[1]);
    p.half = params->n_rot / 2;
    int64_t rest = x->ne[0] - params->n_rot;
    gi8_status status = GI8_OK;
    for (p.first = 0; p.first < p.half && status == GI8_OK; p.first += MAX_PAIRS) {
        p.n_pairs = p.half - p.first < MAX_PAIRS ? p.half - p.first : MAX_PAIRS;
        p.n_rest = p.first == 0 ? rest : 0;
        set_frequencies(&p, params);

        int64_t units = gi8i_div_up<int64_t>(p.n_pairs, 4) + gi8i_div_up<int64_t>(p.n_rest, 4);
        int64_t width = 1;
        while (width < ROPE_THREADS && width < units) {
            width *= 2;
        }
        int64_t height = ROPE_THREADS / width;
        int64_t most = static_cast<int64_t>(run->device->n_multiprocessors) * 8;
        int64_t tokens = x->ne[2] < most ? x->ne[2] : most;
        int64_t parts = gi8i_div_up(x->ne[1], height);
        int64_t rest_of_most = gi8i_div_up(most, tokens);
        parts = parts < rest_of_most ? parts : rest_of_most;
        status = gi8i_launch("rope", rope_kernel,
                             dim3(static_cast<unsigned>(tokens), static_cast<unsigned>(parts)),
                             dim3(static_cast<unsigned>(width), static_cast<unsigned>(height)), 0,
                             run->stream, error, p);
    }
    return status;
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_rope = {NULL, NULL, NULL, launch_rope};
