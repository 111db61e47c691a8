"""Shared pieces of the golden scripts: files, small configs, random parameters, synthetic features.

Runs AlphaFold's JAX modules (alphafold-colabfold 2.3.27) in float32 on the CPU.
"""
import inspect
import json
import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from alphafold.common import confidence
from alphafold.common import residue_constants as rc
from alphafold.model import all_atom
from alphafold.model import config as af_config
from alphafold.model import modules
from alphafold.model import quat_affine
from alphafold.model import r3

STACKED = ('/evoformer_iteration/', '/extra_msa_stack/', '/__layer_stack_no_state/')
DTYPES = {'float32': 'F32', 'float64': 'F64', 'int32': 'I32', 'int64': 'I64', 'uint8': 'U8', 'bool': 'BOOL'}



def use_angle_deviation():
    """CA-C-N violation with the angle's deviation, as google-deepmind/alphafold has it; the wheel has the bond's."""
    source = inspect.getsource(all_atom.between_residue_bond_loss)
    wheel = 'gt_stddev = residue_constants.between_res_bond_length_stddev_c_n[0]\n  ca_c_n_cos_angle_error'
    assert source.count(wheel) == 1
    exec(source.replace(wheel, 'gt_stddev = residue_constants.between_res_cos_angles_ca_c_n[1]\n'
                               '  ca_c_n_cos_angle_error'), all_atom.__dict__)


use_angle_deviation()


# ---------------------------------------------------------------- files

def write_safetensors(path, tensors):
    """Names in sorted order, header padded to 8 bytes: the same tensors give the same bytes."""
    header, offset, blobs = {}, 0, []
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {'dtype': DTYPES[str(array.dtype)], 'shape': list(array.shape),
                        'data_offsets': [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    head = json.dumps(header, separators=(',', ':')).encode()
    head += b' ' * (-len(head) % 8)
    with open(path, 'wb') as f:
        f.write(len(head).to_bytes(8, 'little') + head)
        f.writelines(blobs)


def write_json(path, value):
    with open(path, 'w') as f:
        json.dump(value, f, indent=1, sort_keys=True)
        f.write('\n')


def flat_params(params):
    """Haiku's nested dictionary -> AlphaFold's archive names `scope//name`."""
    return {f'{scope}//{name}': np.asarray(value)
            for scope, group in sorted(params.items()) for name, value in sorted(group.items())}


def flat_tree(prefix, value, out, sep='/'):
    """Nested results -> {name: array}; rigid-body tuples become plain tensors."""
    if isinstance(value, r3.Rigids):
        flat_tree(f'{prefix}{sep}rot', value.rot, out, sep)
        flat_tree(f'{prefix}{sep}trans', value.trans, out, sep)
    elif isinstance(value, r3.Vecs):
        out[prefix] = np.asarray(r3.vecs_to_tensor(value))
    elif isinstance(value, r3.Rots):
        out[prefix] = np.stack([np.asarray(x) for x in value], -1).reshape(*value.xx.shape, 3, 3)
    elif isinstance(value, quat_affine.QuatAffine):
        out[prefix] = np.asarray(value.to_tensor())
    elif isinstance(value, dict):
        for key in sorted(value):
            flat_tree(f'{prefix}{sep}{key}' if prefix else key, value[key], out, sep)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            flat_tree(f'{prefix}{sep}{i}', item, out, sep)
    elif isinstance(value, (jax.Array, np.ndarray)):
        out[prefix] = np.asarray(value)
    return out


# ---------------------------------------------------------------- configuration

def base_config(name):
    """The wheel's preset on its plain float32 path, with the published archives' unfused projections."""
    cfg = af_config.model_config(name)
    gc = cfg.model.global_config
    gc.bfloat16 = False
    gc.bfloat16_output = False
    gc.deterministic = True
    gc.zero_init = False
    gc.use_pallas = False
    gc.use_remat = False
    gc.eval_dropout = False
    set_fused(cfg, False)
    return cfg


def set_fused(cfg, fused):
    """The wheel fuses left and right projections on loading; the published files have them apart."""
    ee = cfg.model.embeddings_and_evoformer
    for part in (ee.evoformer, ee.template.template_pair_stack):
        for edge in ('outgoing', 'incoming'):
            part[f'triangle_multiplication_{edge}'].fuse_projection_weights = fused


def config_dict(cfg):
    """ConfigDict -> JSON-able; tuples become lists."""
    def plain(value):
        if isinstance(value, dict):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return value
    return plain(cfg.to_dict())


# ---------------------------------------------------------------- the network

class AlphaFold(hk.Module):
    """Gives the iteration its scope `alphafold/alphafold_iteration`."""

    def __init__(self, cfg):
        super().__init__(name='alphafold')
        self.cfg = cfg

    def __call__(self, ensembled, others, ensemble, compute_loss):
        impl = modules.AlphaFoldIteration(self.cfg.model, self.cfg.model.global_config)
        return impl(ensembled, others, is_training=False, compute_loss=compute_loss,
                    ensemble_representations=ensemble)


def network(cfg, ensemble=False, compute_loss=True):
    """One recycling pass as a Haiku transform of (features [ensemble, ...], prev and labels)."""
    return hk.transform(lambda e, o: AlphaFold(cfg)(e, o, ensemble, compute_loss))


def zero_prev(cfg, num_res):
    ee = cfg.model.embeddings_and_evoformer
    return {'prev_pos': np.zeros((num_res, 37, 3), np.float32),
            'prev_msa_first_row': np.zeros((num_res, ee.msa_channel), np.float32),
            'prev_pair': np.zeros((num_res, num_res, ee.pair_channel), np.float32)}


def next_prev(ret):
    return {'prev_pos': ret['structure_module']['final_atom_positions'],
            'prev_msa_first_row': ret['representations']['msa_first_row'],
            'prev_pair': ret['representations']['pair']}


def pass_features(features, recycle, ensemble):
    """The slice of the leading (recycles + 1) * ensemble axis that one pass sees."""
    return {k: v[recycle * ensemble:(recycle + 1) * ensemble] for k, v in features.items()}


def random_params(shapes, rng):
    """No zero tensor: activations and logits stay of order one."""
    params = {}
    for scope in sorted(shapes):
        params[scope] = {}
        for name in sorted(shapes[scope]):
            shape = shapes[scope][name].shape
            stacked = any(part in scope + '/' for part in STACKED)
            core = shape[1:] if stacked else shape
            n = rng.standard_normal(shape)
            if name == 'scale':
                value = 1.0 + 0.2 * n
            elif name in ('offset', 'bias', 'output_b'):
                value = 0.1 * n
            elif name == 'gating_b':
                value = 1.0 + 0.1 * n
            elif name == 'trainable_point_weights':
                value = 0.5 + 0.5 * n
            else:
                is_output = name in ('output_w', 'weights')
                fan_in = int(np.prod(core[:-1])) if is_output else core[0]
                value = n / np.sqrt(fan_in)
            params[scope][name] = value.astype(np.float32)
    return params


def init_params(cfg, ensembled, others, rng, ensemble=False, compute_loss=True):
    shapes = jax.eval_shape(network(cfg, ensemble, compute_loss).init, jax.random.PRNGKey(0),
                            ensembled, others)
    return random_params(shapes, rng)


def confidences(ret, seq_mask):
    """AlphaFold's numpy confidence functions on the float32 logits."""
    out = {'plddt': confidence.compute_plddt(np.asarray(ret['predicted_lddt']['logits']))}
    if 'predicted_aligned_error' in ret:
        logits = np.asarray(ret['predicted_aligned_error']['logits'])
        breaks = np.asarray(ret['predicted_aligned_error']['breaks'])
        pae = confidence.compute_predicted_aligned_error(logits, breaks)
        out['expected_aligned_error'] = pae['predicted_aligned_error']
        out['max_predicted_aligned_error'] = pae['max_predicted_aligned_error']
        out['ptm'] = confidence.predicted_tm_score(logits, breaks, residue_weights=np.asarray(seq_mask))
    return {k: np.asarray(v, np.float32) for k, v in out.items()}


# ---------------------------------------------------------------- synthetic features

def random_rotations(rng, n):
    q, r = np.linalg.qr(rng.standard_normal((n, 3, 3)))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    q[:, :, 0] *= np.linalg.det(q)[:, None]
    return q


def atom_tables(aatype, exists):
    """AlphaFold's make_atom14_masks, zero where `exists` is zero as its padding makes them."""
    to37, to14, mask14 = [], [], []
    for one in rc.restypes:
        names = rc.restype_name_to_atom14_names[rc.restype_1to3[one]]
        to37.append([rc.atom_order[n] if n else 0 for n in names])
        order = {n: i for i, n in enumerate(names)}
        to14.append([order.get(n, 0) for n in rc.atom_types])
        mask14.append([1.0 if n else 0.0 for n in names])
    to37.append([0] * 14)
    to14.append([0] * 37)
    mask14.append([0.0] * 14)
    mask37 = np.zeros((21, 37), np.float32)
    for i, one in enumerate(rc.restypes):
        for n in rc.residue_atoms[rc.restype_1to3[one]]:
            mask37[i, rc.atom_order[n]] = 1
    keep = exists[:, None]
    return {'residx_atom14_to_atom37': (np.array(to37)[aatype] * keep).astype(np.int32),
            'residx_atom37_to_atom14': (np.array(to14)[aatype] * keep).astype(np.int32),
            'atom14_atom_exists': (np.array(mask14)[aatype] * keep).astype(np.float32),
            'atom37_atom_exists': (mask37[aatype] * keep).astype(np.float32)}


def random_structure(rng, aatype, exists):
    """Ideal residues with random torsions along a random walk of 3.8 Å steps: positions [r, 37, 3], mask [r, 37]."""
    n = len(aatype)
    step = rng.standard_normal((n, 3)) + np.array([0.8, 0.3, -0.4])
    walk = np.cumsum(3.8 * step / np.linalg.norm(step, axis=1, keepdims=True), axis=0)
    rot = random_rotations(rng, n)
    angle = rng.uniform(-np.pi, np.pi, (n, 7))
    torsions = np.stack([np.sin(angle), np.cos(angle)], -1).astype(np.float32)
    rigid = r3.Rigids(r3.rots_from_tensor3x3(jnp.asarray(rot, jnp.float32)),
                      r3.vecs_from_tensor(jnp.asarray(walk, jnp.float32)))
    frames = all_atom.torsion_angles_to_frames(jnp.asarray(aatype), rigid, jnp.asarray(torsions))
    atom14 = r3.vecs_to_tensor(all_atom.frames_and_literature_positions_to_atom14_pos(jnp.asarray(aatype), frames))
    tables = {k: jnp.asarray(v) for k, v in atom_tables(aatype, exists).items()}
    mask = np.asarray(tables['atom37_atom_exists'])
    return np.asarray(all_atom.atom14_to_atom37(atom14, tables)) * mask[..., None], mask


def drop_atoms(rng, positions, mask, fraction, residues=()):
    """Unresolved atoms: positions zero, mask zero."""
    keep = (rng.random(mask.shape) >= fraction).astype(np.float32)
    for i in residues:
        keep[i] = 0
    mask = mask * keep
    return (positions * mask[..., None]).astype(np.float32), mask.astype(np.float32)


def random_msa(rng, length, real, rows, masked_rows):
    """[rows, length] residue classes with gaps, deletion counts and a mask."""
    msa = rng.integers(0, 22, (rows, length)).astype(np.int32)
    deletions = np.where(rng.random((rows, length)) < 0.3, rng.integers(1, 9, (rows, length)), 0)
    mask = np.ones((rows, length), np.float32)
    mask[:, real:] = 0
    for i in masked_rows:
        mask[i] = 0
    return (msa * mask).astype(np.int32), (deletions * mask).astype(np.float32), mask


def msa_features(rng, aatype, real, clusters, extra, masked_row):
    """One MSA sample: clusters (first row the query) with their profiles, and the extra rows."""
    length = len(aatype)
    true_msa, deletions, mask = random_msa(rng, length, real, clusters, [masked_row])
    true_msa[0] = aatype * mask[0]
    deletions[0] = 0
    bert = (rng.random((clusters, length)) < 0.3).astype(np.float32) * mask
    msa = np.where((bert > 0) & (rng.random(bert.shape) < 0.7), 22, true_msa)
    profile = rng.gamma(0.5, size=(clusters, length, 23)).astype(np.float32) + 1e-3
    profile /= profile.sum(-1, keepdims=True)
    mean_deletions = deletions * rng.random(deletions.shape)
    squash = lambda d: np.arctan(d / 3.0) * (2.0 / np.pi)
    feat = np.concatenate([np.eye(23)[msa], np.clip(deletions, 0, 1)[..., None], squash(deletions)[..., None],
                           profile, squash(mean_deletions)[..., None]], -1) * mask[..., None]
    emsa, edel, emask = random_msa(rng, length, real, extra, [extra - 2])
    return {'msa_feat': feat.astype(np.float32), 'msa_mask': mask, 'msa_row_mask': mask[:, 0].copy(),
            'true_msa': true_msa, 'bert_mask': bert.astype(np.float32),
            'extra_msa': emsa, 'extra_msa_mask': emask, 'extra_msa_row_mask': emask[:, 0].copy(),
            'extra_has_deletion': np.clip(edel, 0, 1).astype(np.float32),
            'extra_deletion_value': squash(edel).astype(np.float32)}


def template_features(rng, aatype, real, count):
    """`count` templates: near-complete ones, then one of unknown residues and missing atoms, the last absent."""
    length = len(aatype)
    out = {k: [] for k in ('template_aatype', 'template_all_atom_positions', 'template_all_atom_masks',
                           'template_pseudo_beta', 'template_pseudo_beta_mask', 'template_sum_probs')}
    exists = (np.arange(length) < real).astype(np.float32)
    for t in range(count):
        kind = rng.integers(0, 20, length).astype(np.int32)
        pos, mask = random_structure(rng, kind, exists)
        if t == count - 1:
            kind, pos, mask = kind * 0, pos * 0, mask * 0
        elif t == count - 2:
            pos, mask = drop_atoms(rng, pos, mask, 0.25, residues=(0, 5, 6))
            kind = np.where(rng.random(length) < 0.7, 20, 21).astype(np.int32)
        else:
            pos, mask = drop_atoms(rng, pos, mask, 0.05, residues=(2, real - 3))
            kind[2] = 21
        kind = (kind * exists).astype(np.int32)
        beta, beta_mask = modules.pseudo_beta_fn(jnp.asarray(kind), jnp.asarray(pos), jnp.asarray(mask))
        for name, value in (('aatype', kind), ('all_atom_positions', pos), ('all_atom_masks', mask),
                            ('pseudo_beta', beta), ('pseudo_beta_mask', beta_mask),
                            ('sum_probs', np.array([0.0 if t == count - 1 else 7.5 + t]))):
            dtype = np.int32 if name == 'aatype' else np.float32
            out[f'template_{name}'].append(np.asarray(value, dtype))
    out = {k: np.stack(v) for k, v in out.items()}
    out['template_mask'] = np.array([1.0] * (count - 1) + [0.0], np.float32)
    return out


def features_and_labels(rng, length, padding, clusters, extra, templates, leading):
    """AlphaFold's processed features with their leading axis, and the labels of a training example."""
    real = length - padding
    exists = (np.arange(length) < real).astype(np.float32)
    aatype = rng.integers(0, 20, length).astype(np.int32)
    aatype[1] = rc.restype_order['G']
    aatype[3] = rc.restype_order['F']  # atoms whose names may be swapped
    aatype[4] = 20  # unknown
    aatype[6] = rc.restype_order['D']
    aatype = (aatype * exists).astype(np.int32)
    index = np.arange(length, dtype=np.int32) + 3
    index[real // 2:] += 6  # a gap in the numbering: clipped and not clipped offsets
    index = (index * exists).astype(np.int32)
    target = np.concatenate([np.zeros((length, 1)), np.eye(21)[aatype]], -1) * exists[:, None]
    shared = {'aatype': aatype, 'residue_index': index, 'seq_length': np.array(real, np.int32),
              'seq_mask': exists, 'target_feat': target.astype(np.float32),
              'is_distillation': np.array(0.0, np.float32), 'random_crop_to_size_seed': np.array([3, 5], np.int32),
              **atom_tables(aatype, exists)}
    if templates:
        shared.update(template_features(rng, aatype, real, templates))
    samples = [msa_features(rng, aatype, real, clusters, extra, clusters - 2) for _ in range(leading)]
    features = {k: np.stack([v] * leading) for k, v in shared.items()}
    features.update({k: np.stack([s[k] for s in samples]) for k in samples[0]})
    pos, mask = random_structure(rng, aatype, exists)
    pos, mask = drop_atoms(rng, pos, mask, 0.08, residues=(real - 4,))
    labels = {'aatype': aatype, 'seq_mask': exists, 'residue_index': index, 'all_atom_positions': pos,
              'all_atom_mask': mask, 'resolution': np.array(2.1, np.float32),
              'use_clamped_fape': np.array(0.625, np.float32)}
    return dict(sorted(features.items())), labels


def derived_labels(labels, features):
    """What AlphaFold's losses read besides the features, by its own functions."""
    aatype = jnp.asarray(labels['aatype'])
    pos, mask = jnp.asarray(labels['all_atom_positions']), jnp.asarray(labels['all_atom_mask'])
    tables = {k: jnp.asarray(features[k][0]) for k in
              ('residx_atom14_to_atom37', 'residx_atom37_to_atom14', 'atom14_atom_exists', 'atom37_atom_exists')}
    out = {k: jnp.asarray(v) for k, v in labels.items() if k in
           ('all_atom_positions', 'all_atom_mask', 'resolution', 'use_clamped_fape')}
    out.update(all_atom.atom37_to_frames(aatype, pos, mask))
    gt = all_atom.atom37_to_atom14(pos, tables) * tables['atom14_atom_exists'][..., None]
    gt_exists = jnp.take_along_axis(mask, tables['residx_atom14_to_atom37'], 1) * tables['atom14_atom_exists']
    gt = gt * gt_exists[..., None]
    renaming = jnp.asarray(all_atom.RENAMING_MATRICES)[aatype]
    alt = jnp.einsum('nac,nab->nbc', gt, renaming)
    alt_exists = jnp.einsum('na,nab->nb', gt_exists, renaming)
    ambiguous = np.zeros((21, 14), np.float32)
    for name, swap in rc.residue_atom_renaming_swaps.items():
        kind = rc.restype_order[rc.restype_3to1[name]]
        for pair in swap.items():
            for atom in pair:
                ambiguous[kind, rc.restype_name_to_atom14_names[name].index(atom)] = 1
    out.update({'atom14_gt_positions': gt, 'atom14_gt_exists': gt_exists, 'atom14_alt_gt_positions': alt,
                'atom14_alt_gt_exists': alt_exists, 'atom14_atom_is_ambiguous': jnp.asarray(ambiguous)[aatype]})
    torsions = all_atom.atom37_to_torsion_angles(aatype[None], pos[None], mask[None],
                                                 placeholder_for_undefined=False)
    sin_cos = torsions['torsion_angles_sin_cos'][0, :, 3:]
    out['chi_angles'] = jnp.arctan2(sin_cos[..., 0], sin_cos[..., 1])
    out['chi_mask'] = torsions['torsion_angles_mask'][0, :, 3:]
    n, ca, c = (rc.atom_order[a] for a in ('N', 'CA', 'C'))
    rot, trans = quat_affine.make_transform_from_reference(pos[:, n], pos[:, ca], pos[:, c])
    quat = quat_affine.rot_to_quat(rot, unstack_inputs=True)
    out['backbone_affine_tensor'] = quat_affine.QuatAffine(quat, trans, rot, unstack_inputs=True).to_tensor()
    out['backbone_affine_mask'] = mask[:, n] * mask[:, ca] * mask[:, c]
    out['pseudo_beta'], out['pseudo_beta_mask'] = modules.pseudo_beta_fn(aatype, pos, mask)
    return {k: np.asarray(v) for k, v in out.items()}
