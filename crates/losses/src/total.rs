//! All heads together: each loss times its head's weight. Suppl. 1.9, eq. 7; `modules.AlphaFoldIteration`.

use crate::config::LossConfig;
use crate::labels::{Labels, MsaTruth};
use crate::ops::zero;
use crate::structure::{StructureLoss, StructureOutputs, structure_module};
use crate::{
    Error, Result, distogram, experimentally_resolved, masked_msa, predicted_aligned_error, predicted_lddt,
};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// What the heads predict; r residues, s sequences. A head without weight may be `None`.
#[derive(Debug, Clone)]
pub struct HeadOutputs {
    /// The structure module; other heads are judged by its coordinates, so it is always needed.
    pub structure_module: StructureOutputs,
    /// [r, r, bins] logits.
    pub distogram: Option<Tensor>,
    /// [s, r, 23] logits.
    pub masked_msa: Option<Tensor>,
    /// [r, bins] logits.
    pub predicted_lddt: Option<Tensor>,
    /// [r, r, bins] logits.
    pub predicted_aligned_error: Option<Tensor>,
    /// [r, 37] logits.
    pub experimentally_resolved: Option<Tensor>,
}

/// Every head's loss and their weighted sum; scalars.
#[derive(Debug, Clone)]
pub struct Losses {
    /// Unweighted losses by AlphaFold's head names (`NAME/loss` in its output); heads without weight are absent.
    pub per_head: BTreeMap<&'static str, Tensor>,
    /// Parts of the structure module's loss; `None` where the head has no weight.
    pub structure: Option<StructureLoss>,
    /// Σ weight · loss. A head that the resolution filter or a mask empties is a constant 0 without gradient.
    pub total: Tensor,
}

/// Losses of all heads that have a weight.
/// # Errors  [`Error::Missing`] if such a head's output is absent; [`Error::Shape`], [`Error::Value`] and
/// [`Error::Config`] as the single losses and [`LossConfig::validate`].
pub fn total(
    outputs: &HeadOutputs,
    labels: &Labels,
    msa: &MsaTruth<'_>,
    config: &LossConfig,
) -> Result<Losses> {
    config.validate()?;
    let mut sum = zero(outputs.structure_module.traj.device())?;
    let mut per_head = BTreeMap::new();
    let mut add = |head: &'static str, weight: f64, loss: Tensor| -> Result<()> {
        sum = (&sum + (&loss * weight)?)?;
        per_head.insert(head, loss);
        Ok(())
    };
    // In AlphaFold's order: by name, the confidence heads after the structure they judge.
    let head = &config.distogram;
    if let Some(logits) = asked("distogram", head.weight, &outputs.distogram)? {
        add("distogram", head.weight, distogram(logits, labels, head)?)?;
    }
    let head = &config.experimentally_resolved;
    if let Some(logits) = asked("experimentally_resolved", head.weight, &outputs.experimentally_resolved)? {
        add("experimentally_resolved", head.weight, experimentally_resolved(logits, labels, head)?)?;
    }
    let head = &config.masked_msa;
    if let Some(logits) = asked("masked_msa", head.weight, &outputs.masked_msa)? {
        add("masked_msa", head.weight, masked_msa(logits, msa, head)?)?;
    }
    let module = &outputs.structure_module;
    let head = &config.structure_module;
    let mut structure = None;
    if head.weight != 0.0 {
        let loss = structure_module(module, labels, head)?;
        add("structure_module", head.weight, loss.loss.clone())?;
        structure = Some(loss);
    }
    let head = &config.predicted_lddt;
    if let Some(logits) = asked("predicted_lddt", head.weight, &outputs.predicted_lddt)? {
        let loss = predicted_lddt(logits, &module.final_atom_positions, labels, head)?;
        add("predicted_lddt", head.weight, loss)?;
    }
    let head = &config.predicted_aligned_error;
    if let Some(logits) = asked("predicted_aligned_error", head.weight, &outputs.predicted_aligned_error)? {
        let loss = predicted_aligned_error(logits, &module.final_affines()?, labels, head)?;
        add("predicted_aligned_error", head.weight, loss)?;
    }
    Ok(Losses { per_head, structure, total: sum })
}

/// The head's logits if it has a weight.
fn asked<'a>(head: &'static str, weight: f64, logits: &'a Option<Tensor>) -> Result<Option<&'a Tensor>> {
    match logits {
        _ if weight == 0.0 => Ok(None),
        Some(logits) => Ok(Some(logits)),
        None => Err(Error::Missing { head, weight }),
    }
}
