"""One Evoformer block and one extra-MSA block by Foldry and by other programs, on the same shapes in the same run.

    python cpu.py [--foldry target/release/foldry] [--lengths 64,128,256] [--runs 3] [--threads N] [--json]

Run it with the Python of requirements.txt's environment. Every program is started once for a shape, runs once to
compile and to fill its caches, and is then asked for one run after the other in turns, so that whatever else the
machine does meets all of them. Told are medians: CPU seconds of all threads, seconds, and the most memory a
process held after its first run. Programs that cannot be started are named with the reason.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# glibc's malloc gives big buffers back and faults them in again at every use, which costs PyTorch up to twice the
# time. Told to keep memory, it does not; that is how the peers are at their best.
KEEP = {'MALLOC_MMAP_THRESHOLD_': str(1 << 32), 'MALLOC_TRIM_THRESHOLD_': str(1 << 34), 'MALLOC_TOP_PAD_': str(1 << 26)}
PEERS = {
    'alphafold-jax': ('alphafold_jax.py',),
    'torch': ('torch_blocks.py',),
    'torch-sdpa': ('torch_blocks.py', '--attention', 'sdpa'),
    'torch-compile': ('torch_blocks.py', '--compile'),
}
OURS = 'foldry'
OURS_BF16 = 'foldry --dtype bf16'


class Failed(Exception):
    pass


def pinned(threads):
    """Runs in the child: it sees that many cores."""
    return lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Peer:
    """A process of steps.py; `command` begins with its script."""

    def __init__(self, command, args):
        command = [sys.executable, os.path.join(HERE, command[0]), *command[1:]]
        environment = {**os.environ, 'OMP_NUM_THREADS': str(args.threads), **({} if args.default_malloc else KEEP)}
        self.log = open(os.path.join(args.scratch, str(len(os.listdir(args.scratch)))), 'w+')
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, env=environment, preexec_fn=pinned(args.threads))
        if self.line() != 'ready':
            raise Failed('it did not get ready')

    def line(self):
        line = self.process.stdout.readline().strip()
        if not line:
            self.process.wait()
            self.log.seek(0)
            said = [line for line in self.log.read().splitlines() if line.strip()]
            raise Failed(said[-1] if said else f'it ended with code {self.process.returncode}')
        return line

    def run(self):
        self.process.stdin.write('run\n')
        self.process.stdin.flush()
        return json.loads(self.line())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Foldry:
    """`foldry bench`, begun anew for each run: it warms up by itself."""

    def __init__(self, command, args):
        self.command, self.threads = [args.foldry, 'bench', *command], args.threads

    def run(self):
        done = subprocess.run(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=pinned(self.threads))
        if done.returncode != 0:
            raise Failed(done.stderr.strip() or f'it ended with code {done.returncode}')
        return json.loads(done.stdout)

    def end(self):
        pass


def in_turns(programs, runs):
    """What each program told of its runs, and why others were left out; `programs` has a function a name, which
    starts it."""
    running, failed, told = {}, {}, {}
    for name, start in programs.items():
        try:
            running[name] = start()
        except (Failed, OSError) as why:
            failed[name] = str(why)
    for _ in range(runs):
        for name in list(running):
            try:
                told.setdefault(name, []).append(running[name].run())
            except (Failed, OSError) as why:
                failed[name] = str(why)
                told.pop(name, None)
                del running[name]
    for program in running.values():
        program.end()
    return told, failed


def measure(shape, args):
    """{program: its medians} and {program: why it was left out}."""
    block, length, rows = shape
    bench = ['block', '--only', block, '--lengths', str(length), '--runs', '1', '--json',
             '--msa' if block == 'evoformer' else '--extra', str(rows)]
    peer = ['--block', block, '--length', str(length), '--rows', str(rows)]
    programs = {name: lambda dtype=dtype: Foldry([*bench, '--dtype', dtype], args)
                for name, dtype in ((OURS, 'f32'), (OURS_BF16, 'bf16'))}
    programs |= {name: lambda name=name: Peer([*PEERS[name], *peer], args) for name in args.peers}
    told, failed = in_turns(programs, args.runs)
    return {name: medians(runs) for name, runs in told.items()}, failed


def medians(runs, keys=('cpu_seconds', 'seconds', 'peak_bytes')):
    return {key: statistics.median(run[key] for run in runs) for key in keys}


def table(shape, told, failed):
    block, length, rows = shape
    print(f'\n{block} block, r = {length}, {rows} rows\n')
    print('| | CPU s | seconds | peak memory | CPU time of ours | memory of ours |')
    print('|---|---|---|---|---|---|')
    ours = told.get(OURS)
    for name, t in told.items():
        times = lambda key: f'{t[key] / ours[key]:.2f}×' if ours else ''
        print(f'| {name} | {t["cpu_seconds"]:.2f} | {t["seconds"]:.2f} | {t["peak_bytes"] / 1e9:.2f} GB '
              f'| {times("cpu_seconds")} | {times("peak_bytes")} |')
    for name, why in failed.items():
        print(f'{name}: left out: {why}')
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: [name for name in text.split(',') if name]
    parser.add_argument('--foldry', default='target/release/foldry')
    parser.add_argument('--lengths', type=lambda text: [int(n) for n in text.split(',')], default=[64, 128, 256])
    parser.add_argument('--msa', type=int, default=512, help="rows in the Evoformer's block")
    parser.add_argument('--extra', type=int, default=1024, help="rows in the extra-MSA stack's block")
    parser.add_argument('--runs', type=int, default=3, help='of each program, after one to warm up')
    cores = len(os.sched_getaffinity(0))
    parser.add_argument('--threads', type=int, default=1, help='cores a program may use; threads that wait for others '
                        'count as CPU time, so that one is fairest to all')
    parser.add_argument('--peers', type=names, default=list(PEERS), help=f'of {",".join(PEERS)}')
    parser.add_argument('--default-malloc', action='store_true', help="leave glibc's malloc as it is")
    parser.add_argument('--json', action='store_true', help='a line for each program and shape')
    args = parser.parse_args()
    unknown = set(args.peers) - set(PEERS)
    if unknown or not 1 <= args.threads <= cores or args.runs < 1:
        parser.error(f'unknown peers: {unknown}' if unknown else f'expected 1 to {cores} threads and at least 1 run')
    if not shutil.which(args.foldry):
        parser.error(f'{args.foldry}: not there; build it, or say where it is with --foldry')
    with tempfile.TemporaryDirectory() as args.scratch:
        for length in args.lengths:
            for block, rows in (('evoformer', args.msa), ('extra', args.extra)):
                shape = (block, length, rows)
                told, failed = measure(shape, args)
                if args.json:
                    for name, t in told.items():
                        print(json.dumps({'program': name, 'block': block, 'residues': length, 'rows': rows, **t}))
                    for name, why in failed.items():
                        print(json.dumps({'program': name, 'left_out': why}))
                else:
                    table(shape, told, failed)


if __name__ == '__main__':
    main()
