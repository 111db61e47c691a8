"""What a few steps of training gave on the CPU and on a GPU: compare_training.py FOLDER, as run.sh leaves it.

The bounds are guesses until a GPU has been seen: a step's loss may differ by 1%, scores of the same parameters by 0.01.
"""
import json
import sys

folder = sys.argv[1]


def losses(device):
    with open(f'{folder}/{device}/metrics.jsonl') as lines:
        return [line['loss'] for line in map(json.loads, lines) if line['kind'] == 'train']


def scores(name):
    with open(f'{folder}/{name}.json') as lines:
        return [line['aligned']['lddt_ca'] for line in map(json.loads, lines)]


cpu, cuda = losses('cpu'), losses('cuda')
same, other = scores('cpu'), scores('cross')
print('losses, CPU:', *(f'{x:.5f}' for x in cpu), ' GPU:', *(f'{x:.5f}' for x in cuda))
print('lDDT-Cα of one set of parameters, CPU:', *(f'{x:.4f}' for x in same), ' GPU:', *(f'{x:.4f}' for x in other))
if len(cpu) != len(cuda) or len(cpu) != 4 or not same or len(same) != len(other):
    sys.exit('expected four losses and a score of each')
if any(not abs(a - b) <= 0.01 * abs(a) for a, b in zip(cpu, cuda)):
    sys.exit('losses differ')
if any(not abs(a - b) <= 0.01 for a, b in zip(same, other)):
    sys.exit('scores differ')
