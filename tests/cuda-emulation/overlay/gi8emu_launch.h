/* gi8emu_launch.h - the typed kernel launch: copies of the arguments, for now or for later. */
#ifndef GI8EMU_LAUNCH_H
#define GI8EMU_LAUNCH_H

#include <functional>
#include <initializer_list>
#include <tuple>
#include <type_traits>

#include <cuda_runtime_api.h>

/* Checks the configuration and enqueues the kernel, whose threads each call `body`. */
cudaError_t gi8emu_launch(const cudaLaunchConfig_t *config, const void *kernel,
                          std::function<void()> &&body,
                          std::initializer_list<const volatile void *> arguments);

/* The argument where it is a pointer to data, else NULL. */
template <typename T> static inline const volatile void *gi8emu_pointer(const T &argument) {
    if constexpr (std::is_pointer_v<T>) {
        return argument;
    } else {
        (void)argument;
        return nullptr;
    }
}

template <typename... P, typename... A>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config,
                                             void (*kernel)(P...), A &&...args) {
    static_assert((std::is_trivially_copyable_v<P> && ...), "kernel arguments are copied as bytes");
    static_assert((sizeof(P) + ... + 0) <= 4096, "kernel arguments take at most 4 KiB");
    std::tuple<P...> copies(static_cast<P>(args)...);
    return gi8emu_launch(config, reinterpret_cast<const void *>(kernel),
                         [kernel, copies] { std::apply(kernel, copies); },
                         {gi8emu_pointer<P>(static_cast<P>(args))...});
}

#endif
