/* test_safetensors.c - one safetensors file: good headers, every lie in a header, and mutations. */
#define _XOPEN_SOURCE 700 /* truncate */
#include "checkpoint_fixture.h"
#include "safetensors.h"
#include "test_seed.h"

#include <unistd.h>

static gi8_status open_bytes(const void *bytes, size_t size, gptneoxi_safetensors *st,
                             gi8_error *error) {
    temp_dir dir = temp_dir_create();
    temp_write(&dir, "a.safetensors", bytes, size);
    gi8_status status = gptneoxi_safetensors_open(st, temp_path(&dir, "a.safetensors"), error);
    temp_dir_remove(&dir); /* an open file stays readable */
    return status;
}

static void expect_bad(const char *header, size_t data_size, gi8_status expected,
                       const char *says) {
    size_t size = 0;
    uint8_t *bytes = safetensors_of_header(header, data_size, &size);
    gptneoxi_safetensors st;
    gi8_error error = GI8_ERROR_INIT;
    gi8_status status = open_bytes(bytes, size, &st, &error);
    if (status != expected || strstr(error.message, says) == NULL) {
        fail_msg("%s: expected \"%s\", found %s: %s", header, says, gi8_status_name(status),
                 error.message);
    }
    assert_null(st.tensors);
    assert_int_equal(st.file.fd, -1);
    free(bytes);
}

static void good_file(void **state) {
    (void)state;
    fixture_checkpoint *c = tiny_checkpoint();
    size_t size = 0;
    uint8_t *bytes = safetensors_bytes(c, 0, c->n, &size);
    gptneoxi_safetensors st;
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(open_bytes(bytes, size, &st, &error), GI8_OK);
    assert_int_equal(st.n_tensors, c->n);
    for (int i = 0; i < c->n; i++) {
        const gptneoxi_tensor_info *t = &st.tensors[i];
        assert_string_equal(t->name, c->tensors[i].name);
        assert_string_equal(t->dtype, "F32");
        assert_int_equal(t->n_dims, c->tensors[i].n_dims);
        for (int d = 0; d < t->n_dims; d++) {
            assert_int_equal(t->shape[d], c->tensors[i].shape[d]);
        }
        assert_int_equal(t->size, c->tensors[i].size);
        uint8_t *data = malloc((size_t)t->size);
        assert_non_null(data);
        assert_int_equal(gptneoxi_file_read(&st.file, t->offset, data, (size_t)t->size, &error),
                         GI8_OK);
        assert_memory_equal(data, c->tensors[i].data, t->size);
        free(data);
    }
    gptneoxi_safetensors_close(&st);
    free(bytes);
    tiny_checkpoint_free(c);
}

/* Scalars, empty tensors, any order of entries, types that no weight has. */
static void unusual_but_right(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data_size;
        size_t n;
    } table[] = {
        {"{}", 0, 0},
        {"{\"__metadata__\": {\"a\": \"b\"}}", 0, 0},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [], \"data_offsets\": [0, 4]}}", 4, 1},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [0, 9223372036854775807], \"data_offsets\": [0, "
         "0]}}",
         0, 1},
        {"{\"b\": {\"dtype\": \"U8\", \"shape\": [3], \"data_offsets\": [2, 5]},"
         " \"e\": {\"dtype\": \"I64\", \"shape\": [0], \"data_offsets\": [2, 2]},"
         " \"a\": {\"dtype\": \"BOOL\", \"shape\": [1, 1, 2], \"data_offsets\": [0, 2]}}",
         5, 3},
        {"{\"a\": {\"dtype\": \"F4\", \"shape\": [4], \"data_offsets\": [0, 2]}}   ", 2, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t size = 0;
        uint8_t *bytes = safetensors_of_header(table[i].header, table[i].data_size, &size);
        gptneoxi_safetensors st;
        gi8_error error = GI8_ERROR_INIT;
        if (open_bytes(bytes, size, &st, &error) != GI8_OK) {
            fail_msg("%s: %s", table[i].header, error.message);
        }
        assert_int_equal(st.n_tensors, table[i].n);
        gptneoxi_safetensors_close(&st);
        free(bytes);
    }
}

static void bad_length(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t size;
        const char *says;
    } table[] = {
        {{0}, 0, "found only 0 bytes"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{'}, 9, "found only 9 bytes"},
        {{0, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "expected 2 to 2, found 0"},
        {{1, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "found 1"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "found 3"},
        {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "found 18446744073709551615"},
        {{0, 0, 0, 0, 0, 0, 0, 128, '{', '}'}, 10, "found 9223372036854775808"},
        {{248, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "found 18446744073709551608"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        gptneoxi_safetensors st;
        gi8_error error = GI8_ERROR_INIT;
        assert_int_equal(open_bytes(table[i].bytes, table[i].size, &st, &error), GI8_ERR_FORMAT);
        if (strstr(error.message, table[i].says) == NULL) {
            fail_msg("expected \"%s\" in: %s", table[i].says, error.message);
        }
    }
    /* Larger than the loader takes, although the file has the bytes. */
    const size_t size = ((size_t)16 << 20) + 100;
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    memset(bytes + 8, ' ', size - 8);
    bytes[0] = 1;
    bytes[3] = 1; /* 16 MiB + 1 */
    gptneoxi_safetensors st;
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(open_bytes(bytes, size, &st, &error), GI8_ERR_FORMAT);
    assert_non_null(strstr(error.message, "found 16777217"));
    free(bytes);
}

static void bad_headers(void **state) {
    (void)state;
#define ENTRY(dtype, shape, offsets) \
    "{\"a\": {\"dtype\": " dtype ", \"shape\": " shape ", \"data_offsets\": " offsets "}}"
    expect_bad("{\"a\": }", 0, GI8_ERR_FORMAT, "not valid JSON");
    expect_bad("{\"a\"", 0, GI8_ERR_FORMAT, "not valid JSON");
    expect_bad("{\"\xff\": 1}", 0, GI8_ERR_FORMAT, "not valid JSON");
    expect_bad("[]", 0, GI8_ERR_FORMAT, "expected an object, found an array");
    expect_bad("{\"a\": 1}", 0, GI8_ERR_FORMAT, "entry: expected an object, found an integer");
    expect_bad("{\"a\": {\"shape\": [1], \"data_offsets\": [0, 4]}}", 4, GI8_ERR_FORMAT,
               "dtype: expected a string, found nothing");
    expect_bad(ENTRY("5", "[1]", "[0, 4]"), 4, GI8_ERR_FORMAT, "dtype: expected a string");
    expect_bad(ENTRY("\"F33\"", "[1]", "[0, 4]"), 4, GI8_ERR_UNSUPPORTED, "\"F33\" is not known");
    expect_bad(ENTRY("\"F32\"", "1", "[0, 4]"), 4, GI8_ERR_FORMAT, "shape: expected an array");
    expect_bad(ENTRY("\"F32\"", "[1.0]", "[0, 4]"), 4, GI8_ERR_FORMAT, "shape: expected sizes");
    expect_bad(ENTRY("\"F32\"", "[-1]", "[0, 4]"), 4, GI8_ERR_FORMAT, "shape: expected sizes");
    expect_bad(ENTRY("\"F32\"", "[\"1\"]", "[0, 4]"), 4, GI8_ERR_FORMAT, "found a string");
    expect_bad(ENTRY("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0, 4]"), 4, GI8_ERR_UNSUPPORTED,
               "at most 8 dimensions, found 9");
    expect_bad(ENTRY("\"F32\"", "[4611686018427387904, 4]", "[0, 0]"), 0, GI8_ERR_FORMAT,
               "has no size in bytes");
    expect_bad(ENTRY("\"F32\"", "[4294967296, 4294967296]", "[0, 0]"), 0, GI8_ERR_FORMAT,
               "has no size in bytes");
    expect_bad(ENTRY("\"F4\"", "[3]", "[0, 1]"), 1, GI8_ERR_FORMAT, "has no size in bytes");
    expect_bad(ENTRY("\"F32\"", "[1]", "4"), 4, GI8_ERR_FORMAT,
               "data_offsets: expected two offsets");
    expect_bad(ENTRY("\"F32\"", "[1]", "[0]"), 4, GI8_ERR_FORMAT, "expected two offsets");
    expect_bad(ENTRY("\"F32\"", "[1]", "[0, 4, 8]"), 4, GI8_ERR_FORMAT, "expected two offsets");
    expect_bad(ENTRY("\"F32\"", "[1]", "[-4, 0]"), 4, GI8_ERR_FORMAT, "expected two offsets");
    expect_bad(ENTRY("\"F32\"", "[1]", "[0, 4.0]"), 4, GI8_ERR_FORMAT, "expected two offsets");
    expect_bad(ENTRY("\"F32\"", "[1]", "[4, 0]"), 4, GI8_ERR_FORMAT, "found 4 to 0");
    expect_bad(ENTRY("\"F32\"", "[1]", "[0, 4]"), 3, GI8_ERR_FORMAT, "within the 3 bytes of data");
    expect_bad(ENTRY("\"F32\"", "[1]", "[9223372036854775803, 9223372036854775807]"), 4,
               GI8_ERR_FORMAT, "within the 4 bytes of data");
    expect_bad(ENTRY("\"F32\"", "[2]", "[0, 4]"), 4, GI8_ERR_FORMAT,
               "expected the 8 bytes of a F32 of shape [2], found 4");
    expect_bad(ENTRY("\"F16\"", "[2, 3]", "[0, 24]"), 24, GI8_ERR_FORMAT,
               "expected the 12 bytes of a F16 of shape [2, 3], found 24");
    expect_bad(ENTRY("\"F32\"", "[1]", "[0, 4]"), 5, GI8_ERR_FORMAT, "bytes by its header, found");
    expect_bad(ENTRY("\"U8\"", "[1]", "[1, 2]"), 2, GI8_ERR_FORMAT, "a hole in the data");
#undef ENTRY
#define TWO(b) "{\"a\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [0, 4]}, " b "}"
    expect_bad(TWO("\"a\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [4, 8]}"), 8,
               GI8_ERR_FORMAT, "duplicate");
    expect_bad(TWO("\"b\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [2, 6]}"), 6,
               GI8_ERR_FORMAT, "tensors overlap");
    expect_bad(TWO("\"b\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [0, 4]}"), 4,
               GI8_ERR_FORMAT, "tensors overlap");
    expect_bad(TWO("\"b\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [5, 9]}"), 9,
               GI8_ERR_FORMAT, "a hole in the data");
#undef TWO
}

static void shape_texts(void **state) {
    (void)state;
    const uint64_t shape[3] = {1, 22, 333};
    char text[32];
    assert_string_equal(gptneoxi_shape_text(text, sizeof text, shape, 0), "[]");
    assert_string_equal(gptneoxi_shape_text(text, sizeof text, shape, 1), "[1]");
    assert_string_equal(gptneoxi_shape_text(text, sizeof text, shape, 3), "[1, 22, 333]");
    assert_string_equal(gptneoxi_shape_text(text, 6, shape, 3), "[1, 2");
}

static void cut_after_opening(void **state) {
    (void)state;
    temp_dir dir = temp_dir_create();
    size_t size = 0;
    uint8_t *bytes = safetensors_of_header(
        "{\"a\": {\"dtype\": \"U8\", \"shape\": [100], \"data_offsets\": [0, 100]}}", 100, &size);
    temp_write(&dir, "a.safetensors", bytes, size);
    gptneoxi_safetensors st;
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gptneoxi_safetensors_open(&st, temp_path(&dir, "a.safetensors"), &error),
                     GI8_OK);
    assert_int_equal(truncate(temp_path(&dir, "a.safetensors"), (off_t)size - 40), 0);
    uint8_t data[100];
    assert_int_equal(gptneoxi_file_read(&st.file, st.tensors[0].offset, data, 100, &error),
                     GI8_ERR_IO);
    assert_non_null(strstr(error.message, "expected 40 more"));
    assert_int_equal(gptneoxi_file_read(&st.file, UINT64_MAX - 5, data, 1, &error), GI8_ERR_IO);
    gptneoxi_safetensors_close(&st);
    temp_dir_remove(&dir);
    free(bytes);
}

/* Random bytes of a valid file are changed: it opens with a sound table, or with a sentence. */
static void mutations(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(20);
    fixture_checkpoint *c = tiny_checkpoint();
    size_t size = 0;
    uint8_t *bytes = safetensors_bytes(c, 0, 4, &size);
    uint8_t *changed = malloc(size);
    assert_non_null(changed);
    const size_t header_size = 8 + (size_t)bytes[0] + ((size_t)bytes[1] << 8);
    temp_dir dir = temp_dir_create();
    int n_good = 0;
    int n_bad = 0;
    for (int i = 0; i < 4000; i++) {
        memcpy(changed, bytes, size);
        const int64_t n_changes = test_rng_int(&rng, 1, 3);
        for (int64_t j = 0; j < n_changes; j++) {
            const size_t at = (size_t)test_rng_int(&rng, 0, (int64_t)header_size - 1);
            /* A digit for a digit is the change that survives the parser. */
            const bool digit = changed[at] >= '0' && changed[at] <= '9';
            changed[at] = digit ? (uint8_t)test_rng_int(&rng, '0', '9')
                                : (uint8_t)test_rng_int(&rng, 0, 255);
        }
        const size_t cut = test_rng_int(&rng, 0, 9) == 0 ? (size_t)test_rng_int(&rng, 0, 64) : 0;
        temp_write(&dir, "a.safetensors", changed, size - cut);
        gptneoxi_safetensors st;
        gi8_error error = GI8_ERROR_INIT;
        if (gptneoxi_safetensors_open(&st, temp_path(&dir, "a.safetensors"), &error) != GI8_OK) {
            assert_int_not_equal(error.message[0], '\0');
            n_bad++;
            continue;
        }
        for (size_t t = 0; t < st.n_tensors; t++) {
            assert_true(st.tensors[t].offset + st.tensors[t].size <= size - cut);
        }
        gptneoxi_safetensors_close(&st);
        n_good++;
    }
    assert_true(n_good > 100 && n_bad > 1000);
    temp_dir_remove(&dir);
    free(changed);
    free(bytes);
    tiny_checkpoint_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file),
        cmocka_unit_test(unusual_but_right),
        cmocka_unit_test(bad_length),
        cmocka_unit_test(bad_headers),
        cmocka_unit_test(shape_texts),
        cmocka_unit_test(cut_after_opening),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
