# The sources of the CUDA backend, relative to this folder: for nvcc, and for the emulation of
# tests/cuda-emulation.
set(GI8_CUDA_SOURCES
  arena.c
  cublaslt.c
  cuda_backend.c
  device.c
  memory.c
  plan.c
  kernels/gemm_s8.cu
  ops/activation.cu
  ops/add.cu
  ops/attention.cu
  ops/cont.cu
  ops/cpy.cu
  ops/get_rows.cu
  ops/layer_norm.cu
  ops/mul.cu
  ops/mul_mat.cu
  ops/mul_mat_int8_mixed.cu
  ops/rope_kv_store.cu
  ops/scale.cu
  ops/soft_max.cu
)
