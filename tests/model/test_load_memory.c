/* test_load_memory.c - loading to a device: host memory holds some tiles at a time, no tensor. The
 * allocations of the libraries are counted, page-locked ones, too: this program is linked with
 * --wrap=malloc and so on.
 */
#define _DEFAULT_SOURCE /* truncate */
#include "checkpoint_fixture.h"
#include "test_device.h"

#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t live;
static size_t peak;

static void *count(void *memory) {
    pthread_mutex_lock(&mutex);
    live += memory != NULL ? malloc_usable_size(memory) : 0;
    peak = live > peak ? live : peak;
    pthread_mutex_unlock(&mutex);
    return memory;
}

static void discount(void *memory) {
    pthread_mutex_lock(&mutex);
    size_t size = memory != NULL ? malloc_usable_size(memory) : 0;
    live -= size < live ? size : live; /* memory of a library may end up here uncounted */
    pthread_mutex_unlock(&mutex);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
int __real_cudaMallocHost(void **memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
int __wrap_cudaMallocHost(void **memory, size_t size);

void *__wrap_malloc(size_t size) {
    return count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size) {
    return count(__real_calloc(n, size));
}

void *__wrap_realloc(void *memory, size_t size) {
    discount(memory);
    return count(__real_realloc(memory, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return count(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *memory) {
    discount(memory);
    __real_free(memory);
}

/* Counted for ever: loading should take none. */
int __wrap_cudaMallocHost(void **memory, size_t size) {
    pthread_mutex_lock(&mutex);
    live += size;
    peak = live > peak ? live : peak;
    pthread_mutex_unlock(&mutex);
    return __real_cudaMallocHost(memory, size);
}

/* One layer with hidden size 1024: 112 MiB of zeros, embedding and head of 32 MiB each. */
enum { HIDDEN = 1024, VOCAB = 8192, WIDE = 4096 };
#define CONFIG                                                                            \
    "{\"vocab_size\": 8192, \"hidden_size\": 1024, \"num_attention_heads\": 8, "          \
    "\"num_hidden_layers\": 1, \"intermediate_size\": 4096, \"rotary_pct\": 0.25}"

static temp_dir write_checkpoint(void) {
    static const struct {
        const char *name;
        int64_t rows, cols; /* cols 0: a vector */
    } tensors[] = {
        {"gpt_neox.embed_in.weight", VOCAB, HIDDEN},
        {"gpt_neox.layers.0.input_layernorm.weight", HIDDEN, 0},
        {"gpt_neox.layers.0.input_layernorm.bias", HIDDEN, 0},
        {"gpt_neox.layers.0.post_attention_layernorm.weight", HIDDEN, 0},
        {"gpt_neox.layers.0.post_attention_layernorm.bias", HIDDEN, 0},
        {"gpt_neox.layers.0.attention.query_key_value.weight", 3 * HIDDEN, HIDDEN},
        {"gpt_neox.layers.0.attention.query_key_value.bias", 3 * HIDDEN, 0},
        {"gpt_neox.layers.0.attention.dense.weight", HIDDEN, HIDDEN},
        {"gpt_neox.layers.0.attention.dense.bias", HIDDEN, 0},
        {"gpt_neox.layers.0.mlp.dense_h_to_4h.weight", WIDE, HIDDEN},
        {"gpt_neox.layers.0.mlp.dense_h_to_4h.bias", WIDE, 0},
        {"gpt_neox.layers.0.mlp.dense_4h_to_h.weight", HIDDEN, WIDE},
        {"gpt_neox.layers.0.mlp.dense_4h_to_h.bias", HIDDEN, 0},
        {"gpt_neox.final_layer_norm.weight", HIDDEN, 0},
        {"gpt_neox.final_layer_norm.bias", HIDDEN, 0},
        {"embed_out.weight", VOCAB, HIDDEN},
    };
    static char header[8192];
    size_t used = 0;
    long long offset = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char shape[64];
        int64_t cols = tensors[i].cols;
        long long end = offset + 4 * tensors[i].rows * (cols > 0 ? cols : 1);
        int n = snprintf(shape, sizeof shape, "%lld", (long long)tensors[i].rows);
        if (cols > 0) {
            snprintf(shape + n, sizeof shape - (size_t)n, ",%lld", (long long)cols);
        }
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],"
                                 "\"data_offsets\":[%lld,%lld]}",
                                 i == 0 ? "{" : ",", tensors[i].name, shape, offset, end);
        offset = end;
    }
    used += (size_t)snprintf(header + used, sizeof header - used, "}");
    assert_true(used < sizeof header);
    temp_dir dir = temp_dir_create();
    size_t size = 0;
    uint8_t *start = safetensors_of_header(header, 0, &size);
    temp_write_text(&dir, "config.json", CONFIG);
    temp_write(&dir, "model.safetensors", start, size);
    assert_int_equal(truncate(temp_path(&dir, "model.safetensors"), (off_t)size + offset), 0);
    free(start);
    return dir;
}

/* Tiles take 16 MiB at most, everything else little: a copy of one of the larger tensors does not
 * fit. */
static void test_host_memory(void **state) {
    (void)state;
    temp_dir dir = write_checkpoint();
    size_t before = live;
    gi8_backend *backend = test_device_create();
    assert_true(live - before > 1 << 20); /* its buffers for copies were counted */
    for (int weights = GPTNEOX_WEIGHTS_INT8; weights <= GPTNEOX_WEIGHTS_F32; weights++) {
        gi8_error error = GI8_ERROR_INIT;
        gptneox_model_params params = GPTNEOX_MODEL_PARAMS_DEFAULT;
        params.weights = (gptneox_weight_type)weights;
        before = live;
        peak = live;
        gptneox_model *model = gptneox_model_load(dir.path, backend, &params, &error);
        if (model == NULL) {
            fail_msg("%s", error.message);
        }
        printf("weights %d: %.1f MiB of host memory at most\n", weights,
               (double)(peak - before) / 0x1p20);
        assert_true(peak - before > 1 << 16); /* it was counted */
        assert_true(peak - before < 24 << 20);
        gptneox_model_free(model);
    }
    gi8_backend_free(backend);
    temp_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_host_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
