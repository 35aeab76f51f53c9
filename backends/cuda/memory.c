/* memory.c - pieces of device memory out of an arena, and copies through page-locked buffers. All
 * copies and zeros go to one stream of their own: they keep their order, and a plan that is being
 * captured does not see them. */
#define _POSIX_C_SOURCE 200809L
#include "memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "device.h"

/* A page-locked buffer; `copied` has happened when the device is done with it. */
typedef struct staging {
    char *data;
    cudaEvent_t copied;
    struct staging *next; /* in the list of those that no thread has */
} staging;

struct gi8i_cuda_memory {
    const gi8i_cuda_device *device;
    cudaStream_t stream;

    pthread_mutex_t arena_lock;
    gi8i_cuda_arena arena;
    cudaError_t obtain_result; /* why obtain() failed */

    staging buffers[GI8I_STAGING_BUFFERS];
    pthread_mutex_t staging_lock;
    pthread_cond_t staging_returned;
    staging *first_free, **last_free; /* the one whose copy began first comes first */

    pthread_mutex_t order_lock;
    cudaEvent_t written; /* for gi8i_cuda_memory_order() */
};

/* ---- life ------------------------------------------------------------------------------------ */

static void *obtain(void *user, size_t size) {
    gi8i_cuda_memory *memory = user;
    void *address = NULL;
    memory->obtain_result = cudaMalloc(&address, size);
    if (memory->obtain_result != cudaSuccess) {
        cudaGetLastError();
        return NULL;
    }
    return address;
}

static void release(void *user, void *address, size_t size) {
    const gi8i_cuda_memory *memory = user;
    (void)size;
    cudaStreamSynchronize(memory->stream); /* zeros or copies may still be under way */
    cudaFree(address);
    cudaGetLastError();
}

static gi8_status make_stream(gi8i_cuda_memory *memory, gi8_error *error) {
    gi8_status status =
        gi8i_cuda_check(cudaStreamCreateWithFlags(&memory->stream, cudaStreamNonBlocking),
                        "making a stream for copies", error);
    if (status == GI8_OK) {
        status =
            gi8i_cuda_check(cudaEventCreateWithFlags(&memory->written, cudaEventDisableTiming),
                            "making an event", error);
    }
    for (int i = 0; i < GI8I_STAGING_BUFFERS && status == GI8_OK; i++) {
        staging *s = &memory->buffers[i];
        void *data = NULL;
        status = gi8i_cuda_check(cudaMallocHost(&data, GI8I_STAGING_BYTES),
                                 "taking page-locked memory for copies", error);
        s->data = data;
        if (status == GI8_OK) {
            status = gi8i_cuda_check(cudaEventCreateWithFlags(&s->copied, cudaEventDisableTiming),
                                     "making an event", error);
        }
        *memory->last_free = s;
        memory->last_free = &s->next;
    }
    return status;
}

gi8i_cuda_memory *gi8i_cuda_memory_create(const gi8i_cuda_device *device, bool separate,
                                          gi8_error *error) {
    if (gi8i_cuda_device_use(device, error) != GI8_OK) {
        return NULL;
    }
    gi8i_cuda_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "cuda backend: out of memory (%zu bytes)",
                      sizeof *memory);
        return NULL;
    }
    /* The default attributes need no memory and cannot fail. */
    pthread_mutex_init(&memory->arena_lock, NULL);
    pthread_mutex_init(&memory->staging_lock, NULL);
    pthread_mutex_init(&memory->order_lock, NULL);
    pthread_cond_init(&memory->staging_returned, NULL);
    memory->device = device;
    memory->arena = (gi8i_cuda_arena){
        .obtain = obtain, .release = release, .user = memory, .separate = separate};
    memory->last_free = &memory->first_free;
    if (make_stream(memory, error) != GI8_OK) {
        gi8i_cuda_memory_free(memory);
        return NULL;
    }
    return memory;
}

void gi8i_cuda_memory_free(gi8i_cuda_memory *memory) {
    if (memory == NULL) {
        return;
    }
    gi8i_cuda_device_use(memory->device, NULL);
    if (memory->stream != NULL) {
        cudaStreamSynchronize(memory->stream);
    }
    for (int i = 0; i < GI8I_STAGING_BUFFERS; i++) {
        staging *s = &memory->buffers[i];
        if (s->copied != NULL) {
            cudaEventDestroy(s->copied);
        }
        if (s->data != NULL) {
            cudaFreeHost(s->data);
        }
    }
    if (memory->written != NULL) {
        cudaEventDestroy(memory->written);
    }
    if (memory->stream != NULL) {
        cudaStreamDestroy(memory->stream);
    }
    cudaGetLastError();
    pthread_cond_destroy(&memory->staging_returned);
    pthread_mutex_destroy(&memory->order_lock);
    pthread_mutex_destroy(&memory->staging_lock);
    pthread_mutex_destroy(&memory->arena_lock);
    free(memory);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void say_why_not(gi8i_cuda_memory *memory, size_t size, gi8_error *error) {
    cudaError_t result = memory->obtain_result;
    if (result != cudaSuccess && result != cudaErrorMemoryAllocation) {
        gi8i_cuda_check(result, "taking device memory", error);
        return;
    }
    size_t free_bytes = 0, total_bytes = 0;
    if (result == cudaSuccess || cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) {
        cudaGetLastError();
        gi8_error_set(error, GI8_ERR_MEMORY, "cuda backend: out of memory (%zu bytes)", size);
        return;
    }
    gi8_error_set(error, GI8_ERR_MEMORY,
                  "cuda backend: out of device memory: %zu bytes needed, %zu of %zu are free", size,
                  free_bytes, total_bytes);
}

void *gi8i_cuda_memory_take(gi8i_cuda_memory *memory, size_t size, gi8_error *error) {
    if (gi8i_cuda_device_use(memory->device, error) != GI8_OK) {
        return NULL;
    }
    pthread_mutex_lock(&memory->arena_lock);
    memory->obtain_result = cudaSuccess;
    void *address = gi8i_cuda_arena_alloc(&memory->arena, size);
    if (address == NULL) {
        say_why_not(memory, size, error);
    }
    pthread_mutex_unlock(&memory->arena_lock);
    if (address != NULL &&
        gi8i_cuda_check(cudaMemsetAsync(address, 0, size, memory->stream), "zeroing memory",
                        error) != GI8_OK) {
        gi8i_cuda_memory_give(memory, address);
        return NULL;
    }
    return address;
}

void gi8i_cuda_memory_give(gi8i_cuda_memory *memory, void *address) {
    gi8i_cuda_device_use(memory->device, NULL);
    pthread_mutex_lock(&memory->arena_lock);
    gi8i_cuda_arena_free(&memory->arena, address);
    pthread_mutex_unlock(&memory->arena_lock);
}

gi8i_cuda_memory_stats gi8i_cuda_memory_get_stats(gi8i_cuda_memory *memory) {
    pthread_mutex_lock(&memory->arena_lock);
    gi8i_cuda_memory_stats stats = {memory->arena.used, memory->arena.obtained};
    pthread_mutex_unlock(&memory->arena_lock);
    return stats;
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* A staging buffer for this thread alone. The device may still read from it. */
static staging *take_staging(gi8i_cuda_memory *memory) {
    pthread_mutex_lock(&memory->staging_lock);
    while (memory->first_free == NULL) {
        pthread_cond_wait(&memory->staging_returned, &memory->staging_lock);
    }
    staging *s = memory->first_free;
    memory->first_free = s->next;
    if (memory->first_free == NULL) {
        memory->last_free = &memory->first_free;
    }
    s->next = NULL;
    pthread_mutex_unlock(&memory->staging_lock);
    return s;
}

static void return_staging(gi8i_cuda_memory *memory, staging *s) {
    pthread_mutex_lock(&memory->staging_lock);
    *memory->last_free = s;
    memory->last_free = &s->next;
    pthread_cond_signal(&memory->staging_returned);
    pthread_mutex_unlock(&memory->staging_lock);
}

/* Enqueues a copy between the device and `s`, at most a staging buffer's size. Its next user waits
 * for it, whatever happens here. */
static gi8_status enqueue_copy(gi8i_cuda_memory *memory, const staging *s, void *dst,
                               const void *src, size_t size, enum cudaMemcpyKind kind,
                               gi8_error *error) {
    gi8_status status = gi8i_cuda_check(cudaMemcpyAsync(dst, src, size, kind, memory->stream),
                                        "copying", error);
    if (status != GI8_OK) {
        return status;
    }
    cudaError_t result = cudaEventRecord(s->copied, memory->stream);
    if (result != cudaSuccess) {
        cudaStreamSynchronize(memory->stream);
    }
    return gi8i_cuda_check(result, "copying", error);
}

static gi8_status wait_for(const staging *s, gi8_error *error) {
    return gi8i_cuda_check(cudaEventSynchronize(s->copied), "waiting for a copy", error);
}

static gi8_status write_part(gi8i_cuda_memory *memory, staging *s, void *dst, const void *src,
                             size_t size, gi8_error *error) {
    gi8_status status = wait_for(s, error);
    if (status == GI8_OK) {
        memcpy(s->data, src, size);
        status = enqueue_copy(memory, s, dst, s->data, size, cudaMemcpyHostToDevice, error);
    }
    return status;
}

static gi8_status read_part(gi8i_cuda_memory *memory, staging *s, void *dst, const void *src,
                            size_t size, gi8_error *error) {
    gi8_status status =
        enqueue_copy(memory, s, s->data, src, size, cudaMemcpyDeviceToHost, error);
    if (status == GI8_OK) {
        status = wait_for(s, error);
    }
    if (status == GI8_OK) {
        memcpy(dst, s->data, size);
    }
    return status;
}

static gi8_status copy(gi8i_cuda_memory *memory, bool to_device, void *dst, const void *src,
                       size_t size, gi8_error *error) {
    gi8_status status = gi8i_cuda_device_use(memory->device, error);
    for (size_t done = 0; done < size && status == GI8_OK;) {
        size_t part = size - done < GI8I_STAGING_BYTES ? size - done : GI8I_STAGING_BYTES;
        void *to = (char *)dst + done;
        const void *from = (const char *)src + done;
        staging *s = take_staging(memory);
        status = to_device ? write_part(memory, s, to, from, part, error)
                           : read_part(memory, s, to, from, part, error);
        return_staging(memory, s);
        done += part;
    }
    return status;
}

gi8_status gi8i_cuda_memory_write(gi8i_cuda_memory *memory, void *dst, const void *src, size_t size,
                                  gi8_error *error) {
    return copy(memory, true, dst, src, size, error);
}

gi8_status gi8i_cuda_memory_read(gi8i_cuda_memory *memory, void *dst, const void *src, size_t size,
                                 gi8_error *error) {
    return copy(memory, false, dst, src, size, error);
}

gi8_status gi8i_cuda_memory_order(gi8i_cuda_memory *memory, cudaStream_t stream, gi8_error *error) {
    pthread_mutex_lock(&memory->order_lock);
    gi8_status status = gi8i_cuda_check(cudaEventRecord(memory->written, memory->stream),
                                        "waiting for copies", error);
    if (status == GI8_OK) {
        status = gi8i_cuda_check(cudaStreamWaitEvent(stream, memory->written, 0),
                                 "waiting for copies", error);
    }
    pthread_mutex_unlock(&memory->order_lock);
    return status;
}
