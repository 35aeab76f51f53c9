/* bench_stats.h - a clock, and what a list of measurements comes to. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdint.h>

/* Seconds of a clock that is never set. */
double bench_now(void);

typedef struct bench_summary {
    double mean;
    double sd; /* standard deviation of a sample: over n - 1; 0 for a single one */
    double median;
    double min;
    double max;
} bench_summary;

/* Sorts `samples` and summarizes them. All NaN for n = 0. */
bench_summary bench_summarize(double *samples, int64_t n);

/* The next of a sequence of 64 random bits (splitmix64, Steele et al. 2014). */
uint64_t bench_random(uint64_t *state);

#endif
