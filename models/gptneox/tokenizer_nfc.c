/* tokenizer_nfc.c - Unicode normalization form C in linear time, as the `tokenizers` library has
 * it.
 *
 * utf8proc supplies the data and the composition. Its own canonical ordering is an insertion sort,
 * quadratic in a run of marks, so marks are ordered here; and the library's tables are those of
 * Unicode 9.0, so characters that play a part in normalization only since a later version must stay
 * as they are, whatever version utf8proc has.
 */
#include "tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef struct code_points {
    int32_t *data;
    size_t size, capacity;
} code_points;

/* Characters that neither decompose, compose nor move: assigned after Unicode 9.0 with a combining
 * class, a decomposition or a part in one. U+11A7 is no jamo, though utf8proc before 2.10 composes
 * it with the syllable before. By Unicode's stability policy nothing else can differ. */
static const struct { int32_t first, last; } inert_ranges[] = {
    {0x05C8, 0x05C9}, {0x07FD, 0x07FD}, {0x0897, 0x089F}, {0x08CA, 0x08D3}, {0x09FE, 0x09FE},
    {0x0C3C, 0x0C3C}, {0x0D3B, 0x0D3C}, {0x0EBA, 0x0EBA}, {0x11A7, 0x11A7}, {0x1715, 0x1715},
    {0x1ABF, 0x1AF0}, {0x1DF6, 0x1DFA}, {0xA82C, 0xA82C}, {0x105C9, 0x105C9}, {0x105D2, 0x105D2},
    {0x105DA, 0x105DA}, {0x105E4, 0x105E4}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D},
    {0x10EAB, 0x10EAC}, {0x10ECB, 0x10ECF}, {0x10EF0, 0x10EFB}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x11382, 0x11385}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x11391},
    {0x113B8, 0x113B8}, {0x113BB, 0x113BB}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5},
    {0x113C7, 0x113C9}, {0x113CE, 0x113D0}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11935, 0x11935}, {0x11938, 0x11938}, {0x1193D, 0x1193E},
    {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
    {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x1611E, 0x16129}, {0x1612F, 0x1612F}, {0x16D63, 0x16D63},
    {0x16D67, 0x16D6A}, {0x16FF0, 0x16FF1}, {0x1D127, 0x1D128}, {0x1D250, 0x1D252},
    {0x1D25B, 0x1D25C}, {0x1D25F, 0x1D25F}, {0x1D280, 0x1D281}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
    {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF},
    {0x1E6F5, 0x1E6F5},
};

static bool is_inert(int32_t code_point) {
    size_t low = 0;
    size_t high = sizeof inert_ranges / sizeof inert_ranges[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code_point > inert_ranges[middle].last) {
            low = middle + 1;
        } else if (code_point < inert_ranges[middle].first) {
            high = middle;
        } else {
            return true;
        }
    }
    return false;
}

static bool reserve(code_points *points, size_t need) {
    void *moved = points->data;
    if (!gptneoxi_reserve(&moved, &points->capacity, need, sizeof *points->data)) {
        return false;
    }
    points->data = moved;
    return true;
}

/* Canonical combining classes are at most 240. */
static unsigned combining_class(int32_t code_point) {
    return (unsigned)utf8proc_get_property(code_point)->combining_class & 0xFFu;
}

/* Orders n marks by combining class, equal ones as they are: a counting sort into sorted[n]. */
static void sort_marks(int32_t *marks, size_t n, int32_t *sorted) {
    size_t place[257] = {0};
    for (size_t i = 0; i < n; i++) {
        place[combining_class(marks[i]) + 1]++;
    }
    for (size_t c = 1; c < 257; c++) {
        place[c] += place[c - 1];
    }
    for (size_t i = 0; i < n; i++) {
        sorted[place[combining_class(marks[i])]++] = marks[i];
    }
    memcpy(marks, sorted, n * sizeof *marks);
}

/* The canonical ordering algorithm: every run of marks of nonzero class is sorted by class. */
static bool order_marks(code_points *points, code_points *scratch) {
    size_t i = 0;
    while (i < points->size) {
        size_t begin = i;
        bool ordered = true;
        unsigned previous = 0;
        for (; i < points->size; i++) {
            unsigned class = combining_class(points->data[i]);
            if (class == 0) {
                break;
            }
            ordered = ordered && class >= previous;
            previous = class;
        }
        if (!ordered) {
            if (!reserve(scratch, i - begin)) {
                return false;
            }
            sort_marks(points->data + begin, i - begin, scratch->data);
        }
        i++;
    }
    return true;
}

/* Orders, composes and appends the decomposed code points, and empties them. */
static bool flush(code_points *points, code_points *scratch, gptneoxi_bytes *out) {
    if (points->size == 0) {
        return true;
    }
    if (!order_marks(points, scratch)) {
        return false;
    }
    /* The options compose only; an error is impossible for valid code points. */
    utf8proc_ssize_t n = utf8proc_normalize_utf32(points->data, (utf8proc_ssize_t)points->size,
                                                  UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        utf8proc_uint8_t encoded[4];
        utf8proc_ssize_t length = utf8proc_encode_char(points->data[i], encoded);
        if (!gptneoxi_bytes_append(out, (const char *)encoded, (size_t)length)) {
            return false;
        }
    }
    points->size = 0;
    return true;
}

/* Appends the canonical decomposition of a character. */
static bool decompose(int32_t code_point, code_points *points) {
    enum {
        LONGEST = 4
    }; /* code points in a canonical decomposition, for instance that of U+1F82 */
    if (!reserve(points, points->size + LONGEST)) {
        return false;
    }
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(code_point, points->data + points->size, LONGEST,
                                                 UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
    points->size += (size_t)n;
    return true;
}

bool gptneoxi_nfc(const char *text, size_t size, gptneoxi_bytes *out) {
    /* Below U+0300, whose first byte is 0xCC, everything is in NFC by itself. What comes from there
     * on is normalized together with the character before it, which it may combine with. */
    code_points points = {0};
    code_points scratch = {0};
    bool ok = true;
    size_t i = 0;
    while (ok && i < size) {
        size_t begin = i;
        size_t last = i;
        while (i < size && (unsigned char)text[i] < 0xCC) {
            if (((unsigned char)text[i] & 0xC0) != 0x80) {
                last = i;
            }
            i++;
        }
        if (i == size) {
            last = size;
        }
        ok = gptneoxi_bytes_append(out, text + begin, last - begin);
        i = last;
        for (bool first = true; ok && i < size; first = false) {
            if (!first && (unsigned char)text[i] < 0xCC) {
                break;
            }
            size_t length;
            int32_t code_point = gptneoxi_utf8_decode(text + i, &length);
            if (is_inert(code_point)) {
                ok = flush(&points, &scratch, out) && gptneoxi_bytes_append(out, text + i, length);
            } else {
                ok = decompose(code_point, &points);
            }
            i += length;
        }
        ok = ok && flush(&points, &scratch, out);
    }
    free(points.data);
    free(scratch.data);
    return ok;
}
