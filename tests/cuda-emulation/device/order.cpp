/* order.cpp - the order of memory accesses, as the race detector is told of it: what kernels and
 * fences and barriers order, and no more, whatever turns threads take. */
#include "block.h"

#if GI8EMU_TSAN

extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *address);
void __tsan_release(void *address);
}

/* The detector takes each CUDA thread for a thread of its own, but in blocks of more than this it
 * takes some for one, barriers of each ordering what the others do: all ordering costs as much as
 * there are threads, of each thread. Which these are changes from launch to launch. */
static constexpr int max_watched = 256;

/* Who they are to the detector: watched[0 .. n_watched) the threads of the last block. What earlier
 * blocks do is not ordered before it, so they have others, behind these, which they share. */
static void *watched[2 * max_watched];
static int n_made, n_watched;
static int turn; /* of each next max_watched threads against those before */
static bool has_earlier_blocks;

/* What was done before __tsan_release() of an address is ordered before what is done after
 * __tsan_acquire() of it. Blocks: that of the last one, and of those before. */
static char kernel_begins, kernel_ends, fences;
static char blocks[2], warps[2][gi8emu_max_threads]; /* by the first lane of those that meet */

void *gi8emu_order_thread(int thread) {
    const int who = (thread + thread / max_watched * turn) % max_watched;
    return watched[who + (gi8emu_running.is_last ? 0 : n_watched)];
}

/* Does something in the place of each of some that are watched, and goes on as before. */
template <typename F> static void in_place_of(void *const *whom, int n, F what) {
    void *self = __tsan_get_current_fiber();
    for (int i = 0; i < n; i++) {
        __tsan_switch_to_fiber(whom[i], 1 /* without ordering */);
        what();
    }
    __tsan_switch_to_fiber(self, 1);
}

void gi8emu_order_begin(int n_threads, bool one_block) {
    n_watched = n_threads < max_watched ? n_threads : max_watched;
    has_earlier_blocks = !one_block;
    turn = (turn + 1) % max_watched;
    int needed = has_earlier_blocks ? 2 * n_watched : n_watched;
    for (; n_made < needed; n_made++) {
        watched[n_made] = __tsan_create_fiber(0);
    }
    __tsan_release(&kernel_begins);
    in_place_of(watched, needed, [] { __tsan_acquire(&kernel_begins); });
}

void gi8emu_order_end() {
    in_place_of(watched, has_earlier_blocks ? 2 * n_watched : n_watched,
                [] { __tsan_release(&kernel_ends); });
    __tsan_acquire(&kernel_ends);
}

/* All of them wait here for each other. */
static void meet(void *const *whom, int n, void *address) {
    in_place_of(whom, n, [address] { __tsan_release(address); });
    in_place_of(whom, n, [address] { __tsan_acquire(address); });
}

void gi8emu_order_block() {
    bool last = gi8emu_running.is_last;
    meet(last ? watched : watched + n_watched, n_watched, &blocks[last]);
}

void gi8emu_order_lanes(int warp, unsigned mask) {
    const int first = warp * gi8emu_lanes + __builtin_ctz(mask);
    void *lanes[gi8emu_lanes];
    int n = 0;
    for (; mask != 0; mask &= mask - 1) {
        lanes[n++] = gi8emu_order_thread(warp * gi8emu_lanes + __builtin_ctz(mask));
    }
    meet(lanes, n, &warps[gi8emu_running.is_last][first]);
}

void gi8emu_fence() {
    __tsan_release(&fences);
    __tsan_acquire(&fences);
}

void gi8emu_after_atomic() {
    __tsan_acquire(&fences);
}

#else

void *gi8emu_order_thread(int) {
    return nullptr;
}

void gi8emu_order_begin(int, bool) {}

void gi8emu_order_end() {}

void gi8emu_order_block() {}

void gi8emu_order_lanes(int, unsigned) {}

void gi8emu_fence() {}

void gi8emu_after_atomic() {}

#endif
