//! Peptide bonds between neighbours: length, and the angles at C and N. Suppl. 1.9.11, eq. 44 and 45.

use crate::Result;
use crate::labels::Labels;
use crate::ops::{constant, input, zero};
use candle_core::Tensor;
use chem::atoms::{C, CA, N};
use chem::bonds::{C_N_LENGTH, C_N_LENGTH_STDDEV, COS_C_N_CA, COS_CA_C_N};
use chem::residue::aatype_of_letter;

/// Flat-bottomed errors, each a mean over neighbours that are bonded; scalars.
#[derive(Debug, Clone)]
pub struct BondLoss {
    /// Length of C–N, Å beyond the tolerance.
    pub c_n: Tensor,
    /// Cosine of the angle Cα–C–N, beyond the tolerance.
    pub ca_c_n: Tensor,
    /// Cosine of the angle C–N–Cα, beyond the tolerance.
    pub c_n_ca: Tensor,
}

/// Peptide geometry of neighbours whose residue numbers differ by 1.
/// - `atom14` [r, 14, 3] Å
/// - `tolerance` standard deviations that cost nothing
///
/// The angle at C is measured in its own standard deviations, as in DeepMind's code; OpenFold and the ColabFold
/// wheel take those of the bond length there.
/// # Errors  [`crate::Error::Shape`] unless `atom14` has that shape.
pub fn bonds(atom14: &Tensor, labels: &Labels, tolerance: f64) -> Result<BondLoss> {
    let r = labels.len();
    let atom14 = input("final_atom14_positions", atom14, &[r, 14, 3])?;
    if r < 2 {
        let zero = zero(atom14.device())?;
        return Ok(BondLoss { c_n: zero.clone(), ca_c_n: zero.clone(), c_n_ca: zero });
    }
    let atom = |slot: usize, from: usize| -> Result<Tensor> {
        Ok(atom14.narrow(1, slot, 1)?.squeeze(1)?.narrow(0, from, r - 1)?.contiguous()?) // [r - 1, 3]
    };
    let (ca, c, next_n, next_ca) = (atom(CA, 0)?, atom(C, 0)?, atom(N, 1)?, atom(CA, 1)?);
    let (c_ca, _) = unit(&(ca - &c)?)?;
    let (c_n, length) = unit(&(&next_n - c)?)?;
    let (n_ca, _) = unit(&(next_ca - next_n)?)?;
    let n_c = c_n.neg()?;

    let proline = aatype_of_letter(b'P');
    let before_proline: Vec<usize> =
        labels.aatype[1..].iter().map(|a| usize::from(Some(*a) == proline)).collect();
    let by_next = |table: [f64; 2]| before_proline.iter().map(|p| table[*p]).collect::<Vec<f64>>();
    let mask = |this: &[usize], next: &[usize]| bonded(labels, this, next);
    Ok(BondLoss {
        c_n: flat_bottom(
            &length,
            &by_next(C_N_LENGTH),
            &by_next(C_N_LENGTH_STDDEV),
            tolerance,
            &mask(&[C], &[N]),
        )?,
        ca_c_n: flat_bottom(
            &(c_ca * c_n)?.sum_keepdim(1)?,
            &[COS_CA_C_N[0]],
            &[COS_CA_C_N[1]],
            tolerance,
            &mask(&[CA, C], &[N]),
        )?,
        c_n_ca: flat_bottom(
            &(n_c * n_ca)?.sum_keepdim(1)?,
            &[COS_C_N_CA[0]],
            &[COS_C_N_CA[1]],
            tolerance,
            &mask(&[C], &[N, CA]),
        )?,
    })
}

/// Unit vectors and lengths of `[n, 3]`; 1e-6 inside the root.
fn unit(v: &Tensor) -> Result<(Tensor, Tensor)> {
    let length = (v.sqr()?.sum_keepdim(1)? + 1e-6)?.sqrt()?; // [n, 1]
    Ok((v.broadcast_div(&length)?, length))
}

/// Mean over the mask of max(|value − mean| − tolerance · stddev, 0); `value` is [n, 1].
fn flat_bottom(value: &Tensor, mean: &[f64], stddev: &[f64], tolerance: f64, mask: &[f32]) -> Result<Tensor> {
    let column = |values: &[f64], factor: f64| -> Result<Tensor> {
        let values: Vec<f32> = values.iter().map(|x| (x * factor) as f32).collect();
        constant(&values, &[values.len(), 1], value.device())
    };
    let error = (value.broadcast_sub(&column(mean, 1.0)?)?.sqr()? + 1e-6)?.sqrt()?;
    let excess = error.broadcast_sub(&column(stddev, tolerance)?)?.relu()?;
    let count: f64 = mask.iter().map(|m| f64::from(*m)).sum();
    let masked = (excess * constant(mask, &[mask.len(), 1], value.device())?)?;
    Ok((masked.sum_all()? * (1.0 / (count + 1e-6)))?)
}

/// [r − 1] 1 where residue numbers follow each other and both sides have the atoms.
pub(super) fn bonded(labels: &Labels, this: &[usize], next: &[usize]) -> Vec<f32> {
    let exists = &labels.atom14_exists;
    let has = |i: usize, slots: &[usize]| slots.iter().map(|s| exists[i][*s]).product::<f32>();
    (1..labels.len())
        .map(|j| {
            let follows = labels.residue_index[j].checked_sub(labels.residue_index[j - 1]) == Some(1);
            if follows { has(j - 1, this) * has(j, next) } else { 0.0 }
        })
        .collect()
}
