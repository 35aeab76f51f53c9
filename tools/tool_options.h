/* tool_options.h - command lines from one table: parsing, and the list of options for --help. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "ggml-int8/gi8_status.h"

/* What an option takes, and what its field is. */
typedef enum tool_option_kind {
    TOOL_OPTION_FLAG,        /* bool, takes no value */
    TOOL_OPTION_TEXT,        /* const char *, points into argv */
    TOOL_OPTION_INT,         /* int32_t in [min, max] */
    TOOL_OPTION_BIG_INT,     /* int64_t in [min, max] */
    TOOL_OPTION_FLOAT,       /* float in [min, max] */
    TOOL_OPTION_CHOICE,      /* int32_t: the place of the value in `argument`, "a|b|c" */
    TOOL_OPTION_INT_LIST,    /* tool_list of whole numbers in [min, max] */
    TOOL_OPTION_FLOAT_LIST,  /* tool_list of numbers in [min, max] */
    TOOL_OPTION_CHOICE_LIST  /* tool_list of places in `argument` */
} tool_option_kind;

enum { TOOL_LIST_MAX = 64 };

/* Values separated by commas; an option that is given again adds to them. Integers of 32 bits and
 * places are exact. */
typedef struct tool_list {
    int n;
    double values[TOOL_LIST_MAX];
} tool_list;

typedef struct tool_option {
    char letter; /* 0: none */
    const char *name;
    const char *argument; /* how --help calls the value; NULL: takes none */
    tool_option_kind kind;
    size_t offset; /* of the field */
    double min;
    double max;
    const char *help; /* lines of about 55 characters */
} tool_option;

/* The options of a program. */
typedef struct tool_option_table {
    const tool_option *options;
    size_t n;
    const char *stray_hint; /* what to do with an argument that is no option, or NULL */
} tool_option_table;

/* Reads argv[1] to argv[argc - 1] into the struct at `fields`, which holds the defaults (lists are
 * added to). Stops at the first mistake: GI8_ERR_ARGUMENT with a sentence that names the option and
 * its value. */
gi8_status tool_options_parse(const tool_option_table *table, int argc, char **argv, void *fields,
                              gi8_error *error);

/* Writes a line or more per option to standard output. */
void tool_options_print(const tool_option_table *table);

#endif
