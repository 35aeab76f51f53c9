/* sass_planted.cu - kernels with known instructions, for sass_selftest.sh. */
#include <ptx.cuh>

/* Tensor cores for int8. */
__global__ void with_imma(const uint32_t *in, int32_t *out) {
    int32_t d[4] = {};
    uint32_t a[4] = {in[0], in[1], in[2], in[3]}, b[2] = {in[4], in[5]};
    gi8i_mma_s8(d, a, b);
    out[threadIdx.x] = d[0];
}

/* Tensor cores for fp16. */
__global__ void with_hmma(const uint32_t *in, float *out) {
    float d[4] = {};
    uint32_t a[4] = {in[0], in[1], in[2], in[3]}, b[2] = {in[4], in[5]};
    gi8i_mma_f16(d, a, b);
    out[threadIdx.x] = d[0];
}

__global__ void with_idp(const int *in, int *out) {
    out[threadIdx.x] = __dp4a(in[0], in[threadIdx.x], 0);
}

/* Products of int8 without any of them. */
__global__ void with_none(const int8_t *in, int *out) {
    out[threadIdx.x] = in[0] * in[threadIdx.x];
}

#ifdef PLANT_LOCAL
/* An array with an index that varies has no place in registers. */
__global__ void with_local(const int *in, int *out) {
    int v[64];
    for (int i = 0; i < 64; i++) {
        v[i] = in[i];
    }
    for (int i = 0; i < 64; i++) {
        v[in[i] & 63] += i;
    }
    out[threadIdx.x] = v[in[threadIdx.x] & 63];
}
#endif
