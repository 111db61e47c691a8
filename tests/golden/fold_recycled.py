"""Taps of the recycling embedder in the second pass, which in the first reads only zeros -> fold/recycled_taps.safetensors.

    python tests/golden/fold_recycled.py [DIR]

Reads what fold.py wrote into DIR.
"""
import os
import sys

import fold
import golden as g
import numpy as np
from compare import read_safetensors

MODULES = ('prev_pos_linear', 'prev_msa_first_row_norm', 'prev_pair_norm')


def main(out_dir):
    at = lambda name: os.path.join(out_dir, name)
    params = {}
    for name, value in np.load(at('params.npz')).items():
        scope, key = name.split('//')
        params.setdefault(scope, {})[key] = value
    features = dict(np.load(at('features.npz')))
    first = read_safetensors(at('outputs.safetensors'))
    prev = {'prev_pos': first['recycle_0/structure_module/final_atom_positions'],
            'prev_msa_first_row': first['recycle_0/representations/msa_first_row'],
            'prev_pair': first['recycle_0/representations/pair']}
    others = dict(np.load(at('derived_labels.npz')))
    taps, _ = fold.record_taps(fold.small_config(), params, g.pass_features(features, 1, 1), {**others, **prev})
    kept = {f'pass_1/{name}': value for name, value in taps.tensors.items()
            if name.split('#')[0].removeprefix('evoformer/') in MODULES}
    assert len(kept) == 2 * len(MODULES) and all(np.any(v) for v in kept.values())
    g.write_safetensors(at('recycled_taps.safetensors'), kept)
    for name, value in kept.items():
        print(value.shape, name)


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fold'))
