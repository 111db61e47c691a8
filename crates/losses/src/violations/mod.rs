//! Structural violations: broken peptide bonds, clashes, distorted residues. Suppl. 1.9.11.

mod bonds;
mod metrics;
mod pairs;

pub use bonds::{BondLoss, bonds};
pub use metrics::{ViolationMetrics, metrics};
pub use pairs::{PairLoss, clashes, within_residues};

use crate::Result;
use crate::config::StructureConfig;
use crate::labels::Labels;
use candle_core::Tensor;

/// The parts of the violation loss, unweighted scalars.
#[derive(Debug, Clone)]
pub struct ViolationLoss {
    /// Peptide bonds and the angles at their ends.
    pub bonds: BondLoss,
    /// Clashes between residues.
    pub clashes: PairLoss,
    /// Distances within residues.
    pub within: PairLoss,
    /// Their sum as AlphaFold adds them: mean bonds and angles, and clashes and distances over all atoms.
    pub loss: Tensor,
}

/// Violation loss of predicted atoms.
/// - `atom14` [r, 14, 3] Å
/// # Errors  [`crate::Error::Shape`] unless `atom14` has that shape.
pub fn violations(atom14: &Tensor, labels: &Labels, config: &StructureConfig) -> Result<ViolationLoss> {
    let bonds = bonds(atom14, labels, config.violation_tolerance_factor)?;
    let clashes = clashes(atom14, labels, config.clash_overlap_tolerance)?;
    let within =
        within_residues(atom14, labels, config.clash_overlap_tolerance, config.violation_tolerance_factor)?;
    let atoms: f64 = labels.atom14_exists.as_flattened().iter().map(|m| f64::from(*m)).sum();
    let mean = ((&clashes.sum + &within.sum)? * (1.0 / (1e-6 + atoms)))?;
    let loss = (((&bonds.c_n + &bonds.ca_c_n)? + &bonds.c_n_ca)? + mean)?;
    Ok(ViolationLoss { bonds, clashes, within, loss })
}
