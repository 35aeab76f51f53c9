/* weights.h - 16 weights of any float type as floats; included after the header of the instruction
 * set. */
#ifndef GI8I_SIMD_WEIGHTS_H
#define GI8I_SIMD_WEIGHTS_H

/* `w` is aligned to its elements (scalar.h reads them one by one), not to vectors. `type` is a
 * constant where this is inlined. */
GI8I_INLINE f32x16 load_weights(gi8_type type, const char *w) {
    switch (type) {
    case GI8_TYPE_F32: return f_load((const float *)(const void *)w);
    case GI8_TYPE_F16: return f_load_f16((const uint16_t *)(const void *)w);
    default: return f_load_bf16((const uint16_t *)(const void *)w);
    }
}

#endif
