#!/usr/bin/env python3
"""Two outputs of `foldry forward`, of the CPU and of a GPU in f32: every array may differ by little.

tests/gpu/compare.py CPU.safetensors GPU.safetensors      needs numpy alone
"""

import json
import sys

import numpy as np

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
        arrays[name] = np.frombuffer(data[start:end], np.float32).astype(np.float64)
    return arrays


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    cpu, gpu = read(sys.argv[1]), read(sys.argv[2])
    if set(cpu) != set(gpu) or not cpu:
        sys.exit(f"ERROR  other arrays: {sorted(set(cpu) ^ set(gpu))}")
    bad = 0
    for name in sorted(cpu):
        a, b = gpu[name], cpu[name]
        error = np.linalg.norm(a - b) / (np.linalg.norm(b) + FLOOR) if a.shape == b.shape else np.inf
        good = error < BOUND  # false for NaN
        bad += not good
        print(f"{'ok   ' if good else 'ERROR'}  {name:60} {error:.1e}")
    sys.exit(1 if bad else 0)


main()
