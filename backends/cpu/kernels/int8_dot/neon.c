/* neon.c - int8_dot in Advanced SIMD. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

enum { TILE_P = 1, TILE_M = 4, OFFSET = 0 };

typedef int32x4_t vector;
typedef int8x16_t weights;
typedef int8x16_t codes;

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

static inline codes repeat(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* Two products fit into int16: 2 * 127 * 127 < 2^15. */
static inline vector dot(vector acc, weights w, codes q) {
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(q));
    int16x8_t high = vmull_high_s8(w, q);
    return vpadalq_s16(acc, vpaddq_s16(low, high));
}

#include "body.h"

void gi8i_int8_dot_neon(const gi8i_int8_dot_args *args) {
    int8_dot(args);
}
