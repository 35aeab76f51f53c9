/* sanitizers.h - which sanitizers a file of the emulation, or of its tests, is compiled with. */
#ifndef GI8EMU_SANITIZERS_H
#define GI8EMU_SANITIZERS_H

#if defined(__SANITIZE_ADDRESS__)
#define GI8EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GI8EMU_ASAN 1
#endif
#endif
#ifndef GI8EMU_ASAN
#define GI8EMU_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define GI8EMU_WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GI8EMU_WITH_TSAN 1
#endif
#endif
#ifndef GI8EMU_WITH_TSAN
#define GI8EMU_WITH_TSAN 0
#endif

/* A function whose accesses the race detector is not to look at, nor to lose time with: none of
 * them may be to memory that kernels share. */
#define GI8EMU_UNWATCHED __attribute__((no_sanitize("thread")))

#endif
