/* bench_model.c - how fast models compute prompts and generate. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_modes.h"
#include "bench_report.h"
#include "bench_stats.h"
#include "gptneox.h"
#include "tool.h"

static const char *const weight_names[] = {"int8", "f16", "bf16", "f32"};
static const char *const outlier_names[] = {"column", "token"};

static const bench_column columns[] = {
    {"model", "model", 12, true},
    {"weight_bytes", "size", 10, false},
    {"n_parameters", "params", 9, false},
    {"weights", "weights", 7, true},
    {"threshold", NULL, 0, false},
    {"outliers", NULL, 0, true},
    {"quantize_head", NULL, 0, false},
    {"backend", "backend", 27, true},
    {"threads", "threads", 7, false},
    {"n_prompt", NULL, 0, false},
    {"n_gen", NULL, 0, false},
    {"n_depth", NULL, 0, false},
    {"test", "test", 13, true},
    {NULL, "t/s", 18, false},
    {"mean_ts", NULL, 0, false},
    {"sd_ts", NULL, 0, false},
    {"median_ts", "median t/s", 10, false},
    {"min_ts", NULL, 0, false},
    {"max_ts", NULL, 0, false},
    {"repetitions", NULL, 0, false},
};

/* A model in memory, and the table that its rows go to. */
typedef struct subject {
    const bench_model_options *options;
    bench_report *report;
    char name[256];
    gptneox_model *model;
    gptneox_weight_type weights;
    gi8_backend *backend; /* what computes at the moment */
    int n_threads;
} subject;

/* One row: a prompt of n tokens or n tokens one at a time, behind `depth` others. */
typedef struct test {
    bool is_prompt;
    int32_t n;
    int32_t depth;
    char name[48]; /* "pp512", "tg128 @ d2048" */
} test;

/* ---- one row --------------------------------------------------------------------------------- */

/* Appends n tokens to the session, `step` at a time. */
static gi8_status append(gptneox_session *session, const int32_t *tokens, int32_t n, int32_t step,
                         gi8_error *error) {
    gi8_status status = GI8_OK;
    for (int32_t i = 0; i < n && status == GI8_OK; i += step) {
        gptneox_batch batch = {.n_tokens = step, .tokens = tokens + i};
        status = gptneox_eval(session, &batch, error);
    }
    return status;
}

/* Fills the cache to the depth, warms up and measures; `tokens` has room for every position. */
static gi8_status measure(gptneox_session *session, const test *t, const int32_t *tokens,
                          double *rates, int32_t repetitions, gi8_error *error) {
    gi8_status status =
        t->depth > 0 ? append(session, tokens, t->depth, t->depth, error) : GI8_OK;
    const int32_t *next = tokens + t->depth;
    int32_t step = t->is_prompt ? t->n : 1;
    if (status == GI8_OK) { /* the warm-up: a whole prompt, or one token */
        status = append(session, next, step, step, error);
    }
    for (int32_t i = 0; i < repetitions && status == GI8_OK; i++) {
        status = gptneox_session_truncate(session, 0, t->depth, error);
        double start = bench_now();
        if (status == GI8_OK) {
            status = append(session, next, t->n, step, error);
        }
        rates[i] = t->n / (bench_now() - start);
    }
    return status;
}

static void write_row(const subject *s, const test *t, const bench_summary *rate) {
    const bench_model_options *o = s->options;
    bench_report *r = s->report;
    gptneox_footprint footprint = gptneox_model_footprint(s->model);
    double bytes = (double)footprint.weight_bytes;
    double parameters = (double)footprint.n_parameters;
    bool int8 = s->weights == GPTNEOX_WEIGHTS_INT8;
    bench_report_text(r, s->name);
    bench_report_number(r, bytes, "%.2f %s", bytes / (bytes < 0x1p30 ? 0x1p20 : 0x1p30),
                        bytes < 0x1p30 ? "MiB" : "GiB");
    bench_report_number(r, parameters, "%.2f %s", parameters / (parameters < 1e9 ? 1e6 : 1e9),
                        parameters < 1e9 ? "M" : "B");
    bench_report_text(r, weight_names[s->weights]);
    bench_report_number(r, int8 ? (double)o->threshold : 0, "%g", (double)o->threshold);
    bench_report_text(r, int8 ? outlier_names[o->outliers] : "");
    bench_report_number(r, int8 && o->quantize_head, "%d", o->quantize_head);
    bench_report_text(r, gi8_backend_name(s->backend));
    bench_report_number(r, s->n_threads, "%d", s->n_threads);
    bench_report_number(r, t->is_prompt ? t->n : 0, "%" PRId32, t->n);
    bench_report_number(r, t->is_prompt ? 0 : t->n, "%" PRId32, t->n);
    bench_report_number(r, t->depth, "%" PRId32, t->depth);
    bench_report_text(r, t->name);
    bench_report_number(r, rate->mean, "%.2f ± %.2f", rate->mean, rate->sd);
    bench_report_number(r, rate->mean, "%.2f", rate->mean);
    bench_report_number(r, rate->sd, "%.2f", rate->sd);
    bench_report_number(r, rate->median, "%.2f", rate->median);
    bench_report_number(r, rate->min, "%.2f", rate->min);
    bench_report_number(r, rate->max, "%.2f", rate->max);
    bench_report_number(r, o->common.repetitions, "%" PRId32, o->common.repetitions);
}

static gi8_status run_test(const subject *s, bool is_prompt, int32_t n, int32_t depth,
                           gi8_error *error) {
    test t = {.is_prompt = is_prompt, .n = n, .depth = depth};
    snprintf(t.name, sizeof t.name, depth > 0 ? "%s%" PRId32 " @ d%" PRId32 : "%s%" PRId32,
             is_prompt ? "pp" : "tg", n, depth);
    if (s->options->common.verbose) {
        fprintf(stderr, "%s: %s on %s\n", s->name, t.name, gi8_backend_name(s->backend));
    }
    int32_t repetitions = s->options->common.repetitions;
    double *rates = malloc((size_t)repetitions * sizeof *rates);
    int32_t *tokens = malloc((size_t)(depth + n) * sizeof *tokens);
    if (rates == NULL || tokens == NULL) {
        free(rates);
        free(tokens);
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for %" PRId32 " tokens", depth + n);
    }
    uint64_t random = 1;
    int32_t vocab_size = gptneox_model_config(s->model)->vocab_size;
    for (int32_t i = 0; i < depth + n; i++) {
        tokens[i] = (int32_t)(bench_random(&random) % (uint64_t)vocab_size);
    }
    gptneox_session_params params = GPTNEOX_SESSION_PARAMS_DEFAULT;
    params.n_ctx = depth + n;
    params.backend = s->backend;
    gptneox_session *session = gptneox_session_create(s->model, &params, error);
    gi8_status status = session != NULL ? measure(session, &t, tokens, rates, repetitions, error)
                                        : error->status;
    gptneox_session_free(session);
    if (status == GI8_OK) {
        bench_summary rate = bench_summarize(rates, repetitions);
        write_row(s, &t, &rate);
    }
    free(rates);
    free(tokens);
    return status;
}

/* ---- all rows -------------------------------------------------------------------------------- */

static gi8_status run_tests(const subject *s, gi8_error *error) {
    const bench_model_options *o = s->options;
    const tool_list *kinds[] = {&o->n_prompt, &o->n_gen};
    gi8_status status = GI8_OK;
    for (int d = 0; d < o->n_depth.n; d++) {
        for (int kind = 0; kind < 2; kind++) {
            for (int i = 0; i < kinds[kind]->n && status == GI8_OK; i++) {
                int32_t n = (int32_t)kinds[kind]->values[i];
                if (n > 0) {
                    status = run_test(s, kind == 0, n, (int32_t)o->n_depth.values[d], error);
                }
            }
        }
    }
    return status;
}

/* Loads a model and measures it with each number of threads. */
static gi8_status run_model(subject *s, const char *dir, gi8_error *error) {
    const bench_model_options *o = s->options;
    char path[4096]; /* for the name of "." */
    char *real = realpath(dir, NULL);
    snprintf(path, sizeof path, "%s", real != NULL ? real : dir);
    free(real);
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL && slash[1] != '\0' ? slash + 1 : path;
    snprintf(s->name, sizeof s->name, "%.255s", name);
    if (o->common.verbose) {
        fprintf(stderr, "%s: loading %s, weights in %s\n", s->name, dir, weight_names[s->weights]);
    }
    gi8_backend *home = tool_backend_create(o->common.device, 0, NULL, error); /* the weights' */
    if (home == NULL) {
        return error->status;
    }
    bool host = gi8_backend_is_host(home);
    gptneox_model_params params = {.weights = s->weights,
                                   .threshold = o->threshold,
                                   .outliers = (gi8_outliers)o->outliers,
                                   .quantize_head = o->quantize_head};
    s->model = gptneox_model_load(dir, home, &params, error);
    gi8_status status = s->model != NULL ? GI8_OK : error->status;
    if (status == GI8_OK && !host) {
        s->n_threads = 0;
        s->backend = home;
        status = run_tests(s, error);
    }
    for (int i = 0; host && i < o->common.threads.n && status == GI8_OK; i++) {
        s->n_threads = (int)o->common.threads.values[i];
        s->backend = tool_backend_create((tool_device){.kind = TOOL_DEVICE_CPU}, s->n_threads, NULL,
                                         error);
        status = s->backend != NULL ? run_tests(s, error) : error->status;
        gi8_backend_free(s->backend);
    }
    gptneox_model_free(s->model);
    gi8_backend_free(home);
    return status;
}

static gi8_status run_models(const bench_model_options *o, char *dirs, bench_report *report,
                             gi8_error *error) {
    gi8_status status = GI8_OK;
    for (char *dir = dirs; dir != NULL && status == GI8_OK;) {
        char *comma = o->models != NULL ? strchr(dir, ',') : NULL;
        if (comma != NULL) {
            *comma = '\0';
        }
        for (int i = 0; i < o->weights.n && status == GI8_OK; i++) {
            subject s = {.options = o,
                         .report = report,
                         .weights = (gptneox_weight_type)o->weights.values[i]};
            status = run_model(&s, dir, error);
        }
        dir = comma != NULL ? comma + 1 : NULL;
    }
    return status;
}

gi8_status bench_models(const bench_model_options *options, gi8_error *error) {
    char bundled[4096];
    if (options->models == NULL) {
        gi8_status status = tool_find_bundled_model(bundled, sizeof bundled, error);
        if (status != GI8_OK) {
            return status;
        }
    }
    char *dirs = strdup(options->models != NULL ? options->models : bundled);
    if (dirs == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for the names of the models");
    }
    bench_report report;
    bench_report_begin(&report, (bench_format)options->common.format, columns,
                       (int)(sizeof columns / sizeof *columns));
    gi8_status status = run_models(options, dirs, &report, error);
    bench_report_end(&report);
    free(dirs);
    return status;
}
