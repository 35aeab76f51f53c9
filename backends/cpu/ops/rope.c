/* rope.c - rotary position embedding, half-rotation form. */
#include <math.h>
#include <string.h>

#include "../cpu_impl.h"

/* Sines and cosines, which the steps of a plan that turn by the same angles make once: in a model
 * those of all layers. They lie in memory that the plan keeps. */
typedef struct rope_table {
    gi8_rope_params params;
    int64_t n; /* positions; 0: nothing is here yet */
} rope_table;

typedef struct rope_job {
    const gi8_step *step;
    int64_t half;
    rope_table *table;
    float *frequencies; /* [n_rot / 2] */
    float *turns;       /* [n_rot, n] cosines, then sines of a position */
    int32_t *positions; /* [n] that they are of */
} rope_job;

/* sin and cos of an fp32 angle, computed in double and rounded once, so that they do not depend on
 * the C library. pi/2 is taken away in three parts, the first two of 33 bits (Cody and Waite 1980):
 * exact for angles below 2^20, and good to 1e-7 up to 2^31. */
static void sin_cos(float angle, float *sine, float *cosine) {
    double a = (double)angle;
    if (!(fabs(a) < 0x1p31)) { /* only a base far below 1 leads here */
        *sine = (float)sin(a);
        *cosine = (float)cos(a);
        return;
    }
    double turns = rint(a * 0.63661977236758134308);
    double r = a - turns * 1.5707963267341256e+00;
    r -= turns * 6.0771005063039660e-11;
    r -= turns * 2.0222662487959506e-21;
    double r2 = r * r;
    /* Taylor series: |r| <= pi/4, so that the first term left out is below 1e-13. */
    static const double sines[] = {1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880,
                                   -1.0 / 39916800, 1.0 / 6227020800.0};
    static const double cosines[] = {1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320,
                                     -1.0 / 3628800, 1.0 / 479001600};
    double s = 0.0;
    double c = 0.0;
    for (int i = 6; i >= 0; i--) {
        s = s * r2 + sines[i];
        c = c * r2 + cosines[i];
    }
    s *= r;
    int quadrant = (int)((int64_t)turns & 3);
    double sin_value = (quadrant & 1) != 0 ? c : s;
    double cos_value = (quadrant & 1) != 0 ? s : c;
    *sine = (float)((quadrant & 2) != 0 ? -sin_value : sin_value);
    *cosine = (float)(quadrant == 1 || quadrant == 2 ? -cos_value : cos_value);
}

static void rotate(const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    for (int64_t i = 0; i < half; i++) {
        float low = x[i];
        float high = x[i + half];
        y[i] = low * cosine[i] - high * sine[i];
        y[i + half] = high * cosine[i] + low * sine[i];
    }
}

static void make_turns(void *arg, int64_t begin, int64_t end, int thread) {
    const rope_job *job = arg;
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        float *cosine = job->turns + t * 2 * job->half;
        for (int64_t i = 0; i < job->half; i++) {
            sin_cos((float)job->positions[t] * job->frequencies[i], cosine + job->half + i,
                    cosine + i);
        }
    }
}

static void turn_tokens(void *arg, int64_t begin, int64_t end, int thread) {
    const rope_job *job = arg;
    const gi8_step *step = job->step;
    const gi8_tensor *x = step->node->src[0];
    int64_t half = job->half;
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        const float *cosine = job->turns + t * 2 * half;
        for (int64_t h = 0; h < x->ne[1]; h++) {
            const char *src =
                (const char *)step->src[0] + (size_t)h * x->nb[1] + (size_t)t * x->nb[2];
            const float *from = (const float *)(const void *)src;
            float *to = (float *)step->dst + (t * x->ne[1] + h) * x->ne[0];
            rotate(from, cosine, cosine + half, half, to);
            for (int64_t i = 2 * half; i < x->ne[0]; i++) {
                to[i] = from[i];
            }
        }
    }
}

static size_t rope_kept_bytes(const gi8_step *step) {
    const gi8_rope_params *params = step->node->params;
    size_t n_rot = (size_t)params->n_rot;
    size_t n = (size_t)step->node->ne[2];
    return sizeof(rope_table) + (n_rot / 2 + n * n_rot) * sizeof(float) + n * sizeof(int32_t);
}

static bool is_table_of(const rope_job *job, const gi8_rope_params *params,
                        const int32_t *positions, int64_t n) {
    const rope_table *table = job->table;
    return table->n == n && table->params.n_rot == params->n_rot &&
           table->params.base == params->base && table->params.freq_scale == params->freq_scale &&
           memcmp(job->positions, positions, (size_t)n * sizeof *positions) == 0;
}

static void make_table(const gi8i_cpu_run *run, rope_job *job, const gi8_rope_params *params,
                       const int32_t *positions, int64_t n) {
    *job->table = (rope_table){*params, n};
    memcpy(job->positions, positions, (size_t)n * sizeof *positions);
    for (int64_t i = 0; i < job->half; i++) {
        /* Rounded to fp32 where PyTorch rounds: the exponent, the power, its inverse. */
        float exponent = (float)(2 * i) / (float)params->n_rot;
        float power = (float)pow((double)params->base, (double)exponent);
        job->frequencies[i] = 1.0f / power * params->freq_scale;
    }
    gi8i_pool_run(run->pool, n, gi8i_grain(job->half * 16, 8192), make_turns, job);
}

static void run_rope(const gi8i_cpu_run *run, const gi8_step *step) {
    const gi8_rope_params *params = step->node->params;
    const gi8_tensor *x = step->node->src[0];
    const int32_t *positions = step->src[1];
    int64_t n = x->ne[2];
    rope_job job = {.step = step, .half = params->n_rot / 2, .table = run->kept};
    job.frequencies = (float *)(void *)(job.table + 1);
    job.turns = job.frequencies + job.half;
    job.positions = (int32_t *)(void *)(job.turns + n * 2 * job.half);
    if (!is_table_of(&job, params, positions, n)) {
        make_table(run, &job, params, positions, n);
    }
    gi8i_pool_run(run->pool, n, gi8i_grain(x->ne[0] * x->ne[1], 8192), turn_tokens, &job);
}

const gi8i_cpu_op gi8i_cpu_op_rope = {.kept_bytes = rope_kept_bytes, .run = run_rope};
