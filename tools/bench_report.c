/* bench_report.c - a table on standard output, as Markdown, CSV or JSON. */
#include "bench_report.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static void spaces(int n) {
    printf("%*s", n > 0 ? n : 0, "");
}

/* Characters of a UTF-8 text. */
static int length(const char *text) {
    int n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static int md_width(const bench_column *column) {
    int title = length(column->title);
    return title > column->width ? title : column->width;
}

static void md_cell(const bench_column *column, const char *text) {
    int padding = md_width(column) - length(text);
    putchar(' ');
    spaces(column->is_text ? 0 : padding);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '|') {
            putchar('\\');
        }
        putchar(*c);
    }
    spaces(column->is_text ? padding : 0);
    fputs(" |", stdout);
}

static void csv_text(const char *text) {
    putchar('"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"') {
            putchar('"');
        }
        putchar(*c);
    }
    putchar('"');
}

static void json_text(const char *text) {
    putchar('"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            printf("\\%c", *c);
        } else if ((unsigned char)*c < 0x20) {
            printf("\\u%04x", (unsigned)*c);
        } else {
            putchar(*c);
        }
    }
    putchar('"');
}

static bool is_shown(const bench_report *report, const bench_column *column) {
    return report->format == BENCH_MD ? column->title != NULL : column->key != NULL;
}

/* The headings, and the line below them. */
static void md_head(const bench_report *report) {
    for (int line = 0; line < 2; line++) {
        putchar('|');
        for (int i = 0; i < report->n_columns; i++) {
            const bench_column *column = &report->columns[i];
            if (!is_shown(report, column)) {
                continue;
            }
            if (line == 0) {
                md_cell(column, column->title);
                continue;
            }
            putchar(' ');
            for (int left = md_width(column); left > 0; left--) {
                putchar(left == 1 && !column->is_text ? ':' : '-');
            }
            fputs(" |", stdout);
        }
        putchar('\n');
    }
}

static void csv_head(const bench_report *report) {
    const char *separator = "";
    for (int i = 0; i < report->n_columns; i++) {
        if (is_shown(report, &report->columns[i])) {
            printf("%s%s", separator, report->columns[i].key);
            separator = ",";
        }
    }
    putchar('\n');
}

/* Writes what stands before the next cell; false where the cell does not come out. */
static bool begin_cell(bench_report *report) {
    bool first_cell = report->next == 0;
    bool first = first_cell && report->n_rows == 0;
    const bench_column *column = &report->columns[report->next];
    bool shown = is_shown(report, column);
    switch (report->format) {
    case BENCH_MD:
        if (first) {
            md_head(report);
        }
        fputs(first_cell ? "|" : "", stdout);
        break;
    case BENCH_CSV:
        if (first) {
            csv_head(report);
        }
        fputs(shown && report->n_written > 0 ? "," : "", stdout);
        break;
    case BENCH_JSON:
        if (first_cell) {
            fputs(first ? "[\n  {\n" : ",\n  {\n", stdout);
        }
        if (shown) {
            printf("%s    \"%s\": ", report->n_written > 0 ? ",\n" : "", column->key);
        }
        break;
    }
    report->n_written += shown;
    return shown;
}

static void end_cell(bench_report *report) {
    if (++report->next < report->n_columns) {
        return;
    }
    fputs(report->format == BENCH_JSON ? "\n  }" : "\n", stdout);
    fflush(stdout);
    report->next = 0;
    report->n_written = 0;
    report->n_rows++;
}

void bench_report_begin(bench_report *report, bench_format format, const bench_column *columns,
                        int n_columns) {
    *report = (bench_report){.format = format, .columns = columns, .n_columns = n_columns};
}

void bench_report_text(bench_report *report, const char *text) {
    const bench_column *column = &report->columns[report->next];
    if (begin_cell(report)) {
        switch (report->format) {
        case BENCH_MD: md_cell(column, text); break;
        case BENCH_CSV: csv_text(text); break;
        case BENCH_JSON: json_text(text); break;
        }
    }
    end_cell(report);
}

void bench_report_number(bench_report *report, double value, const char *format, ...) {
    const bench_column *column = &report->columns[report->next];
    if (begin_cell(report)) {
        char text[64] = "n/a";
        if (isfinite(value)) {
            va_list args;
            va_start(args, format);
            vsnprintf(text, sizeof text, format, args);
            va_end(args);
        }
        if (report->format == BENCH_MD) {
            md_cell(column, text);
        } else if (!isfinite(value)) {
            fputs(report->format == BENCH_JSON ? "null" : "", stdout);
        } else {
            printf(value == rint(value) && fabs(value) < 1e15 ? "%.0f" : "%.9g", value);
        }
    }
    end_cell(report);
}

void bench_report_end(const bench_report *report) {
    if (report->format == BENCH_JSON && report->n_rows > 0) {
        puts("\n]");
    }
}
