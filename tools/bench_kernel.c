/* bench_kernel.c - how fast single operations are, and what part of the machine's limits that is.
 *
 * A shared machine is not equally fast from one second to the next. So the rows are measured in
 * turns, one sample of each a pass, and the limits before each of them and after the last.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_limits.h"
#include "bench_modes.h"
#include "bench_op.h"
#include "bench_report.h"
#include "bench_stats.h"
#include "gi8_cpu.h"

static const char *const op_names[] = {"int8", "f16", "bf16", "f32"};
static const char *const rule_names[] = {"column", "token"};

static const bench_column columns[] = {
    {"op", "op", 4, true},
    {"m", "M", 5, false},
    {"n", "N", 6, false},
    {"k", "K", 6, false},
    {"outlier_percent", "outliers", 8, false},
    {"outlier_columns", NULL, 0, false},
    {"rule", NULL, 0, true},
    {"backend", "backend", 27, true},
    {"threads", NULL, 0, false},
    {"copies", NULL, 0, false},
    {"median_us", "time", 12, false},
    {NULL, "min - max", 21, false},
    {"min_us", NULL, 0, false},
    {"max_us", NULL, 0, false},
    {"samples", NULL, 0, false},
    {"gops", "GOPS", 8, false},
    {"gops_limit", NULL, 0, false},
    {"gops_fraction", "of peak", 7, false},
    {"weight_bytes", NULL, 0, false},
    {"gbs", "GB/s", 7, false},
    {"gbs_limit", NULL, 0, false},
    {"gbs_fraction", "of read", 7, false},
};

/* What is measured in one row, and its samples. */
typedef struct kernel_row {
    bench_op_kind op;
    bench_shape shape;
    int64_t m;
    double outlier_percent;
    int64_t n_outliers;
    int threads; /* place in the list */
    gi8_backend *backend;
    size_t weight_bytes;
    int n_copies;
    double *seconds; /* one per repetition */
} kernel_row;

/* The limits with one number of threads. */
typedef struct limit_samples {
    double *samples[BENCH_LIMIT_COUNT];
    int64_t n;
    bench_summary rates[BENCH_LIMIT_COUNT];
} limit_samples;

typedef struct kernel_run {
    const bench_kernel_options *options;
    size_t rotate_bytes;
    gi8_backend *home; /* of the weights; a device that is not the host computes, too */
    bool host;
    int n_backends;
    gi8_backend **backends; /* on the host for each number of threads and instruction set */
    kernel_row *rows;
    int64_t n_rows;
    double *seconds; /* of all rows */
    bench_limits *limits; /* NULL: --no-limits */
    double *rates;        /* of all limit_samples */
    limit_samples limit_samples[TOOL_LIST_MAX];
    bench_weights *weights; /* those in use */
    const kernel_row *weights_of;
} kernel_run;

static int n_threads_of(const kernel_run *r, int place) {
    return (int)r->options->common.threads.values[place];
}

/* ---- getting ready --------------------------------------------------------------------------- */

static gi8_backend *create_backend(const kernel_run *r, int i, gi8_error *error) {
    const bench_kernel_options *o = r->options;
    gi8_cpu_isa isa = (gi8_cpu_isa)o->isa.values[i % o->isa.n];
    bool limited = isa != GI8_CPU_ISA_COUNT;
    if (limited && !gi8_cpu_isa_available(isa)) {
        gi8_error_set(error, GI8_ERR_UNSUPPORTED,
                      "--isa %s: this processor lacks it; its best is %s", gi8_cpu_isa_name(isa),
                      gi8_cpu_isa_name(gi8_cpu_isa_best()));
        return NULL;
    }
    gi8_cpu_params params = {
        .n_threads = n_threads_of(r, i / o->isa.n), .limit_isa = limited, .isa = isa};
    return gi8_cpu_backend_create(&params, error);
}

static gi8_status create_backends(kernel_run *r, gi8_error *error) {
    const bench_kernel_options *o = r->options;
    r->home = tool_backend_create(o->common.device, 1, NULL, error);
    if (r->home == NULL) {
        return error->status;
    }
    r->host = gi8_backend_is_host(r->home);
    r->n_backends = r->host ? o->common.threads.n * o->isa.n : 1;
    r->backends = calloc((size_t)r->n_backends, sizeof *r->backends);
    if (r->backends == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for %d backends", r->n_backends);
    }
    for (int i = 0; i < r->n_backends; i++) {
        r->backends[i] = r->host ? create_backend(r, i, error) : r->home;
        if (r->backends[i] == NULL) {
            return error->status;
        }
    }
    return GI8_OK;
}

/* The rows of one operation on one weight. */
static void add_rows(kernel_run *r, bench_op_kind op, bench_shape shape) {
    const bench_kernel_options *o = r->options;
    int n_backends = r->n_backends;
    bool counted = o->outlier_columns.n > 0;
    const tool_list *outliers = counted ? &o->outlier_columns : &o->outliers;
    int n_outliers = op == BENCH_OP_INT8 ? outliers->n : 1;
    double k = (double)shape.k;
    for (int i = 0; i < o->m.n * n_outliers * n_backends; i++) {
        double share = op == BENCH_OP_INT8 ? outliers->values[i / n_backends % n_outliers] : 0;
        double n = counted ? fmin(share, k) : k * share / 100;
        r->rows[r->n_rows++] = (kernel_row){
            .op = op,
            .shape = shape,
            .m = (int64_t)o->m.values[i / n_backends / n_outliers],
            .outlier_percent = counted ? 100 * n / k : share,
            .n_outliers = llround(n),
            .threads = i % n_backends / o->isa.n,
            .backend = r->backends[i % n_backends],
        };
    }
}

static gi8_status create_rows(kernel_run *r, gi8_error *error) {
    const bench_kernel_options *o = r->options;
    int64_t repetitions = o->common.repetitions;
    size_t most = (size_t)bench_kernel_options_rows(o);
    r->rows = calloc(most, sizeof *r->rows);
    r->seconds = calloc(most * (size_t)repetitions, sizeof *r->seconds);
    size_t n_rates = most * (size_t)repetitions + 1; /* for one number of threads */
    r->rates = calloc(n_rates * BENCH_LIMIT_COUNT * (size_t)o->common.threads.n, sizeof *r->rates);
    if (r->rows == NULL || r->seconds == NULL || r->rates == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for %zu rows", most);
    }
    for (int i = 0; i < o->ops.n; i++) {
        for (int j = 0; j < o->n_shapes; j++) {
            add_rows(r, (bench_op_kind)o->ops.values[i], o->shapes[j]);
        }
    }
    for (int64_t i = 0; i < r->n_rows; i++) {
        r->rows[i].seconds = r->seconds + i * repetitions;
    }
    for (int i = 0; i < o->common.threads.n; i++) {
        for (int limit = 0; limit < BENCH_LIMIT_COUNT; limit++) {
            r->limit_samples[i].samples[limit] =
                r->rates + (size_t)(i * BENCH_LIMIT_COUNT + limit) * n_rates;
        }
    }
    return GI8_OK;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static gi8_status measure_limits(kernel_run *r, int threads, gi8_error *error) {
    if (r->limits == NULL) {
        return GI8_OK;
    }
    double rates[BENCH_LIMIT_COUNT];
    gi8_status status = bench_limits_measure(r->limits, n_threads_of(r, threads), rates, error);
    limit_samples *l = &r->limit_samples[threads];
    for (int i = 0; i < BENCH_LIMIT_COUNT && status == GI8_OK; i++) {
        l->samples[i][l->n] = rates[i];
    }
    l->n++;
    return status;
}

static gi8_status measure_row(kernel_run *r, kernel_row *row, int repetition, gi8_error *error) {
    const kernel_row *last = r->weights_of;
    if (last == NULL || row->op != last->op || row->shape.n != last->shape.n ||
        row->shape.k != last->shape.k) {
        bench_weights_free(r->weights);
        r->weights = bench_weights_create(r->home, row->op, row->shape,
                                          (gi8_outliers)r->options->rule, r->rotate_bytes, error);
        if (r->weights == NULL) {
            return error->status;
        }
    }
    r->weights_of = row;
    row->weight_bytes = bench_weights_bytes(r->weights);
    gi8_status status = measure_limits(r, row->threads, error);
    if (status == GI8_OK) {
        status = bench_op_time(r->weights, row->backend, row->m, row->n_outliers,
                               &row->seconds[repetition], &row->n_copies, error);
    }
    if (status == GI8_OK && r->options->common.verbose) {
        fprintf(stderr, "%d: %s M %lld N %lld K %lld on %s: %.1f us\n", repetition + 1,
                op_names[row->op], (long long)row->m, (long long)row->shape.n,
                (long long)row->shape.k, gi8_backend_name(row->backend),
                1e6 * row->seconds[repetition]);
    }
    return status;
}

static gi8_status measure(kernel_run *r, gi8_error *error) {
    gi8_status status = GI8_OK;
    for (int repetition = 0; repetition < r->options->common.repetitions; repetition++) {
        for (int64_t i = 0; i < r->n_rows && status == GI8_OK; i++) {
            status = measure_row(r, &r->rows[i], repetition, error);
        }
    }
    for (int i = 0; i < r->options->common.threads.n && status == GI8_OK; i++) {
        status = measure_limits(r, i, error);
        for (int limit = 0; limit < BENCH_LIMIT_COUNT; limit++) {
            limit_samples *l = &r->limit_samples[i];
            l->rates[limit] = bench_summarize(l->samples[limit], l->n);
        }
    }
    return status;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void print_limit(const limit_samples *l, bench_limit limit, const char *name,
                        const char *unit) {
    double rate = l->rates[limit].median / 1e9;
    if (isfinite(rate)) {
        printf("%s %.1f %s (%s)", name, rate, unit, bench_limits_method(limit));
    } else {
        printf("%s n/a", name);
    }
}

static void print_head(const kernel_run *r) {
    if (r->rotate_bytes > 0) {
        printf("Weights: copies in turns, to pass %zu MiB", r->rotate_bytes >> 20);
    } else {
        printf("Weights: a single copy");
    }
    printf(" (last-level cache: %zu MiB)\n", bench_last_level_cache() >> 20);
    for (int i = 0; r->limits != NULL && i < r->options->common.threads.n; i++) {
        const limit_samples *l = &r->limit_samples[i];
        int n = n_threads_of(r, i);
        printf("Limits with %d thread%s: ", n, n == 1 ? "" : "s");
        print_limit(l, BENCH_LIMIT_INT8, "int8", "GOPS");
        print_limit(l, BENCH_LIMIT_FP32, ", fp32", "GOPS");
        print_limit(l, BENCH_LIMIT_READ, ", reading", "GB/s");
        printf(", median of %lld\n", (long long)l->n);
    }
    putchar('\n');
}

static void write_row(const kernel_run *r, kernel_row *row, bench_report *report) {
    int repetitions = r->options->common.repetitions;
    bench_summary time = bench_summarize(row->seconds, repetitions);
    const limit_samples *l = &r->limit_samples[row->threads];
    bool int8 = row->op == BENCH_OP_INT8;
    double bytes = (double)row->weight_bytes;
    double gops = 2e-9 * (double)row->m * (double)row->shape.n * (double)row->shape.k / time.median;
    double gops_limit = 1e-9 * l->rates[int8 ? BENCH_LIMIT_INT8 : BENCH_LIMIT_FP32].median;
    double gbs = 1e-9 * bytes / time.median;
    double gbs_limit = 1e-9 * l->rates[BENCH_LIMIT_READ].median;
    bench_report_text(report, op_names[row->op]);
    bench_report_number(report, (double)row->m, "%lld", (long long)row->m);
    bench_report_number(report, (double)row->shape.n, "%lld", (long long)row->shape.n);
    bench_report_number(report, (double)row->shape.k, "%lld", (long long)row->shape.k);
    bench_report_number(report, row->outlier_percent, "%.3g %%", row->outlier_percent);
    bench_report_number(report, (double)row->n_outliers, "%lld", (long long)row->n_outliers);
    bench_report_text(report, int8 ? rule_names[r->options->rule] : "");
    bench_report_text(report, gi8_backend_name(row->backend));
    int n_threads = r->host ? n_threads_of(r, row->threads) : 0;
    bench_report_number(report, n_threads, "%d", n_threads);
    bench_report_number(report, row->n_copies, "%d", row->n_copies);
    bench_report_number(report, 1e6 * time.median, "%.2f us", 1e6 * time.median);
    bench_report_number(report, time.min, "%.2f - %.2f", 1e6 * time.min, 1e6 * time.max);
    bench_report_number(report, 1e6 * time.min, "%.1f", 1e6 * time.min);
    bench_report_number(report, 1e6 * time.max, "%.1f", 1e6 * time.max);
    bench_report_number(report, repetitions, "%d", repetitions);
    bench_report_number(report, gops, "%.1f", gops);
    bench_report_number(report, gops_limit, "%.1f", gops_limit);
    bench_report_number(report, gops / gops_limit, "%.1f %%", 100 * gops / gops_limit);
    bench_report_number(report, bytes, "%.0f", bytes);
    bench_report_number(report, gbs, "%.2f", gbs);
    bench_report_number(report, gbs_limit, "%.2f", gbs_limit);
    bench_report_number(report, gbs / gbs_limit, "%.1f %%", 100 * gbs / gbs_limit);
}

static void write_table(const kernel_run *r) {
    bench_report report;
    bench_format format = (bench_format)r->options->common.format;
    if (format == BENCH_MD) {
        print_head(r);
    }
    bench_report_begin(&report, format, columns, (int)(sizeof columns / sizeof *columns));
    for (int64_t i = 0; i < r->n_rows; i++) {
        write_row(r, &r->rows[i], &report);
    }
    bench_report_end(&report);
}

gi8_status bench_kernels(const bench_kernel_options *options, gi8_error *error) {
    kernel_run r = {.options = options};
    size_t cache = 4 * bench_last_level_cache();
    size_t least = (size_t)1 << 30; /* below it, parts of 32 MiB caches were seen to last */
    r.rotate_bytes = options->rotate >= 0 ? (size_t)options->rotate << 20
                     : cache > least      ? cache
                                          : least;
    gi8_status status = create_backends(&r, error);
    if (status == GI8_OK) {
        status = create_rows(&r, error);
    }
    if (status == GI8_OK && r.host && !options->no_limits) { /* those of the host */
        r.limits = bench_limits_create(error);
        status = r.limits != NULL ? GI8_OK : error->status;
    }
    if (status == GI8_OK) {
        status = measure(&r, error);
    }
    if (status == GI8_OK) {
        write_table(&r);
    }
    bench_weights_free(r.weights);
    bench_limits_free(r.limits);
    free(r.rates);
    free(r.seconds);
    free(r.rows);
    for (int i = 0; r.backends != NULL && r.host && i < r.n_backends; i++) {
        gi8_backend_free(r.backends[i]);
    }
    free(r.backends);
    gi8_backend_free(r.home);
    return status;
}
