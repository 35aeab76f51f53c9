/* copy.cuh - strided copies with conversion, for cont and cpy. */
#ifndef GI8I_CUDA_COPY_CUH
#define GI8I_CUDA_COPY_CUH

#include "kernels/unary.cuh"

static __device__ inline uint8_t gi8i_convert(uint8_t v, uint8_t) { return v; }
static __device__ inline uint16_t gi8i_convert(uint16_t v, uint16_t) { return v; }
static __device__ inline uint32_t gi8i_convert(uint32_t v, uint32_t) { return v; }
template <typename From, typename To> static __device__ inline To gi8i_convert(From v, To) {
    return gi8i_from_fp32<To>(gi8i_to_fp32(v));
}

/* Rows without gaps, the same on both sides, as units of one size. */
template <typename Unit> struct gi8i_copy_rows {
    gi8i_rows_at src, dst;

    struct place {
        const Unit *from;
        Unit *to;
    };

    __device__ place begin(int64_t row) const {
        return {gi8i_row_of<const Unit>(src, row), gi8i_row_of<Unit>(dst, row)};
    }

    __device__ void unit(const place &p, int64_t i) const { p.to[i] = p.from[i]; }
};

struct gi8i_identity {
    __device__ float operator()(float v) const { return v; }
};

/* Any strides and shapes: all elements as units of one row, in the order of the dimensions. */
template <typename From, typename To> struct gi8i_copy_elements {
    gi8i_rows_at src, dst;

    struct place {};

    __device__ place begin(int64_t) const { return {}; }

    __device__ void unit(const place &, int64_t i) const {
        From v = *reinterpret_cast<const From *>(src.data + gi8i_element_at(src.at, i));
        *reinterpret_cast<To *>(dst.data + gi8i_element_at(dst.at, i)) = gi8i_convert(v, To());
    }
};

/* One copy: the elements of `src` in the order of its dimensions, to those of `dst` in the order of
 * its own; any strides. */
typedef struct gi8i_copy {
    const char *name;
    const gi8i_cuda_run *run;
    const gi8_tensor *src, *dst;
    gi8i_rows_at from, to;
    int64_t n_rows; /* rows without gaps, the same on both sides; 0: there are none such */
} gi8i_copy;

static inline gi8i_copy gi8i_copy_of(const char *name, const gi8i_cuda_run *run,
                                     const gi8_tensor *src, void *src_data, const gi8_tensor *dst,
                                     void *dst_data) {
    bool flat = gi8_is_contiguous(src) && gi8_is_contiguous(dst);
    bool rows = gi8_same_shape(src, dst) && gi8_has_contiguous_rows(src) &&
                gi8_has_contiguous_rows(dst);
    gi8i_copy c = {};
    c.name = name;
    c.run = run;
    c.src = src;
    c.dst = dst;
    c.from = gi8i_rows_at_of(src, src_data, src, flat);
    c.to = gi8i_rows_at_of(dst, dst_data, dst, flat);
    c.n_rows = flat ? 1 : rows ? gi8_nrows(src) : 0;
    return c;
}

template <typename From, typename To>
static gi8_status gi8i_launch_elements(const gi8i_copy *c, gi8_error *error) {
    gi8i_copy_elements<From, To> f = {c->from, c->to};
    return gi8i_launch_each_unit(c->name, c->run, f, 1, gi8_nelements(c->src), error);
}

/* From one float type to another. */
template <typename From, typename To>
static gi8_status gi8i_launch_converting_copy(const gi8i_copy *c, gi8_error *error) {
    if (c->n_rows == 0) {
        return gi8i_launch_elements<From, To>(c, error);
    }
    const int64_t n = c->from.at.ne[0];
    gi8i_unary<From, To, gi8i_identity> f = {c->from, c->to, n, {}};
    return gi8i_launch_each_unit(c->name, c->run, f, c->n_rows, gi8i_div_up<int64_t>(n, 4), error);
}

/* Elements as they are: bits of the size of one. */
template <typename Bits>
static gi8_status gi8i_launch_copy_of_bits(const gi8i_copy *c, gi8_error *error) {
    if (c->n_rows == 0) {
        return gi8i_launch_elements<Bits, Bits>(c, error);
    }
    int64_t n = c->from.at.ne[0];
    int64_t row_bytes = n * static_cast<int64_t>(sizeof(Bits));
    if (row_bytes % 16 == 0 && gi8i_rows_aligned(c->from.at, c->from.data, 16) &&
        gi8i_rows_aligned(c->to.at, c->to.data, 16)) {
        gi8i_copy_rows<uint4> f = {c->from, c->to};
        return gi8i_launch_each_unit(c->name, c->run, f, c->n_rows, row_bytes / 16, error);
    }
    gi8i_copy_rows<Bits> f = {c->from, c->to};
    return gi8i_launch_each_unit(c->name, c->run, f, c->n_rows, n, error);
}

/* Between tensors of one type. */
static gi8_status gi8i_launch_copy(const gi8i_copy *c, gi8_error *error) {
    switch (gi8_type_size(c->src->type)) {
    case 1: return gi8i_launch_copy_of_bits<uint8_t>(c, error);
    case 2: return gi8i_launch_copy_of_bits<uint16_t>(c, error);
    default: return gi8i_launch_copy_of_bits<uint32_t>(c, error);
    }
}

#endif
