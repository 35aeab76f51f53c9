/* meeting.cpp - the block's barrier and the meetings of a warp's lanes. */
#include "block.h"

/* Not strcmp(), whose every byte the race detector would look at. */
static bool same_text(const char *a, const char *b) {
    if (a == b) {
        return true;
    }
    while (*a == *b && *a != '\0') {
        a++;
        b++;
    }
    return *a == *b;
}

static bool same_place(gi8emu_site a, gi8emu_site b) {
    return a.line == b.line && same_text(a.file, b.file);
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
    if (block->arrived == block->n_threads) {
        gi8emu_order_block();
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
    return block->barrier_result;
}

/* The meeting that the running thread comes to, after checks of its mask and its line. */
static gi8emu_meeting *join(gi8emu_warp *warp, int lane, const char *what, unsigned mask,
                            gi8emu_site at) {
    gi8emu_block *block = &gi8emu_running;
    if ((mask >> lane & 1) == 0) {
        gi8emu_fail(cudaErrorIllegalInstruction, at, "%s with mask %08x, which lacks the lane %d "
                    "that calls", what, mask, lane);
    }
    if ((mask & warp->gone) != 0) {
        int gone = __builtin_ctz(mask & warp->gone);
        int thread = static_cast<int>(warp - block->warps) * gi8emu_lanes + gone;
        gi8emu_fail(cudaErrorLaunchFailure, at, "%s with mask %08x, of which lane %d %s", what,
                    mask, gone, thread >= block->n_threads ? "does not exist" : "has exited");
    }
    for (int i = 0; i < warp->n_meetings; i++) {
        gi8emu_meeting *meeting = &warp->meetings[i];
        if (meeting->mask != mask) {
            continue;
        }
        const gi8emu_thread *other = &block->threads[meeting->first];
        if (!same_place(other->waits_at, at) || !same_text(other->waits_for, what)) {
            gi8emu_fail(cudaErrorLaunchFailure, at,
                        "divergent warp: %s, but lane %d is at %s:%d in %s", what,
                        meeting->first % gi8emu_lanes, other->waits_at.file, other->waits_at.line,
                        other->waits_for);
        }
        return meeting;
    }
    gi8emu_meeting *meeting = &warp->meetings[warp->n_meetings++];
    *meeting = {mask, 0, block->current};
    return meeting;
}

void gi8emu_warp_meet(const char *what, unsigned mask, gi8emu_combine *combine, void *operand,
                      bool barrier, gi8emu_site at) {
    gi8emu_block *block = &gi8emu_running;
    int current = block->current, lane = current % gi8emu_lanes;
    gi8emu_thread *self = &block->threads[current];
    gi8emu_warp *warp = &block->warps[current / gi8emu_lanes];
    gi8emu_meeting *meeting = join(warp, lane, what, mask, at);
    meeting->here |= 1u << lane;
    warp->operands[lane] = operand;
    self->state = gi8emu_state::waiting;
    self->waits_for = what;
    self->waits_at = at;
    self->waits_mask = mask;
    if (meeting->here == mask) { /* the last */
        if (barrier) {
            gi8emu_order_lanes(current / gi8emu_lanes, mask);
        }
        if (combine != nullptr) {
            combine(warp->operands, mask);
        }
        *meeting = warp->meetings[--warp->n_meetings];
        int met[gi8emu_lanes], n = 0;
        for (unsigned left = mask; left != 0; left &= left - 1) {
            met[n++] = current - lane + __builtin_ctz(left);
        }
        make_ready(met, n);
    }
    gi8emu_block_wait();
}
