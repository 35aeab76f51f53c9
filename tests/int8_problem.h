/* int8_problem.h - operands of mul_mat_int8_mixed for the tests of the op and of its kernels, and
 * the cases that both go through, each with shapes and checks of its own.
 */
#ifndef INT8_PROBLEM_H
#define INT8_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>

#include "ggml-int8/gi8.h"
#include "test_seed.h"

typedef struct int8_problem {
    int64_t k, n, m;
    float threshold;
    gi8_outliers mode;
    gi8_type x_type, out_type;
    int bias_type; /* a gi8_type, or -1 for none */
    int8_t *codes; /* [k, n] */
    float *absmax, *bias; /* [n] */
    float *x;             /* [k, m] */
    /* How a graph may get them: codes in either layout, each tensor in one piece unless the rest is
     * set. A test uses of this what is its matter. */
    gi8_layout layout;
    int64_t w_shift;         /* codes before the first */
    int64_t gap;             /* elements between rows of x */
    int64_t first_row, rows; /* of x that the graph multiplies; rows 0: all */
} int8_problem;

/* Random ones with a threshold of 6, |x| < 3, all F32, no bias in use. int8_problem_free() it. */
int8_problem int8_problem_random(test_rng *rng, int64_t k, int64_t n, int64_t m);
void int8_problem_free(int8_problem *p);

/* Makes columns of x large, one in `every`, in one or all rows. */
void int8_problem_plant_outliers(test_rng *rng, int8_problem *p, int64_t every, bool all_rows);

/* Rounds x and the bias to their types. */
void int8_problem_round(int8_problem *p);

/* Fills in_o [k] with the columns of the call that are outliers, and returns how many there are. */
int64_t int8_problem_outlier_columns(const int8_problem *p, bool *in_o);

/* The largest |x| of a row that is below the threshold, where that is above 0, and so has a code.
 * NaN for a row whose results are NaN: of NaN, or of Inf that is no outlier. */
float int8_problem_row_max(const int8_problem *p, int64_t row);

/* ---- cases ----------------------------------------------------------------------------------- */

/* Checks one; it may round it and set how the graph gets it. */
typedef void int8_check(int8_problem *p);

/* Each shape [k, n, m] with each mode and with thresholds that leave many, few and no outliers. */
void int8_check_shapes(test_rng *rng, const int64_t shapes[][3], int64_t count, int8_check *check);

/* Each type of x, of the result and of the bias, and no bias. */
void int8_check_types(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check);

/* All columns outliers, some, and none. */
void int8_check_outliers(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check);

/* Maxima of rows of x that are 0 or denormal or have no factor, beside ordinary ones, and such
 * weights; k >= 4, n >= 4. */
void int8_check_small_values(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check);

/* |x| of exactly the threshold, and the float below; a threshold of Inf. k >= 42. */
void int8_check_thresholds(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check);

/* The largest sums: every code 127 or -127; n >= 2. */
void int8_check_largest_sums(test_rng *rng, int64_t k, int64_t n, int64_t m, int8_check *check);

#endif
