/* gi8emu_members.h - the pointers in a kernel's arguments, also those within structs.
 *
 * They are found by the types of the members, not by the look of bytes: what padding holds, or a
 * number, is never taken for a pointer. */
#ifndef GI8EMU_MEMBERS_H
#define GI8EMU_MEMBERS_H

#include <stddef.h>

#include <type_traits>
#include <vector>

/* A pointer that a kernel is given: `offset` bytes into argument `argument`, counted from 0. */
struct gi8emu_given {
    size_t argument, offset;
    const volatile void *pointer;
};

/* Of the functions below that take T the one for the greatest number is chosen: for the number of
 * its members, as {} may stand for each and for no more. */
template <int N> struct gi8emu_at_most : gi8emu_at_most<N - 1> {};
template <> struct gi8emu_at_most<0> {};

/* Calls function(a, b, ...) with the members of a struct. */
#define GI8EMU_ALL(...) __VA_ARGS__
#define GI8EMU_MEMBERS(n, braces, ...)                                                             \
    template <typename T, typename F>                                                              \
    static inline auto gi8emu_members(const T &of, const F &function, gi8emu_at_most<n>)           \
        ->decltype(T{GI8EMU_ALL braces}, void()) {                                                 \
        const auto &[__VA_ARGS__] = of;                                                            \
        function(__VA_ARGS__);                                                                     \
    }
#define GI8EMU_2 {}, {}
#define GI8EMU_4 GI8EMU_2, GI8EMU_2
#define GI8EMU_8 GI8EMU_4, GI8EMU_4
GI8EMU_MEMBERS(1, ({}), a)
GI8EMU_MEMBERS(2, (GI8EMU_2), a, b)
GI8EMU_MEMBERS(3, (GI8EMU_2, {}), a, b, c)
GI8EMU_MEMBERS(4, (GI8EMU_4), a, b, c, d)
GI8EMU_MEMBERS(5, (GI8EMU_4, {}), a, b, c, d, e)
GI8EMU_MEMBERS(6, (GI8EMU_4, GI8EMU_2), a, b, c, d, e, f)
GI8EMU_MEMBERS(7, (GI8EMU_4, GI8EMU_2, {}), a, b, c, d, e, f, g)
GI8EMU_MEMBERS(8, (GI8EMU_8), a, b, c, d, e, f, g, h)
GI8EMU_MEMBERS(9, (GI8EMU_8, {}), a, b, c, d, e, f, g, h, i)
GI8EMU_MEMBERS(10, (GI8EMU_8, GI8EMU_2), a, b, c, d, e, f, g, h, i, j)
GI8EMU_MEMBERS(11, (GI8EMU_8, GI8EMU_2, {}), a, b, c, d, e, f, g, h, i, j, k)
GI8EMU_MEMBERS(12, (GI8EMU_8, GI8EMU_4), a, b, c, d, e, f, g, h, i, j, k, l)
GI8EMU_MEMBERS(13, (GI8EMU_8, GI8EMU_4, {}), a, b, c, d, e, f, g, h, i, j, k, l, m)
GI8EMU_MEMBERS(14, (GI8EMU_8, GI8EMU_4, GI8EMU_2), a, b, c, d, e, f, g, h, i, j, k, l, m, n)
GI8EMU_MEMBERS(15, (GI8EMU_8, GI8EMU_4, GI8EMU_2, {}), a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
GI8EMU_MEMBERS(16, (GI8EMU_8, GI8EMU_8), a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
#undef GI8EMU_8
#undef GI8EMU_4
#undef GI8EMU_2
#undef GI8EMU_MEMBERS
#undef GI8EMU_ALL

/* Adds the pointers in `value`, a part of the argument that begins at `start`. */
template <typename T>
static inline void gi8emu_find(std::vector<gi8emu_given> *found, size_t argument,
                               const void *start, const T &value) {
    if constexpr (alignof(T) < alignof(void *)) { /* holds none */
    } else if constexpr (std::is_pointer_v<T>) {
        const char *at = reinterpret_cast<const char *>(&value);
        found->push_back({argument, static_cast<size_t>(at - static_cast<const char *>(start)),
                          value});
    } else if constexpr (std::is_array_v<T>) {
        for (const auto &element : value) {
            gi8emu_find(found, argument, start, element);
        }
    } else if constexpr (!std::is_arithmetic_v<T> && !std::is_enum_v<T>) {
        static_assert(std::is_class_v<T> && std::is_aggregate_v<T>,
                      "kernel arguments are plain structs, whose members can be looked at");
        gi8emu_members(value, [=](const auto &...member) {
            (gi8emu_find(found, argument, start, member), ...);
        }, gi8emu_at_most<16>());
    }
}

#endif
