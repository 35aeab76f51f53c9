/* json.c - jansson with bounds, and getters that check before they convert. */
#include "json.h"

#include <inttypes.h>
#include <stdlib.h>

#include "file.h"

json_t *gptneoxi_json_load(const char *path, size_t max_size, gi8_error *error) {
    gptneoxi_file file;
    if (gptneoxi_file_open(&file, path, error) != GI8_OK) {
        return NULL;
    }
    json_t *root = NULL;
    if (file.size > max_size) {
        gi8_error_set(error, GI8_ERR_FORMAT, "%s: %" PRIu64 " bytes, expected at most %zu", path,
                      file.size, max_size);
    } else {
        size_t size = (size_t)file.size;
        char *text = malloc(size + 1); /* + 1: an empty file is no special case */
        if (text == NULL) {
            gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory for its %zu bytes", path, size);
        } else if (gptneoxi_file_read(&file, 0, text, size, error) == GI8_OK) {
            root = gptneoxi_json_parse(path, text, size, error);
        }
        free(text);
    }
    gptneoxi_file_close(&file);
    return root;
}

json_t *gptneoxi_json_parse(const char *path, const char *text, size_t size, gi8_error *error) {
    json_error_t parse_error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &parse_error);
    if (root == NULL) {
        if (parse_error.text[0] == '\0') { /* how jansson says that malloc() returned NULL */
            gi8_error_set(error, GI8_ERR_MEMORY, "%s: no memory to parse it", path);
        } else {
            gi8_error_set(error, GI8_ERR_FORMAT, "%s: not valid JSON: line %d, column %d: %s", path,
                          parse_error.line, parse_error.column, parse_error.text);
        }
    }
    return root;
}

const char *gptneoxi_json_kind(const json_t *value) {
    if (value == NULL) {
        return "nothing";
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

static gi8_status wrong_kind(const char *path, const char *key, const char *expected,
                             const json_t *found, gi8_error *error) {
    return gi8_error_set(error, GI8_ERR_FORMAT, "%s: %s: expected %s, found %s", path, key,
                         expected, gptneoxi_json_kind(found));
}

gi8_status gptneoxi_json_get_int(const json_t *object, const char *path, const char *key,
                                 int64_t low, int64_t high, int64_t *value, gi8_error *error) {
    const json_t *found = json_object_get(object, key);
    if (found == NULL) {
        return GI8_OK;
    }
    if (!json_is_integer(found)) {
        return wrong_kind(path, key, "an integer", found, error);
    }
    int64_t number = json_integer_value(found);
    if (number < low || number > high) {
        return gi8_error_set(error, GI8_ERR_FORMAT,
                             "%s: %s: expected %" PRId64 " to %" PRId64 ", found %" PRId64, path,
                             key, low, high, number);
    }
    *value = number;
    return GI8_OK;
}

gi8_status gptneoxi_json_get_number(const json_t *object, const char *path, const char *key,
                                    double low, double high, double *value, gi8_error *error) {
    const json_t *found = json_object_get(object, key);
    if (found == NULL) {
        return GI8_OK;
    }
    if (!json_is_number(found)) {
        return wrong_kind(path, key, "a number", found, error);
    }
    double number = json_number_value(found);
    if (!(number >= low && number <= high)) {
        return gi8_error_set(error, GI8_ERR_FORMAT, "%s: %s: expected %g to %g, found %g", path,
                             key, low, high, number);
    }
    *value = number;
    return GI8_OK;
}

gi8_status gptneoxi_json_get_bool(const json_t *object, const char *path, const char *key,
                                  bool *value, gi8_error *error) {
    const json_t *found = json_object_get(object, key);
    if (found == NULL) {
        return GI8_OK;
    }
    if (!json_is_boolean(found)) {
        return wrong_kind(path, key, "true or false", found, error);
    }
    *value = json_is_true(found);
    return GI8_OK;
}

gi8_status gptneoxi_json_get_string(const json_t *object, const char *path, const char *key,
                                    const char **value, gi8_error *error) {
    const json_t *found = json_object_get(object, key);
    if (found == NULL) {
        return GI8_OK;
    }
    if (!json_is_string(found)) {
        return wrong_kind(path, key, "a string", found, error);
    }
    *value = json_string_value(found);
    return GI8_OK;
}

gi8_status gptneoxi_json_get_object(const json_t *object, const char *path, const char *key,
                                    const json_t **value, gi8_error *error) {
    const json_t *found = json_object_get(object, key);
    if (found == NULL || json_is_null(found)) {
        return GI8_OK;
    }
    if (!json_is_object(found)) {
        return wrong_kind(path, key, "an object", found, error);
    }
    *value = found;
    return GI8_OK;
}
