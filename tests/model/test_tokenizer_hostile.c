/* test_tokenizer_hostile.c - long runs of one thing take n log n steps: quadratic code would need
 * minutes for each of these texts, or exhaust a limit of the pattern matcher. */
#define _POSIX_C_SOURCE 200809L
#include "tokenizer_fixture.h"

#define MEBIBYTE ((size_t)1 << 20)

/* Texts in the notation of the fixtures; `decoded` is NULL where it is the same. */
static const struct {
    const char *text, *decoded;
} texts[] = {
    {"\\r{1048576:a}", NULL},
    {"\\r{524288:ab}", NULL},
    {"\\r{1048576: }", NULL},
    {"\\r{1048576: }x", NULL},
    {"\\r{1048576:\\x0A}", NULL},
    {"\\r{1048576:\\x09}x", NULL},
    {"\\r{524288:\\x09 }!", NULL},
    {"\\r{524288:\\u{A0}}x", NULL},
    {"\\r{400000:\\u{3000}}", NULL},
    {"\\r{1048576:0}", NULL},
    {"\\r{1048576:!}", NULL},
    {"\\r{1048576:'}", NULL},
    {"\\r{524288:'l}", NULL},
    {"\\r{1048576:\\x00}", NULL},
    {"\\r{524288:<|}", NULL},
    {"\\r{100000:<|endoftext|}", NULL},
    {"\\r{100000:<|endoftext|>}", NULL},
    {"\\r{400000:\\u{4E2D}}", NULL},
    {"\\r{300000:\\u{1F468}\\u{200D}}", NULL},
    /* Canonical ordering and composition. */
    {"\\r{524288:\\u{301}}", NULL},
    {"\\r{300000:\\u{301}\\u{323}}", "\\r{300000:\\u{323}}\\r{300000:\\u{301}}"},
    {"e\\r{200000:\\u{301}\\u{323}\\u{334}}",
     "\\u{1EB9}\\r{200000:\\u{334}}\\r{199999:\\u{323}}\\r{200000:\\u{301}}"},
    {"\\r{300000:e\\u{301}}", "\\r{300000:\\u{E9}}"},
    {"\\r{300000:\\u{344}}", "\\r{300000:\\u{308}\\u{301}}"},
    {"\\r{300000:\\u{1D160}}", "\\r{300000:\\u{1D158}\\u{1D165}\\u{1D16E}}"},
    {"\\r{200000:\\u{1100}\\u{1161}\\u{11A8}}", "\\r{200000:\\u{AC01}}"},
};

static void check_texts(const char *path) {
    gptneox_tokenizer *tokenizer = fixture_load(path);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fixture_text text = fixture_parse_text(texts[i].text);
        fixture_text expected =
            fixture_parse_text(texts[i].decoded != NULL ? texts[i].decoded : texts[i].text);
        int32_t *ids;
        size_t n_ids;
        char *decoded;
        size_t size;
        gi8_error error = GI8_ERROR_INIT;
        if (gptneox_tokenize(tokenizer, text.data, text.size, 0, &ids, &n_ids, &error) != GI8_OK) {
            fail_msg("%s: %s", texts[i].text, error.message);
        }
        assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, 0, &decoded, &size, &error),
                         GI8_OK);
        if (size != expected.size || memcmp(decoded, expected.data, size) != 0) {
            fail_msg("%s: decoded as something else", texts[i].text);
        }
        gptneox_text_free(decoded);
        gptneox_ids_free(ids);
        free(text.data);
        free(expected.data);
    }
    gptneox_tokenizer_free(tokenizer);
}

/* With vocabulary entries and merges of every kind. */
static void test_small(void **state) {
    (void)state;
    check_texts(FIXTURE_DIR "small.json");
}

/* Every pair of bytes merges: a word of n bytes goes through the queue of merges n times. The text
 * is one word, as there is no pattern to split it. */
static void test_merges(void **state) {
    (void)state;
    static const char json[] =
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"use_regex\":false},"
        "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"aa\":2,"
        "\"ab\":3,\"aaaa\":4,\"abab\":5,\"aab\":6},"
        "\"merges\":[\"a b\",\"a a\",\"aa aa\",\"ab ab\",\"a ab\"]}}";
    gptneox_tokenizer *tokenizer = gptneox_tokenizer_load_memory(json, sizeof json - 1, NULL);
    assert_non_null(tokenizer);
    char *text = malloc(MEBIBYTE);
    assert_non_null(text);
    int32_t *ids;
    size_t n_ids;
    memset(text, 'a', MEBIBYTE);
    assert_int_equal(gptneox_tokenize(tokenizer, text, MEBIBYTE, 0, &ids, &n_ids, NULL), GI8_OK);
    assert_int_equal(n_ids, MEBIBYTE / 4);
    for (size_t i = 0; i < n_ids; i++) {
        assert_int_equal(ids[i], 4);
    }
    gptneox_ids_free(ids);
    for (size_t i = 1; i < MEBIBYTE; i += 2) {
        text[i] = 'b';
    }
    assert_int_equal(gptneox_tokenize(tokenizer, text, MEBIBYTE, 0, &ids, &n_ids, NULL), GI8_OK);
    assert_int_equal(n_ids, MEBIBYTE / 4);
    for (size_t i = 0; i < n_ids; i++) {
        assert_int_equal(ids[i], 5);
    }
    gptneox_ids_free(ids);
    free(text);
    gptneox_tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
