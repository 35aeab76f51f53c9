/* kv_cache.c - the keys and values of a session's sequences. */
#include "kv_cache.h"

#include <stdlib.h>
#include <string.h>

static gi8_status place_tensors(gptneoxi_kv_cache *cache, const gptneox_config *config,
                                gi8_backend *backend, gi8_type type, gi8_error *error) {
    size_t n_layers = (size_t)config->num_hidden_layers;
    const int64_t ne[4] = {config->head_dim, cache->n_ctx, config->num_attention_heads,
                           cache->n_sequences};
    for (size_t i = 0; i < n_layers; i++) {
        cache->k[i] = gi8_set_name(gi8_new_tensor(cache->ctx, type, 4, ne), "cache_k.%zu", i);
        cache->v[i] = gi8_set_name(gi8_new_tensor(cache->ctx, type, 4, ne), "cache_v.%zu", i);
    }
    if (gi8_context_status(cache->ctx) != GI8_OK) { /* a shape of too many elements, for one */
        return gi8_error_set(error, GI8_ERR_MEMORY, "KV cache: %s",
                             gi8_context_message(cache->ctx));
    }
    const size_t each = gi8_buffer_space(cache->k[0]);
    if (each > SIZE_MAX / (2 * n_layers)) {
        return gi8_error_set(error, GI8_ERR_MEMORY,
                             "KV cache: %d positions of %d sequences exceed the address space",
                             cache->n_ctx, cache->n_sequences);
    }
    const size_t size = 2 * n_layers * each;
    gi8_error inner = GI8_ERROR_INIT;
    cache->buffer = gi8_buffer_create(backend, size, &inner);
    if (cache->buffer == NULL) {
        return gi8_error_set(error, inner.status, "KV cache of %zu bytes: %s", size, inner.message);
    }
    size_t offset = 0;
    for (size_t i = 0; i < n_layers; i++) {
        gi8_tensor *pair[2] = {cache->k[i], cache->v[i]};
        for (int j = 0; j < 2; j++) {
            gi8_status status = gi8_buffer_bind(cache->buffer, pair[j], offset, error);
            if (status != GI8_OK) {
                return status;
            }
            offset += gi8_buffer_space(pair[j]);
        }
    }
    return GI8_OK;
}

gi8_status gptneoxi_kv_cache_create(gptneoxi_kv_cache *cache, const gptneox_config *config,
                                    gi8_backend *backend, gi8_type type, int32_t n_ctx,
                                    int32_t n_sequences, gi8_error *error) {
    memset(cache, 0, sizeof *cache);
    size_t n_layers = (size_t)config->num_hidden_layers;
    cache->n_ctx = n_ctx;
    cache->n_sequences = n_sequences;
    cache->k = calloc(n_layers, sizeof(gi8_tensor *));
    cache->v = calloc(n_layers, sizeof(gi8_tensor *));
    cache->length = calloc((size_t)n_sequences, sizeof(int32_t));
    cache->ctx = gi8_context_create(NULL, error);
    gi8_status status;
    if (cache->k == NULL || cache->v == NULL || cache->length == NULL || cache->ctx == NULL) {
        status = gi8_error_set(error, GI8_ERR_MEMORY, "KV cache: no memory for its description");
    } else {
        status = place_tensors(cache, config, backend, type, error);
    }
    if (status != GI8_OK) {
        gptneoxi_kv_cache_free(cache);
    }
    return status;
}

void gptneoxi_kv_cache_free(gptneoxi_kv_cache *cache) {
    gi8_context_free(cache->ctx);
    gi8_buffer_free(cache->buffer);
    free(cache->k);
    free(cache->v);
    free(cache->length);
    memset(cache, 0, sizeof *cache);
}
