"""A training step of `foldry bench train` and of OpenFold's code on the same sizes, in turns in the same run.

    python train.py --openfold CHECKOUT [--foldry target/release/foldry] [--runs 5] [--threads N] [--json]

Every run is one step: one pass recycled without gradient, a pass, the losses of the first stage of training and all
gradients, no optimizer, no dropout. Told are medians: CPU seconds of all threads, seconds, and the most memory a
process held after its first step. Both have the same number of parameters, or it ends with an error.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile

import steps
from cpu import OURS, Foldry, Peer, in_turns, medians

PEERS = {'openfold': [], 'openfold, blocks run again': ['--checkpoint']}
OURS_AGAIN = 'foldry --checkpoint-activations'


def table(told, failed):
    print('| | CPU s a step | recycled pass and forward | losses | backward | seconds | peak memory | CPU time of ours | memory of ours |')
    print('|---|---|---|---|---|---|---|---|---|')
    ours = told.get(OURS)
    for name, t in told.items():
        times = lambda key: f'{t[key] / ours[key]:.2f}×' if ours else ''
        print(f'| {name} | {t["cpu_seconds"]:.2f} | {t["forward"]:.2f} | {t["losses"]:.2f} | {t["backward"]:.2f} '
              f'| {t["seconds"]:.2f} | {t["peak_bytes"] / 1e9:.2f} GB | {times("cpu_seconds")} | {times("peak_bytes")} |')
    for name, why in failed.items():
        print(f'{name}: left out: {why}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--openfold', required=True, help='a checkout of OpenFold; nothing of it has to be built')
    parser.add_argument('--foldry', default='target/release/foldry')
    parser.add_argument('--runs', type=int, default=5, help='steps of each program, after one to warm up')
    parser.add_argument('--threads', type=int, default=1, help='cores a program may use')
    parser.add_argument('--default-malloc', action='store_true', help="leave glibc's malloc as it is")
    parser.add_argument('--json', action='store_true', help='every run, a line each')
    for name, default in steps.TRAINING.items():
        parser.add_argument(f'--{name.replace("_", "-")}', type=int, default=default)
    args = parser.parse_args()
    if not 1 <= args.threads <= len(os.sched_getaffinity(0)) or args.runs < 1:
        parser.error('expected at least 1 run, and no more threads than cores')
    if not shutil.which(args.foldry):
        parser.error(f'{args.foldry}: not there; build it, or say where it is with --foldry')
    sizes = [word for name in steps.TRAINING
             for word in (f'--{name.replace("_", "-")}', str(getattr(args, name)))]
    bench = ['train', '--steps', '1', '--json', *sizes]
    peer = ['openfold_step.py', '--openfold', os.path.abspath(args.openfold), *sizes]
    programs = {OURS: lambda: Foldry(bench, args),
                OURS_AGAIN: lambda: Foldry([*bench, '--checkpoint-activations'], args)}
    programs |= {name: lambda more=more: Peer([*peer, *more], args) for name, more in PEERS.items()}
    with tempfile.TemporaryDirectory() as args.scratch:
        told, failed = in_turns(programs, args.runs)
    for runs in told.values():
        for run in runs:
            parts = run.pop('parts', {})
            run.update(parts, forward=run.get('forward', 0) + sum(parts.get(p, 0) for p in ('recycles', 'forward')))
    sizes = {name: {run['parameters'] for run in runs} for name, runs in told.items()}
    if len(set.union(*sizes.values(), set())) > 1:
        sys.exit(f'other networks: numbers of parameters are {sizes}')
    if args.json:
        for name, runs in told.items():
            for run in runs:
                print(json.dumps({'program': name, **run}))
    else:
        keys = ('cpu_seconds', 'seconds', 'peak_bytes', 'forward', 'losses', 'backward')
        table({name: medians(runs, keys) for name, runs in told.items()}, failed)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
