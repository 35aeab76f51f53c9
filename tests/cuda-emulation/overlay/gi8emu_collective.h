/* gi8emu_collective.h - barriers, shuffles, votes and reductions. None but the barriers orders
 * memory. */
#ifndef GI8EMU_COLLECTIVE_H
#define GI8EMU_COLLECTIVE_H

#include <type_traits>

#include <gi8emu_device.h>

/* What these functions read and write are their own variables. */
#define GI8EMU_DEVICE GI8EMU_UNWATCHED static inline

GI8EMU_DEVICE void __syncthreads(gi8emu_site at = gi8emu_site::here()) {
    (void)gi8emu_block_barrier("__syncthreads", 0, at);
}

GI8EMU_DEVICE int __syncthreads_count(int predicate, gi8emu_site at = gi8emu_site::here()) {
    return gi8emu_block_barrier("__syncthreads_count", predicate, at);
}

GI8EMU_DEVICE int __syncthreads_or(int predicate, gi8emu_site at = gi8emu_site::here()) {
    return gi8emu_block_barrier("__syncthreads_or", predicate, at) != 0;
}

GI8EMU_DEVICE int __syncthreads_and(int predicate, gi8emu_site at = gi8emu_site::here()) {
    return gi8emu_block_barrier("__syncthreads_and", !predicate, at) == 0;
}

GI8EMU_DEVICE void __syncwarp(unsigned mask = 0xffffffffu, gi8emu_site at = gi8emu_site::here()) {
    gi8emu_warp_meet("__syncwarp", mask, nullptr, nullptr, true, at);
}

/* What a lane gives to a shuffle: the value, and which lane's it takes. -1: its own. */
struct gi8emu_shuffle {
    uint64_t value, result;
    int source;
};
void gi8emu_combine_shuffle(void *const operands[32], unsigned mask);

/* Values of lanes that are not in the mask are undefined: an error here. */
template <typename T>
GI8EMU_DEVICE T gi8emu_shuffle_from(const char *what, unsigned mask, T value, int source,
                                    gi8emu_site at) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "shuffles move up to 8 bytes");
    gi8emu_shuffle operand = {0, 0, source};
    __builtin_memcpy(&operand.value, &value, sizeof(T));
    gi8emu_warp_meet(what, mask, gi8emu_combine_shuffle, &operand, false, at);
    if (source >= 0 && (mask >> source & 1) == 0) {
        gi8emu_fail(719, at, "%s from lane %d, which is not in mask %08x", what, source, mask);
    }
    __builtin_memcpy(&value, &operand.result, sizeof(T));
    return value;
}

/* The lane within the warp; blocks are counted with x first. */
GI8EMU_DEVICE int gi8emu_lane() {
    return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) %
                            32);
}

GI8EMU_DEVICE void gi8emu_check_width(const char *what, int width, gi8emu_site at) {
    if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
        gi8emu_fail(719, at, "%s in groups of %d lanes, which is no power of two up to 32", what,
                    width);
    }
}

template <typename T>
GI8EMU_DEVICE T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
                            gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_width("__shfl_sync", width, at);
    int first = gi8emu_lane() & ~(width - 1);
    return gi8emu_shuffle_from("__shfl_sync", mask, value, first + (lane & (width - 1)), at);
}

template <typename T>
GI8EMU_DEVICE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                               gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_width("__shfl_up_sync", width, at);
    int lane = gi8emu_lane(), within = lane & (width - 1);
    int source = static_cast<int>(delta) > within ? -1 : lane - static_cast<int>(delta);
    return gi8emu_shuffle_from("__shfl_up_sync", mask, value, source, at);
}

template <typename T>
GI8EMU_DEVICE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                 gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_width("__shfl_down_sync", width, at);
    int lane = gi8emu_lane(), within = lane & (width - 1);
    int source = within + static_cast<int>(delta) >= width ? -1 : lane + static_cast<int>(delta);
    return gi8emu_shuffle_from("__shfl_down_sync", mask, value, source, at);
}

template <typename T>
GI8EMU_DEVICE T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                                gi8emu_site at = gi8emu_site::here()) {
    gi8emu_check_width("__shfl_xor_sync", width, at);
    int lane = gi8emu_lane(), source = lane ^ lanes;
    /* a lane of a later group of `width` is out of reach */
    source = source >= (lane & ~(width - 1)) + width ? -1 : source;
    return gi8emu_shuffle_from("__shfl_xor_sync", mask, value, source, at);
}

/* A lane's part of a vote or a reduction. */
struct gi8emu_vote {
    unsigned value, result;
};
void gi8emu_combine_ballot(void *const operands[32], unsigned mask);
void gi8emu_combine_add(void *const operands[32], unsigned mask);
void gi8emu_combine_and(void *const operands[32], unsigned mask);
void gi8emu_combine_or(void *const operands[32], unsigned mask);
void gi8emu_combine_xor(void *const operands[32], unsigned mask);
void gi8emu_combine_min(void *const operands[32], unsigned mask);
void gi8emu_combine_max(void *const operands[32], unsigned mask);

GI8EMU_DEVICE unsigned gi8emu_vote_with(const char *what, unsigned mask, unsigned value,
                                        gi8emu_combine *combine, gi8emu_site at) {
    gi8emu_vote operand = {value, 0};
    gi8emu_warp_meet(what, mask, combine, &operand, false, at);
    return operand.result;
}

GI8EMU_DEVICE unsigned __ballot_sync(unsigned mask, int predicate,
                                     gi8emu_site at = gi8emu_site::here()) {
    return gi8emu_vote_with("__ballot_sync", mask, predicate != 0, gi8emu_combine_ballot, at);
}

GI8EMU_DEVICE int __any_sync(unsigned mask, int predicate, gi8emu_site at = gi8emu_site::here()) {
    return gi8emu_vote_with("__any_sync", mask, predicate != 0, gi8emu_combine_ballot, at) != 0;
}

GI8EMU_DEVICE int __all_sync(unsigned mask, int predicate, gi8emu_site at = gi8emu_site::here()) {
    return gi8emu_vote_with("__all_sync", mask, predicate != 0, gi8emu_combine_ballot, at) == mask;
}

#define GI8EMU_REDUCE(name)                                                                        \
    GI8EMU_DEVICE unsigned __reduce_##name##_sync(unsigned mask, unsigned value,                   \
                                                  gi8emu_site at = gi8emu_site::here()) {          \
        return gi8emu_vote_with("__reduce_" #name "_sync", mask, value, gi8emu_combine_##name,     \
                                at);                                                               \
    }
GI8EMU_REDUCE(add)
GI8EMU_REDUCE(min)
GI8EMU_REDUCE(max)
GI8EMU_REDUCE(and)
GI8EMU_REDUCE(or)
GI8EMU_REDUCE(xor)
#undef GI8EMU_REDUCE

GI8EMU_DEVICE int __reduce_add_sync(unsigned mask, int value,
                                    gi8emu_site at = gi8emu_site::here()) {
    return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), at));
}

/* Signed order is unsigned order with the sign bit turned over. */
GI8EMU_DEVICE int __reduce_min_sync(unsigned mask, int value,
                                    gi8emu_site at = gi8emu_site::here()) {
    unsigned turned = static_cast<unsigned>(value) ^ 0x80000000u;
    return static_cast<int>(__reduce_min_sync(mask, turned, at) ^ 0x80000000u);
}

GI8EMU_DEVICE int __reduce_max_sync(unsigned mask, int value,
                                    gi8emu_site at = gi8emu_site::here()) {
    unsigned turned = static_cast<unsigned>(value) ^ 0x80000000u;
    return static_cast<int>(__reduce_max_sync(mask, turned, at) ^ 0x80000000u);
}

#undef GI8EMU_DEVICE

#endif
