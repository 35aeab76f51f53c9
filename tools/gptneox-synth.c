/* gptneox-synth.c - writes a GPT-NeoX checkpoint with random weights, in Hugging Face form, so that
 * anybody can repeat a measurement of speed or memory without downloading a model. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ggml-int8/gi8_types.h"
#include "tool.h"
#include "tool_options.h"

#define PROGRAM "gptneox-synth"

/* The shapes of the Pythia suite (Biderman et al. 2023, table 1) and of GPT-NeoX-20B, in the order
 * in which --shape names them. */
typedef struct shape {
    const char *name;
    int layers, hidden, heads, vocab;
} shape;

static const shape SHAPES[] = {
    {"14m", 6, 128, 4, 50304},    {"31m", 6, 256, 8, 50304},     {"70m", 6, 512, 8, 50304},
    {"160m", 12, 768, 12, 50304}, {"410m", 24, 1024, 16, 50304}, {"1b", 16, 2048, 8, 50304},
    {"1.4b", 24, 2048, 16, 50304}, {"2.8b", 32, 2560, 32, 50304}, {"6.9b", 32, 4096, 32, 50432},
    {"12b", 36, 5120, 40, 50688}, {"20b", 44, 6144, 64, 50432},
};

/* One tensor: matrices are normal(0, std), norms' gains 1 and every bias 0. */
typedef struct tensor {
    char name[96];
    int64_t rows, cols; /* rows 0: a vector of `cols` */
    float mean, std;
    int boosted; /* leading elements of a gain that make outlier columns */
} tensor;

typedef struct plan {
    tensor *tensors;
    size_t n, capacity;
} plan;

/* A gain this large makes most activations of its column pass the threshold of 6 in some token. */
static const float BOOST = 12.0f;

static bool add(plan *p, const char *name, int64_t rows, int64_t cols, float mean, float std,
                int boosted) {
    if (p->n == p->capacity) {
        size_t capacity = p->capacity != 0 ? 2 * p->capacity : 64;
        tensor *bigger = realloc(p->tensors, capacity * sizeof *bigger);
        if (bigger == NULL) {
            return false;
        }
        p->tensors = bigger;
        p->capacity = capacity;
    }
    tensor *t = &p->tensors[p->n++];
    *t = (tensor){.rows = rows, .cols = cols, .mean = mean, .std = std, .boosted = boosted};
    snprintf(t->name, sizeof t->name, "%s", name);
    return true;
}

static bool add_linear(plan *p, int layer, const char *part, int64_t out, int64_t in) {
    char name[96];
    snprintf(name, sizeof name, "gpt_neox.layers.%d.%s.weight", layer, part);
    bool ok = add(p, name, out, in, 0.0f, 0.02f, 0);
    snprintf(name, sizeof name, "gpt_neox.layers.%d.%s.bias", layer, part);
    return ok && add(p, name, 0, out, 0.0f, 0.0f, 0);
}

static bool add_norm(plan *p, const char *prefix, int64_t n, int boosted) {
    char name[96];
    snprintf(name, sizeof name, "%s.weight", prefix);
    bool ok = add(p, name, 0, n, 1.0f, 0.0f, boosted);
    snprintf(name, sizeof name, "%s.bias", prefix);
    return ok && add(p, name, 0, n, 0.0f, 0.0f, 0);
}

static bool plan_tensors(plan *p, const shape *s, int outliers) {
    const int64_t d = s->hidden;
    bool ok = add(p, "gpt_neox.embed_in.weight", s->vocab, d, 0.0f, 1.0f, 0);
    for (int i = 0; i < s->layers && ok; i++) {
        char prefix[96];
        snprintf(prefix, sizeof prefix, "gpt_neox.layers.%d.input_layernorm", i);
        ok = add_norm(p, prefix, d, outliers);
        snprintf(prefix, sizeof prefix, "gpt_neox.layers.%d.post_attention_layernorm", i);
        ok = ok && add_norm(p, prefix, d, outliers) &&
             add_linear(p, i, "attention.query_key_value", 3 * d, d) &&
             add_linear(p, i, "attention.dense", d, d) &&
             add_linear(p, i, "mlp.dense_h_to_4h", 4 * d, d) &&
             add_linear(p, i, "mlp.dense_4h_to_h", d, 4 * d);
    }
    return ok && add_norm(p, "gpt_neox.final_layer_norm", d, 0) &&
           add(p, "embed_out.weight", s->vocab, d, 0.0f, 0.02f, 0);
}

static int64_t elements(const tensor *t) { return t->cols * (t->rows != 0 ? t->rows : 1); }

/* ---- random numbers -------------------------------------------------------------------------- */

/* Five roughly normal numbers from each splitmix64 step: 12 bits choose one of 4096 quantiles. */
static uint64_t state;
static float quantile[4096];

static void fill_quantiles(void) {
    /* The inverse of the normal distribution at the middles of 4096 equal parts, by bisection. */
    for (int i = 0; i < 4096; i++) {
        double want = (i + 0.5) / 4096;
        double low = -5;
        double high = 5;
        for (int step = 0; step < 50; step++) {
            double middle = (low + high) / 2;
            if (0.5 * erfc(-middle / sqrt(2.0)) < want) {
                low = middle;
            } else {
                high = middle;
            }
        }
        quantile[i] = (float)low;
    }
}

static void fill(const tensor *t, int64_t first, int64_t n, uint16_t *out) {
    for (int64_t i = 0; i < n;) {
        uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        for (int part = 0; part < 5 && i < n; part++, i++, z >>= 12) {
            float mean = first + i < t->boosted ? BOOST : t->mean;
            out[i] = gi8_fp32_to_fp16(mean + t->std * quantile[z & 4095]);
        }
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A file that appears under its name only when it is complete. */
typedef struct output {
    FILE *file;
    char path[4096];
    char temporary[4096 + 8];
} output;

static bool output_open(output *o, const char *dir, const char *name) {
    int n = snprintf(o->path, sizeof o->path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof o->path) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(o->temporary, sizeof o->temporary, "%s.tmp", o->path);
    o->file = fopen(o->temporary, "wb");
    return o->file != NULL;
}

static bool output_close(output *o, bool ok) {
    ok = ok && fflush(o->file) == 0 && fsync(fileno(o->file)) == 0;
    int reason = errno;
    ok = fclose(o->file) == 0 && ok;
    if (ok && rename(o->temporary, o->path) == 0) {
        return true;
    }
    reason = ok ? errno : reason;
    unlink(o->temporary);
    errno = reason;
    return false;
}

static bool write_config(const char *dir, const shape *s) {
    output o;
    if (!output_open(&o, dir, "config.json")) {
        return false;
    }
    int n = fprintf(o.file,
                    "{\n  \"architectures\": [\"GPTNeoXForCausalLM\"],\n"
                    "  \"model_type\": \"gpt_neox\",\n"
                    "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"num_hidden_layers\": %d,\n"
                    "  \"num_attention_heads\": %d,\n  \"intermediate_size\": %d,\n"
                    "  \"hidden_act\": \"gelu\",\n  \"rotary_pct\": 0.25,\n"
                    "  \"rotary_emb_base\": 10000,\n  \"max_position_embeddings\": 2048,\n"
                    "  \"layer_norm_eps\": 1e-05,\n  \"use_parallel_residual\": true,\n"
                    "  \"tie_word_embeddings\": false,\n  \"bos_token_id\": 0,\n"
                    "  \"eos_token_id\": 0,\n  \"torch_dtype\": \"float16\"\n}\n",
                    s->vocab, s->hidden, s->layers, s->heads, 4 * s->hidden);
    return output_close(&o, n > 0);
}

static bool write_header(FILE *file, const plan *p) {
    /* Measure, then write: the length stands before the text. */
    size_t length = 1;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t offset = 0;
        if (pass == 1) {
            size_t padded = (length + 7) / 8 * 8;
            unsigned char size[8];
            for (int i = 0; i < 8; i++) {
                size[i] = (unsigned char)((uint64_t)padded >> (8 * i));
            }
            if (fwrite(size, 1, 8, file) != 8) {
                return false;
            }
        }
        for (size_t i = 0; i < p->n; i++) {
            const tensor *t = &p->tensors[i];
            char entry[320];
            char dims[64];
            uint64_t end = offset + 2 * (uint64_t)elements(t);
            if (t->rows != 0) {
                snprintf(dims, sizeof dims, "%" PRId64 ",%" PRId64, t->rows, t->cols);
            } else {
                snprintf(dims, sizeof dims, "%" PRId64, t->cols);
            }
            int n = snprintf(entry, sizeof entry,
                             "%c\"%s\":{\"dtype\":\"F16\",\"shape\":[%s],\"data_offsets\":[%" PRIu64
                             ",%" PRIu64 "]}",
                             i == 0 ? '{' : ',', t->name, dims, offset, end);
            if (pass == 0) {
                length += (size_t)n;
            } else if (fwrite(entry, 1, (size_t)n, file) != (size_t)n) {
                return false;
            }
            offset = end;
        }
    }
    return fprintf(file, "}%*s", (int)((8 - length % 8) % 8), "") > 0;
}

static bool write_weights(const char *dir, const plan *p) {
    enum { TILE = 1 << 20 };
    uint16_t *tile = malloc(TILE * sizeof *tile);
    output o;
    if (tile == NULL || !output_open(&o, dir, "model.safetensors")) {
        free(tile);
        return false;
    }
    bool ok = write_header(o.file, p);
    for (size_t i = 0; i < p->n && ok; i++) {
        int64_t total = elements(&p->tensors[i]);
        for (int64_t first = 0; first < total && ok; first += TILE) {
            int64_t n = total - first < TILE ? total - first : TILE;
            fill(&p->tensors[i], first, n, tile);
            ok = fwrite(tile, sizeof *tile, (size_t)n, o.file) == (size_t)n;
        }
    }
    free(tile);
    return output_close(&o, ok);
}

/* ---- a checkpoint that is there -------------------------------------------------------------- */

/* The files that make a checkpoint; config.json, without which nothing is one, comes first. */
static const char *const PARTS[] = {"config.json", "model.safetensors",
                                    "model.safetensors.index.json"};

/* Fails where DIR holds a checkpoint; with `force`, removes it. */
static gi8_status make_room(const char *dir, bool force, gi8_error *error) {
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        char path[4096];
        int n = snprintf(path, sizeof path, "%s/%s", dir, PARTS[i]);
        if (n < 0 || (size_t)n >= sizeof path) {
            return gi8_error_set(error, GI8_ERR_IO, "cannot write to \"%.40s...\": %s", dir,
                                 strerror(ENAMETOOLONG));
        }
        struct stat info;
        if (!force && lstat(path, &info) == 0) {
            return gi8_error_set(error, GI8_ERR_IO,
                                 "%s: expected a directory without a checkpoint, found %s", dir,
                                 PARTS[i]);
        }
        if (force && unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR) {
            return gi8_error_set(error, GI8_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
        }
    }
    return GI8_OK;
}

/* ---- command line ---------------------------------------------------------------------------- */

typedef struct synth_options {
    int32_t shape; /* place in SHAPES; -1: not given */
    const char *output;
    int32_t outliers;
    int64_t seed;
    bool force;
    bool help;
    bool version;
} synth_options;

#define FIELD(name) offsetof(synth_options, name)

static const tool_option specs[] = {
    {'s', "shape", "14m|31m|70m|160m|410m|1b|1.4b|2.8b|6.9b|12b|20b", TOOL_OPTION_CHOICE,
     FIELD(shape), 0, 0, "of the Pythia suite; 20b: GPT-NeoX-20B"},
    {'o', "output", "DIR", TOOL_OPTION_TEXT, FIELD(output), 0, 0, "where to; made if absent"},
    {0, "outliers", "N", TOOL_OPTION_INT, FIELD(outliers), 0, 6144,
     "make N columns of the output of every layer's norms\n"
     "outliers; at most the hidden size (default: 0)"},
    {0, "seed", "N", TOOL_OPTION_BIG_INT, FIELD(seed), 0, 9007199254740991.0,
     "of the random weights (default: 0)"},
    {0, "force", NULL, TOOL_OPTION_FLAG, FIELD(force), 0, 0,
     "replace a checkpoint that is there"},
    {'h', "help", NULL, TOOL_OPTION_FLAG, FIELD(help), 0, 0, "print this help"},
    {0, "version", NULL, TOOL_OPTION_FLAG, FIELD(version), 0, 0, "print the version"},
};

static const tool_option_table table = {specs, sizeof specs / sizeof *specs,
                                        "-s names the shape, -o the output"};

static int print_help(void) {
    printf("usage: gptneox-synth -s SHAPE -o DIR [options]\n"
           "\n"
           "Writes a GPT-NeoX checkpoint with random F16 weights: config.json and\n"
           "model.safetensors. There is no tokenizer.json: copy one beside them to generate text.\n"
           "\n");
    tool_options_print(&table);
    printf("\n"
           "Options also take the form --option=value.\n"
           "Exit codes: 0 fine, 2 bad option, 4 a file or the output cannot be written, 5 out of\n"
           "memory.\n");
    return tool_finish_output(PROGRAM);
}

static gi8_status synthesize(const shape *s, const synth_options *o, gi8_error *error) {
    if (mkdir(o->output, 0777) != 0 && errno != EEXIST) {
        return gi8_error_set(error, GI8_ERR_IO, "cannot make the directory \"%s\": %s", o->output,
                             strerror(errno));
    }
    gi8_status status = make_room(o->output, o->force, error);
    if (status != GI8_OK) {
        return status;
    }
    plan p = {0};
    fill_quantiles();
    state = (uint64_t)o->seed;
    if (!plan_tensors(&p, s, o->outliers)) {
        status = gi8_error_set(error, GI8_ERR_MEMORY, "no memory for a list of tensors");
    } else if (!write_weights(o->output, &p) || !write_config(o->output, s)) {
        gi8_status kind = errno == ENOMEM ? GI8_ERR_MEMORY : GI8_ERR_IO;
        status = gi8_error_set(error, kind, "cannot write to %s: %s", o->output, strerror(errno));
    }
    free(p.tensors);
    return status;
}

/* Checks what the table of options cannot. */
static gi8_status check_options(const synth_options *o, gi8_error *error) {
    if (o->shape < 0 || o->output == NULL) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT, "needs a shape (-s) and an output (-o)");
    }
    const shape *s = &SHAPES[o->shape];
    if (o->outliers > s->hidden) {
        return gi8_error_set(error, GI8_ERR_ARGUMENT,
                             "--outliers is at most %d, the hidden size of %s, not %" PRId32,
                             s->hidden, s->name, o->outliers);
    }
    return GI8_OK;
}

int main(int argc, char **argv) {
    synth_options o = {.shape = -1};
    gi8_error error = GI8_ERROR_INIT;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error to report */
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
    status = synthesize(&SHAPES[o.shape], &o, &error);
    if (status != GI8_OK) {
        fprintf(stderr, PROGRAM ": %s\n", error.message);
    }
    return tool_exit_code(status);
}
