/* gptneox-tokenize.c - text to token ids, and back, with a GPT-NeoX tokenizer. */
#define _GNU_SOURCE /* getopt_long, asprintf */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gptneox_tokenizer.h"
#include "tool.h"


static const char help[] =
    "usage: gptneox-tokenize [-m DIR | --tokenizer FILE] [-p TEXT | -f FILE | --decode IDS]\n"
    "\n"
    "Prints the token ids of a text, separated by spaces, on one line; or the text of ids.\n"
    "\n"
    "  -m, --model DIR       use DIR/tokenizer.json (default: the bundled model)\n"
    "      --tokenizer FILE  use this tokenizer.json\n"
    "  -p, --prompt TEXT     the text\n"
    "  -f, --file FILE       the text is the whole file, its last newline too; - is standard\n"
    "                        input, which is read where no text is given\n"
    "      --decode IDS      print the text of these ids, byte for byte and nothing more; - reads\n"
    "                        the ids from standard input or from -f; spaces or commas separate\n"
    "      --no-special      special tokens such as <|endoftext|> are text like any other; with\n"
    "                        --decode they are left out\n"
    "  -h, --help            print this help\n"
    "\n"
    "Exit status: 0 fine, 2 usage, 3 a tokenizer or an input that cannot be used, 4 a file that\n"
    "cannot be read or written, 5 out of memory.\n";

typedef struct options {
    const char *model;
    const char *tokenizer;
    const char *text;
    const char *file;
    const char *ids;
    bool no_special;
    bool help;
} options;

/* Reads the command line; false with a sentence on stderr. */
static bool parse_options(int argc, char **argv, options *o) {
    static const struct option longs[] = {
        {"model", required_argument, NULL, 'm'},  {"tokenizer", required_argument, NULL, 't'},
        {"prompt", required_argument, NULL, 'p'}, {"file", required_argument, NULL, 'f'},
        {"decode", required_argument, NULL, 'd'}, {"no-special", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "m:p:f:h", longs, NULL)) != -1) {
        switch (option) {
        case 'm': o->model = optarg; break;
        case 't': o->tokenizer = optarg; break;
        case 'p': o->text = optarg; break;
        case 'f': o->file = optarg; break;
        case 'd': o->ids = optarg; break;
        case 'n': o->no_special = true; break;
        case 'h': o->help = true; break;
        default: return false; /* getopt has said why */
        }
    }
    const char *problem = NULL;
    if (optind < argc) {
        problem = "a text is given with -p, a file with -f";
    } else if (o->model != NULL && o->tokenizer != NULL) {
        problem = "-m and --tokenizer exclude each other";
    } else if (o->text != NULL && (o->file != NULL || o->ids != NULL)) {
        problem = "-p excludes -f and --decode";
    } else if (o->file != NULL && o->ids != NULL && strcmp(o->ids, "-") != 0) {
        problem = "-f goes with --decode - only";
    }
    if (problem != NULL && !o->help) {
        fprintf(stderr, "gptneox-tokenize: %s; see --help\n", problem);
        return false;
    }
    return true;
}

static int fail(const gi8_error *error) {
    fprintf(stderr, "gptneox-tokenize: %s\n", error->message);
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

/* Everything written has reached standard output, or says why not. */
static gi8_status finish_output(gi8_error *error) {
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return gi8_error_set(error, GI8_ERR_IO, "standard output cannot be written: %s",
                             strerror(errno));
    }
    return GI8_OK;
}

int main(int argc, char **argv) {
    options o = {0};
    gi8_error error = GI8_ERROR_INIT;
    if (!parse_options(argc, argv, &o)) {
        return TOOL_EXIT_USAGE;
    }
    if (o.help) {
        fputs(help, stdout);
        return finish_output(&error) == GI8_OK ? TOOL_EXIT_OK : fail(&error);
    }
    gptneox_tokenizer *tokenizer = load_tokenizer(&o, &error);
    gi8_status status = tokenizer == NULL ? error.status : convert(tokenizer, &o, &error);
    if (status == GI8_OK) {
        status = finish_output(&error);
    }
    gptneox_tokenizer_free(tokenizer);
    return status == GI8_OK ? TOOL_EXIT_OK : fail(&error);
}
