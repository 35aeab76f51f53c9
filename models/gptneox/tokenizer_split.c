/* tokenizer_split.c - finding added tokens in a text, and the words of what lies between them. */
#include "tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

/* The library's classes are those of Unicode 16.0. PCRE2 10.42 has 14.0, so the letters and numbers
 * assigned since are listed; a newer PCRE2 knows them already and loses nothing. All spaces are
 * listed (the property White_Space), since PCRE2 counts U+180E as one and the library does not. */
#define LETTERS                                                                                    \
    "\\p{L}\\x{1C89}\\x{1C8A}\\x{A7CB}-\\x{A7CD}\\x{A7DA}-\\x{A7DC}\\x{105C0}-\\x{105F3}"          \
    "\\x{10D4A}-\\x{10D65}\\x{10D6F}-\\x{10D85}\\x{10EC2}-\\x{10EC4}\\x{1123F}\\x{11240}"          \
    "\\x{11380}-\\x{11389}\\x{1138B}\\x{1138E}\\x{11390}-\\x{113B5}\\x{113B7}\\x{113D1}\\x{113D3}" \
    "\\x{11BC0}-\\x{11BE0}\\x{11F02}\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}\\x{1342F}"          \
    "\\x{13441}-\\x{13446}\\x{13460}-\\x{143FA}\\x{16100}-\\x{1611D}\\x{16D40}-\\x{16D6C}"         \
    "\\x{18CFF}\\x{1B132}\\x{1B155}\\x{1DF25}-\\x{1DF2A}\\x{1E030}-\\x{1E06D}"                     \
    "\\x{1E4D0}-\\x{1E4EB}\\x{1E5D0}-\\x{1E5ED}\\x{1E5F0}\\x{2B739}\\x{2EBF0}-\\x{2EE5D}"          \
    "\\x{31350}-\\x{323AF}"
#define NUMBERS                                                                                    \
    "\\p{N}\\x{10D40}-\\x{10D49}\\x{116D0}-\\x{116E3}\\x{11BF0}-\\x{11BF9}\\x{11F50}-\\x{11F59}"   \
    "\\x{16130}-\\x{16139}\\x{16D70}-\\x{16D79}\\x{1CCF0}-\\x{1CCF9}\\x{1D2C0}-\\x{1D2D3}"         \
    "\\x{1E4F0}-\\x{1E4F9}\\x{1E5F1}-\\x{1E5FA}"
#define SPACES                                                                                     \
    "\\t-\\r \\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

/* The pattern of GPT-2. Every character begins a match, so it is anchored at the offset; nothing is
 * looked at twice but the last space of a run, which \s+(?!\S) gives back: linear time. */
static const char words[] = "'s|'t|'re|'ve|'m|'ll|'d"
                            "| ?[" LETTERS "]+"
                            "| ?[" NUMBERS "]+"
                            "| ?[^" SPACES LETTERS NUMBERS "]+"
                            "|[" SPACES "]+(?![^" SPACES "])"
                            "|[" SPACES "]+";

gi8_status gptneoxi_pattern_compile(pcre2_code **pattern, gi8_error *error) {
    int code;
    PCRE2_SIZE offset;
    *pattern = pcre2_compile((PCRE2_SPTR)words, sizeof words - 1,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &code, &offset, NULL);
    if (*pattern == NULL) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        return gi8_error_set(
            error, code == PCRE2_ERROR_HEAP_FAILED ? GI8_ERR_MEMORY : GI8_ERR_UNSUPPORTED,
            "this build of PCRE2 cannot compile the word pattern: %s at offset %zu",
            (const char *)message, (size_t)offset);
    }
    /* Where the system forbids JIT the interpreter does the same, slower. */
    (void)pcre2_jit_compile(*pattern, PCRE2_JIT_COMPLETE);
    return GI8_OK;
}

gi8_status gptneoxi_pattern_next(const pcre2_code *pattern, pcre2_match_data *match,
                                 const char *piece, size_t size, size_t start, size_t *end,
                                 gi8_error *error) {
    int code =
        pcre2_match(pattern, (PCRE2_SPTR)piece, size, start, PCRE2_NO_UTF_CHECK, match, NULL);
    if (code < 0) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        return gi8_error_set(
            error, code == PCRE2_ERROR_NOMEMORY ? GI8_ERR_MEMORY : GI8_ERR_UNSUPPORTED,
            "the word pattern fails in a text of %zu bytes at byte %zu: PCRE2 says \"%s\"", size,
            start, (const char *)message);
    }
    *end = pcre2_get_ovector_pointer(match)[1];
    return GI8_OK;
}

static int compare_added(const void *a, const void *b) {
    const gptneoxi_added *x = a;
    const gptneoxi_added *y = b;
    int order = memcmp(x->content, y->content, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

void gptneoxi_added_set_prepare(gptneoxi_added_set *set) {
    if (set->count > 0) {
        qsort(set->entries, set->count, sizeof *set->entries, compare_added);
    }
    uint32_t i = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        set->first[byte] = i;
        while (i < set->count && (unsigned char)set->entries[i].content[0] == byte) {
            i++;
        }
    }
    set->first[256] = set->count;
}

/* The first entry of [low, high), all alike up to `depth`, whose byte there is at least `byte`; an
 * entry that ends there comes first. */
static uint32_t lower_bound(const gptneoxi_added_set *set, uint32_t low, uint32_t high,
                            size_t depth, unsigned byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const gptneoxi_added *entry = &set->entries[middle];
        if (entry->size <= depth || (unsigned char)entry->content[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The longest added token at the beginning of a text (size >= 1), found by narrowing the range of
 * the entries that begin like it. */
static const gptneoxi_added *longest(const gptneoxi_added_set *set, const char *text, size_t size) {
    const gptneoxi_added *found = NULL;
    unsigned byte = (unsigned char)text[0];
    uint32_t low = set->first[byte];
    uint32_t high = set->first[byte + 1];
    for (size_t depth = 1; low < high; depth++) {
        if (set->entries[low].size == depth) {
            found = &set->entries[low];
        }
        if (depth == size) {
            break;
        }
        byte = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return found;
}

const gptneoxi_added *gptneoxi_added_find(const gptneoxi_added_set *set, const char *text,
                                          size_t size, size_t *start) {
    if (set->count == 0) {
        return NULL;
    }
    for (size_t i = *start; i < size; i++) {
        const gptneoxi_added *found = longest(set, text + i, size - i);
        if (found != NULL) {
            *start = i;
            return found;
        }
    }
    return NULL;
}
