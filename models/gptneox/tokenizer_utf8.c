/* tokenizer_utf8.c - UTF-8: checking, replacing what is invalid, growable arrays. */
#include "tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

bool gptneoxi_reserve(void **data, size_t *capacity, size_t need, size_t element) {
    if (need <= *capacity) {
        return true;
    }
    size_t grown = *capacity > SIZE_MAX / 2 ? need : 2 * *capacity;
    if (grown < need) {
        grown = need;
    }
    if (grown < 64) {
        grown = 64;
    }
    if (grown > SIZE_MAX / element) {
        return false;
    }
    void *moved = realloc(*data, grown * element);
    if (moved == NULL) {
        return false;
    }
    *data = moved;
    *capacity = grown;
    return true;
}

bool gptneoxi_bytes_append(gptneoxi_bytes *bytes, const char *data, size_t size) {
    if (size > SIZE_MAX - bytes->size) {
        return false;
    }
    void *moved = bytes->data;
    if (!gptneoxi_reserve(&moved, &bytes->capacity, bytes->size + size, 1)) {
        return false;
    }
    bytes->data = moved;
    if (size > 0) {
        memcpy(bytes->data + bytes->size, data, size);
    }
    bytes->size += size;
    return true;
}

bool gptneoxi_ids_append(gptneoxi_ids *ids, int32_t id) {
    void *moved = ids->data;
    if (!gptneoxi_reserve(&moved, &ids->capacity, ids->size + 1, sizeof *ids->data)) {
        return false;
    }
    ids->data = moved;
    ids->data[ids->size++] = id;
    return true;
}

gptneoxi_utf8_kind gptneoxi_utf8_next(const char *s, size_t size, size_t *length) {
    const unsigned char *u = (const unsigned char *)s;
    unsigned lead = u[0];
    *length = 1;
    if (lead < 0x80) {
        return GPTNEOXI_UTF8_VALID;
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return GPTNEOXI_UTF8_INVALID;
    }
    size_t full = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    /* The second byte's range excludes overlong forms, surrogates and code points past U+10FFFF. */
    unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < full; i++) {
        if (i == size) {
            return GPTNEOXI_UTF8_INCOMPLETE;
        }
        if (u[i] < low || u[i] > high) {
            return GPTNEOXI_UTF8_INVALID;
        }
        *length = i + 1;
        low = 0x80;
        high = 0xBF;
    }
    return GPTNEOXI_UTF8_VALID;
}

size_t gptneoxi_utf8_validate(const char *s, size_t size) {
    size_t i = 0;
    while (i < size) {
        size_t length;
        if (gptneoxi_utf8_next(s + i, size - i, &length) != GPTNEOXI_UTF8_VALID) {
            break;
        }
        i += length;
    }
    return i;
}

bool gptneoxi_utf8_replace(const char *s, size_t size, gptneoxi_bytes *out) {
    size_t i = 0;
    for (;;) {
        size_t valid = gptneoxi_utf8_validate(s + i, size - i);
        if (!gptneoxi_bytes_append(out, s + i, valid)) {
            return false;
        }
        i += valid;
        if (i == size) {
            return true;
        }
        size_t length;
        gptneoxi_utf8_next(s + i, size - i, &length);
        if (!gptneoxi_bytes_append(out, "\xEF\xBF\xBD", 3)) {
            return false;
        }
        i += length;
    }
}

int32_t gptneoxi_utf8_decode(const char *s, size_t *length) {
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) {
        *length = 1;
        return u[0];
    }
    if (u[0] < 0xE0) {
        *length = 2;
        return (u[0] & 0x1F) << 6 | (u[1] & 0x3F);
    }
    if (u[0] < 0xF0) {
        *length = 3;
        return (u[0] & 0x0F) << 12 | (u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    }
    *length = 4;
    return (u[0] & 0x07) << 18 | (u[1] & 0x3F) << 12 | (u[2] & 0x3F) << 6 | (u[3] & 0x3F);
}
