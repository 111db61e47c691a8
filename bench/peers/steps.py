"""What cpu.py or train.py and a peer's process say to each other, a line each.

The process gets its block or training step ready and runs it once, which compiles it and fills its caches, then says
`ready`. For every line `run` on its standard input it runs it once more and answers with a JSON object: seconds,
cpu_seconds of all threads, peak_bytes since it was ready, and what else it has to tell.
"""
import json
import resource
import sys
import time

# The step of `foldry bench train`, which has the same defaults.
TRAINING = {'crop': 64, 'msa': 128, 'extra': 256, 'blocks': 4, 'extra_blocks': 2, 'channels': 64, 'recycles': 1}


def forget_peak():
    """Peak memory begins anew at what is held now; where the system cannot, it stays that of the whole process."""
    try:
        with open('/proc/self/clear_refs', 'w') as f:
            f.write('5')
    except OSError:
        pass


def peak_memory():
    """Bytes."""
    try:
        with open('/proc/self/status') as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith('VmHWM:'))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def serve(once, **facts):
    """Runs `once`, a function that returns when its result is complete, as it is told to. A dictionary it returns
    is told, as are `facts`."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    once()
    forget_peak()
    print('ready', file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() != 'run':
            sys.exit(f'expected `run`, got {line!r}')
        start, before = time.perf_counter(), cpu_seconds()
        parts = once()
        spent = {'seconds': time.perf_counter() - start, 'cpu_seconds': cpu_seconds() - before,
                 'peak_bytes': peak_memory(), **facts, **(parts if isinstance(parts, dict) else {})}
        print(json.dumps(spent), file=answers, flush=True)


def arguments(parser):
    """The shapes, which every peer takes."""
    parser.add_argument('--block', choices=('evoformer', 'extra'), required=True)
    parser.add_argument('--length', type=int, required=True, help='residues')
    parser.add_argument('--rows', type=int, required=True, help='alignment rows')
    return parser
