/* test_tokenizer_reference.c - ids and texts equal those of the reference, the `tokenizers`
 * library. */
#define _POSIX_C_SOURCE 200809L /* getline */
#include "tokenizer_fixture.h"

#include <unistd.h>

/* Decodes ids as a stream and compares with the text decoded at once. */
static bool stream_equals(const gptneox_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                          unsigned flags, const char *text, size_t size) {
    size_t capacity = gptneox_stream_capacity(tokenizer);
    char *out = malloc(capacity);
    assert_non_null(out);
    gptneox_stream stream;
    assert_int_equal(gptneox_stream_init(&stream, tokenizer, flags, NULL), GI8_OK);
    bool equal = true;
    size_t done = 0;
    for (size_t i = 0; i <= n_ids; i++) {
        size_t n;
        gi8_status status = i < n_ids
                                ? gptneox_stream_push(&stream, ids[i], out, capacity, &n, NULL)
                                : gptneox_stream_flush(&stream, out, capacity, &n, NULL);
        assert_int_equal(status, GI8_OK);
        equal = equal && n <= size - done && memcmp(out, text + done, n) == 0;
        done += equal ? n : 0;
    }
    free(out);
    return equal && done == size;
}

/* What differs from the reference for one text; NULL if nothing does. */
static const char *compare_text(const gptneox_tokenizer *tokenizer, const fixture_text *text,
                                char *const *expected) {
    const char *problem = NULL;
    int32_t *ids;
    size_t n_ids;
    char *decoded;
    size_t size;
    gi8_error error = GI8_ERROR_INIT;
    if (gptneox_tokenize(tokenizer, text->data, text->size, GPTNEOX_TOKENIZE_NO_SPECIAL, &ids,
                         &n_ids, &error) != GI8_OK) {
        fail_msg("%s", error.message);
    }
    if (!fixture_same_ids(expected[1][0] != '\0' ? expected[1] : expected[0], ids, n_ids)) {
        problem = "ids without special tokens";
    }
    gptneox_ids_free(ids);
    if (gptneox_tokenize(tokenizer, text->data, text->size, 0, &ids, &n_ids, &error) != GI8_OK) {
        fail_msg("%s", error.message);
    }
    if (!fixture_same_ids(expected[0], ids, n_ids)) {
        problem = "ids";
    }
    unsigned flags = GPTNEOX_DETOKENIZE_REPLACE_INVALID;
    assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, flags, &decoded, &size, &error),
                     GI8_OK);
    if (expected[2][0] != '\0'
            ? !fixture_same_hash(expected[2], size, fixture_hash(FIXTURE_HASH_START, decoded, size))
            : size != text->size || memcmp(decoded, text->data, size) != 0) {
        problem = "decoded text";
    }
    if (!stream_equals(tokenizer, ids, n_ids, flags, decoded, size)) {
        problem = "streamed text";
    }
    gptneox_text_free(decoded);
    gptneox_ids_free(ids);
    return problem;
}

/* Compares all texts of texts.txt with the results in a file. */
static void check_texts(const char *tokenizer_path, const char *results_path) {
    gptneox_tokenizer *tokenizer = fixture_load(tokenizer_path);
    fixture_file texts = fixture_open(FIXTURE_DIR "texts.txt");
    fixture_file results = fixture_open(results_path);
    size_t n = 0;
    size_t n_bad = 0;
    while (fixture_next(&texts)) {
        n++;
        assert_true(fixture_next(&results));
        fixture_text text = fixture_parse_text(texts.fields[0]);
        const char *problem = compare_text(tokenizer, &text, results.fields);
        if (problem != NULL && n_bad++ < 10) {
            print_error("texts.txt line %zu: %s differ: %.80s\n", n, problem, texts.fields[0]);
        }
        free(text.data);
    }
    assert_false(fixture_next(&results));
    gptneox_tokenizer_free(tokenizer);
    print_message("%zu texts, %zu differ\n", n, n_bad);
    assert_true(n > 6000);
    assert_int_equal(n_bad, 0);
}

/* Compares the texts of lists of ids with the results in a file. */
static void check_decodings(const char *tokenizer_path, const char *results_path) {
    gptneox_tokenizer *tokenizer = fixture_load(tokenizer_path);
    fixture_file results = fixture_open(results_path);
    size_t n = 0;
    size_t n_bad = 0;
    while (fixture_next(&results)) {
        n++;
        size_t n_ids;
        int32_t *ids = fixture_parse_ids(results.fields[0], &n_ids);
        for (unsigned skip = 0; skip < 2; skip++) {
            unsigned flags = GPTNEOX_DETOKENIZE_REPLACE_INVALID |
                             (skip != 0 ? GPTNEOX_DETOKENIZE_SKIP_SPECIAL : 0);
            fixture_text expected = fixture_parse_text(results.fields[1 + skip]);
            char *text;
            size_t size;
            assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, flags, &text, &size, NULL),
                             GI8_OK);
            if ((size != expected.size || memcmp(text, expected.data, size) != 0 ||
                 !stream_equals(tokenizer, ids, n_ids, flags, text, size)) &&
                n_bad++ < 10) {
                print_error("line %zu differs: %s\n", n, results.fields[0]);
            }
            gptneox_text_free(text);
            /* The bytes as they are, not only their text. */
            flags &= ~GPTNEOX_DETOKENIZE_REPLACE_INVALID;
            assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, flags, &text, &size, NULL),
                             GI8_OK);
            assert_true(stream_equals(tokenizer, ids, n_ids, flags, text, size));
            gptneox_text_free(text);
            free(expected.data);
        }
        free(ids);
    }
    gptneox_tokenizer_free(tokenizer);
    print_message("%zu lists of ids, %zu differ\n", n, n_bad);
    assert_true(n > 500);
    assert_int_equal(n_bad, 0);
}

static void test_small_texts(void **state) {
    (void)state;
    check_texts(FIXTURE_DIR "small.json", FIXTURE_DIR "small.txt");
}

static void test_small_decodings(void **state) {
    (void)state;
    check_decodings(FIXTURE_DIR "small.json", FIXTURE_DIR "small.decode.txt");
}

/* The class of every character: letter, number, space or other. */
static void test_classes(void **state) {
    (void)state;
    check_texts(FIXTURE_DIR "probe.json", FIXTURE_DIR "probe.txt");
}

/* The published tokenizer, where the build was told of one that exists. */
static const char *real_tokenizer(void) {
    if (access(GGML_INT8_TOKENIZER_JSON, R_OK) != 0) {
        print_message("skipped: " GGML_INT8_TOKENIZER_JSON " is not there\n");
        skip();
    }
    return GGML_INT8_TOKENIZER_JSON;
}

static void test_real_texts(void **state) {
    (void)state;
    check_texts(real_tokenizer(), FIXTURE_DIR "20B.txt");
}

static void test_real_decodings(void **state) {
    (void)state;
    check_decodings(real_tokenizer(), FIXTURE_DIR "20B.decode.txt");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_texts),    cmocka_unit_test(test_small_decodings),
        cmocka_unit_test(test_classes),        cmocka_unit_test(test_real_texts),
        cmocka_unit_test(test_real_decodings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
