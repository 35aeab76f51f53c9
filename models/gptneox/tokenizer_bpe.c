/* tokenizer_bpe.c - byte pair encoding of one word: merges by rank, leftmost first among equals. */
#include "tokenizer_internal.h"

gptneoxi_merge *gptneoxi_merge_slot(const gptneox_tokenizer *tokenizer, int32_t left,
                                    int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t hash = pair * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    for (uint64_t i = hash & tokenizer->merges_mask;; i = (i + 1) & tokenizer->merges_mask) {
        gptneoxi_merge *slot = &tokenizer->merges[i];
        if (slot->pair == pair || slot->pair == GPTNEOXI_NO_PAIR) {
            return slot;
        }
    }
}

static bool before(const gptneoxi_candidate *a, const gptneoxi_candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

/* Queues the merge of the symbol at `position` with its right neighbour, if there is one. */
static bool heap_push(const gptneox_tokenizer *tokenizer, gptneoxi_bpe_scratch *scratch,
                      int32_t position) {
    const gptneoxi_symbol *left = &scratch->symbols[position];
    const gptneoxi_merge *merge =
        gptneoxi_merge_slot(tokenizer, left->id, scratch->symbols[left->next].id);
    if (merge->pair == GPTNEOXI_NO_PAIR) {
        return true;
    }
    void *moved = scratch->heap;
    if (!gptneoxi_reserve(&moved, &scratch->heap_capacity, scratch->heap_size + 1,
                          sizeof *scratch->heap)) {
        return false;
    }
    scratch->heap = moved;
    gptneoxi_candidate candidate = {merge->rank, position, merge->id};
    size_t i = scratch->heap_size++;
    while (i > 0 && before(&candidate, &scratch->heap[(i - 1) / 2])) {
        scratch->heap[i] = scratch->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    scratch->heap[i] = candidate;
    return true;
}

static gptneoxi_candidate heap_pop(gptneoxi_bpe_scratch *scratch) {
    gptneoxi_candidate *heap = scratch->heap;
    gptneoxi_candidate top = heap[0];
    size_t size = --scratch->heap_size;
    gptneoxi_candidate last = heap[size];
    size_t i = 0;
    for (size_t child = 1; child < size; child = 2 * i + 1) {
        if (child + 1 < size && before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!before(&heap[child], &last)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

bool gptneoxi_bpe(const gptneox_tokenizer *tokenizer, gptneoxi_bpe_scratch *scratch,
                  const char *word, size_t size, gptneoxi_ids *ids) {
    void *moved = scratch->symbols;
    if (!gptneoxi_reserve(&moved, &scratch->symbols_capacity, size, sizeof *scratch->symbols)) {
        return false;
    }
    gptneoxi_symbol *symbols = moved;
    scratch->symbols = symbols;
    int32_t n = 0;
    for (size_t i = 0; i < size; i++) {
        int32_t id = tokenizer->byte_id[(unsigned char)word[i]];
        if (id >= 0) { /* without an unk token the library drops what the vocabulary lacks */
            symbols[n] = (gptneoxi_symbol){id, n - 1, n + 1};
            n++;
        }
    }
    if (n == 0) {
        return true;
    }
    symbols[n - 1].next = -1;
    scratch->heap_size = 0;
    for (int32_t i = 0; i + 1 < n; i++) {
        if (!heap_push(tokenizer, scratch, i)) {
            return false;
        }
    }
    while (scratch->heap_size > 0) {
        gptneoxi_candidate top = heap_pop(scratch);
        gptneoxi_symbol *left = &symbols[top.position];
        if (left->id < 0 || left->next < 0) {
            continue;
        }
        /* The neighbours may have changed since. Like the library, go by what they would become. */
        gptneoxi_symbol *right = &symbols[left->next];
        const gptneoxi_merge *merge = gptneoxi_merge_slot(tokenizer, left->id, right->id);
        if (merge->pair == GPTNEOXI_NO_PAIR || merge->id != top.id) {
            continue;
        }
        left->id = top.id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) {
            symbols[left->next].prev = top.position;
        }
        if (left->prev >= 0 && !heap_push(tokenizer, scratch, left->prev)) {
            return false;
        }
        if (left->next >= 0 && !heap_push(tokenizer, scratch, top.position)) {
            return false;
        }
    }
    for (int32_t i = 0; i >= 0; i = symbols[i].next) {
        if (!gptneoxi_ids_append(ids, symbols[i].id)) {
            return false;
        }
    }
    return true;
}
