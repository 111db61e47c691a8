"""Golden of the monomer network without templates or pTM, ensemble of 2, fused triangle projections -> fold_b/.

    python tests/golden/fold_b.py [OUT_DIR]
"""
import os
import sys

import fold
import golden as g
import numpy as np

LENGTH, CLUSTERS, EXTRA, RECYCLES, ENSEMBLE = 13, 6, 9, 1, 2
SEED = 31


def small_config():
    """model_3 with other sizes than fold.py's, the default bins and heads, and the wheel's fused projections."""
    cfg = g.base_config('model_3')
    g.set_fused(cfg, True)
    cfg.data.common.max_extra_msa = EXTRA
    cfg.data.common.num_recycle = RECYCLES
    cfg.data.eval.max_msa_clusters = CLUSTERS
    cfg.data.eval.num_ensemble = ENSEMBLE
    cfg.model.num_recycle = RECYCLES
    ee = cfg.model.embeddings_and_evoformer
    ee.evoformer_num_block = 3
    ee.extra_msa_stack_num_block = 2
    ee.msa_channel, ee.pair_channel, ee.seq_channel, ee.extra_msa_channel = 16, 12, 22, 8
    evo = ee.evoformer
    evo.msa_row_attention_with_pair_bias.num_head = 2
    evo.msa_column_attention.num_head = 4
    evo.outer_product_mean.num_outer_channel = 5
    evo.triangle_attention_starting_node.num_head = 3
    evo.triangle_attention_ending_node.num_head = 6
    evo.triangle_multiplication_outgoing.num_intermediate_channel = 14
    evo.triangle_multiplication_incoming.num_intermediate_channel = 11
    s = cfg.model.heads.structure_module
    s.num_layer, s.num_channel, s.num_head = 4, 22, 2
    s.num_scalar_qk, s.num_scalar_v, s.num_point_qk, s.num_point_v = 6, 3, 5, 4
    s.num_layer_in_transition, s.sidechain.num_residual_block = 2, 1
    s.sidechain.num_channel = 18
    return cfg


def main(out_dir):
    os.makedirs(out_dir, exist_ok=True)
    at = lambda name: os.path.join(out_dir, name)
    rng = np.random.default_rng(SEED)
    cfg = small_config()
    features, labels = g.features_and_labels(rng, LENGTH, 0, CLUSTERS, EXTRA, 0, (RECYCLES + 1) * ENSEMBLE)
    others = g.derived_labels(labels, features)
    first = {**others, **g.zero_prev(cfg, LENGTH)}
    params = g.init_params(cfg, g.pass_features(features, 0, ENSEMBLE), first, rng, ensemble=True)
    assert all(np.count_nonzero(v) == v.size for v in g.flat_params(params).values())
    results = fold.run(cfg, params, features, others, RECYCLES, ENSEMBLE)
    tensors = {}
    for recycle, ret in enumerate(results):
        for name, value in {**fold.outputs(ret, labels['seq_mask']), **fold.losses(ret)}.items():
            assert np.all(np.isfinite(value)), name
            tensors[f'recycle_{recycle}/{name}'] = value
    g.write_json(at('config.json'), g.config_dict(cfg))
    np.savez(at('params.npz'), **g.flat_params(params))
    np.savez(at('features.npz'), **features)
    np.savez(at('labels.npz'), **labels)
    g.write_safetensors(at('outputs.safetensors'), tensors)
    for name in sorted(os.listdir(out_dir)):
        print(f'{os.path.getsize(at(name)):>10} {name}')


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fold_b'))
