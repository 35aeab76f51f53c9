/* test_tokenizer_load.c - which tokenizer.json is accepted, and what is said of the others. */
#define _POSIX_C_SOURCE 200809L
#include "tokenizer_fixture.h"

/* A tokenizer that is as small as one can be. */
static const char base[] =
    "{\"added_tokens\":[{\"id\":6,\"content\":\"<s>\",\"special\":true,\"normalized\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"single_word\":false}],"
    "\"normalizer\":{\"type\":\"NFC\"},"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
    "\"post_processor\":{\"type\":\"ByteLevel\"},"
    "\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,"
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\xC4\xA0\":3,\"\xC4\xA0"
    "a\":4,\"a\xC4\xA0\":5},"
    "\"merges\":[\"a b\",\"\xC4\xA0 a\",\"a \xC4\xA0\"]}}";

/* The base with one part replaced; the caller frees it. */
static char *changed(const char *part, const char *replacement) {
    const char *at = strstr(base, part);
    if (at == NULL) {
        fail_msg("the base has no %s", part);
    }
    size_t size = sizeof base + strlen(replacement);
    char *json = malloc(size);
    assert_non_null(json);
    snprintf(json, size, "%.*s%s%s", (int)(at - base), base, replacement, at + strlen(part));
    return json;
}

typedef struct rejection {
    const char *part, *replacement; /* of the base */
    gi8_status status;
    const char *sentence; /* a part of it */
} rejection;

static const rejection rejections[] = {
    /* not JSON */
    {"{\"added_tokens\"", "", GI8_ERR_FORMAT, "not valid JSON"},
    {"\"normalizer\":", "\"normalizer\"", GI8_ERR_FORMAT, "line 1"},
    {"\"dropout\":null", "\"dropout\":nul", GI8_ERR_FORMAT, "not valid JSON"},
    {"\"b\":1", "\"b\":1,", GI8_ERR_FORMAT, "not valid JSON"},
    {"\"b\":1", "\"b\xFF\":1", GI8_ERR_FORMAT, "unable to decode byte"},
    {"\"b\":1", "\"b\\ud800\":1", GI8_ERR_FORMAT, "not valid JSON"},
    {"\"b\":1", "\"\\u0000\":1", GI8_ERR_FORMAT, "not valid JSON"},
    {"\"b\":1", "\"b\":1,\"b\":7", GI8_ERR_FORMAT, "duplicate"},
    {"\"decoder\"", "\"normalizer\"", GI8_ERR_FORMAT, "duplicate"},
    {"\"b\":1", "\"b\":99999999999999999999", GI8_ERR_FORMAT, "big"},
    {"\"b\":1", "\"b\":1e999", GI8_ERR_FORMAT, "real number overflow"},
    /* missing or of the wrong type */
    {"\"model\"", "\"modell\"", GI8_ERR_FORMAT, "\"model\" is nothing, not an object"},
    {"\"vocab\"", "\"vocap\"", GI8_ERR_FORMAT, "model.vocab is nothing, not an object"},
    {"\"merges\"", "\"merchs\"", GI8_ERR_FORMAT, "model.merges is nothing, not an array"},
    {"[\"a b\"", "{\"a b\":0},\"x\":[\"a b\"", GI8_ERR_FORMAT, "merges is an object"},
    {"\"vocab\":{", "\"vocab\":[],\"x\":{", GI8_ERR_FORMAT, "vocab is an array"},
    {"\"added_tokens\":", "\"added_tokens\":{},\"x\":", GI8_ERR_FORMAT,
     "added_tokens is an object"},
    /* ids */
    {"\"b\":1", "\"b\":-1", GI8_ERR_FORMAT, "the id of token \"b\""},
    {"\"b\":1", "\"b\":1.0", GI8_ERR_FORMAT, "the id of token \"b\""},
    {"\"b\":1", "\"b\":\"1\"", GI8_ERR_FORMAT, "the id of token \"b\""},
    {"\"b\":1", "\"b\":2147483647", GI8_ERR_FORMAT, "the id of token \"b\""},
    {"\"b\":1", "\"b\":9000000000000000000", GI8_ERR_FORMAT, "the id of token \"b\""},
    {"\"b\":1", "\"b\":0", GI8_ERR_FORMAT, "tokens \"a\" and \"b\" have the same id 0"},
    {"\"id\":6", "\"id\":-6", GI8_ERR_FORMAT, "the id of token \"<s>\""},
    {"\"id\":6", "\"idd\":6", GI8_ERR_FORMAT, "the id of token \"<s>\""},
    {"\"id\":6", "\"id\":7", GI8_ERR_FORMAT, "\"<s>\" has id 7, but by the vocabulary"},
    {"\"<s>\"", "\"ab\"", GI8_ERR_FORMAT, "\"ab\" has id 6, but by the vocabulary"},
    /* merges */
    {"\"a b\"", "\"a c\"", GI8_ERR_FORMAT, "model.merges[0] needs the token \"c\""},
    {"\"a b\"", "\"b b\"", GI8_ERR_FORMAT, "model.merges[0] needs the token \"bb\""},
    {"\"a b\"", "\"a  b\"", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "\"ab\"", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "\" ab\"", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "\"ab \"", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "7", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "[\"a\"]", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "[\"a\",\"b\",\"\"]", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "[\"\",\"b\"]", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    {"\"a b\"", "[\"a\",1]", GI8_ERR_FORMAT, "model.merges[0] is neither"},
    /* added tokens */
    {"\"content\":\"<s>\"", "\"content\":7", GI8_ERR_FORMAT, "added_tokens[0]"},
    {"[{\"id\"", "[7,{\"id\"", GI8_ERR_FORMAT, "added_tokens[0]"},
    {"\"special\":true", "\"special\":1", GI8_ERR_FORMAT, "has no \"special\""},
    {"\"normalized\":false,", "", GI8_ERR_FORMAT, "has no \"normalized\""},
    {"\"lstrip\":false", "\"lstrip\":true", GI8_ERR_UNSUPPORTED, "lstrip that is true"},
    {"\"rstrip\":false", "\"rstrip\":true", GI8_ERR_UNSUPPORTED, "rstrip that is true"},
    {"\"single_word\":false", "\"single_word\":true", GI8_ERR_UNSUPPORTED, "single_word that is"},
    {"[{\"id\"", "[{\"id\":6,\"content\":\"<s>\",\"special\":true,\"normalized\":false},{\"id\"",
     GI8_ERR_FORMAT, "by the vocabulary and its place in added_tokens it is 7"},
    {"[{\"id\":6",
     "[{\"id\":6,\"content\":\"<s>\",\"special\":true,\"normalized\":false},{\"id\":7",
     GI8_ERR_FORMAT, "added token \"<s>\" is given twice"},
    {"\"\xC4\xA0\":3", "\"\xC4\xA0\":6", GI8_ERR_FORMAT, "have the same id 6"},
    /* other kinds of tokenizers */
    {"\"BPE\"", "\"Unigram\"", GI8_ERR_UNSUPPORTED,
     "model.type is \"Unigram\"; supported: \"BPE\""},
    {"\"dropout\":null", "\"dropout\":0.1", GI8_ERR_UNSUPPORTED, "model.dropout is 0.1"},
    {"\"dropout\"", "\"unk_token\":\"<unk>\",\"dropout\"", GI8_ERR_UNSUPPORTED,
     "model.unk_token is \"<unk>\""},
    {"\"dropout\"", "\"byte_fallback\":true,\"dropout\"", GI8_ERR_UNSUPPORTED,
     "model.byte_fallback is true"},
    {"\"dropout\"", "\"ignore_merges\":true,\"dropout\"", GI8_ERR_UNSUPPORTED,
     "model.ignore_merges is true"},
    {"\"dropout\"", "\"continuing_subword_prefix\":\"##\",\"dropout\"", GI8_ERR_UNSUPPORTED,
     "model.continuing_subword_prefix is \"##\""},
    {"\"dropout\"", "\"end_of_word_suffix\":\"</w>\",\"dropout\"", GI8_ERR_UNSUPPORTED,
     "model.end_of_word_suffix is \"</w>\""},
    {"\"NFC\"", "\"NFKC\"", GI8_ERR_UNSUPPORTED, "normalizer is {\"type\":\"NFKC\"}; supported"},
    {"{\"type\":\"NFC\"}", "\"NFC\"", GI8_ERR_UNSUPPORTED, "normalizer is \"NFC\"; supported"},
    {"{\"type\":\"NFC\"}", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"}]}",
     GI8_ERR_UNSUPPORTED, "normalizer is {\"type\":\"NFD\"}"},
    {"{\"type\":\"NFC\"}", "{\"type\":\"Sequence\"}", GI8_ERR_FORMAT, "\"normalizers\" is nothing"},
    {"\"pre_tokenizer\":{", "\"pre_tokenizer\":null,\"x\":{", GI8_ERR_UNSUPPORTED,
     "pre_tokenizer is null; supported: one ByteLevel"},
    {"\"pre_tokenizer\":{", "\"x\":{", GI8_ERR_UNSUPPORTED, "pre_tokenizer is nothing"},
    {"\"pre_tokenizer\":{\"type\":\"ByteLevel\"", "\"pre_tokenizer\":{\"type\":\"Metaspace\"",
     GI8_ERR_UNSUPPORTED, "pre_tokenizer is {\"type\":\"Metaspace\""},
    {"\"pre_tokenizer\":{",
     "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
     "{\"type\":\"ByteLevel\"}]},\"x\":{",
     GI8_ERR_UNSUPPORTED, "supported: one ByteLevel"},
    {"\"add_prefix_space\":false", "\"add_prefix_space\":0", GI8_ERR_FORMAT, "add_prefix_space"},
    {"\"use_regex\":true", "\"use_regex\":\"yes\"", GI8_ERR_FORMAT, "use_regex"},
    {"\"post_processor\":{\"type\":\"ByteLevel\"}", "\"post_processor\":{\"type\":\"Bert\"}",
     GI8_ERR_UNSUPPORTED, "post_processor is {\"type\":\"Bert\"}"},
    {"\"post_processor\":{\"type\":\"ByteLevel\"}",
     "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
     "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]}",
     GI8_ERR_UNSUPPORTED, "adds no token"},
    {"\"decoder\":{\"type\":\"ByteLevel\"}", "\"decoder\":{\"type\":\"WordPiece\"}",
     GI8_ERR_UNSUPPORTED, "decoder is {\"type\":\"WordPiece\"}"},
    {"\"decoder\":{\"type\":\"ByteLevel\"}", "\"decoder\":null", GI8_ERR_UNSUPPORTED,
     "decoder is null"},
};

static void test_rejections(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rejections / sizeof rejections[0]; i++) {
        const rejection *r = &rejections[i];
        char *json = changed(r->part, r->replacement);
        gi8_error error = GI8_ERROR_INIT;
        gptneox_tokenizer *tokenizer = gptneox_tokenizer_load_memory(json, strlen(json), &error);
        if (tokenizer != NULL || error.status != r->status ||
            strstr(error.message, r->sentence) == NULL) {
            fail_msg("%s -> %s: expected %s \"%s\", found %s \"%s\"", r->part, r->replacement,
                     gi8_status_name(r->status), r->sentence, gi8_status_name(error.status),
                     error.message);
        }
        assert_null(gptneox_tokenizer_load_memory(json, strlen(json), NULL));
        free(json);
    }
}

/* Every beginning of a file is an error, and no other harm. */
static void test_truncated(void **state) {
    (void)state;
    for (size_t size = 0; size < sizeof base - 1; size++) {
        char *copy = malloc(size + 1); /* an address sanitizer sees reads behind it */
        assert_non_null(copy);
        memcpy(copy, base, size);
        gi8_error error = GI8_ERROR_INIT;
        assert_null(gptneox_tokenizer_load_memory(copy, size, &error));
        assert_int_equal(error.status, GI8_ERR_FORMAT);
        free(copy);
    }
}

/* A value nested deeper than any stack could follow. */
static void test_depth(void **state) {
    (void)state;
    size_t size = 1 << 20;
    char *json = malloc(size);
    assert_non_null(json);
    memset(json, '[', size);
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gptneox_tokenizer_load_memory(json, size, &error));
    assert_int_equal(error.status, GI8_ERR_FORMAT);
    free(json);
}

static void test_paths(void **state) {
    (void)state;
    gi8_error error = GI8_ERROR_INIT;
    assert_null(gptneox_tokenizer_load(FIXTURE_DIR "absent.json", &error));
    assert_int_equal(error.status, GI8_ERR_IO);
    assert_non_null(strstr(error.message, "absent.json"));
    assert_null(gptneox_tokenizer_load(FIXTURE_DIR, &error));
    assert_int_equal(error.status, GI8_ERR_IO);
    assert_non_null(strstr(error.message, "directory"));
    assert_null(gptneox_tokenizer_load(FIXTURE_DIR "texts.txt", &error));
    assert_int_equal(error.status, GI8_ERR_FORMAT);
    assert_non_null(strstr(error.message, "texts.txt: not valid JSON"));
    assert_null(gptneox_tokenizer_load(NULL, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    assert_null(gptneox_tokenizer_load_memory(NULL, 0, &error));
    assert_int_equal(error.status, GI8_ERR_ARGUMENT);
    gptneox_tokenizer_free(NULL);
}

typedef struct acceptance {
    const char *part, *replacement; /* of the base */
    const char *text, *ids;
} acceptance;

/* What may differ from file to file, with the ids of the reference. */
static const acceptance acceptances[] = {
    {"", "", "ab a<s>b", "2 4 6 1"},
    {"", "", "axb", "2"}, /* a byte without a token vanishes */
    {"\"a b\"", "[\"a\",\"b\"]", "ab", "2"},
    {"\"a b\"", "\"a b\",\"a b\"", "ab", "2"},
    {"\"type\":\"BPE\",", "", "ab", "2"},
    {"\"dropout\":null", "\"dropout\":0.0", "ab", "2"},
    {"\"dropout\":null", "\"end_of_word_suffix\":\"\",\"byte_fallback\":false", "ab", "2"},
    {"\"normalizer\":{\"type\":\"NFC\"},", "", "ab", "2"},
    {"{\"type\":\"NFC\"}", "null", "ab", "2"},
    {"{\"type\":\"NFC\"}", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}", "ab",
     "2"},
    {"\"add_prefix_space\":false", "\"add_prefix_space\":true", "a<s>a<s> a", "4 6 4 6 4"},
    {"\"use_regex\":true", "\"use_regex\":false", "a b", "5 1"},
    {",\"use_regex\":true", "", "a b", "0 3 1"},
    {"\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
     "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\","
     "\"add_prefix_space\":false,\"use_regex\":true}]}",
     "a b", "0 3 1"},
    {"\"post_processor\":{\"type\":\"ByteLevel\"}", "\"post_processor\":null", "ab", "2"},
    {"\"post_processor\":{\"type\":\"ByteLevel\"}",
     "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\","
     "\"type_id\":0}}],\"special_tokens\":{}}",
     "ab", "2"},
    {"\"added_tokens\":[", "\"truncation\":{\"max_length\":1},\"padding\":{},\"added_tokens\":[",
     "a b", "0 3 1"},
    {"\"added_tokens\":[{\"id\":6", "\"added_tokens\":[],\"x\":[{\"id\":6", "<s>ab", "2"},
    {"\"added_tokens\":[{\"id\":6", "\"added_tokens\":null,\"x\":[{\"id\":6", "<s>ab", "2"},
    {"\"single_word\":false}",
     "\"single_word\":false},{\"id\":9,\"content\":\"\",\"special\":false,"
     "\"normalized\":false}",
     "ab", "2"},
};

static void test_acceptances(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof acceptances / sizeof acceptances[0]; i++) {
        const acceptance *a = &acceptances[i];
        char *json = changed(a->part, a->replacement);
        gi8_error error = GI8_ERROR_INIT;
        gptneox_tokenizer *tokenizer = gptneox_tokenizer_load_memory(json, strlen(json), &error);
        if (tokenizer == NULL) {
            fail_msg("%s -> %s: %s", a->part, a->replacement, error.message);
        }
        int32_t *ids;
        size_t n_ids;
        assert_int_equal(
            gptneox_tokenize(tokenizer, a->text, strlen(a->text), 0, &ids, &n_ids, &error), GI8_OK);
        if (!fixture_same_ids(a->ids, ids, n_ids)) {
            fail_msg("%s -> %s: other ids than %s", a->part, a->replacement, a->ids);
        }
        gptneox_ids_free(ids);
        gptneox_tokenizer_free(tokenizer);
        free(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejections),  cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_depth),       cmocka_unit_test(test_paths),
        cmocka_unit_test(test_acceptances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
