/* test_bitsandbytes.c - parity with what the real bitsandbytes computed on a CPU.
 *
 * make_bitsandbytes_fixtures.py describes the file and the generator of the inputs, which this test
 * repeats. Every input is exact in fp16.
 *
 * Weight codes and SCB must have the same bits. Outlier columns and row absmax must be equal. Codes
 * of x may differ by one where the quotient x * 127 / absmax is within 1e-3 of a half, because
 * bitsandbytes computes the factor as 127 * (1 / absmax) and this library as 127 / absmax.
 *
 * Outputs: bitsandbytes computes, with u = 2^-11 and v = 2^-24 the roundings to fp16 and fp32,
 *   I = fp16(fp32(acc * (a * s)) * 6.200124e-05 + b)
 *   y = I where there are no outliers, else fp16(I + sum x[k] * fp16(w[k] * s / 127) in fp32)
 * The constant is 1.8e-5 above 1 / 127^2; acc, the products and the sum with b round five times.
 * With, for the C outlier columns and the others,
 *   P = acc * (a / 127) * (s / 127)
 *   T = (s / 127) * (a / 127) * sum |w[k]| over the entries near a half, whose codes may differ
 *   X = sum |x[k] * w[k]| * (s / 127) and D = sum |x[k]| * 2^-25 over the outliers (fp16 denormals)
 *   R(z) = max(u z, 2^-25), one rounding to fp16
 * the distance from this library's y, which has one fp32 rounding of its own, is at most
 *   F = (1.9e-5 + 5v) (|P| + T) + 5v |b| + T
 *   G = F without outliers, F + R(|P + b| + F) + (u + 2v (C + 2)) X + D with them
 *   G + R(|y| + G) + v |y| */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8_quantize.h"

#include "int8_reference.h"

enum { MAX_LIST = 8, MAX_SAMPLES = 64, HEADER_VERSIONS = 64 };
enum { WEIGHT = 1, BIAS, ACTIVATION, PLANT, CODE_SAMPLE, OUTPUT_SAMPLE };

typedef struct fixture {
    FILE *file;
    uint32_t code_samples, output_samples;
    uint32_t n_ms, n_ks, n_ns, n_thresholds;
    uint32_t ms[MAX_LIST], ks[MAX_LIST], ns[MAX_LIST];
    float thresholds[MAX_LIST];
    long records; /* offset of the first weight record */
} fixture;

static fixture parity;

/* ---- Reading: the file is little endian ---- */

static uint64_t read_uint(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        int byte = fgetc(parity.file);
        assert_true(byte != EOF);
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static uint32_t read_u32(void) {
    return (uint32_t)read_uint(4);
}

static float read_f32(void) {
    uint32_t bits = read_u32();
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t read_list(uint32_t *values) {
    uint32_t count = read_u32();
    assert_in_range(count, 1, MAX_LIST);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = read_u32();
    }
    return count;
}

static int open_fixture(void **state) {
    (void)state;
    char head[8 + HEADER_VERSIONS + 1] = {0};
    parity.file = fopen(GI8_TEST_REFERENCE_DIR "/bitsandbytes/parity.bin", "rb");
    if (parity.file == NULL || fread(head, 1, sizeof head - 1, parity.file) != sizeof head - 1 ||
        memcmp(head, "GI8BNB01", 8) != 0) {
        return -1;
    }
    printf("made with %s\n", head + 8);
    parity.code_samples = read_u32();
    parity.output_samples = read_u32();
    if (parity.code_samples > MAX_SAMPLES || parity.output_samples > MAX_SAMPLES) {
        return -1;
    }
    parity.n_ms = read_list(parity.ms);
    parity.n_ks = read_list(parity.ks);
    parity.n_ns = read_list(parity.ns);
    parity.n_thresholds = read_u32();
    for (uint32_t i = 0; i < parity.n_thresholds && i < MAX_LIST; i++) {
        parity.thresholds[i] = read_f32();
    }
    parity.records = ftell(parity.file);
    return parity.records > 0 ? 0 : -1;
}

static int close_fixture(void **state) {
    (void)state;
    return parity.file != NULL ? fclose(parity.file) : 0;
}

/* ---- The generator ---- */

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t random_at(uint64_t stream, uint64_t a, uint64_t b, uint64_t index) {
    return mix(mix(stream << 48 | a << 24 | b) + (index + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static int bell(uint64_t r) {
    return (int)((r & 511) + (r >> 9 & 511) + (r >> 18 & 511) + (r >> 27 & 511)) - 1022;
}

static uint64_t hash_bytes(const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint64_t hash = 0;
    for (size_t i = 0; i < size; i++) {
        hash += mix((i + 1) * UINT64_C(0x9e3779b97f4a7c15) + bytes[i]);
    }
    return hash;
}

typedef struct weight {
    int8_t *codes; /* [k, n] */
    float *absmax; /* [n] */
    float *bias;   /* [n] */
} weight;

static weight make_weight(int64_t k, int64_t n) {
    uint16_t *w = allocate((size_t)(k * n) * sizeof *w);
    weight made = {allocate((size_t)(k * n)), allocate((size_t)n * sizeof(float)),
                   allocate((size_t)n * sizeof(float))};
    for (int64_t i = 0; i < k * n; i++) {
        int value = bell(random_at(WEIGHT, (uint64_t)k, (uint64_t)n, (uint64_t)i));
        w[i] = gi8_fp32_to_fp16((float)value * 0x1p-14f);
    }
    for (int64_t j = 0; j < n; j++) {
        int value = bell(random_at(BIAS, (uint64_t)k, (uint64_t)n, (uint64_t)j));
        made.bias[j] = (float)value * 0x1p-9f;
    }
    assert_int_equal(
        gi8_int8_quantize_weight_rows(GI8_TYPE_F16, w, k, n, made.codes, made.absmax, NULL),
        GI8_OK);
    free(w);
    return made;
}

static void free_weight(const weight *w) {
    free(w->codes);
    free(w->absmax);
    free(w->bias);
}

static float *make_activations(int64_t k, int64_t m) {
    float *x = allocate((size_t)(k * m) * sizeof *x);
    for (int64_t i = 0; i < k * m; i++) {
        int value = bell(random_at(ACTIVATION, (uint64_t)k, (uint64_t)m, (uint64_t)i));
        x[i] = (float)value * 0x1p-10f;
    }
    for (int64_t i = 0; i < 4 + k / 32; i++) {
        uint64_t r = random_at(PLANT, (uint64_t)k, (uint64_t)m, (uint64_t)i);
        float step = (float)(r >> 44 & 63);
        const float planted[8] = {6.0f,
                                  6.0f - 0x1p-8f,
                                  2.0f,
                                  2.0f - 0x1p-10f,
                                  8.0f + step / 8.0f,
                                  20.0f + step / 4.0f,
                                  3.0f + step / 32.0f,
                                  60.0f};
        float value = planted[r >> 40 & 7];
        int64_t row = (int64_t)(r & 0xfffff) % m;
        int64_t column = (int64_t)(r >> 20 & 0xfffff) % k;
        x[row * k + column] = r >> 60 & 1 ? -value : value;
    }
    return x;
}

/* ---- The comparisons ---- */

static int is_near_a_half(double quotient) {
    return fabs(fabs(quotient - floor(quotient)) - 0.5) < 1e-3;
}

static void test_weight_codes_have_the_same_bits(void **state) {
    (void)state;
    assert_int_equal(fseek(parity.file, parity.records, SEEK_SET), 0);
    for (uint32_t a = 0; a < parity.n_ks; a++) {
        for (uint32_t b = 0; b < parity.n_ns; b++) {
            int64_t k = parity.ks[a];
            int64_t n = parity.ns[b];
            weight w = make_weight(k, n);
            assert_int_equal(hash_bytes(w.codes, (size_t)(k * n)), read_uint(8));
            assert_int_equal(hash_bytes(w.absmax, (size_t)n * sizeof(float)), read_uint(8));
            free_weight(&w);
        }
    }
}

/* One activation record. Returns how many sampled codes differ, each by one next to a half. */
static int check_activations(int64_t k, int64_t m, float threshold) {
    float *x = make_activations(k, m);
    uint8_t *is_outlier = allocate((size_t)k);
    int8_t *q = allocate((size_t)(k * m));
    float *absmax = allocate((size_t)m * sizeof *absmax);
    const size_t stride = (size_t)k * sizeof *x;
    int64_t count = -1;
    assert_int_equal(gi8_int8_outlier_columns(x, k, m, stride, threshold, is_outlier, &count),
                     GI8_OK);
    assert_int_equal(gi8_int8_quantize_rows(x, k, m, stride, threshold, GI8_OUTLIERS_COLUMN,
                                            is_outlier, q, absmax),
                     GI8_OK);
    assert_int_equal(count, read_u32());
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(is_outlier[read_uint(2)], 1);
    }
    for (int64_t row = 0; row < m; row++) {
        assert_true(absmax[row] == read_f32());
    }
    int differing = 0;
    for (uint32_t i = 0; i < parity.code_samples; i++) {
        int64_t at =
            (int64_t)(random_at(CODE_SAMPLE, (uint64_t)k, (uint64_t)m, i) % (uint64_t)(k * m));
        int theirs = (int8_t)read_uint(1);
        if (q[at] != theirs) {
            double quotient = (double)x[at] * 127.0 / (double)absmax[at / k];
            assert_true(abs(q[at] - theirs) == 1 && is_near_a_half(quotient));
            differing++;
        }
    }
    free(x);
    free(is_outlier);
    free(q);
    free(absmax);
    return differing;
}

static void skip_weight_records(void) {
    long size = (long)(parity.n_ks * parity.n_ns) * 16;
    assert_int_equal(fseek(parity.file, parity.records + size, SEEK_SET), 0);
}

static void test_outlier_columns_absmax_and_codes(void **state) {
    (void)state;
    skip_weight_records();
    int differing = 0;
    for (uint32_t a = 0; a < parity.n_ks; a++) {
        for (uint32_t b = 0; b < parity.n_ms; b++) {
            for (uint32_t t = 0; t < parity.n_thresholds; t++) {
                differing += check_activations(parity.ks[a], parity.ms[b], parity.thresholds[t]);
            }
        }
    }
    printf("%d sampled codes differ by one next to a half\n", differing);
}

/* Leaves the file at the first output record. */
static void skip_activation_records(void) {
    skip_weight_records();
    for (uint32_t i = 0; i < parity.n_ks * parity.n_ms * parity.n_thresholds; i++) {
        uint32_t m = parity.ms[i / parity.n_thresholds % parity.n_ms];
        long size = 2 * (long)read_u32() + 4 * (long)m + (long)parity.code_samples;
        assert_int_equal(fseek(parity.file, size, SEEK_CUR), 0);
    }
}

/* What all outputs of one (K, M, t) share. */
typedef struct activations {
    int64_t k, m;
    float threshold;
    float *x;
    int8_t *q;
    float *absmax;
    uint8_t *is_outlier;
    int64_t n_outliers;
} activations;

/* A rounding to fp16 of something of at most this magnitude. */
static double fp16_rounding(double magnitude) {
    return fmax(0x1p-11 * magnitude, 0x1p-25);
}

/* The bound of the comment at the top for one output: row of x, one weight row, its bias. */
static double output_bound(const activations *in, int64_t row, const int8_t *codes, float s,
                           float bias, float y) {
    const float *x = in->x + row * in->k;
    const double unit = (double)in->absmax[row] / 127.0 * ((double)s / 127.0);
    double product = 0.0;
    double outliers = 0.0;
    double near_half = 0.0;
    for (int64_t i = 0; i < in->k; i++) {
        if (in->is_outlier[i]) {
            outliers += fabs((double)x[i] * codes[i]) * (double)s / 127.0;
        } else {
            product += (double)in->q[row * in->k + i] * codes[i] * unit;
            if (is_near_a_half((double)x[i] * 127.0 / (double)in->absmax[row])) {
                near_half += abs(codes[i]) * unit;
            }
        }
    }
    const double v = 0x1p-24;
    double error =
        (1.9e-5 + 5 * v) * (fabs(product) + near_half) + 5 * v * fabs((double)bias) + near_half;
    if (in->n_outliers > 0) {
        error += fp16_rounding(fabs(product + (double)bias) + error);
        error += (0x1p-11 + 2 * v * (double)(in->n_outliers + 2)) * outliers;
        for (int64_t i = 0; i < in->k; i++) {
            error += in->is_outlier[i] ? fabs((double)x[i]) * 0x1p-25 : 0.0;
        }
    }
    return error + fp16_rounding(fabs((double)y) + error) + v * fabs((double)y);
}

/* One output record: the sampled outputs of (K, N, M, t, bias or none). Returns the largest
 * distance as a part of its bound. */
static double check_outputs(const activations *in, const weight *w, int64_t n, int with_bias) {
    const int64_t samples = parity.output_samples;
    int8_t *codes = allocate((size_t)(in->k * samples));
    float *y = allocate((size_t)(in->m * samples) * sizeof *y);
    void *scratch = allocate(GI8_INT8_REFERENCE_SCRATCH(in->k));
    float absmax[MAX_SAMPLES];
    float bias[MAX_SAMPLES];
    int64_t rows[MAX_SAMPLES];
    double worst = 0.0;
    /* Only the sampled weight rows take part: an output does not depend on the others. */
    for (int64_t i = 0; i < samples; i++) {
        uint64_t r =
            random_at(OUTPUT_SAMPLE, (uint64_t)(in->k << 12 | n), (uint64_t)in->m, (uint64_t)i);
        int64_t j = (int64_t)((r >> 32) % (uint64_t)n);
        rows[i] = (int64_t)(r % (uint64_t)in->m);
        memcpy(codes + i * in->k, w->codes + j * in->k, (size_t)in->k);
        absmax[i] = w->absmax[j];
        bias[i] = with_bias ? w->bias[j] : 0.0f;
    }
    assert_int_equal(gi8_int8_mul_mat_mixed_reference(codes, absmax, with_bias ? bias : NULL, in->x,
                                                      in->k, samples, in->m, in->threshold,
                                                      GI8_OUTLIERS_COLUMN, y, scratch),
                     GI8_OK);
    for (int64_t i = 0; i < samples; i++) {
        float ours = y[rows[i] * samples + i];
        float theirs = gi8_fp16_to_fp32((uint16_t)read_uint(2));
        double bound = output_bound(in, rows[i], codes + i * in->k, absmax[i], bias[i], ours);
        double distance = fabs((double)ours - (double)theirs);
        if (!(distance <= bound)) {
            fail_msg("K %d N %d M %d t %g bias %d sample %d: %.9g, bitsandbytes %.9g, bound %.3g",
                     (int)in->k, (int)n, (int)in->m, (double)in->threshold, with_bias, (int)i,
                     (double)ours, (double)theirs, bound);
        }
        worst = fmax(worst, distance / bound);
    }
    free(codes);
    free(y);
    free(scratch);
    return worst;
}

static activations make_quantized_activations(int64_t k, int64_t m, float threshold) {
    activations in = {k,
                      m,
                      threshold,
                      make_activations(k, m),
                      allocate((size_t)(k * m)),
                      allocate((size_t)m * sizeof(float)),
                      allocate((size_t)k),
                      0};
    const size_t stride = (size_t)k * sizeof(float);
    gi8_int8_outlier_columns(in.x, k, m, stride, threshold, in.is_outlier, &in.n_outliers);
    gi8_int8_quantize_rows(in.x, k, m, stride, threshold, GI8_OUTLIERS_COLUMN, in.is_outlier, in.q,
                           in.absmax);
    return in;
}

static void test_outputs_are_within_fp16_rounding(void **state) {
    (void)state;
    skip_activation_records();
    double worst = 0.0;
    int cases = 0;
    for (uint32_t a = 0; a < parity.n_ks; a++) {
        for (uint32_t b = 0; b < parity.n_ns; b++) {
            weight w = make_weight(parity.ks[a], parity.ns[b]);
            for (uint32_t c = 0; c < parity.n_ms * parity.n_thresholds; c++) {
                activations in =
                    make_quantized_activations(parity.ks[a], parity.ms[c / parity.n_thresholds],
                                               parity.thresholds[c % parity.n_thresholds]);
                for (int with_bias = 0; with_bias < 2; with_bias++, cases++) {
                    worst = fmax(worst, check_outputs(&in, &w, parity.ns[b], with_bias));
                }
                free(in.x);
                free(in.q);
                free(in.absmax);
                free(in.is_outlier);
            }
            free_weight(&w);
        }
    }
    assert_int_equal(fgetc(parity.file), EOF);
    printf("%d cases, the largest distance is %.3f of its bound\n", cases, worst);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weight_codes_have_the_same_bits),
        cmocka_unit_test(test_outlier_columns_absmax_and_codes),
        cmocka_unit_test(test_outputs_are_within_fp16_rounding),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
