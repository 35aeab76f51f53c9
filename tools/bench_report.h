/* bench_report.h - a table on standard output, as Markdown, CSV or JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>

#include "ggml-int8/gi8_status.h"

/* In the order in which the option names them. */
typedef enum bench_format { BENCH_MD, BENCH_CSV, BENCH_JSON } bench_format;

#define BENCH_FORMATS "md|csv|json"

typedef struct bench_column {
    const char *key;   /* its name in CSV and JSON; NULL: only in Markdown */
    const char *title; /* its heading in Markdown; NULL: only in CSV and JSON */
    int width;         /* characters in Markdown; more where a cell needs them */
    bool is_text;      /* else numbers */
} bench_column;

typedef struct bench_report {
    bench_format format;
    const bench_column *columns; /* the caller's */
    int n_columns;
    int next;      /* column of the next cell */
    int n_written; /* columns of the current row that came out */
    int n_rows;    /* complete ones */
} bench_report;

/* Writes nothing yet: the head of the table comes with its first row. */
void bench_report_begin(bench_report *report, bench_format format, const bench_column *columns,
                        int n_columns);

/* Write the next cell; the last one of a row ends it, and the row is flushed. A number is written
 * as the format says in Markdown, and in full otherwise; if not finite, as "n/a", empty or null. */
void bench_report_text(bench_report *report, const char *text);
void bench_report_number(bench_report *report, double value, const char *format, ...)
    GI8_PRINTF(3, 4);

/* Writes what stands behind the last row, if there was one. */
void bench_report_end(const bench_report *report);

#endif
