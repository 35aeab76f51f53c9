#!/usr/bin/env python3
"""Writes tests/reference/bitsandbytes/parity.bin: what the real bitsandbytes computes on a CPU.

    python3 tests/reference/make_bitsandbytes_fixtures.py [OUTPUT]

Needs torch, numpy and bitsandbytes. Inputs are not stored: they come from a counter-based generator
that tests/unit/test_bitsandbytes.c repeats. All of them are exact in fp16, so bitsandbytes' cast of
x to fp16 changes nothing. The weights go through Linear8bitLt(has_fp16_weights=False).

Layout, little endian, no padding:
    char[8]   "GI8BNB01"
    char[64]  versions, padded with NUL
    u32       samples of codes an activation record, samples of outputs an output record
    lists     M, K, N (u32 count, u32 values), thresholds (u32 count, f32 values)
    weights       for K, for N:              u64 hash of the codes, u64 hash of SCB as fp32 bytes
    activations   for K, for M, for t:       u32 count, u16 outlier columns[count], f32 row absmax[M],
                                             i8 codes[samples]
    outputs       for K, for N, for M, for t, for bias in (none, bias): fp16 outputs[samples]
"""
import struct
import sys
from pathlib import Path

import bitsandbytes as bnb
import numpy as np
import torch

MS = [1, 2, 7, 64, 128]
KS = [4, 84, 499, 512, 1024]
NS = [2, 30, 512, 3072]
THRESHOLDS = [0.0, 2.0, 6.0]
CODE_SAMPLES = 64
OUTPUT_SAMPLES = 48

GOLDEN = np.uint64(0x9E3779B97F4A7C15)

# Streams of the generator: what a seed is for.
WEIGHT, BIAS, ACTIVATION, PLANT, CODE_SAMPLE, OUTPUT_SAMPLE = range(1, 7)


def mix(z):
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def random_u64(stream, a, b, count):
    """Numbers 0 .. count-1 of the sequence that (stream, a, b) names."""
    seed = np.array([stream << 48 | a << 24 | b], dtype=np.uint64)
    return mix(mix(seed) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)


def bell(r):
    """Integers in [-1022, 1022] with a bell-shaped distribution: four fields of 9 bits."""
    mask = np.uint64(511)
    fields = [(r >> np.uint64(shift)) & mask for shift in (0, 9, 18, 27)]
    return sum(f.astype(np.int64) for f in fields) - 1022


def hash_bytes(array):
    data = np.frombuffer(array.tobytes(), dtype=np.uint8).astype(np.uint64)
    index = np.arange(1, data.size + 1, dtype=np.uint64)
    return int(mix(index * GOLDEN + data).sum(dtype=np.uint64))


def make_weight(k, n):
    return (bell(random_u64(WEIGHT, k, n, k * n)) * 2.0**-14).reshape(n, k).astype(np.float16)


def make_bias(k, n):
    return (bell(random_u64(BIAS, k, n, n)) * 2.0**-9).astype(np.float16)


def make_activations(k, m):
    x = (bell(random_u64(ACTIVATION, k, m, k * m)) * 2.0**-10).reshape(m, k)
    for r in random_u64(PLANT, k, m, 4 + k // 32):
        r = int(r)
        step = r >> 44 & 63
        value = [6.0, 6.0 - 2.0**-8, 2.0, 2.0 - 2.0**-10,
                 8 + step / 8, 20 + step / 4, 3 + step / 32, 60.0][r >> 40 & 7]
        x[(r & 0xFFFFF) % m, (r >> 20 & 0xFFFFF) % k] = -value if r >> 60 & 1 else value
    return x.astype(np.float16)


def make_layer(weight, bias, threshold):
    n, k = weight.shape
    layer = bnb.nn.Linear8bitLt(k, n, bias=bias is not None, has_fp16_weights=False,
                                threshold=threshold)
    layer.weight = bnb.nn.Int8Params(torch.from_numpy(weight.copy()), requires_grad=False,
                                     has_fp16_weights=False)
    if bias is not None:
        layer.bias = torch.nn.Parameter(torch.from_numpy(bias.copy()), requires_grad=False)
    return layer.to("cpu").eval()


def weight_records(out):
    for k in KS:
        for n in NS:
            layer = make_layer(make_weight(k, n), None, 6.0)
            codes = layer.weight.CB.numpy()
            scb = layer.weight.SCB.numpy()
            assert codes.dtype == np.int8 and codes.shape == (n, k)
            assert scb.dtype == np.float32 and scb.shape == (n,)
            out.write(struct.pack("<QQ", hash_bytes(codes), hash_bytes(scb)))


def activation_records(out):
    for k in KS:
        for m in MS:
            x = torch.from_numpy(make_activations(k, m))
            index = random_u64(CODE_SAMPLE, k, m, CODE_SAMPLES) % np.uint64(k * m)
            for threshold in THRESHOLDS:
                codes, absmax, columns = bnb.functional.int8_vectorwise_quant(
                    x.clone(), threshold=threshold)
                columns = [] if columns is None else columns.tolist()
                out.write(struct.pack(f"<I{len(columns)}H", len(columns), *columns))
                out.write(absmax.numpy().astype("<f4").tobytes())
                out.write(codes.numpy().reshape(-1)[index].tobytes())


def output_records(out):
    for k in KS:
        for n in NS:
            weight, bias = make_weight(k, n), make_bias(k, n)
            for m in MS:
                x = torch.from_numpy(make_activations(k, m))
                r = random_u64(OUTPUT_SAMPLE, k << 12 | n, m, OUTPUT_SAMPLES)
                rows, columns = r % np.uint64(m), (r >> np.uint64(32)) % np.uint64(n)
                for threshold in THRESHOLDS:
                    for b in (None, bias):
                        with torch.no_grad():
                            y = make_layer(weight, b, threshold)(x.clone()).numpy()
                        assert y.dtype == np.float16 and y.shape == (m, n)
                        out.write(y[rows, columns].astype("<f2").tobytes())


def main():
    default = Path(__file__).parent / "bitsandbytes" / "parity.bin"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    versions = f"bitsandbytes {bnb.__version__}, torch {torch.__version__}".encode()
    with path.open("wb") as out:
        out.write(b"GI8BNB01" + versions.ljust(64, b"\0"))
        out.write(struct.pack("<II", CODE_SAMPLES, OUTPUT_SAMPLES))
        for values in (MS, KS, NS):
            out.write(struct.pack(f"<I{len(values)}I", len(values), *values))
        out.write(struct.pack(f"<I{len(THRESHOLDS)}f", len(THRESHOLDS), *THRESHOLDS))
        weight_records(out)
        activation_records(out)
        output_records(out)
    print(f"{path}: {path.stat().st_size} bytes, {versions.decode()}")


if __name__ == "__main__":
    main()
