"""Template torsions with atoms missing, as compiled AlphaFold has them: tests/golden/torsions.safetensors,
for crates/fold/src/torsion_rows.rs. Environment: README.md. Run from the repository root on a CPU with FMA:

    venv/bin/python tests/golden/torsions.py
"""
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import golden as g
from alphafold.model import all_atom


def rows(aatype, positions, mask, placeholder):
    """What AlphaFold embeds of its templates, [t, r, 57]."""
    t, r = aatype.shape
    angles = all_atom.atom37_to_torsion_angles(aatype, positions, mask, placeholder_for_undefined=placeholder)
    return jnp.concatenate([jax.nn.one_hot(aatype, 22, axis=-1),
                            angles['torsion_angles_sin_cos'].reshape(t, r, 14),
                            angles['alt_torsion_angles_sin_cos'].reshape(t, r, 14),
                            angles['torsion_angles_mask']], -1)


def degrade(rng, aatype, positions, mask):
    """Takes atoms away in every way there is, one residue after the other. Missing atoms are at the origin."""
    positions, mask = positions.copy(), mask.copy()
    for i in range(len(aatype)):
        there = np.flatnonzero(mask[i])
        match i % 8:
            case 1:  # nothing aligned
                aatype[i], mask[i] = 21, 0
            case 2:  # no side chain
                mask[i, 3] = mask[i, 5:] = 0
            case 3:  # three atoms in ten missing
                mask[i] *= rng.random(37) > 0.3
            case 4:  # two atoms in one place
                a, b = rng.choice(there, 2, replace=False)
                positions[i, a] = positions[i, b]
            case 5:  # Cα trace
                mask[i, np.arange(37) != 1] = 0
            case 6:  # most missing
                mask[i] *= rng.random(37) > 0.7
    positions = positions * mask[..., None]
    # Coordinates without a mask.
    positions[-2] = 20 * rng.standard_normal((37, 3))
    return aatype, positions.astype(np.float32), mask.astype(np.float32)


def main():
    out = {}
    for t, r in ((2, 19), (5, 7)):
        rng = np.random.default_rng(100 * t + r)
        templates = []
        for i in range(t):
            aatype = rng.integers(0, 20, r).astype(np.int32)
            positions, mask = g.random_structure(rng, aatype, np.ones(r, np.float32))
            # One template at the origin, the others tens of Å away.
            templates.append(degrade(rng, aatype, positions + 30 * i * rng.standard_normal(3), mask))
        aatype, positions, mask = (np.stack(x) for x in zip(*templates))
        size = f'{t}x{r}'
        out.update({f'{size}/aatype': aatype, f'{size}/positions': positions, f'{size}/mask': mask})
        compiled = jax.jit(rows, static_argnums=3)
        for name, placeholder in (('noise', False), ('placeholder', True)):
            out[f'{size}/{name}'] = np.asarray(compiled(aatype, positions, mask, placeholder))
    g.write_safetensors(pathlib.Path(__file__).with_name('torsions.safetensors'), out)


main()
