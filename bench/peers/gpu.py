"""Triangle attention and triangle multiplication as whole layers on a GPU: Foldry beside other kernels. Unseen: this
has been run on the CPU only.

    python gpu.py [--lengths 256,512,1024] [--runs 20] [--foldry 'COMMAND ... {length}']
    python gpu.py --dry-run      on the CPU at small sizes: what can run there is compared with float64

A layer is layer norm, projections, bias, the core, gate and output, bf16, AlphaFold's channels, without the
residual; but for the core it is PyTorch's, compiled. COMMAND prints a JSON object a line with `op`, `seconds` and
perhaps `backward_seconds`, as `foldry bench op --json --lengths {length} --only triangle` does. What is not
installed or fails is named with the reason. bionemo-ir and TurboPairFormer could not be had when this was written.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import time

import torch

import torch_blocks as blocks

ATTENTION, MULTIPLICATION = 'triangle_attention_starting', 'triangle_outgoing'


def flex():
    from torch.nn.attention.flex_attention import flex_attention
    compiled = torch.compile(flex_attention, dynamic=False)

    def core(q, k, v, mask, bias):
        keys = 1e9 * (mask.float() - 1)
        return compiled(q, k, v, score_mod=lambda s, b, h, i, j: s + bias[h, i, j] + keys[b, j])

    return core


def trifast():
    from trifast import triangle_attention

    def core(q, k, v, mask, bias):
        # One batch of [h, n, n, d]; its mask says what is absent.
        q, k, v = (x.transpose(0, 1)[None].contiguous() for x in (q, k, v))
        return triangle_attention(q, k, v, bias[None].contiguous(), mask[None] == 0)[0].transpose(0, 1)

    return core


def cuequivariance():
    import cuequivariance_ops_torch  # noqa: F401  without it the next one falls back to plain operations
    from cuequivariance_torch import triangle_attention

    def core(q, k, v, mask, bias):
        keys = mask[None, :, None, None, :] > 0
        return triangle_attention(*(x[None].contiguous() for x in (q, k, v)), bias[None, None], keys)[0]

    return core


def colabfold():
    """JAX's kernel on torch's memory; each call waits for both sides, some ten microseconds."""
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
    import jax
    from colabfold_kernels.tri_flash import pallas_attention
    run = jax.jit(lambda q, k, v, keys, bias: pallas_attention(q, k, v, keys, bias, q.shape[-1] ** -0.5))

    def core(q, k, v, mask, bias):
        keys = 1e9 * (mask.float() - 1)[:, None, None, :]
        given = [jax.dlpack.from_dlpack(x.contiguous()) for x in (q, k, v, keys, bias)]
        if q.is_cuda:
            torch.cuda.synchronize()
        return torch.from_dlpack(jax.block_until_ready(run(*given)))

    return core


FORWARD_ONLY = ('colabfold-kernels',)  # through torch
CORES = {'torch': lambda: blocks.plain, 'torch sdpa': lambda: blocks.sdpa, 'torch flex': flex, 'trifast': trifast,
         'cuequivariance': cuequivariance,
         'colabfold-kernels': colabfold}


def attention_layer(core):
    core = core()
    return lambda params, z, mask: blocks.triangle_attention(
        blocks.Scope(params) / 'triangle_attention_starting_node', z, mask, True, core)


def torch_multiplication():
    return lambda params, z, mask: blocks.triangle_multiplication(
        blocks.Scope(params) / 'triangle_multiplication_outgoing', z, mask, True)


def cuequivariance_multiplication():
    import cuequivariance_ops_torch  # noqa: F401
    from cuequivariance_torch import triangle_multiplicative_update as update

    def layer(params, z, mask):
        p = blocks.Scope(params) / 'triangle_multiplication_outgoing'
        linear = lambda name, ours: {f'{name}_weight': (p / ours)['weights'].T.contiguous(),
                                     f'{name}_bias': (p / ours)['bias']}
        norm = lambda name, ours: {f'{name}_weight': (p / ours)['scale'], f'{name}_bias': (p / ours)['offset']}
        return update(z[None], 'outgoing', mask[None], **norm('norm_in', 'left_norm_input'),
                      **linear('p_in', 'projection'), **linear('g_in', 'gate'), **norm('norm_out', 'center_norm'),
                      **linear('p_out', 'output_projection'), **linear('g_out', 'gating_linear'))[0]

    return layer


def layers():
    """(operation, program, what makes the layer)."""
    for name, core in CORES.items():
        yield ATTENTION, name, lambda core=core: attention_layer(core)
    yield MULTIPLICATION, 'torch', torch_multiplication
    yield MULTIPLICATION, 'cuequivariance', cuequivariance_multiplication


def inputs(length, device, dtype, masked):
    params, (_, z, _, mask) = blocks.made_up('evoformer', length, 1)
    if masked:
        mask = (torch.rand(mask.shape) > 0.2).float()
    to = lambda x: x.to(device, dtype)
    wanted = ('triangle_attention_starting_node', 'triangle_multiplication_outgoing')
    return {k: to(v) for k, v in params.items() if k.startswith(wanted)}, to(z), to(mask)


def timed(run, runs, device):
    """Median milliseconds."""
    took = []
    for _ in range(runs):
        if device == 'cuda':
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            took.append(start.elapsed_time(end))
        else:
            start = time.perf_counter()
            run()
            took.append(1e3 * (time.perf_counter() - start))
    return statistics.median(took)


def measure(layer, length, runs, device, trains):
    """Milliseconds of the forward pass, and of the backward pass to the input and all weights if it `trains`."""
    params, z, mask = inputs(length, device, torch.bfloat16, False)
    with torch.no_grad():
        layer(params, z, mask)
        forward = timed(lambda: layer(params, z, mask), runs, device)
    if not trains:
        return forward, None
    kept = {k: v.requires_grad_() for k, v in params.items()}
    z.requires_grad_()

    def both():
        layer(kept, z, mask).sum().backward()
        for tensor in (z, *kept.values()):
            tensor.grad = None

    both()
    return forward, timed(both, runs, device) - forward


def relative_error(make, operation, device, dtype, length=40):
    """Of the present part, against plain operations in float64."""
    params, z, mask = inputs(length, device, dtype, True)
    double = {k: v.double() for k, v in params.items()}
    plain = attention_layer(lambda: blocks.plain) if operation == ATTENTION else torch_multiplication()
    with torch.no_grad():
        want = plain(double, z.double(), mask.double())
        got = make()(params, z, mask).double()
    keep = mask.double().unsqueeze(-1)
    return float((keep * (got - want)).norm() / (keep * want).norm())


def ours(command, length):
    """{operation: (forward, backward or None)} in milliseconds."""
    done = subprocess.run(shlex.split(command.format(length=length)), stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]
    scaled = lambda seconds: None if seconds is None else 1e3 * seconds
    return {x['op']: (1e3 * x['seconds'], scaled(x.get('backward_seconds'))) for x in lines}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--lengths', type=lambda text: [int(n) for n in text.split(',')], default=[256, 512, 1024])
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--foldry', metavar='COMMAND', help='prints our times for {length}')
    parser.add_argument('--dry-run', action='store_true', help='on the CPU, with errors instead of times')
    args = parser.parse_args()
    if args.dry_run:
        for operation, name, make in layers():
            try:
                print(f'{operation}, {name}: relative error {relative_error(make, operation, "cpu", torch.float32):.1e}')
            except Exception as why:  # whatever another program raises, the rest goes on
                print(f'{operation}, {name}: left out: {type(why).__name__}: {str(why).splitlines()[0]}')
        return
    if not torch.cuda.is_available():
        parser.error('torch sees no GPU; --dry-run needs none')
    blocks.LOGITS = 1 << 33  # attended whole
    for length in args.lengths:
        mine = ours(args.foldry, length) if args.foldry else {}
        print(f'\nr = {length}, {torch.cuda.get_device_name()}\n')
        print('| operation | program | forward ms | backward ms | forward, of ours | backward, of ours | relative error |')
        print('|---|---|---|---|---|---|---|')
        over = lambda theirs, our: f'{theirs / our:.2f}×' if theirs and our else ''
        told = lambda ms: '' if ms is None else f'{ms:.3f}'
        for operation, (forward, backward) in mine.items():
            print(f'| {operation} | foldry | {told(forward)} | {told(backward)} | | | |')
        for operation, name, make in layers():
            try:
                error = relative_error(make, operation, 'cuda', torch.bfloat16)
                layer = torch.compile(make(), dynamic=False) if name.startswith('torch') else make()
                forward, backward = measure(layer, length, args.runs, 'cuda', name not in FORWARD_ONLY)
            except Exception as why:  # as above
                print(f'| {operation} | {name} | left out: {type(why).__name__}: {str(why).splitlines()[0]} |')
                continue
            our = mine.get(operation, (None, None))
            print(f'| {operation} | {name} | {told(forward)} | {told(backward)} | {over(forward, our[0])} '
                  f'| {over(backward, our[1])} | {error:.1e} |')


if __name__ == '__main__':
    main()
