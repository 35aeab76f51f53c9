/* bench_stats.c - a clock, and what a list of measurements comes to. */
#define _POSIX_C_SOURCE 200809L
#include "bench_stats.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

double bench_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

bench_summary bench_summarize(double *samples, int64_t n) {
    if (n < 1) {
        return (bench_summary){NAN, NAN, NAN, NAN, NAN};
    }
    qsort(samples, (size_t)n, sizeof *samples, ascending);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += samples[i];
    }
    double mean = sum / (double)n;
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += (samples[i] - mean) * (samples[i] - mean);
    }
    return (bench_summary){
        .mean = mean,
        .sd = n > 1 ? sqrt(squares / (double)(n - 1)) : 0,
        .median = (samples[(n - 1) / 2] + samples[n / 2]) / 2,
        .min = samples[0],
        .max = samples[n - 1],
    };
}

uint64_t bench_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
