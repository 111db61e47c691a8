"""What a few steps of training gave on the CPU and on a GPU: compare_training.py FOLDER, as run.sh leaves it.

The bounds are guesses until a GPU has been seen: relative errors of the first step's loss and norm of gradients as in `foldry bench train
--check`, ten and five times as much once parameters have been updated; scores of the same parameters 0.01 apart.
"""
import json
import sys

folder = sys.argv[1]
BOUNDS = {'loss': (1e-3, 1e-2), 'grad_norm': (1e-2, 5e-2)}


def steps(device):
    with open(f'{folder}/{device}/metrics.jsonl') as lines:
        return [line for line in map(json.loads, lines) if line['kind'] == 'train']


def scores(device):
    with open(f'{folder}/{device}.json') as lines:
        return [line['aligned']['lddt_ca'] for line in map(json.loads, lines)]


wrong = []
cpu, cuda = steps('cpu'), steps('cuda')
if not len(cpu) == len(cuda) == 4:
    wrong.append('the number of steps')
for key, (first, later) in BOUNDS.items():
    errors = [abs(a[key] - b[key]) / abs(a[key]) for a, b in zip(cpu, cuda)]
    print(f'{key}, CPU:', *(f'{a[key]:.5f}' for a in cpu), ' relative errors:', *(f'{e:.1e}' for e in errors))
    wrong += [f'{key} of step {n + 1}' for n, e in enumerate(errors) if not e <= (later if n else first)]
same, other = scores('cpu'), scores('cuda')
print('lDDT-Cα of the same parameters, CPU:', *(f'{x:.4f}' for x in same), ' GPU:', *(f'{x:.4f}' for x in other))
if not same or len(same) != len(other) or any(not abs(a - b) <= 0.01 for a, b in zip(same, other)):
    wrong.append('scores')
if wrong:
    sys.exit('differ: ' + ', '.join(wrong))
