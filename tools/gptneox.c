/* gptneox.c - continues a text with a GPT-NeoX model: the example program. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gptneox.h"
#include "gptneox_options.h"
#include "tool.h"

/* What one run of the program holds. */
typedef struct program {
    gptneox_options options;
    gi8_backend *backend;
    gi8_error no_cuda; /* why it is not a CUDA device */
    gptneox_model *model;
    gptneox_session *session;
    gptneox_sampler *sampler;
    uint64_t seed; /* of the sampler */
    const gptneox_tokenizer *tokenizer;
    int32_t pending; /* a token that was generated and is not in the session yet; -1: none */
    bool answering;  /* the first token of the answer is there */
    int loaded_percent;
    int write_error; /* errno of a failed write to standard output; 0: none */
    /* for the summary */
    int64_t n_prompt;
    int64_t n_generated;
    double prompt_seconds;
    double generate_seconds;
} program;

/* How often Ctrl-C was pressed since the current answer began. */
static atomic_int interrupts;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    atomic_fetch_add(&interrupts, 1);
}

/* SIGINT is counted, and interrupts a read from the terminal. A reader of our output that goes away
 * is an error of write() rather than a silent death. */
static void handle_signals(void) {
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

static int fail(const gi8_error *error) {
    fprintf(stderr, "gptneox: %s\n", error->message);
    return tool_exit_code(error->status);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* Writes to standard output at once, so that text appears as it is generated. */
static bool write_text(program *p, const char *text, size_t size) {
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, text, size);
        if (written >= 0) {
            text += written;
            size -= (size_t)written;
        } else if (errno != EINTR) {
            p->write_error = errno;
            return false;
        }
    }
    return true;
}

static int fail_output(int reason) {
    gi8_error error;
    gi8_error_set(&error, GI8_ERR_IO, "standard output cannot be written: %s", strerror(reason));
    return fail(&error);
}

/* A progress bar, drawn anew for each percent. */
static bool on_load_progress(void *user, uint64_t done, uint64_t total) {
    program *p = user;
    int percent = total > 0 ? (int)((double)done / (double)total * 100) : 100;
    if (percent != p->loaded_percent && isatty(STDERR_FILENO)) {
        enum { WIDTH = 40 };
        static const char bar[] = "########################################";
        p->loaded_percent = percent;
        fprintf(stderr, "\rloading [%-*.*s] %3d %%", WIDTH, percent * WIDTH / 100, bar, percent);
    }
    return atomic_load(&interrupts) == 0;
}

static void print_configuration(const program *p, const char *dir) {
    const gptneox_config *c = gptneox_model_config(p->model);
    fprintf(stderr, "model: %s\n", dir);
    fprintf(stderr, "layers: %" PRId32 " of %" PRId32 " heads, hidden %" PRId32
                    ", intermediate %" PRId32 ", %s residual\n",
            c->num_hidden_layers, c->num_attention_heads, c->hidden_size, c->intermediate_size,
            c->use_parallel_residual ? "parallel" : "sequential");
    fprintf(stderr, "rotary: %" PRId32 " of %" PRId32 " dimensions, theta %g, frequency scale %g\n",
            c->rotary_dim, c->head_dim, (double)c->rope_theta, (double)c->rope_freq_scale);
    fprintf(stderr, "vocabulary: %" PRId32 " rows, %" PRId32 " tokens\n", c->vocab_size,
            gptneox_n_tokens(p->model));
    fprintf(stderr, "context: %" PRId32 " tokens\n", gptneox_session_n_ctx(p->session));
}

static void print_summary(const program *p) {
    static const double MIB = 1024.0 * 1024.0;
    gptneox_footprint weights = gptneox_model_footprint(p->model);
    uint64_t cache = gptneox_session_kv_bytes(p->session);
    const char *reason = p->no_cuda.message;
    fprintf(stderr, "backend: %s%s%s\n", gi8_backend_name(p->backend),
            reason[0] != '\0' ? "; " : "", reason);
    fprintf(stderr, "weights: %" PRIu64 " bytes (%.1f MiB), %.3f of the %" PRIu64 " in fp16\n",
            weights.weight_bytes, (double)weights.weight_bytes / MIB,
            weights.fp16_bytes > 0 ? (double)weights.weight_bytes / (double)weights.fp16_bytes : 0,
            weights.fp16_bytes);
    fprintf(stderr, "KV cache: %" PRIu64 " bytes (%.1f MiB)\n", cache, (double)cache / MIB);
    fprintf(stderr, "prompt: %" PRId64 " tokens, %.1f tokens/s\n", p->n_prompt,
            p->prompt_seconds > 0 ? (double)p->n_prompt / p->prompt_seconds : 0);
    fprintf(stderr, "generation: %" PRId64 " tokens, %.1f tokens/s\n", p->n_generated,
            p->generate_seconds > 0 ? (double)p->n_generated / p->generate_seconds : 0);
    gi8_outlier_stats outliers = gptneox_session_outliers(p->session);
    if (outliers.columns > 0) {
        fprintf(stderr, "outliers: %.3f %% of the columns of activations\n",
                100.0 * (double)outliers.outlier_columns / (double)outliers.columns);
    }
}

/* ---- loading --------------------------------------------------------------------------------- */

/* The first Ctrl-C lets the token that is being computed finish, but does not wait for a long
 * prompt; the second waits for nothing. */
static bool should_cancel(void *user) {
    const program *p = user;
    int pressed = atomic_load(&interrupts);
    return pressed > 1 || (pressed > 0 && !p->answering);
}

static gi8_status load(program *p, const char *dir, gi8_error *error) {
    const gptneox_options *o = &p->options;
    p->backend = tool_backend_create(o->device, o->n_threads, &p->no_cuda, error);
    if (p->backend == NULL) {
        return error->status;
    }
    gptneox_model_params model = {.weights = (gptneox_weight_type)o->weights,
                                  .threshold = o->threshold,
                                  .outliers = (gi8_outliers)o->outliers,
                                  .quantize_head = o->quantize_head,
                                  .progress = on_load_progress,
                                  .user = p};
    p->model = gptneox_model_load(dir, p->backend, &model, error);
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K"); /* the progress bar goes */
    }
    if (p->model == NULL) {
        return error->status;
    }
    p->tokenizer = gptneox_model_tokenizer(p->model);
    if (p->tokenizer == NULL) {
        return gi8_error_set(error, GI8_ERR_FORMAT, "%s has no tokenizer.json", dir);
    }
    gptneox_session_params session = GPTNEOX_SESSION_PARAMS_DEFAULT;
    session.n_ctx = o->n_ctx;
    session.should_cancel = should_cancel;
    session.user = p;
    p->session = gptneox_session_create(p->model, &session, error);
    if (p->session == NULL) {
        return error->status;
    }
    int32_t trained = gptneox_model_config(p->model)->max_position_embeddings;
    if (o->n_ctx > trained) {
        fprintf(stderr, "the context of %" PRId32 " tokens goes beyond the %" PRId32
                        " that the model was trained for\n", o->n_ctx, trained);
    }
    return GI8_OK;
}

static gi8_status create_sampler(program *p, gi8_error *error) {
    const gptneox_options *o = &p->options;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    p->seed = o->seed >= 0 ? (uint64_t)o->seed : (uint64_t)(now.tv_sec ^ now.tv_nsec) & UINT32_MAX;
    gptneox_sampler_params params = {.temperature = o->temperature,
                                     .top_k = o->top_k,
                                     .top_p = o->top_p,
                                     .min_p = o->min_p,
                                     .repeat_penalty = o->repeat_penalty,
                                     .repeat_last_n = o->repeat_last_n,
                                     .seed = p->seed};
    p->sampler = gptneox_sampler_create(&params, error);
    return p->sampler != NULL ? GI8_OK : error->status;
}

/* ---- generating ------------------------------------------------------------------------------ */

static bool on_text(void *user, const char *text, size_t size) {
    return write_text(user, text, size) && atomic_load(&interrupts) == 0;
}

static bool on_token(void *user, int32_t token) {
    program *p = user;
    (void)token;
    p->answering = true;
    return true;
}

/* Turns text into ids, behind the token that is still pending. An empty text that follows nothing
 * starts from the token that begins a text. The caller frees *ids with free(). */
static gi8_status prompt_ids(const program *p, const char *text, size_t size, int32_t **ids,
                             int32_t *n_ids, gi8_error *error) {
    const gptneox_config *config = gptneox_model_config(p->model);
    int32_t first = p->pending;
    if (size == 0 && first < 0) {
        first = config->bos_token_id >= 0 ? config->bos_token_id : config->eos_token_id;
        if (first < 0) {
            return gi8_error_set(error, GI8_ERR_ARGUMENT,
                                 "the prompt is empty, and the model names no begin-of-text token");
        }
    }
    int32_t *text_ids;
    size_t n_text;
    gi8_status status = gptneox_tokenize(p->tokenizer, text, size, 0, &text_ids, &n_text, error);
    if (status != GI8_OK) {
        return status;
    }
    size_t n_first = first >= 0 ? 1 : 0;
    int32_t n_ctx = gptneox_session_n_ctx(p->session);
    if (n_text + n_first > (size_t)n_ctx) {
        gptneox_ids_free(text_ids);
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "the prompt has %zu tokens, the context only %" PRId32
                             " (--ctx-size sets it)", n_text + n_first, n_ctx);
    }
    *ids = malloc((n_text + n_first) * sizeof **ids);
    if (*ids == NULL) {
        gptneox_ids_free(text_ids);
        return gi8_error_set(error, GI8_ERR_MEMORY, "no memory for a prompt of %zu tokens", n_text);
    }
    if (n_first > 0) {
        (*ids)[0] = first;
    }
    if (n_text > 0) {
        memcpy(*ids + n_first, text_ids, n_text * sizeof **ids);
    }
    gptneox_ids_free(text_ids);
    *n_ids = (int32_t)(n_text + n_first);
    return GI8_OK;
}

/* Appends ids to the session and streams what follows. */
static gi8_status answer(program *p, const int32_t *ids, int32_t n_ids, gi8_error *error) {
    int32_t room = gptneox_session_n_ctx(p->session) - gptneox_session_length(p->session, 0);
    if (n_ids > room) {
        fprintf(stderr, "[the context is full: starting anew]\n");
        gptneox_session_truncate(p->session, 0, 0, NULL);
    }
    gptneox_generate_params params = {.max_tokens = p->options.n_predict,
                                      .ignore_eos = p->options.ignore_eos,
                                      .on_text = on_text,
                                      .on_token = on_token,
                                      .user = p};
    gptneox_generate_result result = {.n_prompt = 0};
    p->answering = false;
    gi8_status status =
        gptneox_generate(p->session, p->sampler, ids, n_ids, &params, &result, error);
    p->n_prompt += result.n_prompt;
    p->n_generated += result.n_generated;
    p->prompt_seconds += result.prompt_seconds;
    p->generate_seconds += result.generate_seconds;
    if (status != GI8_OK && !p->answering) {
        return status; /* the session holds nothing of the prompt: the pending token stays */
    }
    p->pending = result.pending_token;
    if (status == GI8_OK && p->options.verbose) {
        static const char *const reasons[] = {"--n-predict reached", "end of text",
                                              "the context is full", "stopped"};
        fprintf(stderr, "\n[%s]\n", reasons[result.stop]);
    }
    return status;
}

/* One prompt, one answer. */
static int run_once(program *p, const char *text, size_t size) {
    gi8_error error = GI8_ERROR_INIT;
    int32_t *ids;
    int32_t n_ids;
    gi8_status status = prompt_ids(p, text, size, &ids, &n_ids, &error);
    if (status != GI8_OK) {
        return fail(&error);
    }
    fprintf(stderr, "seed: %" PRIu64 "\n", p->seed);
    if (write_text(p, text, size)) {
        status = answer(p, ids, n_ids, &error);
    }
    free(ids);
    if (p->write_error != 0 || !write_text(p, "\n", 1)) {
        return fail_output(p->write_error);
    }
    if (status != GI8_OK && status != GI8_ERR_CANCELLED) {
        return fail(&error);
    }
    print_summary(p);
    return atomic_load(&interrupts) > 0 ? TOOL_EXIT_INTERRUPTED : TOOL_EXIT_OK;
}

/* Lines from the terminal, each continuing the text so far. */
static int run_interactive(program *p) {
    char *line = NULL;
    size_t capacity = 0;
    int code = TOOL_EXIT_OK;
    fprintf(stderr, "seed: %" PRIu64 "\n", p->seed);
    for (;;) {
        atomic_store(&interrupts, 0);
        fprintf(stderr, "> ");
        ssize_t length = getline(&line, &capacity, stdin);
        if (length < 0) {
            code = atomic_load(&interrupts) > 0 ? TOOL_EXIT_INTERRUPTED : TOOL_EXIT_OK;
            fprintf(stderr, "\n");
            break;
        }
        if (length > 0 && line[length - 1] == '\n') {
            length--;
        }
        gi8_error error = GI8_ERROR_INIT;
        int32_t *ids;
        int32_t n_ids;
        gi8_status status = prompt_ids(p, line, (size_t)length, &ids, &n_ids, &error);
        if (status == GI8_OK) {
            status = answer(p, ids, n_ids, &error);
            free(ids);
        }
        if (p->write_error != 0 || !write_text(p, "\n", 1)) {
            code = fail_output(p->write_error);
            break;
        }
        if (status != GI8_OK && status != GI8_ERR_CANCELLED) {
            fail(&error); /* the next line may do better */
        }
        if (atomic_load(&interrupts) > 1) {
            code = TOOL_EXIT_INTERRUPTED;
            break;
        }
    }
    free(line);
    if (p->write_error == 0) {
        print_summary(p);
    }
    return code;
}

/* Reads the prompt, unless it is to come from a terminal: then *text stays NULL. */
static gi8_status read_prompt(const gptneox_options *o, char **text, size_t *size,
                              gi8_error *error) {
    *text = NULL;
    *size = 0;
    if (o->prompt != NULL) {
        *size = strlen(o->prompt);
        *text = strdup(o->prompt);
        return *text != NULL ? GI8_OK : gi8_error_set(error, GI8_ERR_MEMORY, "no memory");
    }
    if (o->prompt_file == NULL && isatty(STDIN_FILENO)) {
        return GI8_OK;
    }
    gi8_status status =
        tool_read_file(o->prompt_file != NULL ? o->prompt_file : "-", text, size, error);
    if (status == GI8_OK && *size > 0 && (*text)[*size - 1] == '\n') {
        --*size;
    }
    return status;
}

static int run(program *p) {
    const gptneox_options *o = &p->options;
    gi8_error error = GI8_ERROR_INIT;
    char bundled[4200];
    const char *dir = o->model;
    if (dir == NULL) {
        if (tool_find_bundled_model(bundled, sizeof bundled, &error) != GI8_OK) {
            return fail(&error);
        }
        dir = bundled;
    }
    char *text;
    size_t size;
    if (read_prompt(o, &text, &size, &error) != GI8_OK) {
        return fail(&error);
    }
    handle_signals();
    int code;
    if (load(p, dir, &error) != GI8_OK || create_sampler(p, &error) != GI8_OK) {
        code = fail(&error);
    } else {
        if (o->verbose) {
            print_configuration(p, dir);
        }
        code = text != NULL ? run_once(p, text, size) : run_interactive(p);
    }
    free(text);
    return code;
}

int main(int argc, char **argv) {
    program p = {.pending = -1, .no_cuda = GI8_ERROR_INIT};
    gi8_error error = GI8_ERROR_INIT;
    if (gptneox_options_parse(&p.options, argc, argv, &error) != GI8_OK) {
        fprintf(stderr, "gptneox: %s; --help lists the options\n", error.message);
        return TOOL_EXIT_USAGE;
    }
    if (p.options.help || p.options.version) {
        bool written = p.options.help
                           ? gptneox_options_print_help()
                           : puts("gptneox " GPTNEOX_VERSION) >= 0 && fflush(stdout) == 0;
        return written ? TOOL_EXIT_OK : fail_output(errno);
    }
    int code = run(&p);
    gptneox_sampler_free(p.sampler);
    gptneox_session_free(p.session);
    gptneox_model_free(p.model);
    gi8_backend_free(p.backend);
    return code;
}
