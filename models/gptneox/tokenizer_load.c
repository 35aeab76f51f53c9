/* tokenizer_load.c - loading a tokenizer.json: which components and options it may have. */
#include "tokenizer_load.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

/* Real files have 2 to 20 MB; the bound keeps a wrong file from filling the memory. */
#define MAX_FILE_SIZE ((size_t)1 << 28)

const char *gptneoxi_string_or(const json_t *value, const char *otherwise) {
    return json_is_string(value) ? json_string_value(value) : otherwise;
}

static const char *type_of(const json_t *component) {
    return gptneoxi_string_or(json_object_get(component, "type"), "");
}

/* Says that a field has a value other than what is supported. */
static gi8_status refuse(const gptneoxi_loader *l, const char *field, const json_t *value,
                         const char *supported) {
    char *text = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    gi8_status status =
        gi8_error_set(l->error, GI8_ERR_UNSUPPORTED, "%s: %s is %.200s; supported: %s", l->name,
                      field, text != NULL ? text : gptneoxi_json_kind(value), supported);
    free(text);
    return status;
}

typedef gi8_status (*component_fn)(gptneoxi_loader *l, const char *field, const json_t *component);

/* Hands the component of a field to `use` or, if it is a Sequence, each of its members. */
static gi8_status each_component(gptneoxi_loader *l, const char *field, const char *members,
                                 component_fn use) {
    const json_t *component = json_object_get(l->root, field);
    l->n_byte_level = 0;
    if (component == NULL || json_is_null(component)) {
        return GI8_OK;
    }
    if (strcmp(type_of(component), "Sequence") != 0) {
        return use(l, field, component);
    }
    const json_t *list = json_object_get(component, members);
    if (!json_is_array(list)) {
        return gi8_error_set(l->error, GI8_ERR_FORMAT,
                             "%s: %s is a Sequence whose \"%s\" is %s, not an array", l->name,
                             field, members, gptneoxi_json_kind(list));
    }
    gi8_status status = GI8_OK;
    for (size_t i = 0; status == GI8_OK && i < json_array_size(list); i++) {
        status = use(l, field, json_array_get(list, i));
    }
    return status;
}

/* each_component() for a field that must hold exactly one ByteLevel; `use` counts them. */
static gi8_status one_byte_level(gptneoxi_loader *l, const char *field, const char *members,
                                 component_fn use) {
    gi8_status status = each_component(l, field, members, use);
    if (status == GI8_OK && l->n_byte_level != 1) {
        status = refuse(l, field, json_object_get(l->root, field), "one ByteLevel");
    }
    return status;
}

static gi8_status use_normalizer(gptneoxi_loader *l, const char *field, const json_t *component) {
    if (strcmp(type_of(component), "NFC") != 0) {
        return refuse(l, field, component, "{\"type\":\"NFC\"} or null");
    }
    l->tokenizer->nfc = true;
    return GI8_OK;
}

static gi8_status use_byte_level(gptneoxi_loader *l, const char *field, const json_t *component) {
    if (strcmp(type_of(component), "ByteLevel") != 0) {
        return refuse(l, field, component, "one ByteLevel");
    }
    l->n_byte_level++;
    return GI8_OK;
}

static gi8_status use_pre_tokenizer(gptneoxi_loader *l, const char *field,
                                    const json_t *component) {
    gptneox_tokenizer *t = l->tokenizer;
    gi8_status status = use_byte_level(l, field, component);
    if (status == GI8_OK) {
        status = gptneoxi_json_get_bool(component, l->name, "add_prefix_space",
                                        &t->add_prefix_space, l->error);
    }
    bool use_regex = true;
    if (status == GI8_OK) {
        status = gptneoxi_json_get_bool(component, l->name, "use_regex", &use_regex, l->error);
    }
    if (status == GI8_OK && use_regex && t->pattern == NULL) {
        status = gptneoxi_pattern_compile(&t->pattern, l->error);
    }
    return status;
}

/* A ByteLevel post-processor changes offsets only. Newer files have a template: fine if it is the
 * text and nothing else. */
static gi8_status use_post_processor(gptneoxi_loader *l, const char *field,
                                     const json_t *component) {
    const json_t *single = json_object_get(component, "single");
    const json_t *text = json_object_get(json_array_get(single, 0), "Sequence");
    bool only_text = strcmp(type_of(component), "TemplateProcessing") == 0 &&
                     json_array_size(single) == 1 &&
                     strcmp(gptneoxi_string_or(json_object_get(text, "id"), ""), "A") == 0;
    if (!only_text && strcmp(type_of(component), "ByteLevel") != 0) {
        return refuse(l, field, component, "ByteLevel, or a TemplateProcessing that adds no token");
    }
    return GI8_OK;
}

static gi8_status read_components(gptneoxi_loader *l) {
    gi8_status status = each_component(l, "normalizer", "normalizers", use_normalizer);
    if (status == GI8_OK) {
        status = one_byte_level(l, "pre_tokenizer", "pretokenizers", use_pre_tokenizer);
    }
    if (status == GI8_OK) {
        status = each_component(l, "post_processor", "processors", use_post_processor);
    }
    if (status == GI8_OK) {
        status = one_byte_level(l, "decoder", "decoders", use_byte_level);
    }
    return status;
}

/* Whether a model option has a value that means "off". */
static bool is_off(const json_t *value) {
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && !(json_number_value(value) != 0.0));
}

static gi8_status check_model(const gptneoxi_loader *l) {
    static const char *const must_be_off[][2] = {
        {"dropout", "model.dropout"},
        {"unk_token", "model.unk_token"},
        {"continuing_subword_prefix", "model.continuing_subword_prefix"},
        {"end_of_word_suffix", "model.end_of_word_suffix"},
        {"byte_fallback", "model.byte_fallback"},
        {"ignore_merges", "model.ignore_merges"},
    };
    const json_t *model = json_object_get(l->root, "model");
    if (!json_is_object(model)) {
        return gi8_error_set(l->error, GI8_ERR_FORMAT, "%s: \"model\" is %s, not an object",
                             l->name, gptneoxi_json_kind(model));
    }
    const json_t *type = json_object_get(model, "type"); /* absent in the oldest files */
    if (type != NULL && strcmp(gptneoxi_string_or(type, ""), "BPE") != 0) {
        return refuse(l, "model.type", type, "\"BPE\"");
    }
    for (size_t i = 0; i < sizeof must_be_off / sizeof must_be_off[0]; i++) {
        const json_t *value = json_object_get(model, must_be_off[i][0]);
        if (!is_off(value)) {
            return refuse(l, must_be_off[i][1], value, "null");
        }
    }
    return GI8_OK;
}

/* Makes a tokenizer from a parsed file (NULL: parsing failed, *error is set), which it releases. */
static gptneox_tokenizer *load(json_t *root, const char *name, gi8_error *error) {
    if (root == NULL) {
        return NULL;
    }
    gptneoxi_loader l = {.root = root, .name = name, .error = error};
    gi8_status status = GI8_OK;
    l.tokenizer = calloc(1, sizeof *l.tokenizer);
    if (l.tokenizer == NULL) {
        status = gi8_error_set(error, GI8_ERR_MEMORY, "%s: out of memory", name);
    }
    if (status == GI8_OK) {
        status = check_model(&l);
    }
    if (status == GI8_OK) {
        status = read_components(&l);
    }
    if (status == GI8_OK) {
        status = gptneoxi_load_tables(&l);
    }
    if (status != GI8_OK) {
        gptneox_tokenizer_free(l.tokenizer);
        l.tokenizer = NULL;
    }
    json_decref(root);
    return l.tokenizer;
}

gptneox_tokenizer *gptneox_tokenizer_load(const char *path, gi8_error *error) {
    if (path == NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_tokenizer_load: path is NULL");
        return NULL;
    }
    return load(gptneoxi_json_load(path, MAX_FILE_SIZE, error), path, error);
}

gptneox_tokenizer *gptneox_tokenizer_load_memory(const char *json, size_t size, gi8_error *error) {
    static const char name[] = "tokenizer.json (in memory)";
    if (json == NULL) {
        gi8_error_set(error, GI8_ERR_ARGUMENT, "gptneox_tokenizer_load_memory: json is NULL");
        return NULL;
    }
    return load(gptneoxi_json_parse(name, json, size, error), name, error);
}
