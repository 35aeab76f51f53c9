/* meeting.cpp - the block's barrier and the meetings of a warp's lanes. */
#include "block.h"

#include <string.h>

#if GI8EMU_TSAN
extern "C" {
void __tsan_acquire(void *address);
void __tsan_release(void *address);
}
#endif

void gi8emu_release(void *object) {
#if GI8EMU_TSAN
    __tsan_release(object);
#else
    (void)object;
#endif
}

void gi8emu_acquire(void *object) {
#if GI8EMU_TSAN
    __tsan_acquire(object);
#else
    (void)object;
#endif
}

/* Addresses for the race detector. Of two barriers one after the other each has its own: who comes
 * to the second is not ordered before those who have yet to leave the first. The last block has
 * others than those before it. */
static char fences;
static char block_barriers[2][2];
static char warp_barriers[gi8emu_max_threads / gi8emu_lanes][2][2];

void gi8emu_fence() {
    gi8emu_release(&fences);
    gi8emu_acquire(&fences);
}

void gi8emu_after_atomic() {
    gi8emu_acquire(&fences);
}

static bool same_place(gi8emu_site a, gi8emu_site b) {
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

/* Lets threads that have met run, in an order of the schedule. A warp goes on at once when threads
 * run in order, and behind the others else. */
static void make_ready(const int *threads, int n) {
    gi8emu_block *block = &gi8emu_running;
    bool in_order = gi8emu_current_schedule() == GI8EMU_FIFO;
    for (int i = n - 1; i >= 0; i--) {
        block->threads[threads[i]].state = gi8emu_state::ready;
        if (in_order) {
            block->ready.push_front(threads[i]);
        } else {
            block->ready.push_back(threads[i]);
        }
    }
}

int gi8emu_block_barrier(const char *what, int predicate, gi8emu_site at) {
    gi8emu_block *block = &gi8emu_running;
    gi8emu_thread *self = &block->threads[block->current];
    static int first; /* thread at this barrier */
    if (block->arrived == 0) {
        first = block->current;
    } else {
        const gi8emu_thread *other = &block->threads[first];
        if (!same_place(other->waits_at, at)) {
            gi8emu_fail(cudaErrorLaunchFailure, at,
                        "divergent barrier: %s, but thread (%u, %u, %u) is at %s:%d in %s", what,
                        other->index.x, other->index.y, other->index.z, other->waits_at.file,
                        other->waits_at.line, other->waits_for);
        }
    }
    block->arrived++;
    block->predicates += predicate != 0;
    self->state = gi8emu_state::waiting;
    self->waits_for = what;
    self->waits_at = at;
    self->waits_mask = 0;
    char *order = &block_barriers[block->is_last][self->barriers++ % 2];
    gi8emu_release(order);
    if (block->arrived == block->n_threads) {
        int all[gi8emu_max_threads];
        for (int i = 0; i < block->n_threads; i++) {
            all[i] = i;
        }
        make_ready(all, block->n_threads);
        block->arrived = 0;
        block->barrier_result = block->predicates;
        block->predicates = 0;
    }
    gi8emu_block_wait();
    gi8emu_acquire(order);
    return block->barrier_result;
}

void gi8emu_warp_meet(const char *what, unsigned mask, gi8emu_combine *combine, void *operand,
                      bool barrier, gi8emu_site at) {
    gi8emu_block *block = &gi8emu_running;
    int current = block->current, warp = current / gi8emu_lanes, lane = current % gi8emu_lanes;
    gi8emu_thread *self = &block->threads[current];
    if ((mask >> lane & 1) == 0) {
        gi8emu_fail(cudaErrorIllegalInstruction, at, "%s with mask %08x, which lacks the lane %d "
                    "that calls", what, mask, lane);
    }
    self->state = gi8emu_state::waiting;
    self->waits_for = what;
    self->waits_at = at;
    self->waits_mask = mask;
    self->operand = operand;
    char *order = nullptr;
    if (barrier) {
        order = &warp_barriers[warp][block->is_last][self->warp_barriers++ % 2];
        gi8emu_release(order);
    }
    /* is everybody there? */
    int met[gi8emu_lanes], n = 0;
    void *operands[gi8emu_lanes] = {};
    bool all = true;
    for (int l = 0; l < gi8emu_lanes; l++) {
        int i = warp * gi8emu_lanes + l;
        if ((mask >> l & 1) == 0) {
            continue;
        }
        const gi8emu_thread *thread = i < block->n_threads ? &block->threads[i] : nullptr;
        if (thread == nullptr || thread->state == gi8emu_state::exited) {
            gi8emu_fail(cudaErrorLaunchFailure, at, "%s with mask %08x, of which lane %d %s", what,
                        mask, l, thread == nullptr ? "does not exist" : "has exited");
        }
        if (thread->state != gi8emu_state::waiting || thread->waits_mask != mask) {
            all = false;
            continue;
        }
        if (!same_place(thread->waits_at, at) || strcmp(thread->waits_for, what) != 0) {
            gi8emu_fail(cudaErrorLaunchFailure, at,
                        "divergent warp: %s, but lane %d is at %s:%d in %s", what, l,
                        thread->waits_at.file, thread->waits_at.line, thread->waits_for);
        }
        met[n++] = i;
        operands[l] = thread->operand;
    }
    if (all) {
        if (combine != nullptr) {
            combine(operands, mask);
        }
        make_ready(met, n);
    }
    gi8emu_block_wait();
    if (barrier) {
        gi8emu_acquire(order);
    }
}
