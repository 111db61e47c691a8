//! How often a prediction breaks the rules: shares of residues, for logs and reports. No gradient.

use super::bonds::bonded;
use super::pairs::{clashes, positions, within_residues};
use crate::Result;
use crate::config::StructureConfig;
use crate::labels::Labels;
use crate::ops::input;
use candle_core::Tensor;
use chem::atoms::{C, CA, N};
use chem::bonds::{C_N_LENGTH, C_N_LENGTH_STDDEV, CA_CA, COS_C_N_CA, COS_CA_C_N};
use chem::residue::aatype_of_letter;

/// Shares of violating residues, 0–1 (AlphaFold's `violations_*` metrics).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ViolationMetrics {
    /// Neighbours whose Cα lie over 1.5 Å too far apart, of all neighbours.
    pub extreme_ca_ca_distance: f64,
    /// Residues with a bad peptide bond or angle.
    pub between_residue_bond: f64,
    /// Residues with a clashing atom.
    pub between_residue_clash: f64,
    /// Residues with a bad distance inside.
    pub within_residue: f64,
    /// Residues with any of the three.
    pub per_residue: f64,
}

/// Violation metrics of predicted atoms.
/// - `atom14` [r, 14, 3] Å
/// # Errors  [`crate::Error::Shape`] unless `atom14` has that shape.
pub fn metrics(atom14: &Tensor, labels: &Labels, config: &StructureConfig) -> Result<ViolationMetrics> {
    let atom14 = input("final_atom14_positions", &atom14.detach(), &[labels.len(), 14, 3])?;
    let at = positions(&atom14)?;
    let tolerance = config.violation_tolerance_factor;
    let bond = bad_bonds(&at, labels, tolerance);
    let clash = clashes(&atom14, labels, config.clash_overlap_tolerance)?.residues;
    let within = within_residues(&atom14, labels, config.clash_overlap_tolerance, tolerance)?.residues;
    let any: Vec<bool> = (0..labels.len()).map(|i| bond[i] || clash[i] || within[i]).collect();
    let share = |bad: &[bool]| {
        let mask = labels.seq_mask.iter().map(|m| f64::from(*m));
        let hits: f64 = bad.iter().zip(mask.clone()).map(|(b, m)| f64::from(u8::from(*b)) * m).sum();
        hits / (mask.sum::<f64>() + 1e-10)
    };
    Ok(ViolationMetrics {
        extreme_ca_ca_distance: extreme_ca_ca(&at, labels),
        between_residue_bond: share(&bond),
        between_residue_clash: share(&clash),
        within_residue: share(&within),
        per_residue: share(&any),
    })
}

fn extreme_ca_ca(at: &[[[f32; 3]; 14]], labels: &Labels) -> f64 {
    let (mut hits, mut count) = (0.0, 0.0);
    for (i, mask) in bonded(labels, &[CA], &[CA]).into_iter().enumerate() {
        let distance = (1e-6 + square(sub(at[i][CA], at[i + 1][CA]))).sqrt();
        count += f64::from(mask);
        hits += if distance - CA_CA > 1.5 { f64::from(mask) } else { 0.0 };
    }
    hits / (count + 1e-10)
}

/// [r] residues on either side of a peptide bond that is off by more than `tolerance` standard deviations.
fn bad_bonds(at: &[[[f32; 3]; 14]], labels: &Labels, tolerance: f64) -> Vec<bool> {
    let mut bad = vec![false; labels.len()];
    let masks = [bonded(labels, &[C], &[N]), bonded(labels, &[CA, C], &[N]), bonded(labels, &[C], &[N, CA])];
    for i in 0..labels.len().saturating_sub(1) {
        let proline = usize::from(aatype_of_letter(b'P') == Some(labels.aatype[i + 1]));
        let (c_ca, c_n) = (sub(at[i][CA], at[i][C]), sub(at[i + 1][N], at[i][C]));
        let n_ca = sub(at[i + 1][CA], at[i + 1][N]);
        let length = |v| (1e-6 + square(v)).sqrt();
        let cos =
            |u: [f64; 3], v: [f64; 3]| (0..3).map(|k| u[k] * v[k]).sum::<f64>() / (length(u) * length(v));
        let off = |value: f64, mean: f64, stddev: f64| {
            (1e-6 + (value - mean) * (value - mean)).sqrt() > tolerance * stddev
        };
        let broken = [
            off(length(c_n), C_N_LENGTH[proline], C_N_LENGTH_STDDEV[proline]),
            off(cos(c_ca, c_n), COS_CA_C_N[0], COS_CA_C_N[1]),
            off(-cos(c_n, n_ca), COS_C_N_CA[0], COS_C_N_CA[1]),
        ];
        if (0..3).any(|k| broken[k] && masks[k][i] != 0.0) {
            bad[i] = true;
            bad[i + 1] = true;
        }
    }
    bad
}

fn sub(p: [f32; 3], q: [f32; 3]) -> [f64; 3] {
    std::array::from_fn(|k| f64::from(p[k]) - f64::from(q[k]))
}

fn square(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum()
}
