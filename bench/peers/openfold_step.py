"""A training step of OpenFold's own code on the CPU in float32, on what `foldry bench train` steps on.

    python openfold_step.py --openfold CHECKOUT [--checkpoint] [--crop 64 ...]

It is run by train.py, see steps.py. OpenFold is read from where it lies and left as it is. The step is one pass
recycled without gradient, a pass, the losses of the first stage of training, and all gradients; no optimizer, no
dropout, no templates. Chains and alignments are noise. Left out of OpenFold's step is what ours does not do either:
violations, which have no weight in that stage. In place of its attention for GPUs, which the extra-MSA stack asks
for, stands its own attention for the rest.
"""
import argparse
import os
import sys
import types

import torch

import steps


def import_from(checkout):
    """OpenFold's modules, without those its packages import but no step needs."""
    for name in ('openfold', 'openfold.np'):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(checkout, *name.split('.'))]
        if not os.path.isdir(package.__path__[0]):
            sys.exit(f'{package.__path__[0]}: expected a checkout of OpenFold, found none')
        sys.modules[name] = package
    sys.modules['attn_core_inplace_cuda'] = types.ModuleType('attn_core_inplace_cuda')
    from openfold.model import primitives
    primitives.attention_core = lambda q, k, v, *biases: primitives._attention(
        q, k, v, [bias for bias in biases if bias is not None])


def configuration(args):
    """OpenFold's for the first stage of training, with the sizes of `foldry bench train`."""
    from openfold.config import model_config
    config = model_config('initial_training', train=True)
    config.globals.update(c_m=args.channels, c_z=args.channels, c_e=args.channels)
    model = config.model
    model.template.enabled = False
    model.evoformer_stack.no_blocks = args.blocks
    model.extra_msa.extra_msa_stack.no_blocks = args.extra_blocks
    for stack in (model.evoformer_stack, model.extra_msa.extra_msa_stack):
        # AlphaFold's heads share the channels of what they attend to.
        stack.c_hidden_msa_att = args.channels // stack.no_heads_msa
        stack.c_hidden_pair_att = args.channels // stack.no_heads_pair
        stack.msa_dropout = stack.pair_dropout = 0.0
    model.structure_module.dropout_rate = 0.0
    if not args.checkpoint:
        config.globals.blocks_per_ckpt = None
        model.extra_msa.extra_msa_stack.ckpt = False
    return config


def batch(args):
    """Features and labels of a made-up chain, [1, ..., passes]; its atoms lie about a helix."""
    from openfold.data import data_transforms as make
    r, s, e = args.crop, args.msa, args.extra
    torch.manual_seed(7)
    letters = lambda *shape: torch.randint(0, 20, shape)
    steps_up = torch.arange(r, dtype=torch.float32)
    axis = torch.stack([2.3 * torch.cos(1.745 * steps_up), 2.3 * torch.sin(1.745 * steps_up), 1.5 * steps_up], -1)
    chain = make.make_atom14_masks({'aatype': letters(r)})
    chain.update(
        all_atom_positions=axis[:, None] + 1.5 * torch.randn(r, 37, 3), all_atom_mask=chain['atom37_atom_exists'],
        residue_index=torch.arange(r), seq_mask=torch.ones(r), seq_length=torch.tensor(r))
    for derive in (make.make_atom14_positions, make.atom37_to_frames, make.atom37_to_torsion_angles(''),
                   make.make_pseudo_beta(''), make.get_backbone_frames, make.get_chi_angles):
        chain = derive(chain)
    chain.update(
        target_feat=torch.nn.functional.one_hot(chain['aatype'] + 1, 22).float(), msa_feat=torch.randn(s, r, 49),
        msa_mask=torch.ones(s, r), true_msa=letters(s, r), bert_mask=(torch.rand(s, r) < 0.15).float(),
        extra_msa=letters(e, r), extra_msa_mask=torch.ones(e, r), extra_has_deletion=torch.zeros(e, r),
        extra_deletion_value=torch.zeros(e, r), resolution=torch.tensor(2.0), use_clamped_fape=torch.tensor(1.0))
    return {name: torch.stack([value[None]] * (args.recycles + 1), -1) for name, value in chain.items()}


class Step:
    """What every step does again."""

    def __init__(self, args):
        from openfold.model.model import AlphaFold
        from openfold.utils import loss
        loss.find_structural_violations = lambda *_, **__: None
        loss.violation_loss = lambda *_, **__: torch.tensor(0.0)
        torch.manual_seed(7)
        config = configuration(args)
        self.model, self.loss = AlphaFold(config).train(), loss.AlphaFoldLoss(config.loss)
        self.batch = batch(args)

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def run(self):
        """CPU seconds of the passes, the losses and the way back."""
        laps = [steps.cpu_seconds()]
        lap = lambda: laps.append(steps.cpu_seconds())
        self.model.zero_grad(set_to_none=True)
        outputs = self.model(dict(self.batch))
        lap()
        total = self.loss(outputs, {name: value[..., -1] for name, value in self.batch.items()})
        lap()
        total.backward()
        lap()
        # What an optimizer would read. Zero weights have gradients too.
        missing = [name for name, p in self.model.named_parameters() if p.grad is None]
        if missing or not torch.isfinite(total):
            sys.exit(f'loss {total}; no gradient: {missing}')
        return {name: laps[i + 1] - laps[i] for i, name in enumerate(('forward', 'losses', 'backward'))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--openfold', required=True, help='a checkout of OpenFold')
    parser.add_argument('--checkpoint', action='store_true', help='run blocks again on the way back, its default')
    for name, default in steps.TRAINING.items():
        parser.add_argument(f'--{name.replace("_", "-")}', type=int, default=default)
    args = parser.parse_args()
    import_from(args.openfold)
    step = Step(args)
    steps.serve(step.run, parameters=step.parameters())


if __name__ == '__main__':
    main()
