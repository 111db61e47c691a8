#!/usr/bin/env python3
"""Two outputs of `foldry forward`, of the CPU and of a GPU in f32: every array may differ by little.

tests/gpu/compare.py CPU.safetensors GPU.safetensors      needs nothing but Python
"""

import array
import json
import math
import sys

# |GPU - CPU| / |CPU| of a whole array, and the least norm that counts as something.
BOUND = 2e-3
FLOOR = 1e-3


def read(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            sys.exit(f"ERROR  {path}: {name}: expected F32, got {entry['dtype']}")
        start, end = entry["data_offsets"]
        values = array.array("f", data[start:end])
        if sys.byteorder == "big":
            values.byteswap()
        arrays[name] = (entry["shape"], values)
    return arrays


def difference(gpu, cpu):
    (gpu_shape, a), (cpu_shape, b) = gpu, cpu
    if gpu_shape != cpu_shape:
        return math.inf
    apart = math.fsum((x - y) ** 2 for x, y in zip(a, b))
    return math.sqrt(apart) / (math.sqrt(math.fsum(y * y for y in b)) + FLOOR)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    cpu, gpu = read(sys.argv[1]), read(sys.argv[2])
    if set(cpu) != set(gpu) or not cpu:
        sys.exit(f"ERROR  other arrays: {sorted(set(cpu) ^ set(gpu))}")
    bad = 0
    for name in sorted(cpu):
        error = difference(gpu[name], cpu[name])
        good = error < BOUND  # false for NaN
        bad += not good
        print(f"{'ok   ' if good else 'ERROR'}  {name:60} {error:.1e}")
    sys.exit(1 if bad else 0)


main()
