/* gi8emu_atomic.h - atomic functions and fences. Atomics are relaxed, as on a device; fences order.
 */
#ifndef GI8EMU_ATOMIC_H
#define GI8EMU_ATOMIC_H

#include <gi8emu_device.h>

static inline void __threadfence() {
    gi8emu_fence();
}

static inline void __threadfence_block() {
    gi8emu_fence();
}

static inline void __threadfence_system() {
    gi8emu_fence();
}

/* Replaces *address by change(*address); returns what was there. */
template <typename T, typename F> static inline T gi8emu_atomic(T *address, F change) {
    gi8emu_check_aligned("atomic access", address, sizeof(T), gi8emu_site{"atomic", 0});
    T old, next;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do {
        next = change(old);
    } while (!__atomic_compare_exchange(address, &old, &next, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
    gi8emu_after_atomic();
    return old;
}

#define GI8EMU_ATOMIC(name, T, expression)                                                         \
    static inline T name(T *address, T value) {                                                    \
        return gi8emu_atomic(address, [value](T old) { return static_cast<T>(expression); });      \
    }
#define GI8EMU_ATOMICS(T)                                                                          \
    GI8EMU_ATOMIC(atomicExch, T, ((void)old, value))                                               \
    GI8EMU_ATOMIC(atomicMin, T, value < old ? value : old)                                         \
    GI8EMU_ATOMIC(atomicMax, T, value > old ? value : old)                                         \
    GI8EMU_ATOMIC(atomicAnd, T, old & value)                                                       \
    GI8EMU_ATOMIC(atomicOr, T, old | value)                                                        \
    GI8EMU_ATOMIC(atomicXor, T, old ^ value)                                                       \
    static inline T atomicCAS(T *address, T compare, T value) {                                    \
        return gi8emu_atomic(address,                                                              \
                             [compare, value](T old) { return old == compare ? value : old; });    \
    }
GI8EMU_ATOMICS(int)
GI8EMU_ATOMICS(unsigned)
GI8EMU_ATOMICS(unsigned long long)
GI8EMU_ATOMIC(atomicAdd, int, static_cast<unsigned>(old) + static_cast<unsigned>(value))
GI8EMU_ATOMIC(atomicAdd, unsigned, old + value)
GI8EMU_ATOMIC(atomicAdd, unsigned long long, old + value)
GI8EMU_ATOMIC(atomicAdd, float, old + value)
GI8EMU_ATOMIC(atomicAdd, double, old + value)
GI8EMU_ATOMIC(atomicExch, float, ((void)old, value))
GI8EMU_ATOMIC(atomicSub, int, static_cast<unsigned>(old) - static_cast<unsigned>(value))
GI8EMU_ATOMIC(atomicSub, unsigned, old - value)
GI8EMU_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
GI8EMU_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)
#undef GI8EMU_ATOMICS
#undef GI8EMU_ATOMIC

#endif
