/* copy.c - strided copies with conversion. */
#include "copy.h"

#include <string.h>

typedef struct copy_job {
    const gi8_tensor *src;
    const gi8_tensor *dst;
    const char *src_data;
    char *dst_data;
} copy_job;

/* Where element `index` (in the order of the dimensions) of t lies, and how many elements follow it
 * in its row, itself included. */
static size_t element_offset(const gi8_tensor *t, int64_t index, int64_t *left_in_row) {
    int64_t i0 = index % t->ne[0];
    *left_in_row = t->ne[0] - i0;
    return (size_t)i0 * t->nb[0] + gi8i_row_offset(t, index / t->ne[0]);
}

static void copy_element(gi8_type from, const char *src, gi8_type to, char *dst) {
    if (from == to) {
        memcpy(dst, src, gi8_type_size(from));
        return;
    }
    float value;
    gi8_convert_to_fp32(from, src, 1, &value);
    gi8_convert_from_fp32(to, &value, 1, dst);
}

/* `count` elements with contiguous sources and destinations. */
static void copy_run(gi8_type from, const char *src, gi8_type to, char *dst, int64_t count) {
    if (from == to) {
        memcpy(dst, src, (size_t)count * gi8_type_size(from));
        return;
    }
    float values[256];
    const int64_t chunk = (int64_t)(sizeof values / sizeof *values);
    for (int64_t i = 0; i < count; i += chunk) {
        int64_t n = count - i < chunk ? count - i : chunk;
        gi8_convert_to_fp32(from, src + (size_t)i * gi8_type_size(from), n, values);
        gi8_convert_from_fp32(to, values, n, dst + (size_t)i * gi8_type_size(to));
    }
}

static void elements(void *arg, int64_t begin, int64_t end, int thread) {
    const copy_job *job = arg;
    const gi8_tensor *src = job->src;
    const gi8_tensor *dst = job->dst;
    bool runs = gi8_has_contiguous_rows(src) && gi8_has_contiguous_rows(dst);
    (void)thread;
    while (begin < end) {
        int64_t src_left;
        int64_t dst_left;
        const char *from = job->src_data + element_offset(src, begin, &src_left);
        char *to = job->dst_data + element_offset(dst, begin, &dst_left);
        int64_t count = src_left < dst_left ? src_left : dst_left;
        count = end - begin < count ? end - begin : count;
        if (runs) {
            copy_run(src->type, from, dst->type, to, count);
        } else {
            for (int64_t i = 0; i < count; i++) {
                copy_element(src->type, from + (size_t)i * src->nb[0], dst->type,
                             to + (size_t)i * dst->nb[0]);
            }
        }
        begin += count;
    }
}

void gi8i_cpu_copy(const gi8i_cpu_run *run, const gi8_tensor *src, const void *src_data,
                   const gi8_tensor *dst, void *dst_data) {
    copy_job job = {src, dst, src_data, dst_data};
    gi8i_pool_run(run->pool, gi8_nelements(src), 16384, elements, &job);
}
