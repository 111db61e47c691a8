"""AlphaFold's own JAX code (alphafold-colabfold): one block in float32 on the CPU, without the GPU's kernels.

    python alphafold_jax.py --block evoformer --length 64 --rows 512 [--subbatch N] [--save FILE.npz]

Without --save it is run by cpu.py, see steps.py. --save writes parameters, inputs and results, for
`torch_blocks.py --check`.
"""
import argparse
import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import haiku as hk
import jax
import numpy as np
from alphafold.model import config as af_config
from alphafold.model import modules

import steps

MSA_CHANNELS = {'evoformer': 256, 'extra': 64}


def block(which, subbatch):
    """The block as a Haiku transform of (msa, pair, msa mask, pair mask)."""
    cfg = af_config.model_config('model_1').model
    gc = cfg.global_config
    gc.bfloat16 = gc.bfloat16_output = gc.use_pallas = gc.use_remat = gc.eval_dropout = False
    gc.deterministic = True
    gc.subbatch_size = subbatch or gc.subbatch_size
    # Projections of triangle multiplication stay fused, as the wheel has them: that is faster.

    def forward(msa, pair, msa_mask, pair_mask):
        iteration = modules.EvoformerIteration(cfg.embeddings_and_evoformer.evoformer, gc, which == 'extra',
                                               name='block')
        out = iteration({'msa': msa, 'pair': pair}, {'msa': msa_mask, 'pair': pair_mask}, is_training=False)
        return out['msa'], out['pair']

    return hk.transform(forward)


def inputs(which, length, rows, rng, masked):
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    present = lambda *shape: (rng.random(shape) >= masked).astype(np.float32)
    return (normal(rows, length, MSA_CHANNELS[which]), normal(length, length, 128), present(rows, length),
            present(length, length))


def parameters(shapes, rng):
    """Noise over the root of the inputs; scales around 1; no zeros, which AlphaFold starts from."""
    out = {}
    for scope, group in sorted(shapes.items()):
        for name, like in sorted(group.items()):
            noise = rng.standard_normal(like.shape, dtype=np.float32)
            if len(like.shape) < 2 or name.endswith(('bias', '_b')):
                value = 0.1 * noise + (name == 'scale')
            else:
                into = np.prod(like.shape[:-1]) if name in ('output_w', 'weights') else like.shape[0]
                value = noise / np.sqrt(into, dtype=np.float32)
            out.setdefault(scope, {})[name] = value.astype(np.float32)
    return out


def main():
    parser = steps.arguments(argparse.ArgumentParser(description=__doc__,
                                                     formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument('--subbatch', type=int, default=0, help="rows attended at a time; 0 is the preset's, 4")
    parser.add_argument('--save', help='write parameters, inputs (some of them masked) and results, then end')
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    transform = block(args.block, args.subbatch)
    x = inputs(args.block, args.length, args.rows, rng, 0.2 if args.save else 0.0)
    key = jax.random.PRNGKey(0)
    params = parameters(jax.eval_shape(transform.init, key, *x), rng)
    apply = jax.jit(transform.apply)
    if args.save:
        flat = {f'{scope.removeprefix("block/")}//{name}': value
                for scope, group in params.items() for name, value in group.items()}
        msa, pair = apply(params, key, *x)
        names = ('in/msa', 'in/pair', 'in/msa_mask', 'in/pair_mask')
        np.savez(args.save, **flat, **dict(zip(names, x)), **{'out/msa': msa, 'out/pair': pair})
        return
    params, x = jax.device_put((params, x))
    steps.serve(lambda: jax.block_until_ready(apply(params, key, *x)))


if __name__ == '__main__':
    main()
