/* fiber.cpp - stacks that take turns on one OS thread, known to the sanitizers. */
#include "fiber.h"

#include <stdint.h>
#include <sys/mman.h>

#if GI8EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if GI8EMU_TSAN
extern "C" {
void *__tsan_get_current_fiber(void);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
}
#endif

static constexpr size_t page = 4096;
static constexpr size_t stack_bytes = (GI8EMU_ASAN || GI8EMU_TSAN ? 256 : 64) * 1024;

/* Saves what the caller expects to keep (System V ABI) on its stack, and takes the other's. */
extern "C" void gi8emu_fiber_swap(void **save, void *stack_pointer);
asm(R"(
    .text
    .type gi8emu_fiber_swap, @function
gi8emu_fiber_swap:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size gi8emu_fiber_swap, . - gi8emu_fiber_swap
)");

void gi8emu_fiber_of_thread(gi8emu_fiber *fiber) {
    *fiber = {};
#if GI8EMU_TSAN
    fiber->tsan_fiber = __tsan_get_current_fiber();
#endif
}

bool gi8emu_fiber_create(gi8emu_fiber *fiber) {
    void *map = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    if (mprotect(map, page, PROT_NONE) != 0) {
        munmap(map, page + stack_bytes);
        return false;
    }
    *fiber = {};
    fiber->stack = static_cast<char *>(map) + page;
    fiber->stack_bytes = stack_bytes;
    return true;
}

void gi8emu_fiber_prepare(gi8emu_fiber *fiber, void (*entry)(), void *tsan_fiber) {
    fiber->tsan_fiber = tsan_fiber;
#if GI8EMU_ASAN
    __asan_unpoison_memory_region(fiber->stack, fiber->stack_bytes); /* of one that never ended */
    fiber->asan_fake_stack = nullptr;
#endif
    /* as gi8emu_fiber_swap() would find it: six registers, where to return to, and no caller */
    uintptr_t *top = reinterpret_cast<uintptr_t *>(fiber->stack + fiber->stack_bytes);
    for (int i = 1; i <= 8; i++) {
        top[-i] = 0;
    }
    top[-2] = reinterpret_cast<uintptr_t>(entry);
    fiber->stack_pointer = top - 8;
}

#if GI8EMU_ASAN
/* The OS thread's own stack, which only the first fiber entered is told of. */
static const void *thread_stack;
static size_t thread_stack_bytes;
static gi8emu_fiber *left;
#endif

void gi8emu_fiber_entered() {
#if GI8EMU_ASAN
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (left->stack == nullptr) {
        thread_stack = bottom;
        thread_stack_bytes = bytes;
    }
#endif
}

void gi8emu_fiber_switch(gi8emu_fiber *from, gi8emu_fiber *to, bool for_good) {
#if GI8EMU_ASAN
    left = from;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from->asan_fake_stack,
                                   to->stack == nullptr ? thread_stack : to->stack,
                                   to->stack == nullptr ? thread_stack_bytes : to->stack_bytes);
#else
    (void)for_good;
#endif
#if GI8EMU_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, 1 /* without ordering memory */);
#endif
    gi8emu_fiber_swap(&from->stack_pointer, to->stack_pointer);
#if GI8EMU_ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake_stack, nullptr, nullptr);
#endif
}

bool gi8emu_fiber_overflow(const gi8emu_fiber *fiber, const void *address) {
    const char *byte = static_cast<const char *>(address);
    return fiber->stack != nullptr && byte >= fiber->stack - page && byte < fiber->stack;
}
