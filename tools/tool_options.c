/* tool_options.c - command lines from one table: parsing, and the list of options for --help. */
#include "tool_options.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One value of an option as it was typed: the whole argument, or what stands between two commas. */
typedef struct item {
    const char *text;
    int size;
} item;

/* True where the `size` characters at `name` spell `expected`; '_' counts as '-'. */
static bool same_name(const char *name, size_t size, const char *expected) {
    if (strlen(expected) != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (name[i] != expected[i] && !(name[i] == '_' && expected[i] == '-')) {
            return false;
        }
    }
    return true;
}

/* The option that `arg` names, or NULL; *value points behind a '=' in it, or is NULL. */
static const tool_option *find_option(const tool_option_table *table, const char *arg,
                                      const char **value) {
    *value = NULL;
    if (arg[0] != '-' || arg[1] == '\0') {
        return NULL;
    }
    if (arg[1] != '-') {
        for (size_t i = 0; i < table->n; i++) {
            if (table->options[i].letter == arg[1] && arg[2] == '\0') {
                return &table->options[i];
            }
        }
        return NULL;
    }
    const char *name = arg + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    for (size_t i = 0; i < table->n; i++) {
        if (same_name(name, size, table->options[i].name)) {
            *value = equals != NULL ? equals + 1 : NULL;
            return &table->options[i];
        }
    }
    return NULL;
}

static bool is_list(tool_option_kind kind) {
    return kind == TOOL_OPTION_INT_LIST || kind == TOOL_OPTION_FLOAT_LIST ||
           kind == TOOL_OPTION_CHOICE_LIST;
}

static gi8_status read_choice(const tool_option *option, item value, double *place,
                              gi8_error *error) {
    *place = 0;
    for (const char *name = option->argument; name != NULL; ++*place) {
        const char *bar = strchr(name, '|');
        size_t size = bar != NULL ? (size_t)(bar - name) : strlen(name);
        if (size == (size_t)value.size && memcmp(name, value.text, size) == 0) {
            return GI8_OK;
        }
        name = bar != NULL ? bar + 1 : NULL;
    }
    return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s is one of %s, not \"%.*s\"", option->name,
                         option->argument, value.size, value.text);
}

/* Reads a number and nothing else, and checks its range. */
static gi8_status read_number(const tool_option *option, item value, double *number,
                              gi8_error *error) {
    bool whole = option->kind != TOOL_OPTION_FLOAT && option->kind != TOOL_OPTION_FLOAT_LIST;
    char *end;
    *number = whole ? (double)strtoll(value.text, &end, 10) : strtod(value.text, &end);
    if (value.size == 0 || isspace((unsigned char)value.text[0]) ||
        end != value.text + value.size || !isfinite(*number)) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s needs a %snumber, not \"%.*s\"",
                             option->name, whole ? "whole " : "", value.size, value.text);
    }
    if (*number >= option->min && *number <= option->max) {
        return GI8_OK;
    }
    if (option->max < (double)INT32_MAX) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s is between %.10g and %.10g, not %.*s",
                             option->name, option->min, option->max, value.size, value.text);
    }
    bool low = *number < option->min;
    return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s is %s %.16g, not %.*s", option->name,
                         low ? "at least" : "at most", low ? option->min : option->max, value.size,
                         value.text);
}

static gi8_status read_value(const tool_option *option, item value, double *number,
                             gi8_error *error) {
    bool choice = option->kind == TOOL_OPTION_CHOICE || option->kind == TOOL_OPTION_CHOICE_LIST;
    return choice ? read_choice(option, value, number, error)
                  : read_number(option, value, number, error);
}

static gi8_status append(const tool_option *option, const char *values, tool_list *list,
                         gi8_error *error) {
    for (const char *text = values; text != NULL;) {
        const char *comma = strchr(text, ',');
        item value = {text, (int)(comma != NULL ? (size_t)(comma - text) : strlen(text))};
        double number;
        gi8_status status = read_value(option, value, &number, error);
        if (status != GI8_OK) {
            return status;
        }
        if (list->n == TOOL_LIST_MAX) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s takes %d values at most",
                                 option->name, TOOL_LIST_MAX);
        }
        list->values[list->n++] = number;
        text = comma != NULL ? comma + 1 : NULL;
    }
    return GI8_OK;
}

static gi8_status store(const tool_option *option, const char *value, void *fields,
                        gi8_error *error) {
    void *field = (char *)fields + option->offset;
    if (option->kind == TOOL_OPTION_FLAG) {
        *(bool *)field = true;
        return GI8_OK;
    }
    if (option->kind == TOOL_OPTION_TEXT) {
        *(const char **)field = value;
        return GI8_OK;
    }
    if (is_list(option->kind)) {
        return append(option, value, field, error);
    }
    double number;
    gi8_status status = read_value(option, (item){value, (int)strlen(value)}, &number, error);
    if (status != GI8_OK) {
        return status;
    }
    if (option->kind == TOOL_OPTION_FLOAT) {
        *(float *)field = (float)number;
    } else if (option->kind == TOOL_OPTION_BIG_INT) {
        *(int64_t *)field = (int64_t)number;
    } else {
        *(int32_t *)field = (int32_t)number;
    }
    return GI8_OK;
}

gi8_status tool_options_parse(const tool_option_table *table, int argc, char **argv, void *fields,
                              gi8_error *error) {
    for (int i = 1; i < argc; i++) {
        const char *value;
        const tool_option *option = find_option(table, argv[i], &value);
        if (option == NULL && argv[i][0] == '-') {
            return gi8_error_set(error, GI8_ERR_ARGUMENT, "there is no option %s", argv[i]);
        }
        if (option == NULL) {
            const char *hint = table->stray_hint;
            return gi8_error_set(error, GI8_ERR_ARGUMENT, "\"%s\" is not an option%s%s%s", argv[i],
                                 hint != NULL ? " (" : "", hint != NULL ? hint : "",
                                 hint != NULL ? ")" : "");
        }
        if (option->kind == TOOL_OPTION_FLAG && value != NULL) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT, "--%s takes no value, but has \"%s\"",
                                 option->name, value);
        }
        if (option->kind != TOOL_OPTION_FLAG && value == NULL) {
            if (i + 1 == argc) {
                return gi8_error_set(error, GI8_ERR_ARGUMENT, "%s needs a value (%s)", argv[i],
                                     option->argument);
            }
            value = argv[++i];
        }
        gi8_status status = store(option, value, fields, error);
        if (status != GI8_OK) {
            return status;
        }
    }
    return GI8_OK;
}

void tool_options_print(const tool_option_table *table) {
    enum { COLUMN = 30 }; /* where the explanations begin */
    for (size_t i = 0; i < table->n; i++) {
        const tool_option *o = &table->options[i];
        char left[64];
        char letter[5] = {'-', o->letter, ',', ' ', '\0'};
        snprintf(left, sizeof left, "  %s--%s %s%s", o->letter != 0 ? letter : "    ", o->name,
                 o->argument != NULL ? o->argument : "", is_list(o->kind) ? "[,...]" : "");
        printf("%-*s", COLUMN, left);
        if (strlen(left) >= COLUMN) {
            printf("\n%*s", COLUMN, "");
        }
        for (const char *c = o->help; *c != '\0'; c++) {
            if (*c == '\n') {
                printf("\n%*s", COLUMN, "");
            } else {
                putchar(*c);
            }
        }
        putchar('\n');
    }
}
