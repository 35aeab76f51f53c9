/* kv_cache.h - the keys and values of a session's sequences. */
#ifndef GPTNEOXI_KV_CACHE_H
#define GPTNEOXI_KV_CACHE_H

#include "gptneox.h"

/* One pair of tensors per block, each [head_dim, n_ctx, n_heads, n_sequences], and how many
 * positions of each sequence are filled. */
typedef struct gptneoxi_kv_cache {
    gi8_tensor **k;
    gi8_tensor **v;
    int32_t *length;
    int32_t n_ctx;
    int32_t n_sequences;
    gi8_context *ctx;
    gi8_buffer *buffer;
} gptneoxi_kv_cache;

/* An empty cache in memory of `backend`. GI8_OK, or *cache is left empty: GI8_ERR_MEMORY. */
gi8_status gptneoxi_kv_cache_create(gptneoxi_kv_cache *cache, const gptneox_config *config,
                                    gi8_backend *backend, gi8_type type, int32_t n_ctx,
                                    int32_t n_sequences, gi8_error *error);
void gptneoxi_kv_cache_free(gptneoxi_kv_cache *cache);

#endif
