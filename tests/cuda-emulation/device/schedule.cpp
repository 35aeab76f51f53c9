/* schedule.cpp - runs the blocks of a kernel one after the other, and the threads of a block in
 * turns: each until it waits for others or ends. */
#include "block.h"

#include <mutex>
#include <new>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint3 gi8emu_thread_index, gi8emu_block_index;
dim3 blockDim, gridDim;
gi8emu_block gi8emu_running;

static std::mutex one_at_a_time;
static gi8emu_fiber *stacks[gi8emu_max_threads]; /* stacks[0 .. n_free): free ones */
static int n_free;

/* Those of the race detector, to which memory of a stack is that of whoever it knows the thread as:
 * each thread of the last block has its own, and of the blocks before it, behind these. */
static gi8emu_fiber *fibers[2 * gi8emu_max_threads];

/* ---- Queue ---- */

void gi8emu_queue::clear() {
    first = count = 0;
}

bool gi8emu_queue::empty() const {
    return count == 0;
}

void gi8emu_queue::push_back(int thread) {
    ring[(first + count++) % gi8emu_max_threads] = thread;
}

void gi8emu_queue::push_front(int thread) {
    first = (first + gi8emu_max_threads - 1) % gi8emu_max_threads;
    count++;
    ring[first] = thread;
}

int gi8emu_queue::pop() {
    int thread = ring[first];
    first = (first + 1) % gi8emu_max_threads;
    count--;
    return thread;
}

void gi8emu_queue::swap_front(unsigned random) {
    unsigned other = (first + random % count) % gi8emu_max_threads;
    int thread = ring[first];
    ring[first] = ring[other];
    ring[other] = thread;
}

/* ---- Threads ---- */

static gi8emu_fiber *take_stack(int thread) {
    int place = gi8emu_running.is_last ? thread : gi8emu_running.n_threads + thread;
    return GI8EMU_TSAN ? fibers[place] : stacks[--n_free];
}

static void give_stack(gi8emu_fiber *fiber) {
    if (!GI8EMU_TSAN) {
        stacks[n_free++] = fiber;
    }
}

static void thread_main();

/* The next thread to run; -1: none is ready. */
static int next_thread() {
    gi8emu_block *block = &gi8emu_running;
    if (block->ready.empty()) {
        return -1;
    }
    if (gi8emu_current_schedule() == GI8EMU_RANDOM) {
        block->ready.swap_front(static_cast<unsigned>(gi8emu_random() >> 33));
    }
    return block->ready.pop();
}

static void make_current(int thread) {
    gi8emu_running.current = thread;
    if (thread >= 0) {
        gi8emu_thread_index = gi8emu_running.threads[thread].index;
    }
}

/* Goes from `from` to the next thread, or to the scheduler where none is ready. */
static void run_next(gi8emu_fiber *from, int next, bool for_good) {
    gi8emu_block *block = &gi8emu_running;
    make_current(next);
    gi8emu_fiber *to = &block->scheduler;
    if (next >= 0) {
        gi8emu_thread *thread = &block->threads[next];
        if (thread->fiber == nullptr) {
            thread->fiber = take_stack(next);
            gi8emu_fiber_prepare(thread->fiber, thread_main, gi8emu_order_thread(next));
        }
        thread->state = gi8emu_state::ready;
        to = thread->fiber;
    }
    if (from != to) {
        gi8emu_fiber_switch(from, to, for_good);
    }
}

/* What a fiber does: a thread, and then further ones that have not begun, for as long as there are
 * such and nobody else is to run first. */
static void thread_main() {
    gi8emu_fiber_entered();
    gi8emu_block *block = &gi8emu_running;
    gi8emu_fiber *fiber = block->threads[block->current].fiber;
    for (;;) {
        int self = block->current;
        block->kernel->body();
        gi8emu_copy_end();
        block->threads[self].state = gi8emu_state::exited;
        block->threads[self].fiber = nullptr;
        block->warps[self / gi8emu_lanes].gone |= 1u << self % gi8emu_lanes;
        block->n_exited++;
        int next = next_thread();
        if (next >= 0 && block->threads[next].fiber == nullptr && !GI8EMU_TSAN) {
            block->threads[next].fiber = fiber;
            block->threads[next].state = gi8emu_state::ready;
            make_current(next);
            continue;
        }
        give_stack(fiber);
        run_next(fiber, next, true);
        abort(); /* nobody switches to a fiber that has ended */
    }
}

void gi8emu_block_wait() {
    gi8emu_block *block = &gi8emu_running;
    run_next(block->threads[block->current].fiber, next_thread(), false);
}

void gi8emu_fail(int error, gi8emu_site at, const char *format, ...) {
    gi8emu_block *block = &gi8emu_running;
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    gi8emu_report("kernel %s, block (%u, %u, %u), thread (%u, %u, %u), %s:%d: %s",
                  gi8emu_kernel_name(block->kernel), blockIdx.x, blockIdx.y, blockIdx.z,
                  threadIdx.x, threadIdx.y, threadIdx.z, at.file, at.line, what);
    block->error = static_cast<cudaError_t>(error);
    gi8emu_fiber *from = block->threads[block->current].fiber;
    make_current(-1);
    gi8emu_fiber_switch(from, &block->scheduler, true);
    abort(); /* nobody switches back */
}

/* ---- Blocks ---- */

/* Says why no thread can go on: the first that waits, and one that is elsewhere. */
static void report_deadlock() {
    gi8emu_block *block = &gi8emu_running;
    int waiting = 0;
    while (block->threads[waiting].state != gi8emu_state::waiting) {
        waiting++;
    }
    const gi8emu_thread *first = &block->threads[waiting];
    int n_waiting = block->n_threads - block->n_exited;
    /* who is missing: of the lanes of a warp's meeting, or of all threads */
    int other = -1;
    for (int i = 0; i < block->n_threads && other < 0; i++) {
        const gi8emu_thread *thread = &block->threads[i];
        bool concerned = first->waits_mask == 0 ||
                         (i / gi8emu_lanes == waiting / gi8emu_lanes &&
                          (first->waits_mask >> (i % gi8emu_lanes) & 1) != 0);
        bool with_it = thread->state == gi8emu_state::waiting &&
                       thread->waits_mask == first->waits_mask &&
                       thread->waits_at.line == first->waits_at.line;
        if (concerned && !with_it) {
            other = i;
        }
    }
    char mask[32] = "", where[320];
    if (first->waits_mask != 0) {
        snprintf(mask, sizeof mask, " of mask %08x", first->waits_mask);
    }
    if (other < 0) {
        snprintf(where, sizeof where, "lanes of the mask are not there");
    } else if (block->threads[other].state == gi8emu_state::exited) {
        uint3 t = block->threads[other].index;
        snprintf(where, sizeof where, "thread (%u, %u, %u) has exited", t.x, t.y, t.z);
    } else {
        const gi8emu_thread *thread = &block->threads[other];
        snprintf(where, sizeof where, "thread (%u, %u, %u) waits at %s:%d in %s, mask %08x",
                 thread->index.x, thread->index.y, thread->index.z, thread->waits_at.file,
                 thread->waits_at.line, thread->waits_for, thread->waits_mask);
    }
    gi8emu_report("kernel %s, block (%u, %u, %u), thread (%u, %u, %u), %s:%d: waits for ever in "
                  "%s%s: %s; %d of %d threads wait",
                  gi8emu_kernel_name(block->kernel), blockIdx.x, blockIdx.y, blockIdx.z,
                  first->index.x, first->index.y, first->index.z, first->waits_at.file,
                  first->waits_at.line, first->waits_for, mask, where, n_waiting,
                  block->n_threads);
    block->error = cudaErrorLaunchFailure;
}

static void begin_block(const gi8emu_kernel *kernel) {
    gi8emu_block *block = &gi8emu_running;
    block->n_exited = block->arrived = block->predicates = 0;
    block->ready.clear();
    for (int i = 0; i * gi8emu_lanes < block->n_threads; i++) {
        int lanes = block->n_threads - i * gi8emu_lanes;
        block->warps[i].gone = lanes < gi8emu_lanes ? ~0u << lanes : 0;
        block->warps[i].n_meetings = 0;
    }
    bool backwards = gi8emu_current_schedule() == GI8EMU_LIFO;
    uint3 index = {0, 0, 0};
    for (int i = 0; i < block->n_threads; i++) {
        gi8emu_thread *thread = &block->threads[i];
        *thread = {};
        thread->index = index;
        block->ready.push_back(backwards ? block->n_threads - 1 - i : i);
        if (++index.x == kernel->block.x) {
            index.x = 0;
            if (++index.y == kernel->block.y) {
                index.y = 0;
                index.z++;
            }
        }
    }
    gi8emu_copy_begin();
}

static void run_block(const gi8emu_kernel *kernel) {
    gi8emu_block *block = &gi8emu_running;
    if (!gi8emu_shared_begin(kernel->dynamic_shared)) {
        gi8emu_report("no memory for the emulation's shared memory");
        block->error = cudaErrorMemoryAllocation;
        return;
    }
    begin_block(kernel);
    run_next(&block->scheduler, next_thread(), false);
    if (block->error == cudaSuccess && block->n_exited < block->n_threads) {
        report_deadlock();
    }
    const char *damage = gi8emu_shared_damage();
    if (block->error == cudaSuccess && damage != nullptr) {
        gi8emu_report("kernel %s, block (%u, %u, %u): %s", gi8emu_kernel_name(kernel), blockIdx.x,
                      blockIdx.y, blockIdx.z, damage);
        block->error = cudaErrorIllegalAddress;
    }
    for (int i = 0; i < block->n_threads; i++) { /* of threads that were given up */
        if (block->threads[i].fiber != nullptr) {
            give_stack(block->threads[i].fiber);
            block->threads[i].fiber = nullptr;
        }
    }
}

static gi8emu_fiber *make_stack() {
    gi8emu_fiber *fiber = new (std::nothrow) gi8emu_fiber;
    if (fiber != nullptr && !gi8emu_fiber_create(fiber)) {
        delete fiber;
        return nullptr;
    }
    return fiber;
}

/* Makes stacks for all threads that there are at a time, or that have their own, once. */
static bool make_stacks(int needed) {
    static int n_stacks;
    for (; n_stacks < needed; n_stacks++) {
        gi8emu_fiber *made = make_stack();
        if (made == nullptr) {
            return false;
        }
        if (GI8EMU_TSAN) {
            fibers[n_stacks] = made;
        } else {
            stacks[n_free++] = made;
        }
    }
    return true;
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A number of [0, n) for each i of it, each once: the i-th block to run. n < 2^32. */
static uint64_t permuted(uint64_t i, uint64_t n, uint64_t random) {
    if (gi8emu_current_schedule() == GI8EMU_RANDOM) {
        uint64_t step = (random >> 32) % n | 1;
        while (common_divisor(step, n) != 1) {
            step += 2;
        }
        return (i * (step % n) + (random & 0xffffffffu) % n) % n;
    }
    return gi8emu_current_schedule() == GI8EMU_LIFO ? n - 1 - i : i;
}

static bool arguments_are_on_the_device(const gi8emu_kernel *kernel) {
    for (const gi8emu_given &given : kernel->pointers) {
        const void *pointer = const_cast<const void *>(given.pointer);
        if (pointer != nullptr && !gi8emu_is_device(pointer)) {
            gi8emu_report("kernel %s: argument %zu, byte %zu: %p is not device memory",
                          gi8emu_kernel_name(kernel), given.argument, given.offset, pointer);
            return false;
        }
    }
    return true;
}

cudaError_t gi8emu_execute(const gi8emu_kernel *kernel) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    gi8emu_block *block = &gi8emu_running;
    if (!arguments_are_on_the_device(kernel)) {
        return cudaErrorIllegalAddress;
    }
    block->kernel = kernel;
    block->n_threads = static_cast<int>(kernel->block.x * kernel->block.y * kernel->block.z);
    block->error = cudaSuccess;
    uint64_t n_blocks = static_cast<uint64_t>(kernel->grid.x) * kernel->grid.y * kernel->grid.z;
    if (!make_stacks(GI8EMU_TSAN && n_blocks > 1 ? 2 * block->n_threads : block->n_threads)) {
        gi8emu_report("no memory for the stacks of %d threads", block->n_threads);
        return cudaErrorMemoryAllocation;
    }
    blockDim = kernel->block;
    gridDim = kernel->grid;
    gi8emu_fiber_of_thread(&block->scheduler);
    gi8emu_fault_begin();
    gi8emu_order_begin(block->n_threads, n_blocks == 1);
    uint64_t random = gi8emu_random();
    for (uint64_t i = 0; i < n_blocks && block->error == cudaSuccess; i++) {
        uint64_t b = permuted(i, n_blocks, random);
        gi8emu_block_index.x = static_cast<unsigned>(b % gridDim.x);
        gi8emu_block_index.y = static_cast<unsigned>(b / gridDim.x % gridDim.y);
        gi8emu_block_index.z = static_cast<unsigned>(b / gridDim.x / gridDim.y);
        block->is_last = i == n_blocks - 1;
        run_block(kernel);
    }
    gi8emu_order_end();
    gi8emu_fault_end();
    block->current = -1;
    return block->error;
}
