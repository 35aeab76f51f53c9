/* int8_problem.c - operands of mul_mat_int8_mixed, and cases of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "int8_problem.h"

#include <math.h>
#include <stdlib.h>

static float *random_floats(test_rng *rng, int64_t count, float low, float high) {
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = test_rng_float(rng, low, high);
    }
    return values;
}

int8_problem int8_problem_random(test_rng *rng, int64_t k, int64_t n, int64_t m) {
    int8_problem p = {.k = k, .n = n, .m = m, .threshold = 6.0f, .bias_type = -1};
    p.layout = test_rng_int(rng, 0, 1) == 1 ? GI8_LAYOUT_PANELS : GI8_LAYOUT_STRIDED;
    p.codes = malloc((size_t)(k * n) + 1);
    assert_non_null(p.codes);
    for (int64_t i = 0; i < k * n; i++) {
        p.codes[i] = (int8_t)test_rng_int(rng, -127, 127);
    }
    p.absmax = random_floats(rng, n, 0.0f, 1.0f);
    p.bias = random_floats(rng, n, -1.0f, 1.0f);
    p.x = random_floats(rng, k * m, -3.0f, 3.0f);
    return p;
}

void int8_problem_free(int8_problem *p) {
    free(p->codes);
    free(p->absmax);
    free(p->bias);
    free(p->x);
}

void int8_problem_plant_outliers(test_rng *rng, int8_problem *p, int64_t every, bool all_rows) {
    for (int64_t i = 0; i < p->k; i += every) {
        int64_t row = test_rng_int(rng, 0, p->m - 1);
        for (int64_t j = 0; j < p->m; j++) {
            if (all_rows || j == row) {
                p->x[j * p->k + i] = test_rng_float(rng, 7.0f, 60.0f) * (j % 2 == 0 ? 1.0f : -1.0f);
            }
        }
    }
}

static void round_to(gi8_type type, float *values, int64_t count) {
    uint32_t rounded;
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(gi8_convert_from_fp32(type, values + i, 1, &rounded), GI8_OK);
        assert_int_equal(gi8_convert_to_fp32(type, &rounded, 1, values + i), GI8_OK);
    }
}

void int8_problem_round(int8_problem *p) {
    round_to(p->x_type, p->x, p->k * p->m);
    if (p->bias_type >= 0) {
        round_to((gi8_type)p->bias_type, p->bias, p->n);
    }
}

int64_t int8_problem_outlier_columns(const int8_problem *p, bool *in_o) {
    int64_t count = 0;
    for (int64_t i = 0; i < p->k; i++) {
        in_o[i] = false;
        for (int64_t j = 0; j < p->m; j++) {
            in_o[i] = in_o[i] || (p->threshold > 0.0f && fabsf(p->x[j * p->k + i]) >= p->threshold);
        }
        count += in_o[i];
    }
    return count;
}

float int8_problem_row_max(const int8_problem *p, int64_t row) {
    bool decompose = p->threshold > 0.0f;
    float largest = 0.0f;
    for (int64_t i = 0; i < p->k; i++) {
        float size = fabsf(p->x[row * p->k + i]);
        if (isnan(size) || (!decompose && isinf(size))) {
            return NAN;
        }
        if (!decompose || size < p->threshold) {
            largest = size > largest ? size : largest;
        }
    }
    return largest;
}

/* ---- cases ----------------------------------------------------------------------------------- */

void int8_check_shapes(test_rng *rng, const int64_t shapes[][3], int64_t count, int8_check *check) {
    static const float thresholds[] = {6.0f, 2.0f, 0.0f, -1.0f};
    for (int64_t i = 0; i < count; i++) {
        for (int mode = 0; mode < 2; mode++) {
            for (size_t t = 0; t < sizeof thresholds / sizeof *thresholds; t++) {
                int8_problem p = int8_problem_random(rng, shapes[i][0], shapes[i][1], shapes[i][2]);
                p.mode = (gi8_outliers)mode;
                p.threshold = thresholds[t];
                p.bias_type = t % 2 == 0 ? GI8_TYPE_F32 : -1;
                int8_problem_plant_outliers(rng, &p, 1 + i * 7, mode == 0);
                check(&p);
                int8_problem_free(&p);
            }
        }
    }
}

void int8_check_types(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check) {
    for (int x_type = 0; x_type < 3; x_type++) {
        for (int out_type = 0; out_type < 3; out_type++) {
            for (int bias_type = -1; bias_type < 3; bias_type++) {
                int8_problem p = int8_problem_random(rng, k, n, m);
                p.x_type = (gi8_type)x_type;
                p.out_type = (gi8_type)out_type;
                p.bias_type = bias_type;
                p.mode = (gi8_outliers)(bias_type & 1);
                int8_problem_plant_outliers(rng, &p, 20, false);
                check(&p);
                int8_problem_free(&p);
            }
        }
    }
}

void int8_check_outliers(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check) {
    for (int i = 0; i < 6; i++) {
        int8_problem p = int8_problem_random(rng, k, n, m);
        p.mode = (gi8_outliers)(i % 2);
        if (i / 2 > 0) { /* every column in all rows, or every other in one */
            int8_problem_plant_outliers(rng, &p, i / 2, i / 2 == 1);
        }
        check(&p);
        int8_problem_free(&p);
    }
}

void int8_check_small_values(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check) {
    for (int kind = 0; kind < 6; kind++) { /* of the first row; the second is of the next one */
        for (int bias = -1; bias < 1; bias++) { /* none, F32 */
            int8_problem p = int8_problem_random(rng, k, n, m);
            p.bias_type = bias;
            for (int64_t i = 0; i < k * m; i++) {
                switch ((i / k + kind) % 6) {
                case 0: p.x[i] = 0.0f; break;
                case 1: break; /* an ordinary one between them */
                case 2: p.x[i] = i % 2 == 0 ? 1e-40f : -3e-42f; break;
                case 3: p.x[i] *= 1e-37f; break;
                case 4: p.x[i] = i % 2 == 0 ? -0.0f : 0.0f; break;
                default: p.x[i] = i % k == 3 ? 1.0f : i % 2 == 0 ? -0.0f : 1e-41f;
                }
            }
            for (int64_t i = 0; i < k; i++) {
                p.codes[2 * k + i] = 0;
            }
            p.absmax[2] = 0.0f;
            p.absmax[3] = 1e-40f;
            check(&p);
            int8_problem_free(&p);
        }
    }
}

void int8_check_thresholds(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check) {
    for (int i = 0; i < 4; i++) {
        int8_problem p = int8_problem_random(rng, k, n, m);
        float *last = p.x + (m - 1) * k;
        p.mode = (gi8_outliers)(i % 2);
        if (i < 2) {
            p.x[5] = 6.0f;
            last[17] = -6.0f;
            p.x[40] = nextafterf(6.0f, 0.0f);
            last[41] = -nextafterf(6.0f, 0.0f);
        } else {
            p.threshold = INFINITY;
            p.x[7] = 1e30f;
            last[9] = INFINITY;
        }
        check(&p);
        int8_problem_free(&p);
    }
}

void int8_check_largest_sums(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check) {
    int8_problem p = int8_problem_random(rng, k, n, m);
    for (int64_t i = 0; i < k * n; i++) {
        p.codes[i] = i / k == 1 ? -127 : 127;
    }
    for (int64_t i = 0; i < k * m; i++) {
        p.x[i] = i / k == 1 ? -5.0f : 5.0f;
    }
    check(&p);
    int8_problem_free(&p);
}
