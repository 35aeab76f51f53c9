/* test_op_copy.c - cont and cpy: any type, any strides. */
#include <stdlib.h>
#include <string.h>

#include "op_fixture.h"

/* Every permutation of a 4-D tensor of each type, made contiguous. */
static void test_cont_of_permutations(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(41);
    static const int64_t ne[4] = {7, 3, 5, 2};
    enum { COUNT = 7 * 3 * 5 * 2 };
    for (int type = 0; type < GI8_TYPE_COUNT; type++) {
        size_t size = gi8_type_size((gi8_type)type);
        uint8_t data[COUNT * 4];
        for (size_t i = 0; i < COUNT * size; i++) {
            data[i] = (uint8_t)test_rng_int(&rng, 0, 100);
        }
        for (int code = 0; code < 256; code++) {
            int axis[4] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6};
            if ((1 << axis[0] | 1 << axis[1] | 1 << axis[2] | 1 << axis[3]) != 15) {
                continue;
            }
            op_case c;
            op_begin(&c);
            gi8_tensor *a = op_input(&c, (gi8_type)type, ne, data);
            gi8_tensor *p = gi8_permute(c.ctx, a, axis[0], axis[1], axis[2], axis[3]);
            uint8_t *y = op_run(&c, gi8_cont(c.ctx, p));
            for (int64_t i = 0; i < COUNT; i++) {
                int64_t at[4] = {i % 7, i / 7 % 3, i / 21 % 5, i / 105};
                int64_t j = 0;
                for (int d = 3; d >= 0; d--) {
                    for (int s = 0; s < 4; s++) {
                        if (axis[s] == d) {
                            j = j * ne[s] + at[s];
                        }
                    }
                }
                assert_memory_equal(y + (size_t)j * size, data + (size_t)i * size, size);
            }
            free(y);
            op_end(&c);
        }
    }
}

/* Conversions between the float types, across different shapes of the two sides. */
static void test_cpy_converts(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(42);
    enum { COUNT = 60 * 400 };
    float *x = op_random(&rng, COUNT, -100.0f, 100.0f);
    for (int from = 0; from < 3; from++) {
        for (int to = 0; to < 3; to++) {
            float *expected = malloc(COUNT * sizeof *expected);
            void *zeros = calloc(COUNT, 4);
            assert_true(expected != NULL && zeros != NULL);
            memcpy(expected, x, COUNT * sizeof *x);
            op_round_to((gi8_type)from, expected, COUNT);
            op_round_to((gi8_type)to, expected, COUNT);
            op_case c;
            op_begin(&c);
            gi8_tensor *a = op_float_input(&c, (gi8_type)from, (int64_t[]){60, 400, 1, 1}, x);
            gi8_tensor *b = op_memory(&c, (gi8_type)to, (int64_t[]){100, 24, 10, 1}, zeros);
            void *y = op_run(&c, gi8_cpy(c.ctx, a, b));
            float *values = malloc(COUNT * sizeof *values);
            assert_non_null(values);
            gi8_convert_to_fp32((gi8_type)to, y, COUNT, values);
            assert_memory_equal(values, expected, COUNT * sizeof *values);
            free(values);
            free(y);
            free(zeros);
            free(expected);
            op_end(&c);
        }
    }
    free(x);
}

/* Into a transposed view of a larger tensor: what lies around it stays. */
static void test_cpy_into_a_view(void **state) {
    (void)state;
    enum { W = 9, H = 6, N = 4, M = 5 };
    float source[N * M];
    float target[W * H];
    for (int i = 0; i < N * M; i++) {
        source[i] = (float)i;
    }
    for (int i = 0; i < W * H; i++) {
        target[i] = -1.0f;
    }
    op_case c;
    op_begin(&c);
    gi8_tensor *a = op_float_input(&c, GI8_TYPE_F32, (int64_t[]){N, M, 1, 1}, source);
    gi8_tensor *b = op_memory(&c, GI8_TYPE_F32, (int64_t[]){W, H, 1, 1}, target);
    gi8_tensor *view = gi8_view_2d(c.ctx, b, M, N, b->nb[1], (W + 2) * sizeof(float));
    float *y = op_run(&c, gi8_cpy(c.ctx, a, gi8_transpose(c.ctx, view)));
    for (int row = 0; row < H; row++) {
        for (int column = 0; column < W; column++) {
            int n = row - 1;
            int m = column - 2;
            bool inside = n >= 0 && n < N && m >= 0 && m < M;
            assert_true(y[row * W + column] == (inside ? source[m * N + n] : -1.0f));
        }
    }
    free(y);
    op_end(&c);
}

static void test_empty(void **state) {
    (void)state;
    op_case c;
    op_begin(&c);
    gi8_tensor *a = op_input(&c, GI8_TYPE_F32, (int64_t[]){4, 0, 1, 1}, NULL);
    free(op_run(&c, gi8_cont(c.ctx, a)));
    op_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cont_of_permutations),
        cmocka_unit_test(test_cpy_converts),
        cmocka_unit_test(test_cpy_into_a_view),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, op_backends_create, op_backends_free);
}
