/* test_emulator_instructions.cpp - what a thread or a warp may compute with, on the emulation,
 * beside plain C++. */
#include "emulator_test.h"

#include <cuda_bf16.h>

#include "test_seed.h"

/* ---- Warps ---- */

static __global__ void shuffles(int *out) {
    int lane = static_cast<int>(threadIdx.x % 32), value = 100 + static_cast<int>(threadIdx.x);
    int *mine = out + threadIdx.x * 8;
    mine[0] = __shfl_sync(0xffffffffu, value, lane + 5);
    mine[1] = __shfl_sync(0xffffffffu, value, 3, 8);
    mine[2] = __shfl_up_sync(0xffffffffu, value, 2, 16);
    mine[3] = __shfl_down_sync(0xffffffffu, value, 3, 8);
    mine[4] = __shfl_xor_sync(0xffffffffu, value, 9);
    mine[5] = __shfl_xor_sync(0xffffffffu, value, 4, 4);
    mine[6] = static_cast<int>(__shfl_sync(0xffffffffu, static_cast<double>(value) + 0.5, 31) * 2);
    unsigned half_warp = lane < 16 ? 0xffffu : 0xffff0000u;
    mine[7] = __shfl_xor_sync(half_warp, value, 1);
}

static void test_shuffles(void **state) {
    (void)state;
    in_every_order([] {
        std::vector<int> out(64 * 8);
        run(shuffles, dim3(1), dim3(64), 0, out.data());
        for (int i = 0; i < 64; i++) {
            int w = i / 32 * 32, l = i % 32;
            const int want[8] = {w + (l + 5) % 32,
                                 w + l / 8 * 8 + 3,
                                 l % 16 < 2 ? i : i - 2,
                                 l % 8 + 3 >= 8 ? i : i + 3,
                                 w + (l ^ 9),
                                 (l & 4) != 0 ? i - 4 : i, /* down is in reach, up is not */
                                 0,
                                 i ^ 1};
            for (int k = 0; k < 8; k++) {
                int got = out[static_cast<size_t>(i * 8 + k)];
                assert_int_equal(got, k == 6 ? 2 * (100 + w + 31) + 1 : 100 + want[k]);
            }
        }
    });
}

static __global__ void votes(unsigned *out) {
    unsigned lane = threadIdx.x % 32, *mine = out + threadIdx.x * 9;
    int i = static_cast<int>(lane);
    mine[0] = __ballot_sync(0xffffffffu, lane % 3 == 0);
    mine[1] = static_cast<unsigned>(__any_sync(0xffffffffu, threadIdx.x == 40));
    mine[2] = static_cast<unsigned>(__all_sync(0xffffffffu, threadIdx.x < 40));
    mine[3] = __reduce_add_sync(0xffffffffu, lane);
    mine[4] = static_cast<unsigned>(__reduce_min_sync(0xffffffffu, 5 - i));
    mine[5] = static_cast<unsigned>(__reduce_max_sync(0xffffffffu, 5 - i));
    mine[6] = __reduce_or_sync(0xffffffffu, 1u << lane);
    mine[7] = __reduce_and_sync(0xffffffffu, ~(1u << lane));
    mine[8] = __reduce_max_sync(0xffffffffu, lane * 3);
}

static void test_votes(void **state) {
    (void)state;
    in_every_order([] {
        std::vector<unsigned> out(64 * 9);
        run(votes, dim3(1), dim3(64), 0, out.data());
        for (unsigned i = 0; i < 64; i++) {
            const unsigned want[9] = {0x49249249u,
                                      i >= 32,
                                      i < 32,
                                      496,
                                      static_cast<unsigned>(-26),
                                      5,
                                      0xffffffffu,
                                      0,
                                      93};
            for (unsigned k = 0; k < 9; k++) {
                assert_int_equal(out[i * 9 + k], want[k]);
            }
        }
    });
}

static __global__ void pass_on(const int *in, int *out) {
    GI8I_SHARED(int, one, 64);
    one[threadIdx.x] = in[threadIdx.x];
    __syncwarp();
    out[threadIdx.x] = one[threadIdx.x ^ 31];
}

static void test_syncwarp(void **state) {
    (void)state;
    in_every_order([] {
        std::vector<int> in(64), out(64);
        for (size_t i = 0; i < 64; i++) {
            in[i] = static_cast<int>(i * 7);
        }
        run(pass_on, dim3(1), dim3(64), 0, in.data(), out.data());
        for (size_t i = 0; i < 64; i++) {
            assert_int_equal(out[i], in[i ^ 31]);
        }
    });
}

/* ---- Machine instructions ---- */

static __global__ void product_s8(const int8_t *a, const int8_t *b, int32_t *d) {
    unsigned l = threadIdx.x, g = l / 4, t = l % 4;
    uint32_t fa[4], fb[2];
    int32_t fd[4];
    for (unsigned i = 0; i < 4; i++) {
        memcpy(&fa[i], a + (g + 8 * (i % 2)) * 32 + 4 * t + 16 * (i / 2), 4);
        fd[i] = d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2];
    }
    for (unsigned i = 0; i < 2; i++) {
        memcpy(&fb[i], b + g * 32 + 4 * t + 16 * i, 4);
    }
    gi8i_mma_s8(fd, fa, fb);
    for (unsigned i = 0; i < 4; i++) {
        d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = fd[i];
    }
}

static void test_mma_s8(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(7);
    in_every_order([&] {
        std::vector<int8_t> a(16 * 32), b(8 * 32);
        std::vector<int32_t> d(16 * 8), want;
        for (int8_t &v : a) {
            v = static_cast<int8_t>(test_rng_next(&rng) >> 56);
        }
        for (int8_t &v : b) {
            v = static_cast<int8_t>(test_rng_next(&rng) >> 56);
        }
        for (int32_t &v : d) {
            v = static_cast<int32_t>(test_rng_next(&rng) >> 40);
        }
        want = d;
        for (size_t m = 0; m < 16; m++) {
            for (size_t n = 0; n < 8; n++) {
                for (size_t k = 0; k < 32; k++) {
                    want[m * 8 + n] += a[m * 32 + k] * b[n * 32 + k];
                }
            }
        }
        run(product_s8, dim3(1), dim3(32), 0, a.data(), b.data(), d.data());
        assert_memory_equal(d.data(), want.data(), d.size() * sizeof(int32_t));
    });
}

/* Through shared memory: a row-major, b [k][n], which only ldmatrix_trans can read as columns. */
static __global__ void product_f16(const half *a, const half *b, float *d) {
    GI8I_SHARED(half, sa, 16 * 16);
    GI8I_SHARED(half, sb, 16 * 16);
    unsigned l = threadIdx.x, g = l / 4, t = l % 4;
    gi8i_cp_async_16(sa + 8 * l, a + 8 * l, true);
    gi8i_cp_async_16(sb + 8 * l, b + 8 * l, true);
    gi8i_cp_async_commit();
    gi8i_cp_async_wait<0>();
    __syncwarp();
    uint32_t fa[4], fb[4];
    gi8i_ldmatrix_x4(fa, sa + (l % 16) * 16 + l / 16 * 8);
    gi8i_ldmatrix_x4_trans(fb, sb + (l % 16) * 16 + l / 16 * 8);
    for (unsigned n = 0; n < 2; n++) {
        float fd[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        gi8i_mma_f16(fd, fa, fb + 2 * n);
        for (unsigned i = 0; i < 4; i++) {
            d[(g + 8 * (i / 2)) * 16 + 8 * n + 2 * t + i % 2] = fd[i];
        }
    }
}

static void test_mma_f16(void **state) {
    (void)state;
    test_rng rng = test_rng_seeded(7);
    in_every_order([&] {
        alignas(16) half a[256], b[256];
        float d[256];
        for (int i = 0; i < 256; i++) { /* small integers and eighths: all sums are exact */
            a[i] = __float2half(static_cast<float>(test_rng_next(&rng) >> 60) - 8.0f);
            b[i] = __float2half(static_cast<float>(test_rng_next(&rng) >> 60) / 8.0f);
        }
        a[5] = __ushort_as_half(0x0001); /* subnormal */
        run(product_f16, dim3(1), dim3(32), 0, &a[0], &b[0], &d[0]);
        for (int m = 0; m < 16; m++) {
            for (int n = 0; n < 16; n++) {
                float want = 0.0f;
                for (int k = 0; k < 16; k++) {
                    want += __half2float(a[m * 16 + k]) * __half2float(b[k * 16 + n]);
                }
                assert_true(fabsf(d[m * 16 + n] - want) <= 1e-5f);
            }
        }
    });
}

static __global__ void show_ldmatrix(const uint16_t *in, uint32_t *out) {
    GI8I_SHARED(uint16_t, matrices, 256);
    for (unsigned i = threadIdx.x; i < 256; i += 32) {
        matrices[i] = in[i];
    }
    __syncwarp();
    uint32_t r[4];
    gi8i_ldmatrix_x4(r, matrices + 8 * threadIdx.x);
    memcpy(out + 4 * threadIdx.x, r, 16);
    gi8i_ldmatrix_x4_trans(r, matrices + 8 * threadIdx.x);
    memcpy(out + 128 + 4 * threadIdx.x, r, 16);
}

static void test_ldmatrix(void **state) {
    (void)state;
    in_every_order([] {
        uint16_t in[256];
        uint32_t out[256];
        for (int i = 0; i < 256; i++) {
            in[i] = static_cast<uint16_t>(i * 257);
        }
        run(show_ldmatrix, dim3(1), dim3(32), 0, &in[0], &out[0]);
        for (int l = 0; l < 32; l++) {
            for (int i = 0; i < 4; i++) {
                int g = l / 4, t = l % 4;
                const uint16_t *matrix = in + 64 * i;
                uint32_t straight = matrix[8 * g + 2 * t] |
                                    static_cast<uint32_t>(matrix[8 * g + 2 * t + 1]) << 16;
                uint32_t turned = matrix[16 * t + g] |
                                  static_cast<uint32_t>(matrix[16 * t + 8 + g]) << 16;
                assert_int_equal(out[4 * l + i], straight);
                assert_int_equal(out[128 + 4 * l + i], turned);
            }
        }
    });
}

/* Three groups under way; each lands at its wait, and not before. */
static __global__ void pipeline(const int *in, int *out, int *early) {
    GI8I_SHARED(int, stage, 4 * 4 * 32);
    unsigned l = threadIdx.x;
    for (unsigned s = 0; s < 3; s++) {
        gi8i_cp_async_16(stage + 128 * s + 4 * l, in + 128 * s + 4 * l, true);
        gi8i_cp_async_commit();
    }
    gi8i_cp_async_16(stage + 384 + 4 * l, in, false);
    gi8i_cp_async_commit();
    gi8i_cp_async_wait<2>();
    early[l] = stage[4 * l] == in[4 * l] && stage[128 + 4 * l] == in[128 + 4 * l] &&
               stage[256 + 4 * l] != in[256 + 4 * l] && stage[384 + 4 * l] != 0;
    gi8i_cp_async_wait<0>();
    __syncthreads();
    for (unsigned i = l; i < 512; i += 32) {
        out[i] = stage[i ^ 31];
    }
}

static void test_cp_async(void **state) {
    (void)state;
    in_every_order([] {
        alignas(16) int in[384];
        int out[512], early[32];
        for (int i = 0; i < 384; i++) {
            in[i] = i + 1;
        }
        run(pipeline, dim3(1), dim3(32), 0, &in[0], &out[0], &early[0]);
        for (int i = 0; i < 512; i++) {
            assert_int_equal(out[i], i < 384 ? (i ^ 31) + 1 : 0);
        }
        for (int e : early) {
            assert_int_equal(e, 1);
        }
    });
}

/* ---- Arithmetic ---- */

static __global__ void arithmetic(int *ok, const uint4 *memory, float4 *stored) {
    int n = 0;
    bool all = true;
    auto expect = [&](bool right) {
        n += right ? 0 : 1;
        all = all && right;
    };
    expect(__dp4a(0x7f80ff01, 0x7f80ff02, 10) == 127 * 127 + 128 * 128 + 1 + 2 + 10);
    expect(__dp4a(0x01ff80ffu, 0x02ff01ffu, 1u) == 2u + 255 * 255 + 128 + 255 * 255 + 1);
    expect(__float2int_rn(2.5f) == 2 && __float2int_rn(-3.5f) == -4 && __float2int_rz(-2.9f) == -2);
    expect(__float2int_rn(3e9f) == INT32_MAX && __float2int_rn(-3e9f) == INT32_MIN);
    expect(__float2int_rn(NAN) == 0 && __float2uint_rz(-1.0f) == 0);
    expect(__popc(0xf0f0u) == 8 && __ffs(8) == 4 && __ffs(0) == 0 && __clz(1) == 31);
    expect(__clz(0) == 32 && __brev(1u) == 0x80000000u && __umulhi(0x80000000u, 6u) == 3);
    expect(__byte_perm(0x33221100u, 0x77665544u, 0x7250u) == 0x77225500u);
    expect(__funnelshift_r(0x80000000u, 1u, 31) == 3u);
    expect(__int_as_float(0x3f800000) == 1.0f && __float_as_uint(-0.0f) == 0x80000000u);
    expect(__fmaf_rn(1.0f + 0x1p-23f, 1.0f - 0x1p-23f, -1.0f) == -0x1p-46f);
    expect(__fadd_rn(__fmul_rn(1.0f + 0x1p-23f, 1.0f - 0x1p-23f), -1.0f) == 0.0f);
    expect(__fdiv_rn(1.0f, 3.0f) == 1.0f / 3.0f && __frcp_rn(8.0f) == 0.125f);
    expect(rsqrtf(4.0f) == 0.5f && __fsqrt_rn(9.0f) == 3.0f);
    expect(fabsf(__expf(1.0f) - 2.7182817f) < 1e-6f && fabsf(erff(0.5f) - 0.5204999f) < 1e-6f);
    expect(min(3, -4) == -4 && max(3u, 4u) == 4u && max(1.0f, NAN) == 1.0f);
    expect(min(int64_t{5}, int64_t{1} << 40) == 5 && max(size_t{7}, size_t{8}) == 8);
    float s, c;
    sincosf(0.5f, &s, &c);
    expect(s == sinf(0.5f) && c == cosf(0.5f));
    uint4 v = __ldg(memory), w = gi8i_load_once(memory);
    expect(v.x == 1 && v.w == 4 && w.y == 2 && __ldcs(&memory->z) == 3);
    __stcs(stored, make_float4(1.0f, 2.0f, 3.0f, 4.0f));
    expect(__half2float(__hmul(__float2half(3.0f), __float2half(0.5f))) == 1.5f);
    expect(__bfloat162float(__float2bfloat16(1.00390625f)) == 1.0f);
    *ok = all && n == 0;
}

static void test_arithmetic(void **state) {
    (void)state;
    int ok = 0;
    uint4 memory = make_uint4(1, 2, 3, 4);
    float4 stored = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    run(arithmetic, dim3(1), dim3(1), 0, &ok, &memory, &stored);
    assert_int_equal(ok, 1);
    assert_true(stored.y == 2.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffles),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_syncwarp),
        cmocka_unit_test(test_mma_s8),
        cmocka_unit_test(test_mma_f16),
        cmocka_unit_test(test_ldmatrix),
        cmocka_unit_test(test_cp_async),
        cmocka_unit_test(test_arithmetic),
    };
    return cmocka_run_group_tests_name("emulator_instructions", tests, nullptr, nullptr);
}
