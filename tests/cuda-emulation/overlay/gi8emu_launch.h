/* gi8emu_launch.h - the typed kernel launch, with copies of its arguments. */
#ifndef GI8EMU_LAUNCH_H
#define GI8EMU_LAUNCH_H

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include <gi8emu_members.h>
#include <sanitizers.h>

/* Checks the configuration and enqueues the kernel, whose threads each call `body`. */
cudaError_t gi8emu_launch(const cudaLaunchConfig_t *config, const void *kernel,
                          std::function<void()> &&body, std::vector<gi8emu_given> &&pointers);

template <typename... P, size_t... I>
static inline std::vector<gi8emu_given> gi8emu_pointers(const std::tuple<P...> &arguments,
                                                        std::index_sequence<I...>) {
    std::vector<gi8emu_given> found;
    (gi8emu_find(&found, I, &std::get<I>(arguments), std::get<I>(arguments)), ...);
    return found;
}

/* Each thread reads the arguments anew. */
template <typename... P, size_t... I>
GI8EMU_UNWATCHED static void gi8emu_call(void (*kernel)(P...), const std::tuple<P...> &arguments,
                                         std::index_sequence<I...>) {
    kernel(std::get<I>(arguments)...);
}

template <typename... P, typename... A>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config,
                                             void (*kernel)(P...), A &&...args) {
    static_assert((std::is_trivially_copyable_v<P> && ...), "kernel arguments are copied as bytes");
    static_assert((sizeof(P) + ... + 0) <= 4096, "kernel arguments take at most 4 KiB");
    std::tuple<P...> copies(static_cast<P>(args)...);
    return gi8emu_launch(config, reinterpret_cast<const void *>(kernel),
                         [kernel, copies] {
                             gi8emu_call(kernel, copies, std::index_sequence_for<P...>());
                         },
                         gi8emu_pointers(copies, std::index_sequence_for<P...>()));
}

#endif
