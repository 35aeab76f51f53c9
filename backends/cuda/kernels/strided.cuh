/* strided.cuh - where the rows and the elements of strided tensors lie. */
#ifndef GI8I_CUDA_STRIDED_CUH
#define GI8I_CUDA_STRIDED_CUH

#include <stdint.h>

#include "cuda_impl.h"

/* A tensor as kernels see it, counted over a shape that it has or is repeated to. Offsets are in
 * bytes from the first element. */
typedef struct gi8i_strided {
    int64_t ne[GI8_MAX_DIMS]; /* of the shape */
    int64_t nb[GI8_MAX_DIMS]; /* 0 where a dimension is repeated */
} gi8i_strided;

static inline gi8i_strided gi8i_strided_of(const gi8_tensor *t, const gi8_tensor *shape) {
    gi8i_strided s = {};
    for (int i = 0; i < GI8_MAX_DIMS; i++) {
        s.ne[i] = shape->ne[i];
        s.nb[i] = t->ne[i] == 1 ? 0 : static_cast<int64_t>(t->nb[i]);
    }
    return s;
}

/* `n` elements of `size` bytes without gaps, as one row. */
static inline gi8i_strided gi8i_strided_flat(int64_t n, size_t size) {
    gi8i_strided s = {{n, 1, 1, 1}, {static_cast<int64_t>(size), 0, 0, 0}};
    return s;
}

/* Where row `row` (over ne[1], ne[2], ne[3]) begins. */
static __device__ inline int64_t gi8i_row_at(const gi8i_strided &s, int64_t row) {
    int64_t matrix = row / s.ne[1];
    int64_t i3 = matrix / s.ne[2];
    return (row - matrix * s.ne[1]) * s.nb[1] + (matrix - i3 * s.ne[2]) * s.nb[2] + i3 * s.nb[3];
}

/* Where element `index`, in the order of the dimensions, lies. */
static __device__ inline int64_t gi8i_element_at(const gi8i_strided &s, int64_t index) {
    int64_t row = index / s.ne[0];
    return (index - row * s.ne[0]) * s.nb[0] + gi8i_row_at(s, row);
}

/* True where every row begins at a multiple of `bytes`. */
static inline bool gi8i_rows_aligned(const gi8i_strided &s, const void *data, size_t bytes) {
    uintptr_t bits = reinterpret_cast<uintptr_t>(data);
    for (int i = 1; i < GI8_MAX_DIMS; i++) {
        bits |= s.ne[i] > 1 ? static_cast<uintptr_t>(s.nb[i]) : 0;
    }
    return bits % bytes == 0;
}

/* The rows of a source or a result. */
typedef struct gi8i_rows_at {
    char *data;
    gi8i_strided at;
    bool aligned; /* each begins at a multiple of four elements */
} gi8i_rows_at;

/* `t` at `data`, counted over `shape`; `flat`: as one row, where both are contiguous and alike. */
static inline gi8i_rows_at gi8i_rows_at_of(const gi8_tensor *t, void *data, const gi8_tensor *shape,
                                           bool flat) {
    size_t size = gi8_type_size(t->type);
    gi8i_rows_at r = {};
    r.data = static_cast<char *>(data);
    r.at = flat ? gi8i_strided_flat(gi8_nelements(t), size) : gi8i_strided_of(t, shape);
    r.aligned = gi8i_rows_aligned(r.at, data, 4 * size);
    return r;
}

/* True where two ranges of memory have a byte in common. */
static inline bool gi8i_overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
    uintptr_t first = reinterpret_cast<uintptr_t>(a);
    uintptr_t second = reinterpret_cast<uintptr_t>(b);
    return a_bytes > 0 && b_bytes > 0 && first < second + b_bytes && second < first + a_bytes;
}

template <typename T> static __device__ inline T *gi8i_row_of(const gi8i_rows_at &r, int64_t row) {
    return reinterpret_cast<T *>(r.data + gi8i_row_at(r.at, row));
}

#endif
