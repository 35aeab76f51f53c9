/* tool_model.c - where the bundled model is. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Where it is installed, seen from the folder of the program. */
#define INSTALLED_MODEL "../share/ggml-int8/gptneox-demo"

static bool has_config(const char *dir) {
    char path[4200];
    int length = snprintf(path, sizeof path, "%s/config.json", dir);
    return length > 0 && (size_t)length < sizeof path && access(path, R_OK) == 0;
}

gi8_status tool_find_bundled_model(char *dir, size_t capacity, gi8_error *error) {
    ssize_t length = readlink("/proc/self/exe", dir, capacity);
    if (length > 0 && (size_t)length + sizeof INSTALLED_MODEL < capacity) {
        dir[length] = '\0';
        char *name = strrchr(dir, '/') + 1;
        memcpy(name, INSTALLED_MODEL, sizeof INSTALLED_MODEL);
        if (has_config(dir)) {
            return GI8_OK;
        }
    }
    snprintf(dir, capacity, "%s", GPTNEOX_BUNDLED_MODEL);
    if (has_config(dir)) {
        return GI8_OK;
    }
    return gi8_error_set(error, GI8_ERR_IO,
                         "the bundled model is neither in " INSTALLED_MODEL
                         " beside the program nor in " GPTNEOX_BUNDLED_MODEL
                         ": name a model with -m");
}
