/* test_cuda_gemm_s8.cu - the int8 GEMM, each of its kernels, and the kernels for outliers and
 * results beside it, against sums in int64 and the fp32 operations that kernels/epilogue.cuh
 * prescribes, to the last bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "kernels/dequant_epilogue.cuh"
#include "kernels/gemm_s8.cuh"
#include "kernels/outlier_product.cuh"
#include "test_seed.h"

static const size_t GUARD = 64; /* bytes on both sides of what the device writes */
static const unsigned char GUARD_BYTE = 0xa5;

static test_rng rng;

static int64_t random_int(int64_t low, int64_t high) {
    return test_rng_int(&rng, low, high);
}

/* ---- device memory ---- */

typedef struct device_array {
    char *memory; /* with guards */
    char *data;
    size_t bytes;
} device_array;

static device_array on_device(const void *from, size_t bytes) {
    std::vector<char> image(bytes + 2 * GUARD, static_cast<char>(GUARD_BYTE));
    if (from != nullptr && bytes > 0) {
        memcpy(image.data() + GUARD, from, bytes);
    }
    void *memory = nullptr;
    assert_int_equal(cudaMalloc(&memory, image.size()), cudaSuccess);
    assert_int_equal(cudaMemcpy(memory, image.data(), image.size(), cudaMemcpyHostToDevice),
                     cudaSuccess);
    char *first = static_cast<char *>(memory);
    device_array array = {first, first + GUARD, bytes};
    return array;
}

template <typename T> static device_array on_device(const std::vector<T> &from) {
    return on_device(from.data(), from.size() * sizeof(T));
}

/* Takes an array back and frees it; false where its guards have changed. */
static bool from_device(device_array *array, void *to) {
    std::vector<char> image(array->bytes + 2 * GUARD);
    assert_int_equal(cudaMemcpy(image.data(), array->memory, image.size(), cudaMemcpyDeviceToHost),
                     cudaSuccess);
    assert_int_equal(cudaFree(array->memory), cudaSuccess);
    if (to != nullptr) {
        memcpy(to, image.data() + GUARD, array->bytes);
    }
    bool intact = true;
    for (size_t i = 0; i < GUARD; i++) {
        intact = intact && static_cast<unsigned char>(image[i]) == GUARD_BYTE &&
                 static_cast<unsigned char>(image[GUARD + array->bytes + i]) == GUARD_BYTE;
    }
    return intact;
}

/* ---- a product and its reference ---- */

typedef struct product_case {
    int64_t k, n, m;
    int64_t ldq;
    int64_t n_outliers;
    gi8i_gemm_s8_choice choice;
    bool chosen;  /* gi8i_gemm_s8() chooses */
    bool dequant; /* gi8i_dequant_epilogue(), from sums that the test makes */
    bool sums;    /* e.sums is there, but not for as many outlier columns */
    gi8_type x_type, out_type, bias_type;
    bool bias, per_token, decompose;
    int n_fused;
    int fused[GI8_MAX_FUSED]; /* a gi8_activation_kind, or one of these */
    bool in_place;            /* an ADD_SAME reads what lies in y */
    bool nan_row;             /* the first row of x has no codes */
} product_case;

enum { ADD_SAME = 100, ADD_ROW = 101 };

typedef struct product {
    std::vector<int8_t> w, q;
    std::vector<float> x, row_scale, row_unit, absmax, bias, other_same, other_row;
    std::vector<int32_t> columns;
} product;

static float round_to(gi8_type type, float v) {
    return type == GI8_TYPE_F16    ? gi8_fp16_to_fp32(gi8_fp32_to_fp16(v))
           : type == GI8_TYPE_BF16 ? gi8_bf16_to_fp32(gi8_fp32_to_bf16(v))
                                   : v;
}

static std::vector<float> random_floats(int64_t count, gi8_type type) {
    std::vector<float> v(static_cast<size_t>(count));
    for (float &f : v) {
        f = round_to(type, test_rng_normal(&rng));
    }
    return v;
}

static const float THRESHOLD = 6.0f;

static product make_product(const product_case &c) {
    product p;
    p.w.resize(static_cast<size_t>(c.k * c.n));
    for (int8_t &code : p.w) {
        code = static_cast<int8_t>(random_int(-127, 127));
    }
    std::vector<bool> is_outlier(static_cast<size_t>(c.k));
    for (int64_t left = c.n_outliers, k = 0; k < c.k; k++) {
        if (random_int(0, c.k - k - 1) < left) {
            is_outlier[static_cast<size_t>(k)] = true;
            p.columns.push_back(static_cast<int32_t>(k));
            left--;
        }
    }
    p.x = random_floats(c.k * c.m, c.x_type);
    p.absmax = random_floats(c.n, GI8_TYPE_F32);
    p.bias = random_floats(c.n, c.bias_type);
    p.other_same = random_floats(c.n * c.m, GI8_TYPE_F32);
    p.other_row = random_floats(c.n, GI8_TYPE_F32);
    p.q.resize(static_cast<size_t>(c.ldq * c.m));
    p.row_scale.resize(static_cast<size_t>(c.m));
    p.row_unit.resize(static_cast<size_t>(c.m));
    for (int64_t m = 0; m < c.m; m++) {
        float *x = &p.x[static_cast<size_t>(m * c.k)];
        float a = 0.0f, largest = 0.0f;
        for (int64_t k = 0; k < c.k; k++) {
            if (is_outlier[static_cast<size_t>(k)] && random_int(0, 1) == 1) {
                x[k] = round_to(c.x_type, test_rng_float(&rng, 6.5f, 60.0f));
            }
            a = fabsf(x[k]) < THRESHOLD && fabsf(x[k]) > a ? fabsf(x[k]) : a;
            largest = fmaxf(largest, fabsf(x[k]));
        }
        int exponent = 0;
        frexpf(largest >= THRESHOLD ? largest : a / 127.0f, &exponent);
        p.row_unit[static_cast<size_t>(m)] =
            m == 0 && c.nan_row ? 1.0f : ldexpf(1.0f, exponent - 30);
        p.row_scale[static_cast<size_t>(m)] = m == 0 && c.nan_row ? NAN : a / 127.0f;
        for (int64_t k = 0; k < c.k; k++) {
            bool coded = fabsf(x[k]) < THRESHOLD && a > 0.0f && !(m == 0 && c.nan_row);
            p.q[static_cast<size_t>(m * c.ldq + k)] =
                static_cast<int8_t>(coded ? rintf(x[k] * (127.0f / a)) : 0.0f);
        }
    }
    return p;
}

static double activate(int kind, double x) {
    switch (kind) {
    case GI8_ACTIVATION_RELU: return x < 0.0 ? 0.0 : x;
    case GI8_ACTIVATION_SILU: return x / (1.0 + exp(-x));
    case GI8_ACTIVATION_GELU: return x * 0.5 * erfc(-x * 0.70710678118654752440);
    default: return x * 0.5 * (1.0 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    }
}

static int32_t sum_of_codes(const product_case &c, const product &p, int64_t m, int64_t n) {
    const int8_t *w = &p.w[static_cast<size_t>(n * c.k)];
    const int8_t *q = &p.q[static_cast<size_t>(m * c.ldq)];
    int32_t acc = 0;
    for (int64_t k = 0; k < c.k; k++) {
        acc += q[k] * w[k];
    }
    return acc;
}

/* The outlier part of element (m, n), before it is scaled. */
static float outlier_part(const product_case &c, const product &p, int64_t m, int64_t n) {
    const int8_t *w = &p.w[static_cast<size_t>(n * c.k)];
    const int8_t *q = &p.q[static_cast<size_t>(m * c.ldq)];
    const float *x = &p.x[static_cast<size_t>(m * c.k)];
    float row_scale = p.row_scale[static_cast<size_t>(m)];
    float unit = p.row_unit[static_cast<size_t>(m)];
    int64_t sum = 0; /* in units */
    for (int32_t k : p.columns) {
        float r = fabsf(x[k]) >= THRESHOLD ? x[k]
                  : c.per_token            ? 0.0f
                                : fmaf(-row_scale, static_cast<float>(q[k]), x[k]);
        sum += isnan(r) ? 0 : llrintf(r / unit) * w[k];
    }
    return static_cast<float>(sum) * unit;
}

/* Element (m, n) of the result, before it is rounded to the type. */
static float reference(const product_case &c, const product &p, int64_t m, int64_t n) {
    float acc = static_cast<float>(sum_of_codes(c, p, m, n));
    size_t column = static_cast<size_t>(n);
    float part = fmaf(acc, p.row_scale[static_cast<size_t>(m)], outlier_part(c, p, m, n));
    float y = fmaf(part, p.absmax[column] / 127.0f, c.bias ? p.bias[column] : 0.0f);
    for (int i = 0; i < c.n_fused; i++) {
        switch (c.fused[i]) {
        case ADD_SAME: y += p.other_same[static_cast<size_t>(m * c.n + n)]; break;
        case ADD_ROW: y += p.other_row[column]; break;
        default: y = static_cast<float>(activate(c.fused[i], static_cast<double>(y))); break;
        }
    }
    return y;
}

/* `values` as elements of a float type. */
static std::vector<char> convert(gi8_type type, const std::vector<float> &values) {
    std::vector<char> bytes(values.size() * gi8_type_size(type));
    assert_int_equal(gi8_convert_from_fp32(type, values.data(),
                                           static_cast<int64_t>(values.size()), bytes.data()),
                     GI8_OK);
    return bytes;
}

static int attribute(cudaDeviceAttr which) {
    int device = 0, value = 0;
    assert_int_equal(cudaGetDevice(&device), cudaSuccess);
    assert_int_equal(cudaDeviceGetAttribute(&value, which, device), cudaSuccess);
    return value;
}

static gi8i_cuda_device this_device(void) {
    gi8i_cuda_device device = {};
    device.major = attribute(cudaDevAttrComputeCapabilityMajor);
    device.n_multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
    device.shared_bytes_max =
        static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
    return device;
}

/* True where two results are the same bits, or close where a smooth activation is in between. */
static bool is_equal(const product_case &c, float expected, float found) {
    bool smooth = false;
    for (int i = 0; i < c.n_fused; i++) {
        smooth = smooth || (c.fused[i] < ADD_SAME && c.fused[i] != GI8_ACTIVATION_RELU);
    }
    if (isnan(expected) || isnan(found)) {
        return isnan(expected) && isnan(found);
    }
    float ulp = c.out_type == GI8_TYPE_F32 ? 1e-6f : c.out_type == GI8_TYPE_F16 ? 1e-3f : 8e-3f;
    return smooth ? fabsf(expected - found) <= ulp * (4.0f + fabsf(expected)) : expected == found;
}

static void print_case(const product_case &c) {
    print_message("k %d, n %d, m %d, ldq %d, outliers %d, tile %d, splits %d, stages %d, types %d "
                  "%d %d, bias %d, per token %d, fused %d (%d %d %d)\n",
                  static_cast<int>(c.k), static_cast<int>(c.n), static_cast<int>(c.m),
                  static_cast<int>(c.ldq), static_cast<int>(c.n_outliers), c.choice.tile,
                  c.choice.splits, c.choice.stages, c.x_type, c.out_type, c.bias_type, c.bias,
                  c.per_token, c.n_fused, c.fused[0], c.fused[1], c.fused[2]);
}

/* What the outlier part reads. */
typedef struct device_rows {
    device_array w, q, x, scale, unit, columns, count;
} device_rows;

static device_rows rows_on_device(const product_case &c, const product &p) {
    int32_t n_columns = static_cast<int32_t>(p.columns.size());
    device_rows rows = {on_device(p.w),
                        on_device(p.q),
                        on_device(convert(c.x_type, p.x)),
                        on_device(p.row_scale),
                        on_device(p.row_unit),
                        on_device(p.columns),
                        on_device(&n_columns, 4)};
    return rows;
}

static void free_rows(device_rows *rows) {
    for (device_array *array : {&rows->w, &rows->q, &rows->x, &rows->scale, &rows->unit,
                                &rows->columns, &rows->count}) {
        assert_int_equal(cudaFree(array->memory), cudaSuccess);
    }
}

/* An epilogue with these alone. */
static gi8i_epilogue epilogue_of(const product_case &c, const device_rows &rows) {
    gi8i_epilogue e = {};
    e.row_scale = reinterpret_cast<const float *>(rows.scale.data);
    e.row_unit = reinterpret_cast<const float *>(rows.unit.data);
    e.columns = c.decompose ? reinterpret_cast<const int32_t *>(rows.columns.data) : nullptr;
    e.n_columns = c.decompose ? reinterpret_cast<const int32_t *>(rows.count.data) : nullptr;
    e.x.data = rows.x.data;
    e.x.type = c.x_type;
    e.x.ne1 = c.m % 2 == 0 ? c.m / 2 : c.m; /* two planes of rows where that is possible */
    e.x.ne2 = c.m % 2 == 0 ? 2 : 1;
    e.x.nb1 = c.k * static_cast<int64_t>(gi8_type_size(c.x_type));
    e.x.nb2 = e.x.ne1 * e.x.nb1;
    e.x.nb3 = e.x.ne2 * e.x.nb2;
    e.q = reinterpret_cast<const int8_t *>(rows.q.data);
    e.ldq = c.ldq;
    e.threshold = THRESHOLD;
    e.per_token = c.per_token;
    return e;
}

/* Computes a product on the device and by hand. */
static void check(const product_case &c) {
    product p = make_product(c);
    std::vector<uint32_t> counters(GI8I_GEMM_S8_COUNTERS);
    std::vector<float> found(static_cast<size_t>(c.n * c.m));
    std::vector<char> y(static_cast<size_t>(c.n * c.m) * gi8_type_size(c.out_type));
    size_t scratch_bytes = static_cast<size_t>((c.n + 127) / 128 * 128 * ((c.m + 255) / 256) * 256 *
                                               4 * c.choice.splits);

    gi8i_cuda_device device = this_device();
    if (c.chosen) {
        scratch_bytes = gi8i_gemm_s8_scratch_bytes(&device, c.k, c.n, c.m);
    }
    std::vector<int32_t> acc(c.dequant ? found.size() : 0);
    for (size_t i = 0; i < acc.size(); i++) {
        int64_t at = static_cast<int64_t>(i);
        acc[i] = sum_of_codes(c, p, at / c.n, at % c.n);
    }
    device_rows rows = rows_on_device(c, p);
    device_array d_absmax = on_device(p.absmax), d_bias = on_device(convert(c.bias_type, p.bias)),
                 d_acc = on_device(acc),
                 d_same = on_device(p.other_same), d_row = on_device(p.other_row),
                 d_counters = on_device(counters), d_scratch = on_device(nullptr, scratch_bytes),
                 d_y = on_device(c.in_place ? static_cast<const void *>(p.other_same.data())
                                            : nullptr, y.size());

    gi8i_cuda_run run = {};
    run.device = &device;
    gi8i_gemm_s8_args args = {};
    args.w = reinterpret_cast<const int8_t *>(rows.w.data);
    args.k = c.k;
    args.n = c.n;
    args.m = c.m;
    args.scratch = d_scratch.data;
    args.counters = reinterpret_cast<uint32_t *>(d_counters.data);
    args.epilogue = epilogue_of(c, rows);
    gi8i_epilogue &e = args.epilogue;
    e.absmax = reinterpret_cast<const float *>(d_absmax.data);
    e.bias = c.bias ? d_bias.data : nullptr;
    e.bias_type = c.bias_type;
    e.sums = c.sums ? reinterpret_cast<const float *>(d_scratch.data) : nullptr;
    e.out.y = d_y.data;
    e.out.ldy = c.n;
    e.out.type = c.out_type;
    e.out.n_fused = c.n_fused;
    for (int i = 0; i < c.n_fused; i++) {
        gi8i_fused_op &f = e.out.fused[i];
        if (c.fused[i] == ADD_SAME) {
            f.other = reinterpret_cast<const float *>(c.in_place ? d_y.data : d_same.data);
            f.stride = c.n;
        } else if (c.fused[i] == ADD_ROW) {
            f.other = reinterpret_cast<const float *>(d_row.data);
        } else {
            f.kind = static_cast<gi8_activation_kind>(c.fused[i]);
        }
    }
    gi8_error error = GI8_ERROR_INIT;
    gi8_status status;
    if (c.dequant) {
        gi8i_dequant_args from = {reinterpret_cast<const int32_t *>(d_acc.data), args.w, c.k, c.n,
                                  c.m, e};
        status = gi8i_dequant_epilogue(&run, &from, &error);
    } else {
        status = c.chosen ? gi8i_gemm_s8(&run, &args, &error)
                          : gi8i_gemm_s8_with(&run, &args, c.choice, &error);
    }
    if (status != GI8_OK) {
        print_message("%s\n", error.message);
    }
    assert_int_equal(status, GI8_OK);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);

    bool intact = from_device(&d_y, y.data());
    intact = from_device(&d_scratch, nullptr) && intact;
    intact = from_device(&d_counters, counters.data()) && intact;
    free_rows(&rows);
    for (device_array *array : {&d_absmax, &d_bias, &d_acc, &d_same, &d_row}) {
        assert_int_equal(cudaFree(array->memory), cudaSuccess);
    }
    for (uint32_t counter : counters) {
        intact = intact && counter == 0;
    }
    assert_int_equal(gi8_convert_to_fp32(c.out_type, y.data(), c.n * c.m, found.data()), GI8_OK);
    int wrong = 0;
    for (int64_t i = 0; i < c.n * c.m; i++) {
        float expected = round_to(c.out_type, reference(c, p, i / c.n, i % c.n));
        if (!is_equal(c, expected, found[static_cast<size_t>(i)]) && wrong++ < 3) {
            print_message("y[m = %d][n = %d] is %.9g instead of %.9g\n",
                          static_cast<int>(i / c.n), static_cast<int>(i % c.n),
                          static_cast<double>(found[static_cast<size_t>(i)]),
                          static_cast<double>(expected));
        }
    }
    if (wrong > 0 || !intact) {
        print_case(c);
    }
    assert_int_equal(wrong, 0);
    assert_true(intact);
}

/* ---- tests ---- */

static const int TILE_ROWS[GI8I_GEMM_S8_TILES] = {16, 32, 64, 128, 256};
static const gi8_type FLOATS[3] = {GI8_TYPE_F32, GI8_TYPE_F16, GI8_TYPE_BF16};

/* Any shape, type and epilogue for a kernel. */
static product_case random_case(int tile, int64_t outliers) {
    product_case c = {};
    c.k = 16 * random_int(1, 30);
    c.n = random_int(1, 200);
    c.m = random_int(1, TILE_ROWS[tile] * 5 / 4);
    c.ldq = c.k + 16 * random_int(0, 2);
    c.n_outliers = outliers < c.k ? outliers : c.k;
    c.choice.tile = tile;
    c.choice.splits = static_cast<int>(random_int(1, 4));
    c.choice.stages = static_cast<int>(random_int(2, 4));
    c.x_type = FLOATS[random_int(0, 2)];
    c.out_type = FLOATS[random_int(0, 2)];
    c.bias_type = FLOATS[random_int(0, 2)];
    c.bias = random_int(0, 1) == 1;
    c.per_token = random_int(0, 1) == 1;
    c.decompose = outliers > 0 || random_int(0, 1) == 1;
    c.nan_row = random_int(0, 7) == 0;
    static const int kinds[3] = {ADD_SAME, ADD_ROW, GI8_ACTIVATION_RELU};
    c.n_fused = static_cast<int>(random_int(0, GI8_MAX_FUSED));
    for (int i = 0; i < c.n_fused; i++) {
        c.fused[i] = kinds[random_int(0, 2)];
    }
    return c;
}

static const int64_t ALL = INT64_MAX;

static void each_kernel(int tile) {
    static const int64_t outliers[5] = {0, 1, 7, 32, ALL};
    for (int64_t count : outliers) {
        check(random_case(tile, count));
    }
}

static void test_tile_16(void **state) {
    (void)state;
    each_kernel(0);
}

static void test_tile_32(void **state) {
    (void)state;
    each_kernel(1);
}

static void test_tile_64(void **state) {
    (void)state;
    each_kernel(2);
}

static void test_tile_128(void **state) {
    (void)state;
    each_kernel(3);
}

static void test_tile_256(void **state) {
    (void)state;
    each_kernel(4);
}

/* The smallest product, and tiles that are full to the last row, column and k. */
static void test_edges(void **state) {
    (void)state;
    for (int tile = 0; tile < GI8I_GEMM_S8_TILES; tile++) {
        product_case c = random_case(tile, 3);
        c.k = c.ldq = 16;
        c.n = c.m = 1;
        c.choice.splits = 1;
        check(c);
        c.k = c.ldq = 256;
        c.n = 128;
        c.m = TILE_ROWS[tile];
        c.choice.splits = 2;
        check(c);
    }
}

/* More splits than slices of k. */
static void test_more_splits_than_slices(void **state) {
    (void)state;
    product_case c = random_case(0, 2);
    c.k = c.ldq = 144;
    c.choice.splits = 7;
    check(c);
}

static void test_activations(void **state) {
    (void)state;
    static const int kinds[4] = {GI8_ACTIVATION_RELU, GI8_ACTIVATION_SILU, GI8_ACTIVATION_GELU,
                                 GI8_ACTIVATION_GELU_TANH};
    for (int kind : kinds) {
        product_case c = random_case(0, 1);
        c.nan_row = false;
        c.n_fused = 2;
        c.fused[0] = kind;
        c.fused[1] = ADD_SAME;
        check(c);
    }
}

/* y takes the place of what is added to it. */
static void test_in_place(void **state) {
    (void)state;
    product_case c = random_case(2, 4);
    c.out_type = GI8_TYPE_F32;
    c.n_fused = 2;
    c.fused[0] = ADD_ROW;
    c.fused[1] = ADD_SAME;
    c.in_place = true;
    check(c);
}

/* More than eight tiles of rows: blocks take them in groups of eight. */
static void test_groups_of_tiles(void **state) {
    (void)state;
    product_case c = random_case(0, 1);
    c.n = 150;
    c.m = 16 * 19 + 3;
    check(c);
}

/* The outlier part by itself, on so few multiprocessors that its blocks compute tile after tile, in
 * scratch with not a byte to spare. */
static void test_outlier_product(void **state) {
    (void)state;
    static const int64_t row_counts[2] = {40, 130}; /* each of its tiles */
    for (int i = 0; i < 4; i++) {
        product_case c = random_case(0, 70);
        c.k = c.ldq = 144;
        c.n_outliers = 70;
        c.n = 300;
        c.m = row_counts[i / 2];
        c.per_token = i % 2 == 1;
        product p = make_product(c);
        gi8i_cuda_device device = this_device();
        device.n_multiprocessors = 1;
        gi8i_cuda_run run = {};
        run.device = &device;
        size_t ld = static_cast<size_t>(gi8i_outlier_ld(c.n_outliers));
        size_t digit_rows = static_cast<size_t>(gi8i_outlier_digit_rows(c.m));
        std::vector<float> found(static_cast<size_t>(c.n * c.m));
        device_rows rows = rows_on_device(c, p);
        device_array d_packed = on_device(nullptr, static_cast<size_t>(c.n) * ld),
                     d_digits = on_device(nullptr, digit_rows * ld),
                     d_sums = on_device(nullptr, found.size() * 4);
        gi8i_outlier_product_args args = {};
        args.w = reinterpret_cast<const int8_t *>(rows.w.data);
        args.k = c.k;
        args.n = c.n;
        args.m = c.m;
        args.packed = reinterpret_cast<int8_t *>(d_packed.data);
        args.digits = reinterpret_cast<int8_t *>(d_digits.data);
        args.sums = reinterpret_cast<float *>(d_sums.data);
        args.epilogue = epilogue_of(c, rows);
        args.epilogue.sums = args.sums;
        gi8_error error = GI8_ERROR_INIT;
        assert_int_equal(gi8i_outlier_product(&run, args, &error), GI8_OK);
        assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
        assert_true(from_device(&d_packed, nullptr));
        assert_true(from_device(&d_digits, nullptr));
        assert_true(from_device(&d_sums, found.data()));
        free_rows(&rows);
        for (int64_t at = 0; at < c.n * c.m; at++) {
            float expected = outlier_part(c, p, at / c.n, at % c.n);
            assert_true(found[static_cast<size_t>(at)] == expected);
        }
    }
}

/* From sums in memory, with outlier columns that shared memory does not hold at a time. */
static void test_dequant_epilogue(void **state) {
    (void)state;
    for (int64_t count : {0, 5, 16, 17, 70}) {
        product_case c = random_case(4, count);
        c.k = c.ldq = 144;
        c.n_outliers = count;
        c.n = count % 2 == 0 ? 132 : 131;
        c.m = 67;
        c.dequant = true;
        check(c);
    }
}

/* More outlier columns than tensor cores can add up: the sums in memory do not count. */
static void test_too_many_outliers(void **state) {
    (void)state;
    product_case c = random_case(0, 1);
    c.k = c.ldq = GI8I_MAX_GIVEN_OUTLIERS + 16;
    c.n_outliers = c.k;
    c.n = c.m = 3;
    c.choice.splits = 1;
    c.sums = true;
    check(c);
}

static void test_chosen(void **state) {
    (void)state;
    static const int64_t rows[7] = {5, 16, 17, 40, 128, 129, 300};
    for (int64_t m : rows) {
        product_case c = random_case(0, 2);
        c.k = c.ldq = 1040;
        c.m = m;
        c.n = 70;
        c.chosen = true;
        check(c);
    }
}

/* What the choice promises, on devices from Turing to Hopper. */
static void test_choice(void **state) {
    (void)state;
    static const gi8i_cuda_device devices[5] = {{0, 7, 5, 40, 64 << 10, 4 << 20},
                                                {0, 8, 0, 108, 163 << 10, 40 << 20},
                                                {0, 8, 6, 28, 99 << 10, 3 << 20},
                                                {0, 8, 9, 128, 99 << 10, 72 << 20},
                                                {0, 9, 0, 132, 227 << 10, 50 << 20}};
    static const int64_t stage_bytes[GI8I_GEMM_S8_TILES] = {10240, 12288, 16384, 12288, 24576};
    static const int64_t columns[GI8I_GEMM_S8_TILES] = {64, 64, 64, 64, 128};
    bool large = false, shared_sums = false;
    for (int i = 0; i < 20000; i++) {
        const gi8i_cuda_device *device = &devices[random_int(0, 4)];
        int64_t k = 16 * random_int(1, 8000), n = random_int(1, 60000);
        int64_t m = random_int(0, 1) == 1 ? random_int(1, 140) : random_int(1, 20000);
        gi8i_gemm_s8_choice c = gi8i_gemm_s8_choose(device, k, n, m);
        assert_in_range(c.tile, 0, GI8I_GEMM_S8_TILES - 1);
        assert_in_range(c.stages, 2, 4);
        assert_in_range(c.splits, 1, 16);
        assert_true(m > 128 || TILE_ROWS[c.tile] >= m); /* weights are read once */
        assert_true(c.tile == 0 || m > 128 || TILE_ROWS[c.tile - 1] < m);
        assert_true(device->major > 7 || (c.tile < 4 && c.stages == 2));
        assert_true(stage_bytes[c.tile] * c.stages <=
                    static_cast<int64_t>(device->shared_bytes_max));
        int64_t tiles = (n + columns[c.tile] - 1) / columns[c.tile] *
                        ((m + TILE_ROWS[c.tile] - 1) / TILE_ROWS[c.tile]);
        assert_true(c.splits == 1 || tiles * c.splits <= 2 * device->n_multiprocessors);
        assert_true(gi8i_gemm_s8_scratch_bytes(device, k, n, m) ==
                    (c.splits == 1 ? 0u
                                   : static_cast<size_t>(tiles * c.splits * columns[c.tile] *
                                                         TILE_ROWS[c.tile] * 4)));
        large = large || c.tile == 4;
        shared_sums = shared_sums || c.splits > 1;
    }
    assert_true(large);
    assert_true(shared_sums);
}

static void test_refusals(void **state) {
    (void)state;
    gi8i_cuda_device device = this_device();
    gi8i_cuda_run run = {};
    run.device = &device;
    gi8i_gemm_s8_args good = {};
    good.k = good.epilogue.ldq = 32;
    good.n = good.m = 5;
    gi8i_gemm_s8_args bad[4] = {good, good, good, good};
    bad[0].k = 24;
    bad[1].epilogue.ldq = 40;
    bad[2].w = reinterpret_cast<const int8_t *>(uintptr_t{0x1008});
    bad[3].epilogue.q = reinterpret_cast<const int8_t *>(uintptr_t{0x1001});
    for (const gi8i_gemm_s8_args &args : bad) {
        gi8_error error = GI8_ERROR_INIT;
        assert_int_equal(gi8i_gemm_s8(&run, &args, &error), GI8_ERR_UNSUPPORTED);
        assert_string_not_equal(error.message, "");
    }
}

int main(void) {
    rng = test_rng_seeded(20251122);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tile_16),
        cmocka_unit_test(test_tile_32),
        cmocka_unit_test(test_tile_64),
        cmocka_unit_test(test_tile_128),
        cmocka_unit_test(test_tile_256),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_more_splits_than_slices),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_groups_of_tiles),
        cmocka_unit_test(test_outlier_product),
        cmocka_unit_test(test_dequant_epilogue),
        cmocka_unit_test(test_too_many_outliers),
        cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_refusals),
    };
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        print_message("no CUDA device\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
