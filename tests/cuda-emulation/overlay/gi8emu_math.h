/* gi8emu_math.h - CUDA's arithmetic functions. Those that a device computes with an approximation
 * (__expf and the like) are exact to the last bit or so here. */
#ifndef GI8EMU_MATH_H
#define GI8EMU_MATH_H

#include <math.h>
#include <stdint.h>

#include <gi8emu_device.h>

template <typename To, typename From> static inline To gi8emu_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "bits are kept");
    To result;
    __builtin_memcpy(&result, &value, sizeof(To));
    return result;
}

static inline int __float_as_int(float x) {
    return gi8emu_bits<int>(x);
}
static inline unsigned __float_as_uint(float x) {
    return gi8emu_bits<unsigned>(x);
}
static inline float __int_as_float(int x) {
    return gi8emu_bits<float>(x);
}
static inline float __uint_as_float(unsigned x) {
    return gi8emu_bits<float>(x);
}
static inline long long __double_as_longlong(double x) {
    return gi8emu_bits<long long>(x);
}
static inline double __longlong_as_double(long long x) {
    return gi8emu_bits<double>(x);
}

/* Each rounded by itself: the emulation is compiled with -ffp-contract=off. */
static inline float __fmul_rn(float a, float b) {
    return a * b;
}
static inline float __fadd_rn(float a, float b) {
    return a + b;
}
static inline float __fsub_rn(float a, float b) {
    return a - b;
}
static inline float __fdiv_rn(float a, float b) {
    return a / b;
}
static inline float __fmaf_rn(float a, float b, float c) {
    return fmaf(a, b, c);
}
static inline double __dmul_rn(double a, double b) {
    return a * b;
}
static inline double __dadd_rn(double a, double b) {
    return a + b;
}
static inline float __frcp_rn(float a) {
    return 1.0f / a;
}
static inline float __fsqrt_rn(float a) {
    return sqrtf(a);
}
static inline float __frsqrt_rn(float a) {
    return static_cast<float>(1.0 / sqrt(static_cast<double>(a)));
}
static inline float rsqrtf(float a) {
    return __frsqrt_rn(a);
}
static inline double rsqrt(double a) {
    return 1.0 / sqrt(a);
}
static inline float __fdividef(float a, float b) {
    return a / b;
}
static inline float __saturatef(float a) {
    return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f;
}

/* glibc declares functions of these names, without offering them. */
static inline float gi8emu_exp10f(float a) {
    return static_cast<float>(exp2(static_cast<double>(a) * 3.32192809488736234787));
}
#define __expf expf
#define __exp10f gi8emu_exp10f
#define __logf logf
#define __log2f log2f
#define __log10f log10f
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
#define __powf powf
#define __sincosf sincosf

/* Conversions saturate, and NaN becomes 0. */
static inline int gi8emu_to_int(float rounded) {
    if (!(rounded >= -2147483648.0f)) {
        return isnan(rounded) ? 0 : INT32_MIN;
    }
    return rounded >= 2147483648.0f ? INT32_MAX : static_cast<int>(rounded);
}
static inline unsigned gi8emu_to_uint(float rounded) {
    if (!(rounded > 0.0f)) {
        return 0;
    }
    return rounded >= 4294967296.0f ? UINT32_MAX : static_cast<unsigned>(rounded);
}
static inline int __float2int_rn(float x) {
    return gi8emu_to_int(nearbyintf(x));
}
static inline int __float2int_rz(float x) {
    return gi8emu_to_int(truncf(x));
}
static inline int __float2int_ru(float x) {
    return gi8emu_to_int(ceilf(x));
}
static inline int __float2int_rd(float x) {
    return gi8emu_to_int(floorf(x));
}
static inline unsigned __float2uint_rn(float x) {
    return gi8emu_to_uint(nearbyintf(x));
}
static inline unsigned __float2uint_rz(float x) {
    return gi8emu_to_uint(truncf(x));
}
static inline float __int2float_rn(int x) {
    return static_cast<float>(x);
}
static inline float __uint2float_rn(unsigned x) {
    return static_cast<float>(x);
}
static inline float __ll2float_rn(long long x) {
    return static_cast<float>(x);
}

static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline int __ffsll(long long x) {
    return __builtin_ffsll(x);
}
static inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
static inline int __clzll(long long x) {
    return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
static inline unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int i = 0; i < 32; i++) {
        result |= (x >> i & 1u) << (31 - i);
    }
    return result;
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    uint64_t both = static_cast<uint64_t>(b) << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        unsigned nibble = selector >> (4 * i) & 15u;
        unsigned byte = static_cast<unsigned>(both >> (8 * (nibble & 7u))) & 0xffu;
        byte = (nibble & 8u) != 0 ? ((byte & 0x80u) != 0 ? 0xffu : 0) : byte;
        result |= byte << (8 * i);
    }
    return result;
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31u));
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) << (shift & 31u) >> 32);
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
static inline int __mulhi(int a, int b) {
    return static_cast<int>(static_cast<int64_t>(a) * b >> 32);
}

/* c + the sum of four products of bytes; wraps around. */
static inline int __dp4a(int a, int b, int c) {
    unsigned sum = static_cast<unsigned>(c);
    for (int i = 0; i < 4; i++) {
        int x = static_cast<int8_t>(static_cast<unsigned>(a) >> (8 * i) & 0xffu);
        int y = static_cast<int8_t>(static_cast<unsigned>(b) >> (8 * i) & 0xffu);
        sum += static_cast<unsigned>(x * y);
    }
    return static_cast<int>(sum);
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 4; i++) {
        c += (a >> (8 * i) & 0xffu) * (b >> (8 * i) & 0xffu);
    }
    return c;
}
static inline int __dp4a(char4 a, char4 b, int c) {
    return __dp4a(gi8emu_bits<int>(a), gi8emu_bits<int>(b), c);
}

/* Loads and stores with a cache hint: hints are nothing here, alignment is. */
#define GI8EMU_LOAD(name)                                                                          \
    template <typename T>                                                                          \
    static inline T name(const T *address, gi8emu_site at = gi8emu_site::here()) {                 \
        gi8emu_check_aligned(#name, address, sizeof(T), at);                                       \
        return *address;                                                                           \
    }
#define GI8EMU_STORE(name)                                                                         \
    template <typename T>                                                                          \
    static inline void name(T *address, T value, gi8emu_site at = gi8emu_site::here()) {           \
        gi8emu_check_aligned(#name, address, sizeof(T), at);                                       \
        *address = value;                                                                          \
    }
GI8EMU_LOAD(__ldg)
GI8EMU_LOAD(__ldcg)
GI8EMU_LOAD(__ldca)
GI8EMU_LOAD(__ldcs)
GI8EMU_LOAD(__ldlu)
GI8EMU_STORE(__stcg)
GI8EMU_STORE(__stcs)
GI8EMU_STORE(__stwb)
#undef GI8EMU_LOAD
#undef GI8EMU_STORE

/* CUDA's min and max, for two values of one type; of a number and NaN the number. */
#define GI8EMU_MIN_MAX(T)                                                                          \
    static inline T min(T a, T b) {                                                                \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline T max(T a, T b) {                                                                \
        return a < b ? b : a;                                                                      \
    }
GI8EMU_MIN_MAX(int)
GI8EMU_MIN_MAX(unsigned)
GI8EMU_MIN_MAX(long)
GI8EMU_MIN_MAX(unsigned long)
GI8EMU_MIN_MAX(long long)
GI8EMU_MIN_MAX(unsigned long long)
#undef GI8EMU_MIN_MAX
static inline float min(float a, float b) {
    return fminf(a, b);
}
static inline float max(float a, float b) {
    return fmaxf(a, b);
}
static inline double min(double a, double b) {
    return fmin(a, b);
}
static inline double max(double a, double b) {
    return fmax(a, b);
}

#endif
