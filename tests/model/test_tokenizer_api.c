/* test_tokenizer_api.c - queries, flags, invalid UTF-8, streams, wrong arguments, threads. */
#define _POSIX_C_SOURCE 200809L
#include "tokenizer_fixture.h"

#include <pthread.h>

#include "test_seed.h"

static gptneox_tokenizer *tokenizer;

static int load_small(void **state) {
    (void)state;
    tokenizer = fixture_load(FIXTURE_DIR "small.json");
    return 0;
}

static int free_small(void **state) {
    (void)state;
    gptneox_tokenizer_free(tokenizer);
    return 0;
}

static int32_t id_of(const char *content) {
    return gptneox_tokenizer_id(tokenizer, content, strlen(content));
}

static void test_queries(void **state) {
    (void)state;
    int32_t n = gptneox_tokenizer_n_ids(tokenizer);
    assert_int_equal(n, 647); /* 640 entries and 7 runs of spaces */
    assert_int_equal(gptneox_tokenizer_n_tokens(tokenizer), 647);
    assert_int_equal(id_of("<|endoftext|>"), 0);
    assert_int_equal(id_of("<|padding|>"), 1);
    assert_int_equal(id_of("        "), 640);
    assert_int_equal(id_of("  "), 646);
    assert_int_equal(id_of("<|endoftext|"), -1);
    assert_int_equal(id_of("<|endoftext|>>"), -1);
    assert_int_equal(id_of(""), -1);
    assert_int_equal(gptneox_tokenizer_id(tokenizer, NULL, 0), -1);
    assert_int_equal(gptneox_tokenizer_id(NULL, "a", 1), -1);
    size_t n_special = 0;
    for (int32_t id = -2; id < n + 2; id++) {
        size_t size;
        const char *piece = gptneox_tokenizer_piece(tokenizer, id, &size);
        assert_true((piece != NULL && size > 0) == (id >= 0 && id < n));
        n_special += gptneox_tokenizer_is_special(tokenizer, id);
    }
    assert_int_equal(n_special, 2);
    assert_true(gptneox_tokenizer_is_special(tokenizer, 0));
    size_t size;
    const char *piece = gptneox_tokenizer_piece(tokenizer, id_of("\xC4\xA0"), &size); /* U+0120 */
    assert_int_equal(size, 1);
    assert_memory_equal(piece, " ", 1);
    piece = gptneox_tokenizer_piece(tokenizer, id_of("\xC3\xBF"), &size); /* U+00FF */
    assert_int_equal(size, 1);
    assert_memory_equal(piece, "\xFF", 1);
    assert_int_equal(gptneox_tokenizer_n_ids(NULL), 0);
    assert_int_equal(gptneox_tokenizer_n_tokens(NULL), 0);
    assert_int_equal(gptneox_stream_capacity(NULL), 0);
    assert_null(gptneox_tokenizer_piece(NULL, 0, &size));
    assert_false(gptneox_tokenizer_is_special(NULL, 0));
}

/* Every byte has a token, and the id of every token's content is that token. */
static void test_content_lookup(void **state) {
    (void)state;
    const char *const contents[] = {"!", "~", "\xC2\xA1", "\xC4\x80", "\xC5\x83", "\xC4\xA0", "a"};
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        size_t size;
        assert_true(id_of(contents[i]) >= 0);
        assert_non_null(gptneox_tokenizer_piece(tokenizer, id_of(contents[i]), &size));
        assert_int_equal(size, 1);
    }
}

typedef struct invalid_text {
    const char *bytes;
    size_t size, offset; /* of the first bad byte */
    const char *replaced;
} invalid_text;

#define FFFD "\xEF\xBF\xBD"

/* Substitution of maximal subparts: examples of the Unicode standard, section 3.9, and ends. */
static const invalid_text invalid_texts[] = {
    {"\xFF", 1, 0, FFFD},
    {"a\x80z", 3, 1, "a" FFFD "z"},
    {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, 0, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
    {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, 0, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
    {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9, 0, FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
    {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, 0, FFFD FFFD FFFD FFFD "A"},
    {"\xC3\xA9\xC3", 3, 2, "\xC3\xA9" FFFD},
    {"xyz\xF0\x9F\x98", 6, 3, "xyz" FFFD},
    {"\xE4\xB8\xAD\xE4\xB8", 5, 3, "\xE4\xB8\xAD" FFFD},
    {"\xF5\x80\x80\x80", 4, 0, FFFD FFFD FFFD FFFD},
};

static void test_invalid_utf8(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof invalid_texts / sizeof invalid_texts[0]; i++) {
        const invalid_text *t = &invalid_texts[i];
        int32_t *ids = NULL;
        size_t n_ids = 7;
        gi8_error error = GI8_ERROR_INIT;
        assert_int_equal(gptneox_tokenize(tokenizer, t->bytes, t->size, 0, &ids, &n_ids, &error),
                         GI8_ERR_FORMAT);
        assert_null(ids);
        assert_int_equal(n_ids, 0);
        char sentence[64];
        snprintf(sentence, sizeof sentence, "byte %zu is 0x%02X", t->offset,
                 (unsigned)(unsigned char)t->bytes[t->offset]);
        assert_non_null(strstr(error.message, sentence));

        assert_int_equal(gptneox_tokenize(tokenizer, t->bytes, t->size,
                                          GPTNEOX_TOKENIZE_REPLACE_INVALID, &ids, &n_ids, &error),
                         GI8_OK);
        char *text;
        size_t size;
        assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, 0, &text, &size, &error),
                         GI8_OK);
        assert_string_equal(text, t->replaced);
        gptneox_text_free(text);
        gptneox_ids_free(ids);
    }
}

static void test_special_tokens(void **state) {
    (void)state;
    static const char text[] = "a<|endoftext|>";
    int32_t *ids;
    size_t n_ids;
    assert_int_equal(gptneox_tokenize(tokenizer, text, sizeof text - 1, 0, &ids, &n_ids, NULL),
                     GI8_OK);
    assert_int_equal(n_ids, 2);
    assert_int_equal(ids[1], 0);
    char *decoded;
    size_t size;
    assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, GPTNEOX_DETOKENIZE_SKIP_SPECIAL,
                                        &decoded, &size, NULL),
                     GI8_OK);
    assert_string_equal(decoded, "a");
    gptneox_text_free(decoded);
    gptneox_ids_free(ids);
    assert_int_equal(gptneox_tokenize(tokenizer, text, sizeof text - 1, GPTNEOX_TOKENIZE_NO_SPECIAL,
                                      &ids, &n_ids, NULL),
                     GI8_OK);
    assert_true(n_ids > 2);
    for (size_t i = 0; i < n_ids; i++) {
        assert_false(gptneox_tokenizer_is_special(tokenizer, ids[i]));
    }
    gptneox_ids_free(ids);
}

static void test_arguments(void **state) {
    (void)state;
    int32_t *ids;
    int32_t zero = 0;
    size_t n;
    char *text;
    gptneox_stream stream;
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gptneox_tokenize(NULL, "a", 1, 0, &ids, &n, &error), GI8_ERR_ARGUMENT);
    assert_non_null(strstr(error.message, "tokenizer is NULL"));
    assert_int_equal(gptneox_tokenize(tokenizer, NULL, 1, 0, &ids, &n, &error), GI8_ERR_ARGUMENT);
    assert_non_null(strstr(error.message, "text is NULL"));
    assert_int_equal(gptneox_tokenize(tokenizer, "a", 1, 0, NULL, &n, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_tokenize(tokenizer, "a", 1, 0, &ids, NULL, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_tokenize(tokenizer, "a", 1, 4, &ids, &n, &error), GI8_ERR_ARGUMENT);
    assert_non_null(strstr(error.message, "flags 0x4"));
    assert_int_equal(
        gptneox_tokenize(tokenizer, "a", GPTNEOX_TOKENIZE_MAX_BYTES + 1, 0, &ids, &n, &error),
        GI8_ERR_UNSUPPORTED);
    assert_int_equal(gptneox_tokenize(tokenizer, NULL, 0, 0, &ids, &n, &error), GI8_OK);
    assert_null(ids);
    assert_int_equal(n, 0);
    gptneox_ids_free(ids);

    assert_int_equal(gptneox_detokenize(NULL, &zero, 1, 0, &text, &n, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_detokenize(tokenizer, NULL, 1, 0, &text, &n, &error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_detokenize(tokenizer, &zero, 1, 0, NULL, &n, &error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_detokenize(tokenizer, &zero, 1, 0, &text, NULL, &error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_detokenize(tokenizer, &zero, 1, 8, &text, &n, &error),
                     GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_detokenize(tokenizer, NULL, 0, 0, &text, &n, &error), GI8_OK);
    assert_string_equal(text, "");
    gptneox_text_free(text);

    assert_int_equal(gptneox_stream_init(NULL, tokenizer, 0, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_stream_init(&stream, NULL, 0, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_stream_init(&stream, tokenizer, 4, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_stream_init(&stream, tokenizer, 0, &error), GI8_OK);
    assert_int_equal(gptneox_stream_push(NULL, 0, NULL, 0, &n, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_stream_push(&stream, 0, NULL, 1, &n, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_stream_push(&stream, 0, NULL, 0, NULL, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(gptneox_stream_flush(NULL, NULL, 0, &n, &error), GI8_ERR_ARGUMENT);
}

/* A buffer that is too small changes nothing and says what is needed. */
static void test_stream_buffer(void **state) {
    (void)state;
    int32_t lead = id_of("\xC3\x83"); /* the byte 0xC3, the first of "é" */
    int32_t rest = id_of("\xC2\xA9"); /* the byte 0xA9, its second */
    char out[64];
    size_t n;
    gptneox_stream stream;
    gi8_error error = GI8_ERROR_INIT;
    assert_true(gptneox_stream_capacity(tokenizer) <= sizeof out);
    assert_int_equal(gptneox_stream_init(&stream, tokenizer, 0, NULL), GI8_OK);
    assert_int_equal(gptneox_stream_push(&stream, lead, NULL, 0, &n, NULL), GI8_OK);
    assert_int_equal(n, 0); /* held back */
    assert_int_equal(gptneox_stream_push(&stream, rest, out, 1, &n, &error), GI8_ERR_ARGUMENT);
    assert_int_equal(n, 2);
    assert_non_null(strstr(error.message, "2 bytes to write, the buffer holds 1"));
    assert_int_equal(gptneox_stream_push(&stream, rest, out, 2, &n, NULL), GI8_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(out, "\xC3\xA9", 2);
    /* What is held back comes out at the end, or when it turns out to be no character. */
    assert_int_equal(gptneox_stream_push(&stream, lead, out, sizeof out, &n, NULL), GI8_OK);
    assert_int_equal(gptneox_stream_push(&stream, lead, out, sizeof out, &n, NULL), GI8_OK);
    assert_int_equal(n, 1);
    assert_int_equal(gptneox_stream_flush(&stream, out, 0, &n, NULL), GI8_ERR_ARGUMENT);
    assert_int_equal(n, 1);
    assert_int_equal(gptneox_stream_flush(&stream, out, sizeof out, &n, NULL), GI8_OK);
    assert_int_equal(n, 1);
    assert_memory_equal(out, "\xC3", 1);
    assert_int_equal(gptneox_stream_flush(&stream, out, sizeof out, &n, NULL), GI8_OK);
    assert_int_equal(n, 0);
    /* With replacement, both become U+FFFD. */
    assert_int_equal(
        gptneox_stream_init(&stream, tokenizer, GPTNEOX_DETOKENIZE_REPLACE_INVALID, NULL), GI8_OK);
    assert_int_equal(gptneox_stream_push(&stream, lead, out, sizeof out, &n, NULL), GI8_OK);
    assert_int_equal(gptneox_stream_flush(&stream, out, sizeof out, &n, NULL), GI8_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(out, FFFD, 3);
}

/* Random ids: a stream writes what decoding at once does, and never a part of a character. */
static void test_stream_random(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(7);
    char out[64];
    for (int round = 0; round < 2000; round++) {
        int32_t ids[24];
        size_t n_ids = (size_t)test_rng_int(&rng, 0, 24);
        for (size_t i = 0; i < n_ids; i++) {
            ids[i] = (int32_t)test_rng_int(&rng, -3, test_rng_int(&rng, 0, 1) != 0 ? 270 : 660);
        }
        unsigned flags = (unsigned)test_rng_int(&rng, 0, 3);
        char *text;
        size_t size;
        assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, flags, &text, &size, NULL),
                         GI8_OK);
        gptneox_stream stream;
        assert_int_equal(gptneox_stream_init(&stream, tokenizer, flags, NULL), GI8_OK);
        size_t done = 0;
        for (size_t i = 0; i <= n_ids; i++) {
            size_t n;
            gi8_status status =
                i < n_ids ? gptneox_stream_push(&stream, ids[i], out, sizeof out, &n, NULL)
                          : gptneox_stream_flush(&stream, out, sizeof out, &n, NULL);
            assert_int_equal(status, GI8_OK);
            assert_true(n <= size - done);
            assert_memory_equal(out, text + done, n);
            if ((flags & GPTNEOX_DETOKENIZE_REPLACE_INVALID) != 0 && n > 0) {
                int32_t *again;
                size_t n_again;
                assert_int_equal(gptneox_tokenize(tokenizer, out, n, 0, &again, &n_again, NULL),
                                 GI8_OK); /* so it is valid UTF-8 by itself */
                gptneox_ids_free(again);
            }
            done += n;
        }
        assert_int_equal(done, size);
        gptneox_text_free(text);
    }
}

/* Random bytes: no harm, and what comes out is what U+FFFD makes of them at both ends. */
static void test_random_bytes(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(8);
    static const unsigned char leads[] = {0x20, 0x61, 0xC3, 0xCC, 0x80, 0x81,
                                          0xE1, 0x84, 0xF0, 0x9F, 0xED};
    for (int round = 0; round < 5000; round++) {
        char bytes[40];
        size_t size = (size_t)test_rng_int(&rng, 0, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (char)(unsigned char)(test_rng_int(&rng, 0, 1) != 0
                                                 ? leads[test_rng_int(&rng, 0, 10)]
                                                 : (uint64_t)test_rng_int(&rng, 0, 255));
        }
        int32_t *ids;
        int32_t *again;
        size_t n_ids;
        size_t n_again;
        char *text;
        size_t text_size;
        assert_int_equal(gptneox_tokenize(tokenizer, bytes, size, GPTNEOX_TOKENIZE_REPLACE_INVALID,
                                          &ids, &n_ids, NULL),
                         GI8_OK);
        assert_int_equal(gptneox_detokenize(tokenizer, ids, n_ids, 0, &text, &text_size, NULL),
                         GI8_OK);
        /* The text is valid now, and NFC is idempotent, so that it has the same ids. */
        assert_int_equal(gptneox_tokenize(tokenizer, text, text_size, 0, &again, &n_again, NULL),
                         GI8_OK);
        assert_int_equal(n_again, n_ids);
        if (n_ids > 0) {
            assert_memory_equal(again, ids, n_ids * sizeof *ids);
        }
        gptneox_ids_free(ids);
        gptneox_ids_free(again);
        gptneox_text_free(text);
    }
}

typedef struct worker {
    pthread_t thread;
    bool same;
} worker;

static const char shared_text[] = "It's 42 degrees  outside \xC3\xA9"
                                  "e\xCC\x81 <|endoftext|>\n\n";

/* Tokenizes the same text again and again; cmocka's checks belong to the main thread. */
static void *tokenize_often(void *user) {
    worker *w = user;
    int32_t *first = NULL;
    size_t n_first = 0;
    w->same = gptneox_tokenize(tokenizer, shared_text, sizeof shared_text - 1, 0, &first, &n_first,
                               NULL) == GI8_OK;
    for (int i = 0; i < 300 && w->same; i++) {
        int32_t *ids = NULL;
        size_t n_ids = 0;
        char *text = NULL;
        size_t size = 0;
        w->same = gptneox_tokenize(tokenizer, shared_text, sizeof shared_text - 1, 0, &ids, &n_ids,
                                   NULL) == GI8_OK &&
                  n_ids == n_first && memcmp(ids, first, n_ids * sizeof *ids) == 0 &&
                  gptneox_detokenize(tokenizer, ids, n_ids, 0, &text, &size, NULL) == GI8_OK &&
                  size == sizeof shared_text - 2; /* NFC: e U+0301 is a byte shorter */
        gptneox_ids_free(ids);
        gptneox_text_free(text);
    }
    gptneox_ids_free(first);
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    worker workers[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&workers[i].thread, NULL, tokenize_often, &workers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_true(workers[i].same);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queries),       cmocka_unit_test(test_content_lookup),
        cmocka_unit_test(test_invalid_utf8),  cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_arguments),     cmocka_unit_test(test_stream_buffer),
        cmocka_unit_test(test_stream_random), cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, load_small, free_small);
}
