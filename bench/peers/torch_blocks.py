"""The two blocks in PyTorch as OpenFold computes them, in our own words, on the CPU in float32.

    python torch_blocks.py --block evoformer --length 64 --rows 512 [--attention sdpa] [--compile]
    python torch_blocks.py --block evoformer --length 13 --rows 7 --check FILE.npz

The first is run by cpu.py, see steps.py. The second compares with what `alphafold_jax.py --save` wrote: that this
is AlphaFold's function is seen, not claimed. Parameters have AlphaFold's names and shapes.
Dims: s alignment rows, r residues, c channels, h heads, d channels of a head.
"""
import argparse
import sys

import numpy as np
import torch
import torch.nn.functional as F

import steps

# OpenFold attends in chunks of the leading axis where logits would take too much: here 2^25 of them, 128 MiB.
LOGITS = 1 << 25
MSA_CHANNELS = {'evoformer': 256, 'extra': 64}


class Scope:
    """Parameters below a scope of AlphaFold's."""

    def __init__(self, params, path=''):
        self.params, self.path = params, path

    def __truediv__(self, name):
        return Scope(self.params, f'{self.path}/{name}' if self.path else name)

    def __getitem__(self, name):
        return self.params[f'{self.path}//{name}']

    def norm(self, x):
        return F.layer_norm(x, x.shape[-1:], self['scale'], self['offset'])

    def linear(self, x):
        return F.linear(x, self['weights'].T, self['bias'])


def plain(q, k, v, mask, bias):
    """softmax(q·kᵀ/√d + bias + mask)·v for q, k, v [b, h, n, d], mask [b, n], bias [h, n, n] or None."""
    return torch.softmax(q * q.shape[-1] ** -0.5 @ k.transpose(2, 3) + added(mask, bias), -1) @ v


def sdpa(q, k, v, mask, bias):
    """The same by torch's own operation."""
    shape = (*q.shape[:2], q.shape[2], k.shape[2])
    return F.scaled_dot_product_attention(q, k, v, attn_mask=added(mask, bias).to(q.dtype).expand(shape))


def added(mask, bias):
    keys = (1e9 * (mask - 1))[:, None, None, :]
    return keys if bias is None else keys + bias


def attention(p, x, mask, bias, core):
    """Gated self-attention of each x [b, n, c]; mask [b, n]; bias [h, n, n] or None; `core` as `plain`."""
    c, h, d = p['query_w'].shape
    wide = lambda name: p[name].reshape(c, h * d)
    rows = max(1, LOGITS // (h * x.shape[1] ** 2))
    out = []
    for x, mask in zip(x.split(rows), mask.split(rows)):
        b, n, _ = x.shape
        heads = lambda name: (x @ wide(name)).view(b, n, h, d).transpose(1, 2)
        o = core(heads('query_w'), heads('key_w'), heads('value_w'), mask, bias)
        gate = torch.sigmoid(x @ wide('gating_w') + p['gating_b'].flatten())
        out.append((o.transpose(1, 2).reshape(b, n, h * d) * gate) @ p['output_w'].reshape(h * d, c) + p['output_b'])
    return torch.cat(out)


def global_attention(p, x, mask):
    """One query for each x [b, n, c], the mean over n; keys and values without heads."""
    c, h, d = p['query_w'].shape
    mean = (x * mask[..., None]).sum(1) / (mask.sum(1, keepdim=True) + 1e-10)
    q = (mean @ p['query_w'].reshape(c, h * d)).view(-1, h, d) * d ** -0.5
    logits = q @ (x @ p['key_w']).transpose(1, 2) + (1e9 * (mask - 1))[:, None, :]
    o = torch.softmax(logits, -1) @ (x @ p['value_w'])  # [b, h, d]
    gate = torch.sigmoid(x @ p['gating_w'].reshape(c, h * d) + p['gating_b'].flatten())
    return (o.flatten(1)[:, None] * gate) @ p['output_w'].reshape(h * d, c) + p['output_b']


def row_attention(p, m, z, mask, core):
    bias = ((p / 'feat_2d_norm').norm(z) @ p['feat_2d_weights']).permute(2, 0, 1)
    return attention(p / 'attention', (p / 'query_norm').norm(m), mask, bias, core)


def column_attention(p, m, mask, core):
    x, mask = m.transpose(0, 1), mask.T
    x = (p / 'query_norm').norm(x)
    p = p / 'attention'
    y = global_attention(p, x, mask) if p['key_w'].dim() == 2 else attention(p, x, mask, None, core)
    return y.transpose(0, 1)


def transition(p, x):
    x = torch.relu((p / 'transition1').linear((p / 'input_layer_norm').norm(x)))
    return (p / 'transition2').linear(x)


def outer_product_mean(p, m, mask):
    m = (p / 'layer_norm_input').norm(m)
    a, b = (mask[..., None] * (p / f'{side}_projection').linear(m) for side in ('left', 'right'))
    (s, r, e), w = a.shape, p['output_w']
    outer = torch.einsum('sie,sjf->ijef', a, b).reshape(r, r, e * e)
    return (outer @ w.reshape(e * e, -1) + p['output_b']) / (1e-3 + mask.T @ mask)[..., None]


def triangle_multiplication(p, z, mask, outgoing):
    z = (p / 'left_norm_input').norm(z)
    ab = mask[..., None] * (p / 'projection').linear(z) * torch.sigmoid((p / 'gate').linear(z))
    a, b = ab.permute(2, 0, 1).chunk(2)  # [c, r, r]
    sums = a @ b.transpose(1, 2) if outgoing else b.transpose(1, 2) @ a
    x = (p / 'output_projection').linear((p / 'center_norm').norm(sums.permute(1, 2, 0)))
    return x * torch.sigmoid((p / 'gating_linear').linear(z))


def triangle_attention(p, z, mask, starting, core):
    if not starting:
        z, mask = z.transpose(0, 1), mask.T
    x = (p / 'query_norm').norm(z)
    y = attention(p / 'attention', x, mask, (x @ p['feat_2d_weights']).permute(2, 0, 1), core)
    return y if starting else y.transpose(0, 1)


def block(params, m, z, msa_mask, pair_mask, core):
    """m [s, r, c_m] and z [r, r, c_z] after the block. AF2 Suppl. Alg. 6 and 18."""
    p = Scope(params)
    column = 'column_global' if 'msa_column_global_attention/attention//key_w' in params else 'column'
    m = m + row_attention(p / 'msa_row_attention_with_pair_bias', m, z, msa_mask, core)
    m = m + column_attention(p / f'msa_{column}_attention', m, msa_mask, core)
    m = m + transition(p / 'msa_transition', m)
    z = z + outer_product_mean(p / 'outer_product_mean', m, msa_mask)
    for edges in ('outgoing', 'incoming'):
        z = z + triangle_multiplication(p / f'triangle_multiplication_{edges}', z, pair_mask, edges == 'outgoing')
    for node in ('starting', 'ending'):
        z = z + triangle_attention(p / f'triangle_attention_{node}_node', z, pair_mask, node == 'starting', core)
    return m, z + transition(p / 'pair_transition', z)


def shapes(which):
    """Every parameter's shape, AlphaFold's channels."""
    c_m, c_z, e = MSA_CHANNELS[which], 128, 32
    out = {}

    def norm(path, c):
        out.update({f'{path}//scale': (c,), f'{path}//offset': (c,)})

    def linear(path, into, to):
        out.update({f'{path}//weights': (into, to), f'{path}//bias': (to,)})

    def attend(path, c, h, bias_from=0, whole=True):
        d = c // h
        norm(f'{path}/query_norm', c)
        if bias_from:
            out[f'{path}//feat_2d_weights'] = (bias_from, h)
        a = f'{path}/attention//'
        keys = (c, h, d) if whole else (c, d)
        out.update({a + 'query_w': (c, h, d), a + 'key_w': keys, a + 'value_w': keys, a + 'gating_w': (c, h, d),
                    a + 'gating_b': (h, d), a + 'output_w': (h, d, c), a + 'output_b': (c,)})

    def transit(path, c):
        norm(f'{path}/input_layer_norm', c)
        linear(f'{path}/transition1', c, 4 * c)
        linear(f'{path}/transition2', 4 * c, c)

    attend('msa_row_attention_with_pair_bias', c_m, 8, c_z)
    norm('msa_row_attention_with_pair_bias/feat_2d_norm', c_z)
    if which == 'extra':
        attend('msa_column_global_attention', c_m, 8, whole=False)
    else:
        attend('msa_column_attention', c_m, 8)
    transit('msa_transition', c_m)
    norm('outer_product_mean/layer_norm_input', c_m)
    for side in ('left', 'right'):
        linear(f'outer_product_mean/{side}_projection', c_m, e)
    out.update({'outer_product_mean//output_w': (e, e, c_z), 'outer_product_mean//output_b': (c_z,)})
    for edges in ('outgoing', 'incoming'):
        path = f'triangle_multiplication_{edges}'
        for name in ('left_norm_input', 'center_norm'):
            norm(f'{path}/{name}', c_z)
        for name, to in (('projection', 2 * c_z), ('gate', 2 * c_z), ('output_projection', c_z), ('gating_linear', c_z)):
            linear(f'{path}/{name}', c_z, to)
    for node in ('starting', 'ending'):
        attend(f'triangle_attention_{node}_node', c_z, 4, c_z)
    transit('pair_transition', c_z)
    return out


def made_up(which, length, rows):
    """Parameters and inputs of noise."""
    torch.manual_seed(7)
    params = {}
    for name, shape in shapes(which).items():
        if len(shape) == 1 or name.endswith('_b'):
            params[name] = 0.1 * torch.randn(shape) + name.endswith('scale')
        else:
            into = shape[0] * (shape[1] if name.endswith('output_w') else 1)
            params[name] = torch.randn(shape) / into ** 0.5
    m, z = torch.randn(rows, length, MSA_CHANNELS[which]), torch.randn(length, length, 128)
    return params, (m, z, torch.ones(rows, length), torch.ones(length, length))


def check(file, which, run):
    """Exits with 1 if the block is not AlphaFold's."""
    saved = {name: torch.from_numpy(np.array(value)) for name, value in np.load(file).items()}
    params = {name: value for name, value in saved.items() if not name.startswith(('in/', 'out/'))}
    expected = shapes(which)
    if {name: tuple(value.shape) for name, value in params.items()} != expected:
        sys.exit(f'{file}: other parameters than the {which} block of this file has')
    got = run(params, *(saved[f'in/{name}'] for name in ('msa', 'pair', 'msa_mask', 'pair_mask')))
    worst = 0.0
    for name, value in zip(('msa', 'pair'), got):
        want = saved[f'out/{name}'].double()
        error = float((value.double() - want).norm() / want.norm())
        worst = max(worst, error)
        print(f'{name}: relative error {error:.1e}')
    sys.exit(0 if worst <= 1e-5 else 1)


def main():
    parser = steps.arguments(argparse.ArgumentParser(description=__doc__,
                                                     formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument('--attention', choices=('plain', 'sdpa'), default='plain')
    parser.add_argument('--compile', action='store_true', help='torch.compile')
    parser.add_argument('--check', help='a file of `alphafold_jax.py --save`: compare and end')
    args = parser.parse_args()
    core = sdpa if args.attention == 'sdpa' else plain
    eager = lambda params, *x: block(params, *x, core)
    run = torch.compile(eager, dynamic=False) if args.compile else eager
    with torch.inference_mode():
        if args.check:
            check(args.check, args.block, run)
        params, x = made_up(args.block, args.length, args.rows)
        steps.serve(lambda: run(params, *x))


if __name__ == '__main__':
    main()
