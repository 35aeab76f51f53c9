/* arithmetic.cpp - products of int8, float16, bfloat16 and float32 matrices. */
#include "arithmetic.h"

#include <cstring>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "sanitizers.h"

namespace gi8emu {

namespace {

template <typename T> T load(const char *at, int64_t index) {
    T value;
    std::memcpy(&value, at + index * static_cast<int64_t>(sizeof value), sizeof value);
    return value;
}

template <typename T> void store(char *at, int64_t index, T value) {
    std::memcpy(at + index * static_cast<int64_t>(sizeof value), &value, sizeof value);
}

float load_float(const char *at, cudaDataType type, int64_t index) {
    switch (type) {
    case CUDA_R_16F: return __half2float(load<__half>(at, index));
    case CUDA_R_16BF: return __bfloat162float(load<__nv_bfloat16>(at, index));
    default: return load<float>(at, index);
    }
}

void store_float(char *at, cudaDataType type, int64_t index, float value) {
    switch (type) {
    case CUDA_R_16F: store(at, index, __float2half_rn(value)); break;
    case CUDA_R_16BF: store(at, index, __float2bfloat16_rn(value)); break;
    default: store(at, index, value);
    }
}

/* `vectors` vectors of k elements, each in one piece; `along` is true where they lie along the
 * columns of the matrix. */
std::vector<float> unpack(const Matrix &x, int64_t vectors, int64_t k, bool along) {
    std::vector<float> unpacked(static_cast<size_t>(vectors * k));
    for (int64_t v = 0; v < vectors; v++) {
        for (int64_t i = 0; i < k; i++) {
            int64_t index = along ? v * x.ld + i : i * x.ld + v;
            unpacked[static_cast<size_t>(v * k + i)] = load_float(x.at, x.type, index);
        }
    }
    return unpacked;
}

/* As they are, without what lies between them. */
std::vector<signed char> unpack_integers(const Matrix &x, int64_t vectors, int64_t k) {
    std::vector<signed char> unpacked(static_cast<size_t>(vectors * k));
    for (int64_t v = 0; v < vectors; v++) {
        std::memcpy(&unpacked[static_cast<size_t>(v * k)], x.at + v * x.ld, static_cast<size_t>(k));
    }
    return unpacked;
}

/* Four sums, so that the additions need not wait for each other. */
GI8EMU_UNWATCHED float dot(const float *x, const float *y, int64_t k) {
    double sums[4] = {0, 0, 0, 0};
    int64_t i = 0;
    for (; i + 4 <= k; i += 4) {
        for (int64_t j = 0; j < 4; j++) {
            sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(y[i + j]);
        }
    }
    for (; i < k; i++) {
        sums[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    }
    return static_cast<float>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

GI8EMU_UNWATCHED uint32_t dot(const signed char *x, const signed char *y, int64_t k) {
    uint32_t sum = 0;
    for (int64_t i = 0; i < k; i++) {
        sum += static_cast<uint32_t>(x[i] * y[i]);
    }
    return sum;
}

} /* namespace */

size_t element_bytes(cudaDataType type) {
    switch (type) {
    case CUDA_R_8I: return 1;
    case CUDA_R_16F:
    case CUDA_R_16BF: return 2;
    case CUDA_R_32I:
    case CUDA_R_32F: return 4;
    default: return 0;
    }
}

void multiply_integers(const Operands &o, bool add_c) {
    std::vector<signed char> a = unpack_integers(o.a, o.m, o.k);
    std::vector<signed char> b = unpack_integers(o.b, o.n, o.k);
    for (int64_t j = 0; j < o.n; j++) {
        for (int64_t i = 0; i < o.m; i++) {
            uint32_t sum = dot(&a[static_cast<size_t>(i * o.k)],
                               &b[static_cast<size_t>(j * o.k)], o.k);
            if (add_c) {
                sum += load<uint32_t>(o.c.at, j * o.c.ld + i);
            }
            store(o.d, j * o.d_ld + i, sum);
        }
    }
}

void multiply_floats(const Operands &o, float alpha, float beta) {
    std::vector<float> a = unpack(o.a, o.m, o.k, o.a.transposed);
    std::vector<float> b = unpack(o.b, o.n, o.k, !o.b.transposed);
    for (int64_t j = 0; j < o.n; j++) {
        for (int64_t i = 0; i < o.m; i++) {
            float value = alpha * dot(&a[static_cast<size_t>(i * o.k)],
                                      &b[static_cast<size_t>(j * o.k)], o.k);
            if (beta != 0.0f) { /* else C is not read */
                value += beta * load_float(o.c.at, o.c.type, j * o.c.ld + i);
            }
            if (o.bias != nullptr) {
                value += load_float(o.bias, o.bias_type, i);
            }
            store_float(o.d, o.d_type, j * o.d_ld + i, value);
        }
    }
}

} /* namespace gi8emu */
