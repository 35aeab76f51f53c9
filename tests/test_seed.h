/* test_seed.h - replayable random numbers for tests: the seed is printed, GI8_TEST_SEED sets it. */
#ifndef TEST_SEED_H
#define TEST_SEED_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct test_rng {
    uint64_t state;
} test_rng;

/* The seed of this run: GI8_TEST_SEED if set, else `fixed`. Prints it so that a failure can be
 * replayed. */
static inline test_rng test_rng_seeded(uint64_t fixed) {
    const char *text = getenv("GI8_TEST_SEED");
    test_rng rng = {text != NULL ? strtoull(text, NULL, 0) : fixed};
    printf("seed: GI8_TEST_SEED=%" PRIu64 "\n", rng.state);
    return rng;
}

/* splitmix64 (Steele, Lea, Flood 2014): the next 64 random bits. */
static inline uint64_t test_rng_next(test_rng *rng) {
    uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in [low, high). */
static inline float test_rng_float(test_rng *rng, float low, float high) {
    return low + (high - low) * ((float)(test_rng_next(rng) >> 40) * 0x1p-24f);
}

/* Uniform in [low, high]. */
static inline int64_t test_rng_int(test_rng *rng, int64_t low, int64_t high) {
    return low + (int64_t)(test_rng_next(rng) % (uint64_t)(high - low + 1));
}

/* Roughly normal with mean 0 and variance 1: the sum of twelve uniform numbers. */
static inline float test_rng_normal(test_rng *rng) {
    float sum = -6.0f;
    for (int i = 0; i < 12; i++) {
        sum += test_rng_float(rng, 0.0f, 1.0f);
    }
    return sum;
}

#endif
