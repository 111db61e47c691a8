"""Runs `foldry forward` on a golden's inputs and prints its relative errors against AlphaFold's outputs.

    python tests/golden/compare.py DIR --recycles N [--foldry target/release/foldry]

Padded residues and masked alignment rows are left out. Needs numpy only.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

TYPES = {'F32': '<f4', 'F64': '<f8', 'I32': '<i4', 'I64': '<i8'}
# What `foldry forward` promises to write; the goldens' other outputs are compared when they are there.
PROMISED = ('representations/single', 'representations/pair', 'representations/msa_first_row',
            'structure_module/final_atom_positions', 'structure_module/final_atom_mask', 'distogram/logits',
            'masked_msa/logits', 'experimentally_resolved/logits', 'predicted_lddt/logits',
            'predicted_aligned_error/logits', 'plddt', 'ptm')
POSITIONS = ('final_atom_positions', 'final_atom14_positions')


def read_safetensors(path):
    with open(path, 'rb') as f:
        data = f.read()
    size = int.from_bytes(data[:8], 'little')
    header = json.loads(data[8:8 + size])
    header.pop('__metadata__', None)
    out = {}
    for name, entry in header.items():
        begin, end = entry['data_offsets']
        out[name] = np.frombuffer(data[8 + size + begin:8 + size + end], TYPES[entry['dtype']]).reshape(entry['shape'])
    return out


def present(name, array, seq, msa):
    """The part of `array` that is not padding."""
    rows = np.flatnonzero(seq)
    if name in ('masked_msa/logits', 'representations/msa'):
        return array[msa > 0]
    if name.startswith(('structure_module/traj', 'structure_module/sidechains')):
        return array[:, rows]
    if array.ndim and array.shape[0] == len(seq):
        pair = array.ndim > 1 and array.shape[1] == len(seq) and name.split('/')[0] in (
            'distogram', 'predicted_aligned_error', 'expected_aligned_error', 'representations')
        array = array[rows]
        return array[:, rows] if pair else array
    return array


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dir')
    parser.add_argument('--recycles', type=int, default=1)
    parser.add_argument('--foldry', default='target/release/foldry')
    parser.add_argument('--limit', type=float, default=1e-4, help='largest relative error that passes')
    args = parser.parse_args()
    at = lambda name: os.path.join(args.dir, name)
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, 'out.safetensors')
        command = [args.foldry, 'forward', '--config', at('config.json'), '--params', at('params.npz'),
                   '--features', at('features.npz'), '--recycles', str(args.recycles), '-o', out]
        start, cpu = time.perf_counter(), os.times()
        subprocess.run(command, check=True)
        wall, after = time.perf_counter() - start, os.times()
        got = read_safetensors(out)
    used = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    features = np.load(at('features.npz'))
    seq, msa = features['seq_mask'][0], features['msa_mask']
    # Alignment outputs belong to the first ensemble member of the last pass.
    msa = msa[args.recycles * (json.load(open(at('config.json')))['data']['eval']['num_ensemble'])]
    prefix, errors = f'recycle_{args.recycles}/', []
    print(f'{wall:.2f} s wall, {used:.2f} s CPU\n')
    print('| output | shape | relative error | largest difference |\n|---|---|---|---|')
    want = {k.removeprefix(prefix): v for k, v in read_safetensors(at('outputs.safetensors')).items()
            if k.startswith(prefix)}
    for name in sorted(want):
        if name not in got:
            continue
        a, b = (present(name, np.asarray(x, np.float64), seq, msa) for x in (got[name], want[name]))
        if a.shape != b.shape:
            sys.exit(f'{name}: expected shape {b.shape}, got {a.shape}')
        error = np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)
        errors.append(error)
        unit = ' Å' if name.rsplit('/', 1)[-1] in POSITIONS else ''
        print(f'| {name} | {list(want[name].shape)} | {error:.1e} | {np.abs(a - b).max():.1e}{unit} |')
    absent = sorted(set(want) - set(got))
    promised = [name for name in absent if name in PROMISED]
    print(f'\nnot written by foldry: {", ".join(absent) or "none"}')
    # np.max keeps a NaN, and a NaN is not within the limit.
    worst = float(np.max(errors)) if errors else float('nan')
    print(f'largest relative error {worst:.1e}, limit {args.limit:.0e}')
    sys.exit(0 if worst <= args.limit and not promised else 1)


if __name__ == '__main__':
    main()
