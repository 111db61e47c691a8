#!/usr/bin/env python3
"""Golden values and gradients of the AlphaFold2 monomer losses, for crates/losses.

Pinned: Python 3.11, alphafold-colabfold 2.3.27 (with colabfold-kernels 0.9.0), jax 0.10.2 on CPU,
dm-haiku 0.0.17, numpy, safetensors. Run from the repository root:

    python tests/golden/losses.py            # writes tests/golden/losses/*.safetensors

All numbers come from AlphaFold's own functions and from jax.grad through them, in float32. One
function is changed first: the violation of the CA-C-N angle is measured in standard deviations of
that angle (0.0311), as DeepMind's repository has it; the wheel takes the C-N bond's 0.014.

Inputs are seeded: a peptide is built from random torsions with ideal bonds, AlphaFold's own frames
place its side chains, and the prediction is the same peptide with its frames and torsions shaken.
Atoms are missing, residues are padded, residue numbers have gaps, ambiguous residues are swapped.
"""
import copy
import inspect
import json
import pathlib
import types

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from alphafold.common import residue_constants as rc
from alphafold.model import all_atom, config as af_config, folding, modules, quat_affine, r3

OUT = pathlib.Path(__file__).parent / "losses"
F32 = np.float32


def use_deepmind_angle_deviation():
    """Rewrites the wheel's bond loss to take the angle's own standard deviation."""
    source = inspect.getsource(all_atom.between_residue_bond_loss)
    before, after = source.split("ca_c_n_cos_angle = ", 1)
    wrong, right = "between_res_bond_length_stddev_c_n[0]", "between_res_cos_angles_ca_c_n[1]"
    assert after.count(wrong) == 1
    wheel = all_atom.between_residue_bond_loss
    exec(before + "ca_c_n_cos_angle = " + after.replace(wrong, right), all_atom.__dict__)
    return wheel


# --- a peptide ---------------------------------------------------------------------------------

def place(a, b, c, bond, angle, torsion):
    """The point at `bond` from c, `angle` a-b-c style, `torsion` around b-c."""
    bc = (c - b) / np.linalg.norm(c - b)
    n = np.cross(b - a, bc)
    n /= np.linalg.norm(n)
    frame = np.stack([bc, np.cross(n, bc), n], -1)
    return c + frame @ (bond * np.array(
        [-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)]))


def backbone(rng, r):
    """N, CA, C, O of a random chain of r residues with ideal bonds: [r, 4, 3]."""
    deg = np.pi / 180
    n, ca = np.zeros(3), np.array([1.458, 0.0, 0.0])
    c = place(np.array([0.0, 1.0, 0.0]), n, ca, 1.525, 111 * deg, 1.0)
    atoms = []
    for _ in range(r):
        phi, psi = (-63 * deg, -42 * deg) if rng.random() < 0.6 else (-120 * deg, 130 * deg)
        phi, psi = phi + rng.normal(0, 0.25), psi + rng.normal(0, 0.25)
        next_n = place(n, ca, c, 1.329, 116.6 * deg, psi)
        atoms.append([n, ca, c, place(n, ca, c, 1.231, 120.5 * deg, psi + np.pi)])
        next_ca = place(ca, c, next_n, 1.458, 121.4 * deg, np.pi + rng.normal(0, 0.05))
        n, ca, c = next_n, next_ca, place(c, next_n, next_ca, 1.525, 111 * deg, phi)
    atoms = np.array(atoms)
    return atoms - atoms[:, 1].mean(0)


def frame_of(n, ca, c):
    """Rotation matrices [r, 3, 3] of the backbone frames."""
    e0 = (c - ca) / np.linalg.norm(c - ca, axis=-1, keepdims=True)
    e1 = (n - ca) - (e0 * (n - ca)).sum(-1, keepdims=True) * e0
    e1 /= np.linalg.norm(e1, axis=-1, keepdims=True)
    return np.stack([e0, e1, np.cross(e0, e1)], -1)


def quaternion(rot):
    """Unit quaternions [.., 4] of rotations [.., 3, 3], in float64."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(rot.astype(np.float64), (-2, -1), (0, 1))
    k = np.stack([np.stack(row, -1) for row in (
        (xx + yy + zz, zy - yz, xz - zx, yx - xy),
        (zy - yz, xx - yy - zz, xy + yx, xz + zx),
        (xz - zx, xy + yx, yy - xx - zz, yz + zy),
        (yx - xy, xz + zx, yz + zy, zz - xx - yy))], -2)
    return np.linalg.eigh(k)[1][..., -1]


def rotation(vector):
    """Rotation matrices from rotation vectors [.., 3]."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sin(angle) / angle * k + (1 - np.cos(angle)) / angle**2 * (k @ k)


def all_atoms(aatype, rot, trans, angles):
    """AlphaFold's frames [r, 8] and atom14 positions for backbone frames and torsions."""
    affine = jnp.concatenate([quaternion(rot), trans], -1).astype(F32)
    rigid = r3.rigids_from_quataffine(quat_affine.QuatAffine.from_tensor(affine))
    frames = all_atom.torsion_angles_to_frames(aatype, rigid, jnp.asarray(angles, F32))
    atoms = all_atom.frames_and_literature_positions_to_atom14_pos(aatype, frames)
    frames_rot = jnp.stack(list(frames.rot), -1).reshape(*frames.rot.xx.shape, 3, 3)
    return np.array(frames_rot), np.array(r3.vecs_to_tensor(frames.trans)), np.array(r3.vecs_to_tensor(atoms))


def tables():
    """Maps between atom14 and atom37 and the ambiguous atoms, by residue type."""
    to37, to14 = np.zeros([21, 14], int), np.zeros([21, 37], int)
    mask37, ambiguous = np.zeros([21, 37], F32), np.zeros([21, 14], F32)
    for i, letter in enumerate(rc.restypes):
        name = rc.restype_1to3[letter]
        for j, atom in enumerate(rc.restype_name_to_atom14_names[name]):
            if atom:
                to37[i, j] = rc.atom_order[atom]
                to14[i, rc.atom_order[atom]] = j
                mask37[i, rc.atom_order[atom]] = 1
        swaps = rc.residue_atom_renaming_swaps.get(name, {})
        for atom in [*swaps, *swaps.values()]:
            ambiguous[i, rc.restype_name_to_atom14_names[name].index(atom)] = 1
    return to37, to14, mask37, ambiguous


def make_labels(aatype, positions, mask, seq_mask):
    """The ground truth AlphaFold's losses read, from atom37 coordinates."""
    to37, to14, mask37, ambiguous = tables()
    b = {"atom14_atom_exists": rc.restype_atom14_mask.astype(F32)[aatype] * seq_mask[:, None]}
    b["atom37_atom_exists"] = mask37[aatype] * seq_mask[:, None]
    b["residx_atom14_to_atom37"] = to37[aatype]
    rows = np.arange(len(aatype))[:, None]
    b["atom14_gt_exists"] = b["atom14_atom_exists"] * mask[rows, to37[aatype]]
    b["atom14_gt_positions"] = positions[rows, to37[aatype]] * b["atom14_gt_exists"][..., None]
    renaming = all_atom.RENAMING_MATRICES[aatype]
    b["atom14_alt_gt_positions"] = np.einsum("rac,rab->rbc", b["atom14_gt_positions"], renaming)
    b["atom14_alt_gt_exists"] = np.einsum("ra,rab->rb", b["atom14_gt_exists"], renaming)
    b["atom14_atom_is_ambiguous"] = ambiguous[aatype]
    b.update(all_atom.atom37_to_frames(aatype, positions, mask))
    torsions = all_atom.atom37_to_torsion_angles(aatype[None], positions[None], mask[None])
    sin, cos = np.moveaxis(np.array(torsions["torsion_angles_sin_cos"][0, :, 3:]), -1, 0)
    b["chi_angles"] = np.arctan2(sin, cos)
    b["chi_mask"] = torsions["torsion_angles_mask"][0, :, 3:]
    b["pseudo_beta"], b["pseudo_beta_mask"] = modules.pseudo_beta_fn(aatype, positions, mask)
    frame = np.array(b["rigidgroups_gt_frames"])[:, 0]
    b["backbone_affine_mask"] = np.array(b["rigidgroups_gt_exists"])[:, 0]
    rot = np.where(b["backbone_affine_mask"][:, None, None] > 0, frame[:, :9].reshape(-1, 3, 3), np.eye(3))
    b["backbone_affine_tensor"] = np.concatenate([quaternion(rot), frame[:, 9:]], -1)
    ints = ("residx_atom14_to_atom37",)
    return {k: jnp.asarray(v) if k in ints else jnp.asarray(v, jnp.float32) for k, v in b.items()}


def make_case(seed, sequence, pad, layers, depth, shake, gaps, spec, heads):
    """All inputs of the losses for one peptide."""
    rng = np.random.default_rng(seed)
    order = rc.restypes + ["X"]
    real = len(sequence)
    r = real + pad
    aatype = np.array([order.index(a) for a in sequence] + [0] * pad)
    seq_mask = np.array([1] * real + [0] * pad, F32)

    bb = backbone(rng, r)
    rot, trans = frame_of(bb[:, 0], bb[:, 1], bb[:, 2]), bb[:, 1]
    angles = rng.uniform(-np.pi, np.pi, [r, 7])
    # Psi of the torsion frames is fixed by the oxygen.
    local = np.einsum("rji,rj->ri", rot, bb[:, 3] - trans)
    angles[:, 2] = np.arctan2(local[:, 2], local[:, 1])
    true_sin_cos = np.stack([np.sin(angles), np.cos(angles)], -1)
    _, _, truth = all_atoms(aatype, rot, trans, true_sin_cos)
    to37 = tables()[0]
    positions, mask = np.zeros([r, 37, 3], F32), np.zeros([r, 37], F32)
    for i in range(real):
        for j in np.flatnonzero(rc.restype_atom14_mask[aatype[i]]):
            positions[i, to37[aatype[i], j]] = truth[i, j] + rng.normal(0, 0.02, 3)
            mask[i, to37[aatype[i], j]] = rng.random() > spec["missing"]
        if sequence[i] == "X":
            positions[i, [0, 1, 2, 4]], mask[i, [0, 1, 2, 4]] = bb[i], 1
    for i in spec["unresolved"]:
        mask[i] = 0
    positions *= mask[..., None]

    # Swap the names of ambiguous atoms in every second such residue, and lose one atom of a pair.
    swapped = 0
    for i in range(real):
        for a, b in rc.residue_atom_renaming_swaps.get(rc.restype_1to3.get(order[aatype[i]], "UNK"), {}).items():
            a, b = rc.atom_order[a], rc.atom_order[b]
            if i % 2:
                positions[i, [a, b]], mask[i, [a, b]] = positions[i, [b, a]], mask[i, [b, a]]
                swapped += 1
    assert swapped

    traj, sin_cos, unnormalized = [], [], []
    for layer in range(layers):
        size = shake * (layers - layer)
        p_rot = rot @ rotation(rng.normal(0, 0.25 * size, [r, 3]))
        p_trans = trans + rng.normal(0, 1.0 * size, [r, 3]) + (rng.random([r, 1]) < 0.2) * rng.normal(0, 5.0, [r, 3])
        traj.append(np.concatenate([quaternion(p_rot), p_trans], -1))
        raw = (true_sin_cos + rng.normal(0, 0.4 * size, [r, 7, 2])) * rng.uniform(0.5, 1.8, [r, 7, 1])
        unnormalized.append(raw)
        sin_cos.append(raw / np.linalg.norm(raw, axis=-1, keepdims=True))
    frames_rot, frames_trans, atom14 = all_atoms(aatype, p_rot, p_trans, sin_cos[-1])
    atom14 = (atom14 + rng.normal(0, 0.1, atom14.shape) * rc.restype_atom14_mask[aatype][..., None]) * seq_mask[:, None, None]
    atom37 = np.zeros([r, 37, 3])
    for i in range(real):
        for j in np.flatnonzero(rc.restype_atom14_mask[aatype[i]]):
            atom37[i, to37[aatype[i], j]] = atom14[i, j]

    residue_index = np.cumsum(1 + np.array([gaps.get(i, 0) for i in range(r)])) * seq_mask.astype(int)
    labels = {"all_atom_positions": positions, "all_atom_mask": mask, "aatype": aatype, "seq_mask": seq_mask,
              "residue_index": residue_index, "resolution": F32(spec["resolution"]),
              "use_clamped_fape": F32(spec["clamped"])}
    true_msa = rng.integers(0, 22, [depth, r])
    msa = {"true_msa": true_msa, "bert_mask": (rng.random([depth, r]) < 0.4).astype(F32) * seq_mask}
    normal = lambda *shape: rng.normal(0, 1.5, shape)
    preds = {
        "traj": np.array(traj), "frames_rot": frames_rot, "frames_trans": frames_trans, "atom14": atom14,
        "angles_sin_cos": np.array(sin_cos), "unnormalized_angles_sin_cos": np.array(unnormalized),
        "final_atom_positions": atom37,
        "distogram": normal(r, r, heads.distogram.num_bins),
        "masked_msa": normal(depth, r, heads.masked_msa.num_output),
        "predicted_lddt": normal(r, heads.predicted_lddt.num_bins),
        "predicted_aligned_error": normal(r, r, heads.predicted_aligned_error.num_bins),
        "experimentally_resolved": normal(r, 37),
    }
    return labels, msa, {k: np.asarray(v, F32) for k, v in preds.items()}


# --- AlphaFold's losses as functions of the predictions ------------------------------------------

def rigids(rot, trans):
    return r3.Rigids(r3.rots_from_tensor3x3(rot), r3.vecs_from_tensor(trans))


def structure_value(p):
    """The structure module's outputs as its loss reads them (it looks at the last layer only)."""
    return {
        "traj": p["traj"],
        "sidechains": {"frames": rigids(p["frames_rot"][None], p["frames_trans"][None]),
                       "atom_pos": r3.vecs_from_tensor(p["atom14"][None]),
                       "angles_sin_cos": p["angles_sin_cos"],
                       "unnormalized_angles_sin_cos": p["unnormalized_angles_sin_cos"]},
        "final_atom14_positions": p["atom14"],
        "final_atom_positions": p["final_atom_positions"],
        "final_affines": p["traj"][-1],
    }


def module_loss(cls, cfg, value, batch):
    gc = types.SimpleNamespace(multimer_mode=False)
    call = hk.transform(lambda: cls(cfg, gc).loss(value, batch))
    return call.apply({}, None)


def structure_parts(p, batch, cfg):
    """Every part of the structure module's loss."""
    value = structure_value(p)
    ret = {"loss": 0.0}
    folding.backbone_loss(ret, batch, value, cfg)
    parts = {"backbone": ret["loss"], "fape": ret["fape"]}
    value.update(folding.compute_renamed_ground_truth(batch, p["atom14"]))
    parts["alt_naming_is_better"] = value["alt_naming_is_better"]
    parts["sidechain"] = folding.sidechain_loss(batch, value, cfg)["loss"]
    ret = {"loss": 0.0}
    folding.supervised_chi_loss(ret, batch, value, cfg)
    parts["chi"], parts["angle_norm"] = ret["chi_loss"], ret["angle_norm_loss"]
    value["violations"] = folding.find_structural_violations(batch, p["atom14"], cfg)
    between, within = (value["violations"][k] for k in ("between_residues", "within_residues"))
    parts |= {"bond_c_n": between["bonds_c_n_loss_mean"], "angle_ca_c_n": between["angles_ca_c_n_loss_mean"],
              "angle_c_n_ca": between["angles_c_n_ca_loss_mean"],
              "clash": jnp.sum(between["clashes_per_atom_loss_sum"]), "clash_mean": between["clashes_mean_loss"],
              "within": jnp.sum(within["per_atom_loss_sum"])}
    if cfg.structural_violation_loss_weight:
        ret = {"loss": 0.0}
        folding.structural_violation_loss(ret, batch, value, cfg)
        parts["violation"] = ret["loss"] / cfg.structural_violation_loss_weight
    parts |= folding.compute_violation_metrics(batch, p["atom14"], value["violations"])
    return parts


def all_losses(heads):
    """name -> (function of (inputs, batch), the inputs it is differentiated by)."""
    sm = heads.structure_module
    geometry = ["traj", "frames_rot", "frames_trans", "atom14", "angles_sin_cos", "unnormalized_angles_sin_cos"]
    part = lambda name: lambda p, b: structure_parts(p, b, sm)[name]
    losses = {
        "backbone": (part("backbone"), ["traj"]),
        "sidechain": (part("sidechain"), ["frames_rot", "frames_trans", "atom14"]),
        "chi": (part("chi"), ["angles_sin_cos"]),
        "angle_norm": (part("angle_norm"), ["unnormalized_angles_sin_cos"]),
        "bond_c_n": (part("bond_c_n"), ["atom14"]),
        "angle_ca_c_n": (part("angle_ca_c_n"), ["atom14"]),
        "angle_c_n_ca": (part("angle_c_n_ca"), ["atom14"]),
        "clash": (part("clash"), ["atom14"]),
        "within": (part("within"), ["atom14"]),
        "structure_module": (
            lambda p, b: module_loss(folding.StructureModule, sm, structure_value(p), b)["loss"], geometry),
    }
    if sm.structural_violation_loss_weight:
        losses["violation"] = (part("violation"), ["atom14"])

    def head(cls, name, wrap):
        cfg = heads[name]

        def fn(p, b):
            value = {"logits": p[name]}
            if name == "distogram":
                value["bin_edges"] = jnp.linspace(cfg.first_break, cfg.last_break, cfg.num_bins - 1)
            if name == "predicted_aligned_error":
                value["breaks"] = jnp.linspace(0.0, cfg.max_error_bin, cfg.num_bins - 1)
            if name == "predicted_aligned_error":
                # Compiled as in a whole network, where the frames are scaled inside the program: the fused product
                # keeps digits that the rounded one lost, so a residue's error to itself is not 0 but about 1e-6 Å.
                scale = jnp.array([1.0] * 4 + [10.0] * 3)
                run = jax.jit(lambda value, affines: module_loss(
                    cls, cfg, {name: value, "structure_module": {"final_affines": affines * scale}}, b)["loss"])
                return run(value, p["traj"][-1] / scale)
            if wrap:
                value = {name: value, "structure_module": structure_value(p)}
            return module_loss(cls, cfg, value, b)["loss"]

        losses[name] = (fn, [name])

    head(modules.DistogramHead, "distogram", False)
    head(modules.MaskedMsaHead, "masked_msa", False)
    head(modules.ExperimentallyResolvedHead, "experimentally_resolved", False)
    head(modules.PredictedLDDTHead, "predicted_lddt", True)
    head(modules.PredictedAlignedErrorHead, "predicted_aligned_error", True)
    return losses


def plain(node):
    return {k: plain(v) if hasattr(v, "items") else v for k, v in node.items()}


def write(name, heads, **kwargs):
    labels, msa, preds = make_case(heads=heads, **kwargs)
    batch = {k: jnp.asarray(v) for k, v in {**labels, **msa}.items()}
    derived = make_labels(*(labels[k] for k in ("aatype", "all_atom_positions", "all_atom_mask", "seq_mask")))
    batch.update(derived)
    batch["residue_index"] = batch["residue_index"].astype(jnp.int32)
    p = {k: jnp.asarray(v) for k, v in preds.items()}

    out = {f"labels/{k}": v for k, v in {**labels, **msa}.items()}
    out |= {f"batch/{k}": v for k, v in derived.items()}
    out |= {f"pred/{k}": v for k, v in preds.items()}
    values = {}
    for loss, (fn, wrt) in all_losses(heads).items():
        value, grads = jax.value_and_grad(lambda d: fn({**p, **d}, batch))({k: p[k] for k in wrt})
        values[loss] = value
        for k, grad in grads.items():
            assert np.isfinite(np.array(grad)).all(), (loss, k)
            out[f"grad/{loss}/{k}"] = grad
    parts = structure_parts(p, batch, heads.structure_module)
    values |= {k: v for k, v in parts.items() if k not in values}
    values["total"] = sum(cfg.weight * values[k] for k, cfg in sorted(heads.items()) if cfg.weight)
    out |= {f"value/{k}": v for k, v in values.items()}

    renamed = np.array(values["alt_naming_is_better"])
    assert 0 < renamed.sum() < np.isin(labels["aatype"], [3, 6, 13, 18]).sum()
    for k in ("bond_c_n", "angle_ca_c_n", "angle_c_n_ca", "clash", "within", "backbone", "sidechain", "chi"):
        assert values[k] > 0, k
    wheel = WHEEL_BOND_LOSS(p["atom14"], batch["atom14_atom_exists"], batch["residue_index"].astype(jnp.float32),
                            batch["aatype"], heads.structure_module.violation_tolerance_factor)
    assert not np.isclose(wheel["ca_c_n_loss_mean"], values["angle_ca_c_n"], rtol=1e-3)

    for k, v in out.items():
        v = np.array(v)
        out[k] = np.ascontiguousarray(v.astype(np.int64 if v.dtype.kind == "i" else F32))
    text = json.dumps(plain(heads)).encode()
    out["config"] = np.frombuffer(text, np.uint8)
    OUT.mkdir(exist_ok=True)
    save_file(out, OUT / f"{name}.safetensors")
    print(name, {k: (float(v) if np.ndim(v) == 0 else np.array(v).tolist()) for k, v in values.items()})


def heads_of(preset, **changes):
    heads = copy.deepcopy(af_config.model_config(preset).model.heads)
    heads.update_from_flattened_dict(changes)
    return heads


def main():
    # AlphaFold's own constants and sizes.
    write("clamped", heads_of("model_1_ptm"), seed=11, sequence="MDGEAFYPCRVCKLX", pad=2, layers=3, depth=4,
          shake=0.35, gaps={6: 4}, spec=dict(missing=0.08, unresolved=[9], resolution=2.1, clamped=1.0))
    # No clamp, resolution on the edge of the filter, no padding.
    write("edge", heads_of("model_3_ptm"), seed=12, sequence="WYHTDEFNQISCD", pad=0, layers=2, depth=5,
          shake=0.5, gaps={3: 1, 8: 30}, spec=dict(missing=0.15, unresolved=[], resolution=3.0, clamped=0.0))
    # Every constant changed, a mixture of both clamps, a distillation example (resolution 0), no PAE head.
    changes = {
        "distogram.first_break": 3.0, "distogram.last_break": 18.5, "distogram.num_bins": 24, "distogram.weight": 0.7,
        "predicted_aligned_error.max_error_bin": 12.0, "predicted_aligned_error.num_bins": 19,
        "experimentally_resolved.weight": 0.05, "experimentally_resolved.filter_by_resolution": False,
        "structure_module.fape.clamp_distance": 6.0, "structure_module.fape.loss_unit_distance": 8.0,
        "structure_module.angle_norm_weight": 0.03, "structure_module.chi_weight": 0.8,
        "structure_module.clash_overlap_tolerance": 1.2, "structure_module.violation_tolerance_factor": 9.0,
        "structure_module.sidechain.atom_clamp_distance": 7.0, "structure_module.sidechain.length_scale": 5.0,
        "structure_module.sidechain.weight_frac": 0.3, "structure_module.structural_violation_loss_weight": 0.6,
        "structure_module.weight": 1.5, "predicted_lddt.num_bins": 13, "predicted_lddt.weight": 0.2,
        "predicted_aligned_error.filter_by_resolution": False,
        "masked_msa.weight": 1.1,
    }
    write("changed", heads_of("model_5", **changes), seed=13, sequence="FDRYGETNV", pad=3, layers=4, depth=6,
          shake=0.3, gaps={2: 2}, spec=dict(missing=0.1, unresolved=[7], resolution=0.0, clamped=0.37))


WHEEL_BOND_LOSS = use_deepmind_angle_deviation()
if __name__ == "__main__":
    main()
