/* four.cuh - rows of F32, F16 or BF16 in units of four elements, which a thread reads and writes at
 * once, or of 16 bytes. Sums and results do not depend on the alignment, which decides only how
 * memory is read and written. */
#ifndef GI8I_CUDA_FOUR_CUH
#define GI8I_CUDA_FOUR_CUH

#include <stdint.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

template <typename T> struct alignas(4 * sizeof(T)) gi8i_four {
    T v[4];
};

static __device__ inline float gi8i_to_fp32(float v) { return v; }
static __device__ inline float gi8i_to_fp32(__half v) { return __half2float(v); }
static __device__ inline float gi8i_to_fp32(__nv_bfloat16 v) { return __bfloat162float(v); }

template <typename T> static __device__ inline T gi8i_from_fp32(float v);
template <> __device__ inline float gi8i_from_fp32(float v) { return v; }
template <> __device__ inline __half gi8i_from_fp32(float v) { return __float2half_rn(v); }
template <> __device__ inline __nv_bfloat16 gi8i_from_fp32(float v) {
    return __float2bfloat16_rn(v);
}

/* Elements i to i + 3 of a row of n elements, 0 behind its end. `aligned`: the row begins at a
 * multiple of four elements; i is a multiple of 4. */
template <typename T>
static __device__ inline gi8i_four<float> gi8i_load_four(const T *row, int64_t i, int64_t n,
                                                         bool aligned) {
    gi8i_four<T> raw;
    if (aligned && n - i >= 4) {
        raw = *reinterpret_cast<const gi8i_four<T> *>(row + i);
    } else {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            raw.v[j] = n - i > j ? row[i + j] : gi8i_from_fp32<T>(0.0f);
        }
    }
    gi8i_four<float> four;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        four.v[j] = gi8i_to_fp32(raw.v[j]);
    }
    return four;
}

/* Stores those of the four elements that the row has, rounded to its type. */
template <typename T>
static __device__ inline void gi8i_store_four(T *row, int64_t i, int64_t n, bool aligned,
                                              const gi8i_four<float> &four) {
    gi8i_four<T> raw;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        raw.v[j] = gi8i_from_fp32<T>(four.v[j]);
    }
    if (aligned && n - i >= 4) {
        *reinterpret_cast<gi8i_four<T> *>(row + i) = raw;
    } else {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (n - i > j) {
                row[i + j] = raw.v[j];
            }
        }
    }
}

/* The numbers in 16 bytes as fp32; the last argument says of which type. */
static __device__ inline void gi8i_unpack(const uint4 &raw, float v[4], float) {
    v[0] = __uint_as_float(raw.x);
    v[1] = __uint_as_float(raw.y);
    v[2] = __uint_as_float(raw.z);
    v[3] = __uint_as_float(raw.w);
}

static __device__ inline void gi8i_unpack(const uint4 &raw, float v[8], __half) {
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] & 0xffffu)));
        v[2 * i + 1] =
            __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] >> 16)));
    }
}

static __device__ inline void gi8i_unpack(const uint4 &raw, float v[8], __nv_bfloat16) {
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) { /* bfloat16 is the upper half of fp32 */
        v[2 * i] = __uint_as_float(words[i] << 16);
        v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

#endif
