/* block.h - the block that runs: its threads, warps, barrier and shared memory. One block runs at a
 * time, so there is one such object. Private to the device half. */
#ifndef GI8EMU_BLOCK_H
#define GI8EMU_BLOCK_H

#include <functional>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>
#include <gi8emu_device.h>
#include <gi8emu_members.h>

#include "emulator.h"
#include "fiber.h"

static constexpr int gi8emu_max_threads = 1024;
static constexpr int gi8emu_lanes = 32;

/* Bytes of static shared memory, and unless a kernel was allowed more also of all that a block has.
 */
static constexpr size_t gi8emu_shared_unasked = 48 * 1024;
static constexpr size_t gi8emu_not_asked = SIZE_MAX;

struct gi8emu_kernel {
    const void *function;
    dim3 grid, block;
    size_t dynamic_shared;
    size_t dynamic_allowed; /* by cudaFuncSetAttribute(); gi8emu_not_asked: it was not called */
    std::function<void()> body;
    std::vector<gi8emu_given> pointers; /* among its arguments */
};

enum class gi8emu_state { not_started, ready, waiting, exited };

struct gi8emu_thread {
    gi8emu_fiber *fiber; /* while it has begun and not ended */
    gi8emu_state state;
    uint3 index;
    int shared_asked;       /* arrays of shared memory it has seen */
    const char *waits_for;  /* while waiting: name and line of what for, lanes (0: the block) */
    gi8emu_site waits_at;
    unsigned waits_mask;
    int groups_closed;      /* of asynchronous copies */
};

/* A meeting of lanes to which some have come. */
struct gi8emu_meeting {
    unsigned mask, here;
    int first; /* thread that came first */
};

struct gi8emu_warp {
    unsigned gone; /* lanes that have exited, or do not exist */
    int n_meetings;
    gi8emu_meeting meetings[gi8emu_lanes]; /* each with another mask */
    void *operands[gi8emu_lanes];          /* what lanes that wait have given */
};

/* Threads that are ready, in the order in which they will run. */
class gi8emu_queue {
public:
    void clear();
    bool empty() const;
    void push_back(int thread);
    void push_front(int thread);
    int pop();
    void swap_front(unsigned random); /* puts some other thread first */

private:
    int ring[gi8emu_max_threads];
    unsigned first = 0, count = 0;
};

struct gi8emu_block {
    const gi8emu_kernel *kernel;
    int n_threads;
    int n_exited;
    int current; /* thread that runs; -1: none */
    gi8emu_thread threads[gi8emu_max_threads];
    gi8emu_warp warps[gi8emu_max_threads / gi8emu_lanes];
    gi8emu_queue ready;
    int arrived, predicates, barrier_result; /* at the barrier */
    bool is_last;                            /* of the blocks of its kernel */
    cudaError_t error;                       /* of the first thread that failed */
    gi8emu_fiber scheduler;
};
extern gi8emu_block gi8emu_running;

/* schedule.cpp: leaves the running thread, which waits or is in the queue, for the next. */
void gi8emu_block_wait();
gi8emu_schedule gi8emu_current_schedule();
uint64_t gi8emu_random(); /* of the schedule's sequence */

/* order.cpp: of memory accesses, which the race detector is told of. */
void gi8emu_order_begin(int n_threads, bool one_block); /* before a kernel runs */
void gi8emu_order_end();                                /* after it */
void *gi8emu_order_thread(int thread); /* who a thread of this block is to the detector */
void gi8emu_order_block();             /* all threads of the block are at a barrier */
void gi8emu_order_lanes(int warp, unsigned mask);

/* shared.cpp */
bool gi8emu_shared_begin(size_t dynamic_bytes); /* false: no memory */
const char *gi8emu_shared_damage();             /* what was written around arrays; NULL: nothing */
const char *gi8emu_shared_describe(const void *address); /* which array it is beside; NULL: none */

/* copy.cpp */
void gi8emu_copy_begin();
void gi8emu_copy_end(); /* of the running thread; fails where copies are under way */

/* fault.cpp: from begin to end, a bad memory access in a thread ends the launch. */
void gi8emu_fault_begin();
void gi8emu_fault_end();

/* symbol.cpp */
const char *gi8emu_symbol(const void *function);

#endif
