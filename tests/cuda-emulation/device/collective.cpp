/* collective.cpp - what the lanes of a warp compute together, in plain loops. */
#include <string.h>

#include <emmintrin.h>

#include <ptx.cuh>

template <typename T> static T *operand_of(void *const operands[32], int lane) {
    return static_cast<T *>(operands[lane]);
}

void gi8emu_combine_shuffle(void *const operands[32], unsigned mask) {
    for (int l = 0; l < 32; l++) {
        if ((mask >> l & 1) != 0) {
            gi8emu_shuffle *to = operand_of<gi8emu_shuffle>(operands, l);
            int source = to->source < 0 || (mask >> to->source & 1) == 0 ? l : to->source;
            to->result = operand_of<gi8emu_shuffle>(operands, source)->value;
        }
    }
}

/* Gives all lanes the reduction of all their values. */
template <typename F>
static void reduce(void *const operands[32], unsigned mask, F combine) {
    unsigned result = 0;
    bool first = true;
    for (int l = 0; l < 32; l++) {
        if ((mask >> l & 1) != 0) {
            unsigned value = operand_of<gi8emu_vote>(operands, l)->value;
            result = first ? value : combine(result, value);
            first = false;
        }
    }
    for (int l = 0; l < 32; l++) {
        if ((mask >> l & 1) != 0) {
            operand_of<gi8emu_vote>(operands, l)->result = result;
        }
    }
}

void gi8emu_combine_ballot(void *const operands[32], unsigned mask) {
    for (int l = 0; l < 32; l++) {
        if ((mask >> l & 1) != 0) {
            operand_of<gi8emu_vote>(operands, l)->value <<= l;
        }
    }
    reduce(operands, mask, [](unsigned a, unsigned b) { return a | b; });
}

void gi8emu_combine_add(void *const operands[32], unsigned mask) {
    reduce(operands, mask, [](unsigned a, unsigned b) { return a + b; });
}

void gi8emu_combine_and(void *const operands[32], unsigned mask) {
    reduce(operands, mask, [](unsigned a, unsigned b) { return a & b; });
}

void gi8emu_combine_or(void *const operands[32], unsigned mask) {
    reduce(operands, mask, [](unsigned a, unsigned b) { return a | b; });
}

void gi8emu_combine_xor(void *const operands[32], unsigned mask) {
    reduce(operands, mask, [](unsigned a, unsigned b) { return a ^ b; });
}

void gi8emu_combine_min(void *const operands[32], unsigned mask) {
    reduce(operands, mask, [](unsigned a, unsigned b) { return a < b ? a : b; });
}

void gi8emu_combine_max(void *const operands[32], unsigned mask) {
    reduce(operands, mask, [](unsigned a, unsigned b) { return a > b ? a : b; });
}

/* Fragments: lane l, g = l / 4, t = l % 4, as in backends/cuda/ptx/ptx.cuh. In registers of four
 * bytes: a's row g has register t of a[0] and of a[2] behind those, row g + 8 a[1] and a[3]; b's
 * column g has register t of b[0] and of b[1] behind those. */
static void gather(void *const operands[32], uint32_t a[16][8], uint32_t b[8][8]) {
    for (int l = 0; l < 32; l++) {
        const gi8emu_mma *lane = operand_of<gi8emu_mma>(operands, l);
        int g = l / 4, t = l % 4;
        a[g][t] = lane->a[0];
        a[g + 8][t] = lane->a[1];
        a[g][t + 4] = lane->a[2];
        a[g + 8][t + 4] = lane->a[3];
        b[g][t] = lane->b[0];
        b[g][t + 4] = lane->b[1];
    }
}

/* Adds sums [16 x 8] to the lanes' d. */
template <typename T> static void scatter(void *const operands[32], const T sums[16][8]) {
    for (int l = 0; l < 32; l++) {
        T *d = static_cast<T *>(operand_of<gi8emu_mma>(operands, l)->d);
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 4; i++) {
            d[i] = sums[g + 8 * (i / 2)][2 * t + i % 2];
        }
    }
}

template <typename T> static void gather_d(void *const operands[32], T d[16][8]) {
    for (int l = 0; l < 32; l++) {
        const T *lane = static_cast<const T *>(operand_of<gi8emu_mma>(operands, l)->d);
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 4; i++) {
            d[g + 8 * (i / 2)][2 * t + i % 2] = lane[i];
        }
    }
}

/* 32 signed bytes as 16-bit integers. */
static void widen(const uint32_t bytes[8], __m128i wide[4]) {
    for (int i = 0; i < 2; i++) {
        __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes + 4 * i));
        __m128i sign = _mm_cmpgt_epi8(_mm_setzero_si128(), v);
        wide[2 * i] = _mm_unpacklo_epi8(v, sign);
        wide[2 * i + 1] = _mm_unpackhi_epi8(v, sign);
    }
}

void gi8emu_combine_mma_s8(void *const operands[32], unsigned mask) {
    (void)mask;
    uint32_t a[16][8], b[8][8];
    int32_t d[16][8];
    gather(operands, a, b);
    gather_d(operands, d);
    __m128i columns[8][4];
    for (int n = 0; n < 8; n++) {
        widen(b[n], columns[n]);
    }
    for (int m = 0; m < 16; m++) {
        __m128i row[4];
        widen(a[m], row);
        for (int n = 0; n < 8; n++) {
            __m128i sum = _mm_madd_epi16(row[0], columns[n][0]);
            for (int k = 1; k < 4; k++) {
                sum = _mm_add_epi32(sum, _mm_madd_epi16(row[k], columns[n][k]));
            }
            sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
            sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
            d[m][n] = static_cast<int32_t>(static_cast<uint32_t>(d[m][n]) +
                                           static_cast<uint32_t>(_mm_cvtsi128_si32(sum)));
        }
    }
    scatter(operands, d);
}

/* Exact. */
static float half_to_float(uint32_t bits) {
    uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) { /* infinity, NaN */
        return gi8emu_bits<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    }
    /* as a float with the half's exponent, which is 112 too small; a power of two sets it right,
     * and makes subnormals normal */
    return gi8emu_bits<float>(sign | magnitude << 13) * 0x1p112f;
}

void gi8emu_combine_mma_f16(void *const operands[32], unsigned mask) {
    (void)mask;
    uint32_t a[16][8], b[8][8];
    float d[16][8], rows[16][16], columns[16][8];
    gather(operands, a, b);
    gather_d(operands, d);
    for (int i = 0; i < 8; i++) {
        for (int m = 0; m < 16; m++) {
            rows[m][2 * i] = half_to_float(a[m][i] & 0xffffu);
            rows[m][2 * i + 1] = half_to_float(a[m][i] >> 16);
        }
        for (int n = 0; n < 8; n++) {
            columns[2 * i][n] = half_to_float(b[n][i] & 0xffffu);
            columns[2 * i + 1][n] = half_to_float(b[n][i] >> 16);
        }
    }
    for (int m = 0; m < 16; m++) {
        for (int k = 0; k < 16; k++) {
            for (int n = 0; n < 8; n++) {
                d[m][n] += rows[m][k] * columns[k][n];
            }
        }
    }
    scatter(operands, d);
}

/* Row r of matrix i is what lane 8 i + r has read. */
static uint4 row_of(void *const operands[32], int lane) {
    return operand_of<gi8emu_ldmatrix>(operands, lane)->row;
}

void gi8emu_combine_ldmatrix(void *const operands[32], unsigned mask) {
    (void)mask;
    for (int i = 0; i < 4; i++) {
        for (int l = 0; l < 32; l++) {
            uint4 row = row_of(operands, 8 * i + l / 4);
            const uint32_t words[4] = {row.x, row.y, row.z, row.w};
            operand_of<gi8emu_ldmatrix>(operands, l)->r[i] = words[l % 4];
        }
    }
}

void gi8emu_combine_ldmatrix_trans(void *const operands[32], unsigned mask) {
    (void)mask;
    for (int i = 0; i < 4; i++) {
        uint16_t matrix[8][8];
        for (int row = 0; row < 8; row++) {
            uint4 v = row_of(operands, 8 * i + row);
            __builtin_memcpy(matrix[row], &v, sizeof v);
        }
        for (int l = 0; l < 32; l++) {
            int g = l / 4, t = l % 4;
            operand_of<gi8emu_ldmatrix>(operands, l)->r[i] =
                matrix[2 * t][g] | static_cast<uint32_t>(matrix[2 * t + 1][g]) << 16;
        }
    }
}
