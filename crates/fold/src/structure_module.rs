//! Structure module: frames, torsions and atoms from the representations. AF2 Suppl. Alg. 20, 23.

use crate::Result;
use crate::config::{Config, Dropout};
use crate::convert::tensor;
use crate::frames::{AllAtoms, Frames, Literature, all_atoms};
use crate::ipa::InvariantPointAttention;
use crate::layers::{Linear, Norm};
use crate::taps::Taps;
use candle_core::Tensor;
use features::ModelInput;
use nn::{Params, ops};

/// What the structure module gives; l layers, lengths in Å.
pub struct StructureOutput {
    /// Single representation after the last layer `[r, c]`.
    pub single: Tensor,
    /// Backbone frames after each layer `[l, r, 7]`: quaternion, translation.
    pub traj: Tensor,
    /// Torsions (sin, cos) of each layer `[l, r, 7, 2]`.
    pub angles: Tensor,
    /// The same before normalisation.
    pub unnormalized_angles: Tensor,
    /// Rigid groups of the last layer: rotations `[r, 8, 3, 3]`.
    pub frames_rotation: Tensor,
    /// Rigid groups of the last layer: origins `[r, 8, 3]`.
    pub frames_translation: Tensor,
    /// Atoms of the last layer `[r, 14, 3]`.
    pub atom14: Tensor,
    /// Atoms `[r, 37, 3]`.
    pub atom37: Tensor,
    /// Which atoms each residue has `[r, 37]`.
    pub atom37_mask: Tensor,
}

/// What one layer gives.
pub(crate) struct Layer {
    /// The update of invariant point attention `[r, c]`.
    pub attention: Tensor,
    /// Single representation `[r, c]`.
    pub single: Tensor,
    /// Backbone frames, in units of `position_scale` Å.
    pub frames: Frames,
    /// Torsions (sin, cos) `[r, 7, 2]`.
    pub angles: Tensor,
    /// The same before normalisation.
    pub raw_angles: Tensor,
}

/// Torsions from the single representation.
struct AngleResnet {
    input: Linear,
    initial: Linear,
    blocks: Vec<(Linear, Linear)>,
    out: Linear,
}

/// The structure module; its layers share their weights.
pub struct StructureModule {
    norm_s: Norm,
    norm_z: Norm,
    input: Linear,
    ipa: InvariantPointAttention,
    norm_ipa: Norm,
    transition: Vec<Linear>,
    norm_transition: Norm,
    backbone: Linear,
    angles: AngleResnet,
    layers: usize,
    scale: f64,
    dropout: Dropout,
}

impl StructureModule {
    /// Parameters below `p`.
    pub fn load(p: &Params, config: &Config) -> nn::Result<Self> {
        let t = &config.embeddings_and_evoformer;
        let s = &config.heads.structure_module;
        let (c, c_s, c_z, c_a) = (s.num_channel, t.seq_channel, t.pair_channel, s.sidechain.num_channel);
        let a = p.sub("angle_resnet");
        let block = |i: usize| -> nn::Result<_> {
            let p = a.sub(format!("layers.{i}"));
            Ok((Linear::load(&p.sub("linear_1"), c_a, c_a)?, Linear::load(&p.sub("linear_2"), c_a, c_a)?))
        };
        Ok(Self {
            norm_s: Norm::load(&p.sub("layer_norm_s"), c_s)?,
            norm_z: Norm::load(&p.sub("layer_norm_z"), c_z)?,
            input: Linear::load(&p.sub("linear_in"), c_s, c)?,
            ipa: InvariantPointAttention::load(&p.sub("ipa"), c_z, s)?,
            norm_ipa: Norm::load(&p.sub("layer_norm_ipa"), c)?,
            transition: (1..=s.num_layer_in_transition)
                .map(|i| Linear::load(&p.sub(format!("transition.layers.0.linear_{i}")), c, c))
                .collect::<nn::Result<_>>()?,
            norm_transition: Norm::load(&p.sub("transition.layer_norm"), c)?,
            backbone: Linear::load(&p.sub("bb_update.linear"), c, 6)?,
            angles: AngleResnet {
                input: Linear::load(&a.sub("linear_in"), c, c_a)?,
                initial: Linear::load(&a.sub("linear_initial"), c_s, c_a)?,
                blocks: (0..s.sidechain.num_residual_block).map(block).collect::<nn::Result<_>>()?,
                out: Linear::load(&a.sub("linear_out"), c_a, 14)?,
            },
            layers: s.num_layer,
            scale: s.position_scale,
            dropout: Dropout { rate: s.dropout, ..Dropout::default() },
        })
    }

    /// From the single `[r, c_s]` and pair `[r, r, c_z]` representations.
    pub fn forward(
        &self,
        single: &Tensor,
        pair: &Tensor,
        x: &ModelInput,
        taps: &Taps,
    ) -> Result<StructureOutput> {
        let aatype: Vec<u8> = x.aatype.iter().map(|&a| a.clamp(0, 20) as u8).collect();
        let literature = Literature::new(&aatype, single.device())?;
        let mask = tensor(&x.seq_mask, single.device())?;
        let initial = self.norm_s.forward(single)?;
        let z = self.norm_z.forward(pair)?;
        let mut s = self.input.forward(&initial)?;
        let initial = self.initial_angles(&initial)?;
        let mut frames = Frames::identity(aatype.len(), single.device())?;
        let (mut traj, mut angles, mut raw_angles) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for number in 0..self.layers {
            let tap = |name: &str, t: &Tensor| taps.add(|| format!("structure_module.{number}.{name}"), t);
            let layer = self.layer(&s, &z, &mask, &frames, &initial, (number, taps))?;
            tap("ipa", &layer.attention);
            tap("s", &layer.single);
            tap("angles", &layer.angles);
            // Only the last layer's are part of the result.
            if number + 1 == self.layers || taps.are_on() {
                let atoms = self.atoms(&layer, &literature)?;
                tap("atom14", &atoms.atom14);
                last = Some(atoms);
            }
            traj.push(layer.frames.to_tensor(self.scale)?);
            angles.push(layer.angles);
            raw_angles.push(layer.raw_angles);
            s = layer.single;
            frames = layer.frames.stop_rotation();
        }
        let atoms =
            last.ok_or_else(|| crate::Error::Config("structure module: expected at least 1 layer".into()))?;
        let (atom37, atom37_mask) = atom37(&atoms.atom14, x)?;
        Ok(StructureOutput {
            single: s,
            traj: Tensor::stack(&traj, 0)?,
            angles: Tensor::stack(&angles, 0)?,
            unnormalized_angles: Tensor::stack(&raw_angles, 0)?,
            frames_rotation: atoms.rotation,
            frames_translation: atoms.translation,
            atom14: atoms.atom14,
            atom37,
            atom37_mask,
        })
    }

    /// One layer: from `s` `[r, c]` and frames, given the normalised `z` `[r, r, c_z]` and what
    /// [`Self::initial_angles`] gives. Its number tells its dropout from the other layers'.
    pub(crate) fn layer(
        &self,
        s: &Tensor,
        z: &Tensor,
        mask: &Tensor,
        frames: &Frames,
        initial: &Tensor,
        (number, taps): (usize, &Taps),
    ) -> candle_core::Result<Layer> {
        let thinned = |name: &str, x: Tensor| {
            taps.thinned(|| format!("structure_module.{number}.{name}"), self.dropout, x)
        };
        let attention = self.ipa.forward(s, z, mask, frames)?;
        let s = self.norm_ipa.forward(&thinned("attended", (s + &attention)?)?)?;
        let moved = self.transition(s)?;
        let single = self.norm_transition.forward(&thinned("moved", moved)?)?;
        let frames = frames.update(&self.backbone.forward(&single)?)?;
        let (angles, raw_angles) = self.angles(&single, initial)?;
        Ok(Layer { attention, single, frames, angles, raw_angles })
    }

    /// Rigid groups and atoms of a layer, Å.
    pub(crate) fn atoms(&self, layer: &Layer, literature: &Literature) -> candle_core::Result<AllAtoms> {
        all_atoms(literature, &layer.frames, self.scale, &layer.angles)
    }

    /// What the normalised single representation `[r, c_s]` before the layers gives to the torsions of each: `[r, c]`.
    pub(crate) fn initial_angles(&self, initial: &Tensor) -> candle_core::Result<Tensor> {
        self.angles.initial.forward(&ops::relu(initial)?)
    }

    /// Torsions `[r, 7, 2]`: of unit length, and as they come out. `initial` as [`Self::initial_angles`] gives it.
    pub(crate) fn angles(&self, s: &Tensor, initial: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        self.angles.forward(s, initial)
    }

    /// `s` and its update.
    fn transition(&self, s: Tensor) -> candle_core::Result<Tensor> {
        let Some((last, before)) = self.transition.split_last() else {
            return &s + &s;
        };
        let mut y = s.clone();
        for layer in before {
            y = layer.relu(&y)?;
        }
        last.update(&y).onto(s)
    }
}

impl AngleResnet {
    /// Torsions `[r, 7, 2]`: of unit length, and as they come out.
    fn forward(&self, s: &Tensor, initial: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let mut a = (self.input.forward(&ops::relu(s)?)? + initial)?;
        for (first, second) in &self.blocks {
            let inner = first.relu(&ops::relu(&a)?)?;
            a = second.update(&inner).onto(a)?;
        }
        let raw = self.out.forward(&ops::relu(&a)?)?.reshape((s.dim(0)?, 7, 2))?;
        Ok((ops::unit_pairs(&raw).tensor()?, raw))
    }
}

/// Atoms in the sparse numbering, zero where a residue has none, and which exist.
pub(crate) fn atom37(atom14: &Tensor, x: &ModelInput) -> Result<(Tensor, Tensor)> {
    let r = x.num_res();
    let index: Vec<u32> = x
        .atoms
        .atom37_to_atom14
        .iter()
        .enumerate()
        .map(|(i, &a)| (i / 37 * 14) as u32 + a.clamp(0, 13) as u32)
        .collect();
    let index = nn::cuda::upload(index, r * 37, atom14.device())?;
    let mask = tensor(&x.atoms.atom37_exists, atom14.device())?;
    let atoms = atom14.reshape((r * 14, 3))?.index_select(&index, 0)?.reshape((r, 37, 3))?;
    Ok((atoms.broadcast_mul(&mask.unsqueeze(2)?)?, mask))
}
