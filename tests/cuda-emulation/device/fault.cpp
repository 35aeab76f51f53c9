/* fault.cpp - turns a bad memory access of a kernel into the end of its launch. */
#include "block.h"

#include <signal.h>
#include <stdlib.h>

static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
static struct sigaction before[3];

/* Runs on a stack of its own, the fiber's may be the reason. It leaves by gi8emu_fail(), to the
 * scheduler's fiber; the signals are not blocked meanwhile (SA_NODEFER). */
static void handle(int number, siginfo_t *info, void *context) {
    (void)context;
    const gi8emu_block *block = &gi8emu_running;
    if (block->current < 0) { /* not in a kernel: as without us */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    gi8emu_site at = {"address", 0};
    if (number == SIGFPE) {
        gi8emu_fail(cudaErrorLaunchFailure, at, "integer division by zero");
    }
    if (gi8emu_fiber_overflow(block->threads[block->current].fiber, info->si_addr)) {
        gi8emu_fail(cudaErrorLaunchFailure, at, "local variables or calls need too much stack");
    }
    const char *beside = gi8emu_shared_describe(info->si_addr);
    if (beside != nullptr) {
        gi8emu_fail(cudaErrorIllegalAddress, at, "access %s", beside);
    }
    if (info->si_code == SI_KERNEL) {
        gi8emu_fail(cudaErrorMisalignedAddress, at, "access to a misaligned or impossible address");
    }
    gi8emu_fail(cudaErrorIllegalAddress, at, "access to %p", info->si_addr);
}

void gi8emu_fault_begin() {
    static char *stack;
    static constexpr size_t stack_bytes = 64 * 1024;
    stack_t now;
    if (sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0) {
        stack = stack != nullptr ? stack : static_cast<char *>(malloc(stack_bytes));
        stack_t ours = {};
        ours.ss_sp = stack;
        ours.ss_size = stack_bytes;
        if (stack != nullptr) {
            sigaltstack(&ours, nullptr);
        }
    }
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 3 && !GI8EMU_TSAN; i++) {
        sigaction(signals[i], &action, &before[i]);
    }
}

void gi8emu_fault_end() {
    for (int i = 0; i < 3 && !GI8EMU_TSAN; i++) {
        sigaction(signals[i], &before[i], nullptr);
    }
}
