/* gptneox-tokenize.c - text to token ids, and back, with a GPT-NeoX tokenizer. */
#define _GNU_SOURCE /* asprintf */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gptneox_tokenizer.h"
#include "tool.h"
#include "tool_options.h"

#define PROGRAM "gptneox-tokenize"

typedef struct options {
    const char *model;
    const char *tokenizer;
    const char *text;
    const char *file;
    const char *ids;
    bool no_special;
    bool help;
    bool version;
} options;

#define FIELD(name) offsetof(options, name)

static const tool_option specs[] = {
    {'m', "model", "DIR", TOOL_OPTION_TEXT, FIELD(model), 0, 0,
     "use DIR/tokenizer.json (default: the bundled model)"},
    {0, "tokenizer", "FILE", TOOL_OPTION_TEXT, FIELD(tokenizer), 0, 0,
     "use this tokenizer.json"},
    {'p', "prompt", "TEXT", TOOL_OPTION_TEXT, FIELD(text), 0, 0, "the text"},
    {'f', "file", "FILE", TOOL_OPTION_TEXT, FIELD(file), 0, 0,
     "the text is the whole file, its last newline too; - is\n"
     "standard input, which is read where no text is given"},
    {0, "decode", "IDS", TOOL_OPTION_TEXT, FIELD(ids), 0, 0,
     "print the text of these ids, byte for byte and nothing\n"
     "more; - reads the ids from standard input or from -f;\n"
     "spaces or commas separate"},
    {0, "no-special", NULL, TOOL_OPTION_FLAG, FIELD(no_special), 0, 0,
     "special tokens such as <|endoftext|> are text like any\n"
     "other; with --decode they are left out"},
    {'h', "help", NULL, TOOL_OPTION_FLAG, FIELD(help), 0, 0, "print this help"},
    {0, "version", NULL, TOOL_OPTION_FLAG, FIELD(version), 0, 0, "print the version"},
};

static const tool_option_table table = {specs, sizeof specs / sizeof *specs,
                                        "a text is given with -p, a file with -f"};

static int print_help(void) {
    printf("usage: " PROGRAM " [-m DIR | --tokenizer FILE] [-p TEXT | -f FILE | --decode IDS]\n"
           "\n"
           "Prints the token ids of a text, separated by spaces, on one line; or the text of ids.\n"
           "\n");
    tool_options_print(&table);
    printf("\n"
           "Options also take the form --option=value, and _ for - (--no_special).\n"
           "Exit codes: 0 fine, 2 bad option, 3 a tokenizer or an input that cannot be used,\n"
           "4 a file or the output cannot be read or written, 5 out of memory.\n");
    return tool_finish_output(PROGRAM);
}

/* Checks what the table of options cannot. */
static gi8_status check_options(const options *o, gi8_error *error) {
    const char *problem = NULL;
    if (o->model != NULL && o->tokenizer != NULL) {
        problem = "-m and --tokenizer exclude each other";
    } else if (o->text != NULL && (o->file != NULL || o->ids != NULL)) {
        problem = "-p excludes -f and --decode";
    } else if (o->file != NULL && o->ids != NULL && strcmp(o->ids, "-") != 0) {
        problem = "-f goes with --decode - only";
    }
    return problem == NULL ? GI8_OK : gi8_error_set(error, GI8_ERR_ARGUMENT, "%s", problem);
}

static int fail(const gi8_error *error) {
    fprintf(stderr, PROGRAM ": %s\n", error->message);
    return tool_exit_code(error->status);
}

static gptneox_tokenizer *load_tokenizer(const options *o, gi8_error *error) {
    if (o->tokenizer != NULL) {
        return gptneox_tokenizer_load(o->tokenizer, error);
    }
    char bundled[4096];
    const char *model = o->model;
    if (model == NULL) {
        if (tool_find_bundled_model(bundled, sizeof bundled, error) != GI8_OK) {
            return NULL;
        }
        model = bundled;
    }
    char *path = NULL;
    if (asprintf(&path, "%s/tokenizer.json", model) < 0) {
        gi8_error_set(error, GI8_ERR_MEMORY, "out of memory");
        return NULL;
    }
    gptneox_tokenizer *tokenizer = gptneox_tokenizer_load(path, error);
    free(path);
    return tokenizer;
}

/* Reads ids separated by white space or commas. *ids is the caller's to free. */
static gi8_status parse_ids(const char *text, size_t size, int32_t **ids, size_t *n_ids,
                            gi8_error *error) {
    static const char separators[] = " \t\r\n\v\f,";
    *n_ids = 0;
    *ids = malloc((size / 2 + 1) * sizeof **ids); /* every id but the last has a separator */
    if (*ids == NULL) {
        return gi8_error_set(error, GI8_ERR_MEMORY, "out of memory for the ids");
    }
    const char *at = text + strspn(text, separators);
    while (*at != '\0') {
        size_t length = strcspn(at, separators);
        char *end;
        errno = 0;
        long long id = strtoll(at, &end, 10);
        if (end != at + length || *at == '+' || errno != 0 || id < 0 || id > INT32_MAX) {
            return gi8_error_set(error, GI8_ERR_FORMAT, "\"%.*s\" is not a token id",
                                 (int)(length < 40 ? length : 40), at);
        }
        (*ids)[(*n_ids)++] = (int32_t)id;
        at += length;
        at += strspn(at, separators);
    }
    if ((size_t)(at - text) < size) {
        return gi8_error_set(error, GI8_ERR_FORMAT, "the list of ids contains a NUL byte");
    }
    return GI8_OK;
}

/* Writes the text of the ids that `list` spells. */
static gi8_status decode(const gptneox_tokenizer *tokenizer, const options *o, const char *list,
                         size_t list_size, gi8_error *error) {
    int32_t *ids = NULL;
    size_t n_ids;
    char *text = NULL;
    size_t size = 0;
    unsigned flags = o->no_special ? GPTNEOX_DETOKENIZE_SKIP_SPECIAL : 0;
    gi8_status status = parse_ids(list, list_size, &ids, &n_ids, error);
    if (status == GI8_OK) {
        status = gptneox_detokenize(tokenizer, ids, n_ids, flags, &text, &size, error);
    }
    if (status == GI8_OK) {
        fwrite(text, 1, size, stdout);
    }
    free(ids);
    gptneox_text_free(text);
    return status;
}

/* Writes the ids of the text. */
static gi8_status encode(const gptneox_tokenizer *tokenizer, const options *o, const char *text,
                         size_t size, gi8_error *error) {
    int32_t *ids = NULL;
    size_t n_ids;
    unsigned flags = o->no_special ? GPTNEOX_TOKENIZE_NO_SPECIAL : 0;
    gi8_status status = gptneox_tokenize(tokenizer, text, size, flags, &ids, &n_ids, error);
    for (size_t i = 0; i < n_ids; i++) {
        printf("%s%" PRId32, i > 0 ? " " : "", ids[i]);
    }
    if (status == GI8_OK) {
        putchar('\n');
    }
    gptneox_ids_free(ids);
    return status;
}

/* Reads the input and turns it into the output. */
static gi8_status convert(const gptneox_tokenizer *tokenizer, const options *o, gi8_error *error) {
    const char *given = o->ids != NULL && strcmp(o->ids, "-") != 0 ? o->ids : o->text;
    char *read = NULL;
    size_t size = given != NULL ? strlen(given) : 0;
    if (given == NULL) {
        gi8_status status = tool_read_file(o->file != NULL ? o->file : "-", &read, &size, error);
        if (status != GI8_OK) {
            return status;
        }
    }
    const char *input = given != NULL ? given : read;
    gi8_status status = o->ids != NULL ? decode(tokenizer, o, input, size, error)
                                       : encode(tokenizer, o, input, size, error);
    free(read);
    return status;
}

int main(int argc, char **argv) {
    options o = {0};
    gi8_error error = GI8_ERROR_INIT;
    gi8_status status = tool_options_parse(&table, argc, argv, &o, &error);
    if (status == GI8_OK && o.help) {
        return print_help();
    }
    if (status == GI8_OK && o.version) {
        puts(PROGRAM " " GPTNEOX_VERSION);
        return tool_finish_output(PROGRAM);
    }
    if (status != GI8_OK || check_options(&o, &error) != GI8_OK) {
        fprintf(stderr, PROGRAM ": %s; --help lists the options\n", error.message);
        return TOOL_EXIT_USAGE;
    }
    gptneox_tokenizer *tokenizer = load_tokenizer(&o, &error);
    status = tokenizer == NULL ? error.status : convert(tokenizer, &o, &error);
    gptneox_tokenizer_free(tokenizer);
    return status == GI8_OK ? tool_finish_output(PROGRAM) : fail(&error);
}
