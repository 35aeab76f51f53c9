/* json.h - reading JSON files that nobody vouched for: bounded size, checked types. */
#ifndef GPTNEOXI_JSON_H
#define GPTNEOXI_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"

/* Reads a JSON file of at most `max_size` bytes; duplicate keys are refused. The caller owns what
 * it gets. NULL: GI8_ERR_IO, GI8_ERR_FORMAT (the sentence has file, line and column),
 * GI8_ERR_MEMORY. */
json_t *gptneoxi_json_load(const char *path, size_t max_size, gi8_error *error);

/* Parses `size` bytes of text that came from `path` in the same way. */
json_t *gptneoxi_json_parse(const char *path, const char *text, size_t size, gi8_error *error);

/* "an object", "an integer", ...; "nothing" for NULL. */
const char *gptneoxi_json_kind(const json_t *value);

/* The value of a key in `object`, if it is there, into *value; where it is absent *value stays as
 * it is. Another type, or a number outside [low, high], is GI8_ERR_FORMAT with `path` and key. */
gi8_status gptneoxi_json_get_int(const json_t *object, const char *path, const char *key,
                                 int64_t low, int64_t high, int64_t *value, gi8_error *error);
gi8_status gptneoxi_json_get_number(const json_t *object, const char *path, const char *key,
                                    double low, double high, double *value, gi8_error *error);
gi8_status gptneoxi_json_get_bool(const json_t *object, const char *path, const char *key,
                                  bool *value, gi8_error *error);
/* *value lives as long as `object`. */
gi8_status gptneoxi_json_get_string(const json_t *object, const char *path, const char *key,
                                    const char **value, gi8_error *error);
/* *value, which lives as long as `object`, stays as it is for null too. */
gi8_status gptneoxi_json_get_object(const json_t *object, const char *path, const char *key,
                                    const json_t **value, gi8_error *error);

#endif
