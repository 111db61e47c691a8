//! The structure module's loss: FAPE of backbone and side chains, torsions, violations. Suppl. 1.9, eq. 7;
//! `folding.StructureModule.loss`.

use crate::ambiguity::rename;
use crate::config::StructureConfig;
use crate::error::expect_shape;
use crate::labels::Labels;
use crate::violations::{ViolationLoss, violations};
use crate::{Result, backbone, chi, sidechain};
use candle_core::Tensor;

/// What the structure module predicts; r residues. Lengths in Å.
#[derive(Debug, Clone)]
pub struct StructureOutputs {
    /// [layers, r, 7] backbone frames: unit quaternion (w, x, y, z), translation times AlphaFold's position scale.
    pub traj: Tensor,
    /// [r, 8, 3, 3] rigid-group rotations of the last layer.
    pub frames_rot: Tensor,
    /// [r, 8, 3] rigid-group origins of the last layer.
    pub frames_trans: Tensor,
    /// [r, 14, 3] atoms of the last layer (AlphaFold's `final_atom14_positions`).
    pub atom14: Tensor,
    /// [layers, r, 7, 2] unit (sin, cos) of the torsions.
    pub angles_sin_cos: Tensor,
    /// [layers, r, 7, 2] the same before normalisation.
    pub unnormalized_angles_sin_cos: Tensor,
    /// [r, 37, 3] the atoms of the last layer in atom37.
    pub final_atom_positions: Tensor,
}

impl StructureOutputs {
    /// [r, 7] backbone frames of the last layer.
    /// # Errors  [`crate::Error::Shape`] if `traj` has no layer.
    pub fn final_affines(&self) -> Result<Tensor> {
        let layers = self.traj.dims().first().copied().unwrap_or(0);
        let r = self.atom14.dims().first().copied().unwrap_or(0);
        expect_shape("traj", &self.traj, &[layers.max(1), r, 7])?;
        Ok(self.traj.get(layers - 1)?)
    }
}

/// The structure module's loss and its parts; scalars, the parts unweighted.
#[derive(Debug, Clone)]
pub struct StructureLoss {
    /// Weighted sum of the parts.
    pub loss: Tensor,
    /// Backbone FAPE, mean over layers.
    pub backbone: Tensor,
    /// Backbone FAPE of the last layer.
    pub fape: Tensor,
    /// Side-chain FAPE.
    pub sidechain_fape: Tensor,
    /// χ angles.
    pub chi: Tensor,
    /// Torsion lengths.
    pub angle_norm: Tensor,
    /// Violations; `None` where they have no weight.
    pub violations: Option<ViolationLoss>,
}

/// Loss of the structure module. Distances and torsions are taken against the better naming of ambiguous atoms.
/// # Errors  [`crate::Error::Shape`] where a tensor does not fit the labels.
pub fn structure_module(
    outputs: &StructureOutputs,
    labels: &Labels,
    config: &StructureConfig,
) -> Result<StructureLoss> {
    let backbone = backbone(&outputs.traj, labels, &config.fape)?;
    let truth = rename(&outputs.atom14, labels)?;
    let sidechain_fape = sidechain(
        &outputs.frames_rot,
        &outputs.frames_trans,
        &outputs.atom14,
        &truth,
        labels,
        &config.sidechain,
    )?;
    let torsions = chi(&outputs.angles_sin_cos, &outputs.unnormalized_angles_sin_cos, labels)?;
    let share = config.sidechain.weight_frac;
    let mut loss = ((&backbone.loss * (1.0 - share))? + (&sidechain_fape * share)?)?;
    loss = (loss + (&torsions.chi * config.chi_weight)?)?;
    loss = (loss + (&torsions.angle_norm * config.angle_norm_weight)?)?;
    let weight = config.structural_violation_loss_weight;
    let violations = if weight != 0.0 { Some(violations(&outputs.atom14, labels, config)?) } else { None };
    if let Some(violations) = &violations {
        loss = (loss + (&violations.loss * weight)?)?;
    }
    Ok(StructureLoss {
        loss,
        backbone: backbone.loss,
        fape: backbone.last,
        sidechain_fape,
        chi: torsions.chi,
        angle_norm: torsions.angle_norm,
        violations,
    })
}
