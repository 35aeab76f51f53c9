/* neondot.c - int8_dot with the dot-product instructions of ARMv8.2. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

enum { TILE_P = 1, TILE_M = 6, OFFSET = 0 };

typedef int32x4_t vector;
typedef int8x16_t weights;
typedef int8x8_t codes; /* in the lower half */

static inline vector zero(void) {
    return vdupq_n_s32(0);
}

static inline vector subtract(vector v, int32_t s) {
    return vsubq_s32(v, vdupq_n_s32(s));
}

static inline vector plus(vector a, vector b) {
    return vaddq_s32(a, b);
}

static inline void store(int32_t *to, vector v) {
    vst1q_s32(to, v);
}

static inline weights prepare(const int8_t *w) {
    return vld1q_s8(w);
}

/* Only loaded: the instruction itself takes one group of four for all lanes. */
static inline codes repeat(const int8_t *q) {
    uint32_t four;
    memcpy(&four, q, sizeof four);
    return vcreate_s8(four);
}

static inline vector dot(vector acc, weights w, codes q) {
    return vdotq_lane_s32(acc, w, q, 0);
}

#include "body.h"

void gi8i_int8_dot_neondot(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
