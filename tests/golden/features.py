"""Golden of the monomer feature pipeline: alignments and templates -> AlphaFold's processed features -> features/.

    python tests/golden/features.py [OUT_DIR]            with alphafold-colabfold 2.3.27, jax 0.10.2, numpy 2.4.1
    python tests/golden/features.py OUT_DIR --tensorflow  with google-deepmind/alphafold c77e5d2 on the path,
                                                          tensorflow-cpu 2.21.0: the `crop` case, whose random window
                                                          the wheel does not draw as TensorFlow does
    python tests/golden/features.py OUT_DIR --check       runs every other case and compares with the files in OUT_DIR

Block deletion and replacement by X are functions of AlphaFold that its inference never calls; the `blocks` case
puts them where OpenFold's training has them.
"""
import json
import os
import sys

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import numpy as np

from alphafold.common import residue_constants as rc
from alphafold.data import parsers
from alphafold.data import pipeline
from alphafold.model import features
from alphafold.model.tf import data_transforms
from alphafold.model.tf import input_pipeline
import ml_collections

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, '..', '..', 'data', 'examples')
TYPES = {'float32': 'F32', 'int32': 'I32'}


def write_safetensors(path, tensors):
    header, blobs, end = {}, [], 0
    for name in sorted(tensors):
        blob = np.ascontiguousarray(tensors[name]).tobytes()
        entry = {'dtype': TYPES[tensors[name].dtype.name], 'shape': list(tensors[name].shape)}
        header[name] = {**entry, 'data_offsets': [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(len(text).to_bytes(8, 'little') + text + b''.join(blobs))


def read_safetensors(path):
    data = open(path, 'rb').read()
    size = int.from_bytes(data[:8], 'little')
    inverse = {v: k for k, v in TYPES.items()}
    out = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        begin, end = (8 + size + x for x in entry['data_offsets'])
        out[name] = np.frombuffer(data[begin:end], inverse[entry['dtype']]).reshape(entry['shape'])
    return out


def synthetic_a3m(seed, length, rows):
    """Rows that resemble a random query, with gaps, insertions, rare letters and a few duplicates."""
    rng = np.random.default_rng(seed)
    letters = list('ACDEFGHIKLMNPQRSTVWY')
    query = rng.choice(letters, length)
    lines = ['>query', ''.join(query)]
    for row in range(1, rows):
        if row % 17 == 0:
            lines += [f'>copy_{row}', lines[2 * (row // 2) + 1]]
            continue
        share = rng.uniform(0.1, 0.9)
        cells = []
        for residue in query:
            if rng.random() < 0.08:
                cells += [c.lower() for c in rng.choice(letters, rng.integers(1, 9))]
            draw = rng.random()
            other = rng.choice(letters) if draw < 0.97 else rng.choice(list('BZUXJO'))
            cells.append('-' if rng.random() < 0.15 else residue if rng.random() < share else other)
        lines += [f'>row_{row}', ''.join(cells)]
    return '\n'.join(lines) + '\n'


def synthetic_templates(seed, length, count):
    """Types in AlphaFold's order (21 = nothing aligned), positions and masks."""
    rng = np.random.default_rng(seed)
    aatype = rng.integers(0, 22, (count, length)).astype(np.int32)
    masks = (rng.random((count, length, 37)) < 0.7).astype(np.float32) * (aatype < 21)[..., None]
    positions = rng.normal(0, 12, (count, length, 37, 3)).astype(np.float32) * masks[..., None]
    return {'template_aatype': aatype, 'template_all_atom_masks': masks.astype(np.float32),
            'template_all_atom_positions': positions.astype(np.float32),
            'template_sum_probs': rng.uniform(1, 90, count).astype(np.float32)}


def config(**changes):
    """AlphaFold's `data` section, small."""
    common = dict(masked_msa=dict(profile_prob=0.1, same_prob=0.1, uniform_prob=0.1), max_extra_msa=13,
                  msa_cluster_features=True, num_recycle=2, reduce_msa_clusters_by_max_templates=True,
                  resample_msa_in_recycling=True, use_templates=True)
    evaluation = dict(fixed_size=True, subsample_templates=False, masked_msa_replace_fraction=0.15,
                      max_msa_clusters=9, max_templates=3, num_ensemble=1)
    for key, value in changes.items():
        section = common if key in common or key in ('block_delete_msa', 'replace_msa_with_unknown') else evaluation
        section[key] = value
    return {'common': {k: v for k, v in common.items() if v is not None}, 'eval': evaluation}


CASES = {
    'real': dict(a3m=['../../../data/examples/4mo0_A.a3m'], seed=0, templates=2, config=config()),
    'deep': dict(a3m=['deep.a3m'], seed=123456789012, templates=None, config=config(
        max_msa_clusters=7, max_extra_msa=17, fixed_size=False, use_templates=False, num_recycle=1, num_ensemble=2,
        reduce_msa_clusters_by_max_templates=False, masked_msa_replace_fraction=0.5)),
    'one_row': dict(a3m=['one_row.a3m'], seed=3, templates=0, config=config(num_recycle=0, max_msa_clusters=5)),
    'plain': dict(a3m=['few.a3m', 'one_row.a3m'], seed=41, templates=5, config=config(
        masked_msa=None, msa_cluster_features=False, resample_msa_in_recycling=False, num_ensemble=2,
        max_extra_msa=29, max_msa_clusters=6)),
    'blocks': dict(a3m=['deep.a3m'], seed=99, templates=1, config=config(
        block_delete_msa=dict(msa_fraction_per_block=0.3, randomize_num_blocks=True, num_blocks=5),
        replace_msa_with_unknown=0.2, max_msa_clusters=8, num_recycle=3)),
    'crop': dict(a3m=['deep.a3m'], seed=17, templates=5, tensorflow=True, config=config(
        subsample_templates=True, crop_size=10, num_recycle=1)),
}
ALIGNMENTS = {'deep.a3m': (5, 23, 151), 'few.a3m': (6, 11, 14), 'one_row.a3m': (6, 11, 1)}


def raw_features(case, out):
    texts = [open(os.path.join(out, name)).read() for name in case['a3m']]
    msas = [parsers.parse_a3m(text) for text in texts]
    seen, kept = set(), []
    for msa in msas:  # the wheel keeps duplicates, DeepMind's pipeline drops them
        rows = [i for i, s in enumerate(msa.sequences) if not (s in seen or seen.add(s))]
        if rows:
            kept.append(parsers.Msa(*[[column[i] for i in rows] for column in
                                      (msa.sequences, msa.deletion_matrix, msa.descriptions)]))
    query = msas[0].sequences[0]
    raw = {**pipeline.make_sequence_features(query, 'query', len(query)), **pipeline.make_msa_features(kept)}
    given = {}
    if case['templates'] is not None:
        given = synthetic_templates(8, len(query), case['templates'])
        to_hhblits = np.argsort(rc.MAP_HHBLITS_AATYPE_TO_OUR_AATYPE)
        raw.update({**given, 'template_aatype': np.eye(22, dtype=np.float32)[to_hhblits[given['template_aatype']]],
                    'template_domain_names': np.array([b'x'] * case['templates'], dtype=object)})
        raw['template_all_atom_masks'] = raw['template_all_atom_masks'][..., None]
        raw['template_sum_probs'] = raw['template_sum_probs'][:, None]
    return raw, given


def process(case, raw):
    from alphafold.model import config as af_config
    cfg = af_config.model_config('model_1')
    data = json.loads(json.dumps(case['config']))
    blocks = data['common'].pop('block_delete_msa', None)
    unknown = data['common'].pop('replace_msa_with_unknown', 0.0)
    crop_size = data['eval'].pop('crop_size', None)
    cfg = ml_collections.ConfigDict(json.loads(cfg.to_json_best_effort() if hasattr(cfg, 'to_json_best_effort')
                                               else json.dumps(cfg.as_dict(), default=str)))
    if 'masked_msa' not in data['common']:
        del cfg.data.common['masked_msa']
    cfg.data.common.update(data['common'])
    cfg.data.eval.update(data['eval'])
    originals = (input_pipeline.ensembled_map_fns, data_transforms.randomly_replace_msa_with_unknown,
                 features.make_data_config, data_transforms.utils.seed_maker)
    try:
        data_transforms.utils.seed_maker = data_transforms.utils.SeedMaker()  # else counts calls of the process
        if blocks:
            block_config = ml_collections.ConfigDict(blocks)
            input_pipeline.ensembled_map_fns = lambda c: (
                [data_transforms.block_delete_msa(block_config)] + originals[0](c))
            data_transforms.randomly_replace_msa_with_unknown = lambda _: originals[1](unknown)
        if crop_size:
            def with_crop(config, num_res):
                cfg, names = originals[2](config, num_res)
                with cfg.unlocked():
                    cfg.eval.crop_size = crop_size
                return cfg, names
            features.make_data_config = with_crop
        return features.np_example_to_features(raw, cfg, case['seed'])
    finally:
        (input_pipeline.ensembled_map_fns, data_transforms.randomly_replace_msa_with_unknown,
         features.make_data_config, data_transforms.utils.seed_maker) = originals


# What a network reads; unpadded AlphaFold returns its intermediate arrays too.
KEPT = {'aatype', 'residue_index', 'seq_length', 'seq_mask', 'target_feat', 'msa_feat', 'msa_mask', 'msa_row_mask',
        'bert_mask', 'true_msa', 'extra_msa', 'extra_msa_mask', 'extra_msa_row_mask', 'extra_has_deletion',
        'extra_deletion_value', 'template_aatype', 'template_mask', 'template_pseudo_beta',
        'template_pseudo_beta_mask', 'template_all_atom_positions', 'template_all_atom_masks', 'template_sum_probs',
        'atom14_atom_exists', 'residx_atom14_to_atom37', 'residx_atom37_to_atom14', 'atom37_atom_exists',
        'random_crop_to_size_seed'}


def main():
    flags = [a for a in sys.argv[1:] if a.startswith('--')]
    paths = [a for a in sys.argv[1:] if not a.startswith('--')]
    out = os.path.abspath(paths[0] if paths else os.path.join(HERE, 'features'))
    os.makedirs(out, exist_ok=True)
    if not flags:
        for name, size in ALIGNMENTS.items():
            with open(os.path.join(out, name), 'w') as f:
                f.write(synthetic_a3m(*size))
        with open(os.path.join(out, 'cases.json'), 'w') as f:
            f.write(json.dumps(CASES, indent=1) + '\n')
    for name, case in CASES.items():
        path = os.path.join(out, name + '.safetensors')
        wanted = '--check' in flags or bool(case.get('tensorflow')) == ('--tensorflow' in flags)
        if not wanted or ('--check' in flags and not os.path.exists(path)):
            continue
        raw, given = raw_features(case, out)
        if '--check' in flags and name == 'blocks' and 'np_backend' not in dir(sys.modules['alphafold.model.tf']) \
                and not hasattr(data_transforms, 'block_delete_msa'):
            print(name, 'not in this version')
            continue
        result = {k: np.asarray(v) for k, v in process(case, raw).items() if k in KEPT}
        result = {k: v.astype(np.int32) if v.dtype == np.int64 else v for k, v in result.items()}
        tensors = {**{'raw/' + k: v for k, v in given.items()}, **{'out/' + k: v for k, v in result.items()}}
        if '--check' in flags:
            old = read_safetensors(path)
            print(name, 'names', sorted(set(old) ^ set(tensors)))
            for k in sorted(set(old) & set(tensors)):
                a, b = old[k], tensors[k]
                if a.shape != b.shape or not np.array_equal(a, b):
                    gap = np.abs(a.astype(float) - b).max() if a.shape == b.shape else (a.shape, b.shape)
                    print('  ', k, 'differs by', gap)
        else:
            write_safetensors(path, tensors)
            print(name, os.path.getsize(path), 'bytes')


if __name__ == '__main__':
    main()
