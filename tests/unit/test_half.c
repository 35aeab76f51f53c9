/* test_half.c - the 16-bit float formats against references in double, and the facts about types.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggml-int8/gi8_types.h"
#include "test_seed.h"

static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A 16-bit format: `mantissa` stored bits, exponent bias, width of the exponent 15 - mantissa. */
typedef struct format {
    int mantissa;
    int bias;
    float (*decode)(uint16_t);
    uint16_t (*encode)(float);
} format;

static const format fp16 = {10, 15, gi8_fp16_to_fp32, gi8_fp32_to_fp16};
static const format bf16 = {7, 127, gi8_bf16_to_fp32, gi8_fp32_to_bf16};

static int max_exponent(const format *f) {
    return (1 << (15 - f->mantissa)) - 1;
}

static uint16_t infinity_of(const format *f) {
    return (uint16_t)(max_exponent(f) << f->mantissa);
}

/* The value of a finite or infinite pattern, from its fields. */
static double reference_decode(const format *f, uint16_t h) {
    int exponent = (h & 0x7fff) >> f->mantissa;
    int fraction = h & ((1 << f->mantissa) - 1);
    double value;
    if (exponent == max_exponent(f)) {
        value = INFINITY;
    } else if (exponent == 0) {
        value = ldexp(fraction, 1 - f->bias - f->mantissa);
    } else {
        value = ldexp(fraction + (1 << f->mantissa), exponent - f->bias - f->mantissa);
    }
    return h & 0x8000 ? -value : value;
}

/* The nearest pattern of a number, ties to even: a whole number of quanta, counted in double, where
 * dividing by a power of two is exact. Patterns of one sign are consecutive in value. */
static uint16_t reference_encode(const format *f, float value) {
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double magnitude = fabs((double)value);
    if (isinf(value)) {
        return (uint16_t)(sign | infinity_of(f));
    }
    int exponent = 0;
    frexp(magnitude, &exponent);
    int biased = exponent - 1 + f->bias;
    biased = magnitude == 0.0 || biased < 1 ? 1 : biased;
    double quanta = nearbyint(ldexp(magnitude, f->bias + f->mantissa - biased));
    double pattern = (double)(biased - 1) * (1 << f->mantissa) + quanta;
    return (uint16_t)(sign | (uint16_t)fmin(pattern, infinity_of(f)));
}

static void check_decode_and_round_trip(const format *f) {
    for (uint32_t pattern = 0; pattern <= 0xffff; pattern++) {
        uint16_t h = (uint16_t)pattern;
        float value = f->decode(h);
        if ((h & 0x7fff) > infinity_of(f)) {
            assert_true(isnan(value));
            assert_int_equal(f->encode(value), h | (1 << (f->mantissa - 1)));
        } else {
            assert_true((double)value == reference_decode(f, h));
            assert_int_equal(signbit(value) != 0, h >> 15);
            assert_int_equal(f->encode(value), h);
        }
    }
}

static void check_encode(const format *f, float value) {
    if (f->encode(value) != reference_encode(f, value)) {
        fail_msg("%a: 0x%04x, expected 0x%04x", (double)value, f->encode(value),
                 reference_encode(f, value));
    }
}

/* Every value half-way between neighbours, and the floats beside it. */
static void check_ties(const format *f) {
    for (uint16_t h = 0; h < infinity_of(f); h++) {
        double low = reference_decode(f, h);
        double high = h + 1 < infinity_of(f) ? reference_decode(f, (uint16_t)(h + 1))
                                             : ldexp(1.0, max_exponent(f) - f->bias);
        float middle = (float)(0.5 * low + 0.5 * high);
        for (int side = 0; side < 2; side++) {
            float signed_middle = side == 0 ? middle : -middle;
            check_encode(f, signed_middle);
            check_encode(f, nextafterf(signed_middle, 0.0f));
            check_encode(f, nextafterf(signed_middle, side == 0 ? INFINITY : -INFINITY));
        }
    }
}

/* A grid over all bit patterns of binary32: every exponent, both signs, NaN. */
static void check_grid(const format *f) {
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 509) {
        float value = from_bits((uint32_t)bits);
        if (isnan(value)) {
            uint16_t h = f->encode(value);
            assert_true((h & 0x7fff) > infinity_of(f));
            assert_true(h & (1 << (f->mantissa - 1)));
            assert_int_equal(h >> 15, bits >> 31);
        } else {
            check_encode(f, value);
        }
    }
    check_encode(f, FLT_MAX);
    check_encode(f, -FLT_MAX);
    check_encode(f, FLT_TRUE_MIN);
    check_encode(f, -0.0f);
    check_encode(f, INFINITY);
    check_encode(f, -INFINITY);
}

static void test_fp16_decodes_and_returns_every_pattern(void **state) {
    (void)state;
    check_decode_and_round_trip(&fp16);
}

static void test_bf16_decodes_and_returns_every_pattern(void **state) {
    (void)state;
    check_decode_and_round_trip(&bf16);
}

static void test_fp16_rounds_to_nearest_even(void **state) {
    (void)state;
    check_ties(&fp16);
    check_grid(&fp16);
    assert_int_equal(gi8_fp32_to_fp16(65519.996f), 0x7bff);
    assert_int_equal(gi8_fp32_to_fp16(65520.0f), 0x7c00);
    assert_int_equal(gi8_fp32_to_fp16(0x1p-25f), 0);
    assert_int_equal(gi8_fp32_to_fp16(0x1.000002p-25f), 1);
}

static void test_bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    check_ties(&bf16);
    check_grid(&bf16);
}

/* A NaN whose payload lies in the bits that are cut off must not become Inf. */
static void test_nan_with_a_low_payload_stays_nan(void **state) {
    (void)state;
    assert_int_equal(gi8_fp32_to_fp16(from_bits(0x7f800001)), 0x7e00);
    assert_int_equal(gi8_fp32_to_fp16(from_bits(0xffffffff)), 0xffff);
    assert_int_equal(gi8_fp32_to_bf16(from_bits(0x7f800001)), 0x7fc0);
    assert_int_equal(gi8_fp32_to_bf16(from_bits(0xffffffff)), 0xffff);
}

/* Arrays equal the single conversions, at odd addresses and for every remainder of a vector loop.
 */
static void check_arrays(gi8_type type, const format *f, test_rng *rng) {
    enum { MAX = 67 };
    float values[MAX];
    float back[MAX + 1];
    unsigned char halves[2 * MAX + 2];
    for (int n = 0; n <= MAX; n++) {
        for (int i = 0; i < n; i++) {
            values[i] = from_bits((uint32_t)test_rng_next(rng));
        }
        memset(halves, 0xa5, sizeof halves);
        memset(back, 0xa5, sizeof back);
        assert_int_equal(gi8_convert_from_fp32(type, values, n, halves + 1), GI8_OK);
        assert_int_equal(halves[0], 0xa5);
        assert_int_equal(halves[1 + 2 * n], 0xa5);
        assert_int_equal(gi8_convert_to_fp32(type, halves + 1, n, back), GI8_OK);
        assert_int_equal(bits_of(back[n]), 0xa5a5a5a5);
        for (int i = 0; i < n; i++) {
            uint16_t h;
            memcpy(&h, halves + 1 + 2 * i, sizeof h);
            assert_int_equal(h, f->encode(values[i]));
            assert_int_equal(bits_of(back[i]), bits_of(f->decode(h)));
        }
    }
}

static void test_arrays_equal_single_values(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(11);
    check_arrays(GI8_TYPE_F16, &fp16, &rng);
    check_arrays(GI8_TYPE_BF16, &bf16, &rng);
}

static void test_f32_arrays_are_copied_bit_for_bit(void **state) {
    (void)state;
    const uint32_t source[3] = {0x7f800001, 0x80000001, 0x3f800000};
    float values[3];
    uint32_t back[3] = {0, 0, 0};
    assert_int_equal(gi8_convert_to_fp32(GI8_TYPE_F32, source, 3, values), GI8_OK);
    assert_int_equal(gi8_convert_from_fp32(GI8_TYPE_F32, values, 3, back), GI8_OK);
    assert_memory_equal(source, back, sizeof back);
}

static void test_arrays_refuse_other_types_and_take_nothing(void **state) {
    (void)state;
    const gi8_type refused[] = {GI8_TYPE_I8, GI8_TYPE_I32, GI8_TYPE_COUNT, (gi8_type)99};
    float value = 1.0f;
    uint16_t half = 0xa5a5;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(gi8_convert_from_fp32(refused[i], &value, 1, &half), GI8_ERR_TYPE);
        assert_int_equal(gi8_convert_to_fp32(refused[i], &half, 1, &value), GI8_ERR_TYPE);
    }
    assert_int_equal(half, 0xa5a5);
    assert_true(value == 1.0f);
    assert_int_equal(gi8_convert_to_fp32(GI8_TYPE_F32, NULL, 0, NULL), GI8_OK);
    assert_int_equal(gi8_convert_from_fp32(GI8_TYPE_F16, NULL, 0, NULL), GI8_OK);
}

static void test_type_facts(void **state) {
    (void)state;
    const struct {
        gi8_type type;
        size_t size;
        const char *name;
        int is_float;
    } facts[] = {
        {GI8_TYPE_F32, 4, "F32", 1},       {GI8_TYPE_F16, 2, "F16", 1},
        {GI8_TYPE_BF16, 2, "BF16", 1},     {GI8_TYPE_I8, 1, "I8", 0},
        {GI8_TYPE_I32, 4, "I32", 0},       {GI8_TYPE_COUNT, 0, "unknown", 0},
        {(gi8_type)1000, 0, "unknown", 0},
    };
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        assert_int_equal(gi8_type_size(facts[i].type), facts[i].size);
        assert_string_equal(gi8_type_name(facts[i].type), facts[i].name);
        assert_int_equal(gi8_type_is_float(facts[i].type), facts[i].is_float);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp16_decodes_and_returns_every_pattern),
        cmocka_unit_test(test_bf16_decodes_and_returns_every_pattern),
        cmocka_unit_test(test_fp16_rounds_to_nearest_even),
        cmocka_unit_test(test_bf16_rounds_to_nearest_even),
        cmocka_unit_test(test_nan_with_a_low_payload_stays_nan),
        cmocka_unit_test(test_arrays_equal_single_values),
        cmocka_unit_test(test_f32_arrays_are_copied_bit_for_bit),
        cmocka_unit_test(test_arrays_refuse_other_types_and_take_nothing),
        cmocka_unit_test(test_type_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
