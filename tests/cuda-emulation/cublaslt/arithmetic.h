/* arithmetic.h - the products themselves, on matrices stored by columns. */
#ifndef GI8EMU_ARITHMETIC_H
#define GI8EMU_ARITHMETIC_H

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>

namespace gi8emu {

struct Matrix {
    const char *at;
    cudaDataType type;
    int64_t ld;
    bool transposed;
};

struct Operands {
    Matrix a, b, c;
    char *d;
    cudaDataType d_type;
    int64_t d_ld;
    int64_t m, n, k;
    const char *bias; /* m elements; NULL for none */
    cudaDataType bias_type;
};

/* 0 for types that are not emulated */
size_t element_bytes(cudaDataType type);

/* D = A^T B, plus C if add_c, in 32-bit integers that wrap around. */
void multiply_integers(const Operands &o, bool add_c);

/* D = alpha op(A) op(B) + beta C + bias: sums in double, rounded to float32, then to D's type. */
void multiply_floats(const Operands &o, float alpha, float beta);

} /* namespace gi8emu */

#endif
