"""model_1_ptm at full size with random parameters: inputs and AlphaFold's outputs to a folder, with its time and memory.

    python tests/golden/full_size.py OUT_DIR [--length 64] [--recycles 1] [--time-only]

OUT_DIR is outside the repository: the parameters alone are 370 MB.
"""
import argparse
import os
import resource
import time

import fold
import golden as g
import jax
import numpy as np

TEMPLATES, SEED = 4, 7


def usage():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), r.ru_utime + r.ru_stime


def spent(start):
    wall, cpu = usage()
    return f'{wall - start[0]:.2f} s wall, {cpu - start[1]:.2f} s CPU'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out_dir')
    parser.add_argument('--length', type=int, default=64)
    parser.add_argument('--rows', type=int, default=512, help='MSA rows in the Evoformer, the 4 of templates among them')
    parser.add_argument('--extra', type=int, default=1024)
    parser.add_argument('--recycles', type=int, default=1)
    parser.add_argument('--subbatch', type=int, help="AlphaFold's subbatch_size; the preset has 4")
    parser.add_argument('--time-only', action='store_true', help='write nothing')
    args = parser.parse_args()

    cfg = g.base_config('model_1_ptm')
    cfg.data.common.max_extra_msa = args.extra
    cfg.data.common.num_recycle = cfg.model.num_recycle = args.recycles
    cfg.data.eval.max_msa_clusters = args.rows
    if args.subbatch:
        cfg.model.global_config.subbatch_size = args.subbatch
    rng = np.random.default_rng(SEED)
    features, _ = g.features_and_labels(rng, args.length, 0, args.rows - TEMPLATES, args.extra, TEMPLATES,
                                        args.recycles + 1)
    prev = g.zero_prev(cfg, args.length)
    one = g.pass_features(features, 0, 1)
    params = g.init_params(cfg, one, prev, rng, compute_loss=False)
    flat = g.flat_params(params)
    print(f'{len(flat)} tensors, {sum(v.size for v in flat.values()) / 1e6:.2f} M parameters')
    if not args.time_only:
        os.makedirs(args.out_dir, exist_ok=True)
        g.write_json(os.path.join(args.out_dir, 'config.json'), g.config_dict(cfg))
        np.savez(os.path.join(args.out_dir, 'params.npz'), **flat)
        np.savez(os.path.join(args.out_dir, 'features.npz'), **features)

    key = jax.random.PRNGKey(0)
    params = jax.device_put(params)
    start = usage()
    # Parameters, features and prev are arguments: nothing is folded into the program.
    apply = jax.jit(g.network(cfg, compute_loss=False).apply).lower(params, key, one, prev).compile()
    print(f'compile: {spent(start)}', flush=True)
    tensors, total = {}, usage()
    for i in range(args.recycles + 1):
        start = usage()
        ret = jax.block_until_ready(apply(params, key, g.pass_features(features, i, 1), prev))
        print(f'pass {i}: {spent(start)}', flush=True)
        prev = {k: np.asarray(v) for k, v in g.next_prev(ret).items()}
        if not args.time_only and i in (0, args.recycles):
            for name, value in fold.outputs(ret, features['seq_mask'][0]).items():
                assert np.all(np.isfinite(value)), name
                tensors[f'recycle_{i}/{name}'] = value
        margin = fold.edge_margin(prev['prev_pos'], features['aatype'][0], features['seq_mask'][0])
        print(f'  nearest recycled distance to a bin edge: {margin:.1e} Å', flush=True)
    print(f'{args.recycles + 1} passes: {spent(total)}')
    print(f'peak resident memory, compiling included: '
          f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB')
    if not args.time_only:
        g.write_safetensors(os.path.join(args.out_dir, 'outputs.safetensors'), tensors)


if __name__ == '__main__':
    main()
