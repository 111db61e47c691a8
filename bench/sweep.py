"""Which size of network learns most in the same CPU seconds: four of them, trained from nothing with one recipe.

    python bench/sweep.py --foldry target/release/foldry --dataset train.foldset --output DIR [--budget 1200] [--slice 60]

Networks are data/models/mini.json with other sizes. They take turns of `--slice` CPU seconds (of the whole process,
reading included) on one thread each, so that the machine is the same to all and an early end finds them with the same
seconds spent; each resumes its own checkpoint. The rate is constant for 85% of the budget and falls to 0 in the rest, in
as many steps as the rest will do. Then the averaged parameters are judged on the same chains of the validation split.
Run again, it goes on where it was ended. The table at the end is Markdown.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, '../data/models/mini.json')
# Blocks, c_m, c_z, c_s, outer product, heads of triangle attention, structure layers.
SIZES = {'a': (2, 32, 16, 32, 4, 1, 4), 'b': (4, 64, 32, 64, 8, 2, 4), 'c': (4, 96, 64, 128, 16, 2, 4),
         'd': (8, 128, 64, 128, 16, 2, 6)}
CONSTANT = 0.85
RECIPE = '''model = "{name}.json"
dataset = "{dataset}"
output = "{name}"

[sample]
crop = 64
recycles = 0
single_sequence = 0.2
clamped = 0.9

[passes]
dropout = false

[train]
steps = {steps}
batch = 4
seed = 20261128
lr = 1e-3
warmup = 50
schedule = {{ kind = "af2", decay = {decay} }}
clip_sample_norm = 0.1
ema_decay = 0.99
log_every = 10
checkpoint_every = 1000000
validate_every = 1000000
accept_changes = true
workers = 1
together = 1
prefetch = 8

[validation]
chains = {chains}
longest = 160
recycles = 0
'''


def network(size):
    """The configuration with these sizes."""
    blocks, c_m, c_z, c_s, outer, heads, layers = size
    with open(BASE) as f:
        config = json.load(f)
    trunk = config['model']['embeddings_and_evoformer']
    trunk.update(evoformer_num_block=blocks, msa_channel=c_m, pair_channel=c_z, seq_channel=c_s)
    block = trunk['evoformer']
    block['outer_product_mean']['num_outer_channel'] = outer
    for edges in ('incoming', 'outgoing'):
        block[f'triangle_multiplication_{edges}']['num_intermediate_channel'] = c_z
    for node in ('starting', 'ending'):
        block[f'triangle_attention_{node}_node']['num_head'] = heads
    config['model']['heads']['structure_module'].update(num_channel=c_s, num_layer=layers)
    return config


def cpu_seconds(pid):
    """Of a running process."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            fields = f.read().rsplit(')', 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Run:
    """One network's training, in slices. `state` is kept in a file between them."""

    def __init__(self, name, args):
        self.name, self.args = name, args
        self.file = os.path.join(args.output, f'{name}.state.json')
        self.state = {'cpu': 0.0, 'steps': 0, 'done': False}
        if os.path.exists(self.file):
            with open(self.file) as f:
                self.state = json.load(f)
        else:
            self.write(f'{name}.json', json.dumps(network(SIZES[name]), indent=1))

    def write(self, file, text):
        with open(os.path.join(self.args.output, file), 'w') as f:
            f.write(text)

    def metrics(self, kind):
        path = os.path.join(self.args.output, self.name, 'metrics.jsonl')
        if not os.path.exists(path):
            return []
        with open(path) as f:
            return [line for line in map(json.loads, f) if line['kind'] == kind]

    def turn(self):
        """Trains for a slice, or to the end while the rate falls."""
        s, args = self.state, self.args
        left = CONSTANT * args.budget - s['cpu']
        falling = left < 1
        if falling and 'last' not in s:
            decay = max(1, round((args.budget - s['cpu']) * s['steps'] / s['cpu']))
            s.update(decay=decay, last=s['steps'] + decay)
        self.write(f'{self.name}.toml', RECIPE.format(
            name=self.name, dataset=os.path.abspath(args.dataset), steps=s['last'] if falling else 1000000,
            decay=s['decay'] if falling else 1, chains=args.chains))
        command = [args.foldry, 'train', f'{self.name}.toml', *(['--resume'] if s['steps'] else [])]
        environment = {**os.environ, 'CANDLE_NUM_THREADS': '1', 'RAYON_NUM_THREADS': '1'}
        before = os.times()
        with open(os.path.join(args.output, f'{self.name}.log'), 'a') as log:
            run = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=args.output)
            told = falling
            while run.poll() is None:
                if not told and cpu_seconds(run.pid) >= min(args.slice, left):
                    run.send_signal(signal.SIGINT)  # ends with a checkpoint
                    told = True
                time.sleep(0.5)
        after = os.times()
        if run.returncode not in (0, 130):
            sys.exit(f'{self.name}: ended with code {run.returncode}, see {log.name}')
        s['cpu'] += sum(after[2:4]) - sum(before[2:4])
        s['steps'] = max(line['step'] for line in self.metrics('train'))
        s['done'] = falling and run.returncode == 0
        self.write(f'{self.name}.state.json', json.dumps(s))
        print(f'{time.strftime("%H:%M:%S")} {self.name}: {s["cpu"]:.0f} CPU s, {s["steps"]} steps', flush=True)

    def row(self):
        with open(os.path.join(self.args.output, f'{self.name}.log')) as f:
            parameters = next(int(word[11:]) for line in f for word in line.split() if word.startswith('parameters='))
        blocks, c_m, c_z, c_s, _, _, layers = SIZES[self.name]
        judged, samples = self.metrics('validate')[-1], 4 * self.state['steps']
        return (f'| {blocks} / {c_m} / {c_z} / {c_s} / {layers} | {parameters} | {self.state["cpu"] / samples:.3f} | {samples} '
                f'| {judged["loss"]:.3f} | {judged["lddt_ca.aligned"]:.3f} | {judged["tm_score"]:.3f} |')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--foldry', default='target/release/foldry')
    parser.add_argument('--dataset', required=True, help='what `foldry data ingest` makes')
    parser.add_argument('--output', required=True, help='a folder for all runs')
    parser.add_argument('--budget', type=float, default=1200, help='CPU seconds for each size')
    parser.add_argument('--slice', type=float, default=60, help='CPU seconds of a turn')
    parser.add_argument('--chains', type=int, default=40, help='that judge at the end, of at most 160 residues')
    parser.add_argument('--sizes', default=''.join(SIZES), help=f'of {"".join(SIZES)}')
    args = parser.parse_args()
    if not args.sizes or set(args.sizes) - set(SIZES):
        parser.error(f'--sizes: expected some of {"".join(SIZES)}, got `{args.sizes}`')
    args.foldry = os.path.abspath(args.foldry)
    os.makedirs(args.output, exist_ok=True)
    runs = [Run(name, args) for name in args.sizes]
    while any(not run.state['done'] for run in runs):
        for run in runs:
            if not run.state['done']:
                run.turn()
    print('| blocks / c_m / c_z / c_s / structure layers | parameters | CPU s a sample | samples | loss | lDDT-Cα | TM-score |')
    print('|---|---|---|---|---|---|---|')
    for run in runs:
        print(run.row())


if __name__ == '__main__':
    main()
