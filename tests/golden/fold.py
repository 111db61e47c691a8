"""Golden of the monomer network with templates, pTM head and unfused projections -> fold/.

    python tests/golden/fold.py [OUT_DIR]
"""
import json
import os
import re
import sys

import golden as g
import haiku as hk
import jax
import numpy as np

from alphafold.model import modules
from alphafold.model import prng

LENGTH, PADDING, CLUSTERS, EXTRA, TEMPLATES, RECYCLES = 17, 2, 7, 11, 3, 3
SEED = 20


def small_config():
    """model_1_ptm with every size small and different."""
    cfg = g.base_config('model_1_ptm')
    cfg.data.common.max_extra_msa = EXTRA
    cfg.data.common.num_recycle = RECYCLES
    cfg.data.eval.max_msa_clusters = CLUSTERS + TEMPLATES
    cfg.data.eval.max_templates = TEMPLATES
    cfg.model.num_recycle = RECYCLES
    ee = cfg.model.embeddings_and_evoformer
    ee.evoformer_num_block = 2
    ee.extra_msa_stack_num_block = 1
    ee.msa_channel, ee.pair_channel, ee.seq_channel, ee.extra_msa_channel = 24, 20, 28, 12
    ee.max_relative_feature = 9
    evo = ee.evoformer
    evo.msa_row_attention_with_pair_bias.num_head = 4
    evo.msa_column_attention.num_head = 3
    evo.msa_transition.num_intermediate_factor = 3
    evo.pair_transition.num_intermediate_factor = 2
    evo.outer_product_mean.num_outer_channel = 6
    evo.triangle_attention_starting_node.num_head = 5
    evo.triangle_attention_ending_node.num_head = 2
    evo.triangle_multiplication_outgoing.num_intermediate_channel = 18
    evo.triangle_multiplication_incoming.num_intermediate_channel = 22
    t = ee.template
    t.max_templates = TEMPLATES
    t.use_template_unit_vector = True
    t.attention.num_head, t.attention.key_dim, t.attention.value_dim = 4, 8, 12
    p = t.template_pair_stack
    p.num_block = 2
    a, b = p.triangle_attention_starting_node, p.triangle_attention_ending_node
    a.num_head, a.key_dim, a.value_dim = 3, 9, 15
    b.num_head, b.key_dim, b.value_dim = 2, 6, 14  # the template channel is this value_dim
    p.triangle_multiplication_outgoing.num_intermediate_channel = 10
    p.triangle_multiplication_incoming.num_intermediate_channel = 13
    p.pair_transition.num_intermediate_factor = 3
    h = cfg.model.heads
    h.distogram.num_bins = 37
    h.predicted_aligned_error.num_bins = 29
    h.predicted_lddt.num_bins = 25
    h.predicted_lddt.num_channels = 16
    s = h.structure_module
    s.num_layer, s.num_channel, s.num_head = 3, 26, 3
    s.num_scalar_qk, s.num_scalar_v, s.num_point_qk, s.num_point_v = 5, 7, 2, 6
    s.sidechain.num_channel = 21
    return cfg


# ---------------------------------------------------------------- taps

# Inside these, only the module itself is recorded; the parts of its first call are outputs only.
SUBLAYER = re.compile(r'(evoformer_iteration|extra_msa_stack|__layer_stack_no_state)/[a-z_]+$')
INNER = re.compile(r'(evoformer_iteration|extra_msa_stack|__layer_stack_no_state)/[a-z_]+/')
SKIP = ('alphafold_iteration', 'evoformer', '__layer_stack_no_state', 'structure_module')
ROOT = 'alphafold/alphafold_iteration/'


class Taps:
    """Inputs and outputs of module calls as `path#call:in0`, `path#call:out`; residuals are left out of outputs."""

    def __init__(self):
        self.tensors, self.index, self.calls = {}, [], {}

    def keep(self, name, value):
        if isinstance(value, prng.SafeKey):
            return
        found = {}
        g.flat_tree(name, value, found, sep='.')
        for key, array in found.items():
            if array.dtype == np.float32:
                self.tensors[key] = np.array(array)

    def __call__(self, next_f, args, kwargs, context):
        if context.method_name != '__call__' or context.orig_class is hk.LayerNorm:
            return next_f(*args, **kwargs)  # AlphaFold's LayerNorm calls its base class
        path = context.module.module_name
        kwargs = dict(kwargs)
        residual = kwargs.pop('residual', None)
        name = path.removeprefix(ROOT)
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        out = next_f(*args, **kwargs)
        self.record(name, call, args, kwargs, out)
        return out if residual is None else residual + out

    def record(self, name, call, args, kwargs, out):
        last = name.rsplit('/', 1)[-1]
        if last in SKIP or name == 'alphafold':
            return
        tag = f'{name}#{call}'
        inner = INNER.search(name)
        if inner and (call > 0 or name.count('/') - name[:inner.end()].count('/') > 0):
            return
        self.index.append(tag)
        if not inner:
            for i, value in enumerate(args):
                if last.endswith('_head') or (last in ('template_embedding', 'single_template_embedding') and i == 1):
                    continue  # whole batches and representations
                self.keep(f'{tag}:in{i}', value)
            for key, value in kwargs.items():
                self.keep(f'{tag}:{key}', value)
        if isinstance(out, tuple) and last == 'fold_iteration':
            self.keep(f'{tag}:out', out[0])
            self.keep(f'{tag}:out', out[1])
        else:
            self.keep(f'{tag}:out', out)


def direct_subbatch(module, size, batched_args, nonbatched_args, **_):
    return module(*batched_args, *nonbatched_args)


def direct_map(fun, shard_size=1, in_axes=0, out_axes=0):
    def mapped(batch):
        count = len(next(iter(batch.values())))
        parts = [fun({k: v[i] for k, v in batch.items()}) for i in range(count)]
        return jax.numpy.stack(parts)
    return mapped


def record_taps(cfg, params, ensembled, others):
    """The pass run eagerly: loops are Python loops, templates come one after another."""
    taps = Taps()
    saved = modules.mapping.inference_subbatch, modules.mapping.sharded_map
    modules.mapping.inference_subbatch, modules.mapping.sharded_map = direct_subbatch, direct_map
    try:
        with jax.disable_jit(), hk.intercept_methods(taps):
            ret, _ = g.network(cfg).apply(params, jax.random.PRNGKey(0), ensembled, others)
    finally:
        modules.mapping.inference_subbatch, modules.mapping.sharded_map = saved
    return taps, ret


# ---------------------------------------------------------------- outputs

def outputs(ret, seq_mask):
    """Names of `foldry forward`, plus what the losses and side-chain tests need."""
    out = {}
    for name in ('single', 'pair', 'msa', 'msa_first_row', 'structure_module'):
        out[f'representations/{name}'] = np.asarray(ret['representations'][name])
    keep = ('final_atom_positions', 'final_atom_mask', 'final_atom14_positions', 'final_atom14_mask',
            'final_affines', 'traj', 'sidechains')
    module = ret['structure_module']
    g.flat_tree('structure_module', {k: module[k] for k in keep if k in module}, out)
    for head, keys in (('distogram', ('logits', 'bin_edges')), ('masked_msa', ('logits',)),
                       ('experimentally_resolved', ('logits',)), ('predicted_lddt', ('logits',)),
                       ('predicted_aligned_error', ('logits', 'breaks'))):
        if head in ret:
            for key in keys:
                out[f'{head}/{key}'] = np.asarray(ret[head][key])
    out.update(g.confidences(ret, seq_mask))
    return out


def losses(ret):
    """Every head's loss, their weighted sum `loss`, and the parts of the structure loss."""
    out = {'loss': np.asarray(ret['loss'])}
    for name, head in ret.items():
        if isinstance(head, dict) and 'loss' in head:
            out[f'{name}/loss'] = np.asarray(head['loss'])
    module = ret['structure_module']
    for name in ('fape', 'sidechain_fape', 'chi_loss', 'angle_norm_loss', 'alt_naming_is_better',
                 'renamed_atom14_gt_positions', 'renamed_atom14_gt_exists', 'violations', 'metrics'):
        g.flat_tree(f'structure_module/{name}', module[name], out)
    return out


def bin_margins(ret, others):
    """Smallest distances to a bin edge in the losses that bin what the network predicts."""
    module, mask = ret['structure_module'], others['backbone_affine_mask'] > 0
    ca = lambda x: np.asarray(x, np.float64)[:, 1]
    dist = lambda x: np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1) + 1e-10)
    error = np.abs(dist(ca(module['final_atom_positions'])) - dist(ca(others['all_atom_positions'])))
    lddt = np.abs(error[mask][:, mask][..., None] - np.array([0.5, 1.0, 2.0, 4.0])).min()

    def local(affine):
        q = np.asarray(affine, np.float64)
        w, x, y, z = (q[:, :4] / np.linalg.norm(q[:, :4], axis=1, keepdims=True)).T
        rot = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]).transpose(2, 0, 1)
        return np.einsum('iba,ijb->ija', rot, q[None, :, 4:] - q[:, None, 4:])
    off = np.sqrt(((local(module['final_affines']) - local(others['backbone_affine_tensor'])) ** 2).sum(-1))
    off = off[mask][:, mask][~np.eye(mask.sum(), dtype=bool)]
    pae = np.abs(off[:, None] - np.asarray(ret['predicted_aligned_error']['breaks'])).min()
    return lddt, pae


def gradients(cfg, params, features, others, results):
    """Losses and their gradient for every parameter after 0 and 1 recycles; what was recycled is a constant."""
    def loss_fn(p, ensembled, given):
        ret, loss = g.network(cfg).apply(p, jax.random.PRNGKey(0), ensembled, given)
        return loss, ret
    grad_fn = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    out = {}
    for recycle in (0, 1):
        prev = g.next_prev(results[recycle - 1]) if recycle else g.zero_prev(cfg, features['aatype'].shape[1])
        (loss, ret), grads = grad_fn(params, g.pass_features(features, recycle, 1), {**others, **prev})
        ret = jax.device_get(ret)
        ret['loss'] = loss
        assert abs(float(loss) - float(results[recycle]['loss'])) < 1e-5 * float(loss)
        for name, value in losses(ret).items():
            out[f'recycle_{recycle}/{name}'] = np.asarray(value)
        zero = [k for k, v in g.flat_params(grads).items() if not np.any(v)]
        scope = 'alphafold/alphafold_iteration/evoformer/'
        # Without recycling the recycled inputs are zeros: only offsets and biases are reached.
        expected = ['prev_msa_first_row_norm//scale', 'prev_pair_norm//scale', 'prev_pos_linear//weights']
        assert sorted(zero) == [scope + x for x in expected if not recycle], zero
        for name, value in g.flat_params(grads).items():
            assert np.all(np.isfinite(value)), name
            out[f'recycle_{recycle}/gradients/{name}'] = value
        print(f'recycle {recycle}: loss {float(loss):.6f}, smallest gradient norm '
              f'{min(np.linalg.norm(v) for v in g.flat_params(grads).values() if np.any(v)):.2e}, '
              'margins to bin edges of lDDT and PAE labels %.1e and %.1e Å' % bin_margins(ret, others))
        assert min(bin_margins(ret, others)) > 1e-4, 'choose another seed'
    return out


def edge_margin(positions, aatype, exists, num_bins=15, low=3.25, high=20.75):
    """Smallest distance of any recycled pseudo-beta distance to a bin edge, Å: no bin may hang on rounding."""
    beta = np.asarray(modules.pseudo_beta_fn(aatype, positions, None), np.float64)[exists > 0]
    d = np.sqrt(((beta[:, None] - beta[None]) ** 2).sum(-1))[np.triu_indices(len(beta), 1)]
    return np.abs(d[:, None] - np.linspace(low, high, num_bins)).min()


def run(cfg, params, features, others, recycles, ensemble=1):
    """All passes in float32; what each gave, with the positions' margin checked."""
    apply = jax.jit(g.network(cfg, ensemble > 1).apply)
    prev, results = g.zero_prev(cfg, features['aatype'].shape[1]), []
    for i in range(recycles + 1):
        ret, loss = apply(params, jax.random.PRNGKey(0), g.pass_features(features, i, ensemble), {**others, **prev})
        ret['loss'] = loss
        prev = {k: np.asarray(v, np.float32) for k, v in g.next_prev(ret).items()}
        results.append(jax.device_get(ret))
        margin = edge_margin(prev['prev_pos'], features['aatype'][0], features['seq_mask'][0])
        print(f'pass {i}: nearest recycled distance to a bin edge {margin:.2e} Å, loss {float(loss):.6f}')
        assert margin > 1e-3, 'choose another seed'
    return results


def main(out_dir):
    os.makedirs(out_dir, exist_ok=True)
    at = lambda name: os.path.join(out_dir, name)
    rng = np.random.default_rng(SEED)
    cfg = small_config()
    features, labels = g.features_and_labels(rng, LENGTH, PADDING, CLUSTERS, EXTRA, TEMPLATES, RECYCLES + 1)
    others = g.derived_labels(labels, features)
    first = {**others, **g.zero_prev(cfg, LENGTH)}
    params = g.init_params(cfg, g.pass_features(features, 0, 1), first, rng)
    assert all(np.count_nonzero(v) == v.size for v in g.flat_params(params).values())

    results = run(cfg, params, features, others, RECYCLES)
    tensors = {}
    for recycle in (0, RECYCLES):
        for name, value in outputs(results[recycle], labels['seq_mask']).items():
            assert np.all(np.isfinite(value)), name
            tensors[f'recycle_{recycle}/{name}'] = value

    graded = gradients(cfg, params, features, others, results)
    for name, value in graded.items():
        if name.endswith('loss'):
            print(f'{float(value):12.6f} {name}')

    taps, eager = record_taps(cfg, params, g.pass_features(features, 0, 1), first)
    for name, value in outputs(eager, labels['seq_mask']).items():
        want = tensors[f'recycle_0/{name}']
        error = np.linalg.norm(value - want) / max(np.linalg.norm(want), 1e-9)
        assert error < 2e-5, (name, error)

    g.write_json(at('config.json'), g.config_dict(cfg))
    np.savez(at('params.npz'), **g.flat_params(params))
    np.savez(at('features.npz'), **features)
    np.savez(at('labels.npz'), **labels)
    np.savez(at('derived_labels.npz'), **dict(sorted(others.items())))
    g.write_safetensors(at('outputs.safetensors'), tensors)
    g.write_safetensors(at('gradients.safetensors'), graded)
    g.write_safetensors(at('taps.safetensors'), taps.tensors)
    index = {tag: {k.split(':', 1)[1]: list(v.shape) for k, v in taps.tensors.items() if k.startswith(tag + ':')}
             for tag in taps.index}
    with open(at('taps_index.json'), 'w') as f:
        f.write('{\n' + ',\n'.join(f' {json.dumps(k)}: {json.dumps(v)}' for k, v in index.items()) + '\n}\n')
    for name in sorted(os.listdir(out_dir)):
        print(f'{os.path.getsize(at(name)):>10} {name}')


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fold'))
