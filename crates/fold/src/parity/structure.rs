//! The structure module: invariant point attention, frames and side chains of each layer alone, each layer, and
//! all layers with the final atoms.

use super::golden::{Golden, PRESENT, RESIDUES};
use super::report::Report;
use crate::Result;
use crate::convert::values;
use crate::frames::{Frames, Literature, all_atoms};
use crate::ipa::InvariantPointAttention;
use crate::structure_module::{StructureModule, atom37};
use crate::taps::Taps;
use candle_core::{Device, Tensor};

const LAYER: &str = "structure_module/fold_iteration";

/// Quaternion and translation, [r, 7], as AlphaFold stores a frame.
fn frames(affine: &Tensor) -> Result<Frames> {
    let part = |start, len| values(&affine.narrow(1, start, len)?);
    Ok(Frames::new(&part(0, 4)?, &part(4, 3)?, affine.device())?)
}

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    let module = StructureModule::load(&golden.params.sub("structure_module"), &golden.config)?;
    for layer in 0..golden.calls(LAYER) {
        attention(golden, report, layer)?;
        backbone(golden, report, layer)?;
        side_chains(golden, report, layer, &module)?;
        whole_layer(golden, report, layer, &module)?;
    }
    all_layers(golden, report, &module)?;
    final_atoms(golden, report)
}

fn attention(golden: &Golden, report: &mut Report, layer: usize) -> Result<()> {
    let (t, h) = (&golden.config.embeddings_and_evoformer, &golden.config.heads);
    let p = golden.params.sub("structure_module.ipa");
    let ipa = InvariantPointAttention::load(&p, t.pair_channel, &h.structure_module)?;
    let call = format!("{LAYER}/invariant_point_attention#{layer}");
    let at = |value: &str| golden.tap(&format!("{call}:{value}"));
    let mask = at("mask").squeeze(1)?;
    let update = ipa.forward(&at("inputs_1d"), &at("inputs_2d"), &mask, &frames(&at("affine"))?)?;
    report.compare(golden, &format!("{call}:out"), &update);
    Ok(())
}

/// The frame after the update that AlphaFold's linear layer gave.
fn backbone(golden: &Golden, report: &mut Report, layer: usize) -> Result<()> {
    let before = frames(&golden.tap(&format!("{LAYER}#{layer}:in0.affine")))?;
    let after = before.update(&golden.tap(&format!("{LAYER}/affine_update#{layer}:out")))?;
    report.compare(golden, &format!("{LAYER}#{layer}:out.affine"), &after.to_tensor(1.0)?);
    Ok(())
}

/// Torsions from the representations; rigid groups and atoms from AlphaFold's torsions and frames, Å.
fn side_chains(golden: &Golden, report: &mut Report, layer: usize, module: &StructureModule) -> Result<()> {
    let call = format!("{LAYER}/rigid_sidechain#{layer}");
    let at = |value: &str| golden.tap(&format!("{call}:{value}"));
    let (unit, raw) = module.angles(&at("in1.0"), &module.initial_angles(&at("in1.1"))?)?;
    report.compare(golden, &format!("{call}:out.angles_sin_cos"), &unit);
    report.compare(golden, &format!("{call}:out.unnormalized_angles_sin_cos"), &raw);
    let backbone = frames(&at("in0"))?;
    let literature = Literature::new(&golden.aatype(), &Device::Cpu)?;
    for angles in [unit, at("out.angles_sin_cos")] {
        let atoms = all_atoms(&literature, &backbone, 1.0, &angles)?;
        report.compare(golden, &format!("{call}:out.frames.rot"), &atoms.rotation);
        report.compare(golden, &format!("{call}:out.frames.trans"), &atoms.translation);
        report.compare(golden, &format!("{call}:out.atom_pos"), &atoms.atom14);
    }
    Ok(())
}

fn whole_layer(golden: &Golden, report: &mut Report, layer: usize, module: &StructureModule) -> Result<()> {
    let call = format!("{LAYER}#{layer}");
    let at = |value: &str| golden.tap(&format!("{call}:{value}"));
    let (mask, before) = (at("sequence_mask").squeeze(1)?, frames(&at("in0.affine"))?);
    let (act, pair) = (at("in0.act"), at("static_feat_2d"));
    let initial = module.initial_angles(&at("initial_act"))?;
    let literature = Literature::new(&golden.aatype(), &Device::Cpu)?;
    let ours = module.layer(&act, &pair, &mask, &before, &initial, (0, &Taps::off()))?;
    let atoms = module.atoms(&ours, &literature)?;
    for (value, got) in [
        ("act", &ours.single),
        ("affine", &ours.frames.to_tensor(1.0)?),
        ("sc.angles_sin_cos", &ours.angles),
        ("sc.unnormalized_angles_sin_cos", &ours.raw_angles),
        ("sc.frames.rot", &atoms.rotation),
        ("sc.frames.trans", &atoms.translation),
        ("sc.atom_pos", &atoms.atom14),
    ] {
        report.compare(golden, &format!("{call}:out.{value}"), got);
    }
    Ok(())
}

/// From the representations to what the pass gave.
fn all_layers(golden: &Golden, report: &mut Report, module: &StructureModule) -> Result<()> {
    let single = golden.tap("structure_module/single_layer_norm#0:in0");
    let pair = golden.tap("structure_module/pair_layer_norm#0:in0");
    let ours = module.forward(&single, &pair, &golden.sample, &Taps::off())?;
    for (value, got) in [
        ("representations/structure_module", &ours.single),
        ("structure_module/traj", &ours.traj),
        ("structure_module/sidechains/angles_sin_cos", &ours.angles),
        ("structure_module/sidechains/unnormalized_angles_sin_cos", &ours.unnormalized_angles),
        ("structure_module/final_atom14_positions", &ours.atom14),
        ("structure_module/final_atom_positions", &ours.atom37),
        ("structure_module/final_atom_mask", &ours.atom37_mask),
    ] {
        report.compare(golden, &format!("recycle_0/{value}"), got);
    }
    let last = ours.traj.narrow(0, ours.traj.dim(0)? - 1, 1)?.squeeze(0)?;
    report.compare(golden, "recycle_0/structure_module/final_affines", &last);
    Ok(())
}

/// atom37 is atom14 in another order: of AlphaFold's atom14 ours must make its atom37 to the bit.
fn final_atoms(golden: &Golden, report: &mut Report) -> Result<()> {
    for pass in ["recycle_0", "recycle_3"] {
        let at = |value: &str| format!("{pass}/structure_module/final_{value}");
        let atom14 = golden.output(&at("atom14_positions"));
        assert_eq!(atom14.dims(), [RESIDUES, 14, 3]);
        let (positions, mask) = atom37(&atom14, &golden.sample)?;
        let want = golden.output(&at("atom_positions"));
        let present = |t: &Tensor| t.narrow(0, 0, PRESENT)?.flatten_all()?.to_vec1::<f32>();
        assert_eq!(present(&positions)?, present(&want)?, "{pass}");
        report.compare(golden, &at("atom_positions"), &positions);
        report.compare(golden, &at("atom_mask"), &mask);
    }
    Ok(())
}
