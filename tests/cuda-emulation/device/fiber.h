/* fiber.h - stacks that take turns on one OS thread, known to the sanitizers. */
#ifndef GI8EMU_FIBER_H
#define GI8EMU_FIBER_H

#include <stddef.h>

#include "sanitizers.h"

/* The files of this folder are compiled without -fsanitize=thread, that the emulation's own work is
 * no race; the build defines GI8EMU_TSAN=1 instead. */
#ifndef GI8EMU_TSAN
#define GI8EMU_TSAN 0
#endif

struct gi8emu_fiber {
    void *stack_pointer; /* while it does not run */
    char *stack;         /* lowest address; NULL: the OS thread's own */
    size_t stack_bytes;
    void *asan_fake_stack;
    void *tsan_fiber; /* who it is to the race detector */
};

/* The fiber that stands for the calling OS thread. */
void gi8emu_fiber_of_thread(gi8emu_fiber *fiber);

/* Maps a stack, with a guard page below. False where there is no memory. */
bool gi8emu_fiber_create(gi8emu_fiber *fiber);

/* Lets the fiber begin with entry(), which never returns, when it is switched to. */
void gi8emu_fiber_prepare(gi8emu_fiber *fiber, void (*entry)(), void *tsan_fiber);

/* Goes on with `to`; returns when somebody switches to `from`. `for_good`: nobody will. */
void gi8emu_fiber_switch(gi8emu_fiber *from, gi8emu_fiber *to, bool for_good);

/* To be called first in entry(). */
void gi8emu_fiber_entered();

/* True where `address` is in the guard page. */
bool gi8emu_fiber_overflow(const gi8emu_fiber *fiber, const void *address);

#endif
