//! Pairs of atoms too close or too far: clashes between residues, distorted distances within. Suppl. 1.9.11, eq. 46.
//!
//! A pair inside its bounds has neither loss nor gradient, so the violating pairs are found on plain numbers and
//! only they become tensors: no [r, r, 14, 14] array is made.

use crate::Result;
use crate::labels::{Labels, array2};
use crate::ops::{constant, input, values, zero};
use candle_core::Tensor;
use chem::atoms::{ATOM14_TO_ATOM37, C, N, atom14_order};
use chem::bonds::{ATOM37_RADIUS, atom14_distance_bounds};
use chem::residue::aatype_of_letter;

/// Penalty of violating pairs.
#[derive(Debug, Clone)]
pub struct PairLoss {
    /// Scalar: Å beyond the bounds, summed over atoms as AlphaFold does: each atom gets the pair's whole excess
    /// once for each order the pair is listed in.
    pub sum: Tensor,
    /// [r] whether an atom of the residue is in a violating pair.
    pub residues: Vec<bool>,
}

/// A distance beyond a bound: the loss is `sign · (distance − bound)`, positive.
struct Violation {
    atoms: [usize; 2],
    bound: f32,
    sign: f32,
}

/// Clashes between atoms of different residues: nearer than their van der Waals radii less `tolerance`, Å.
/// - `atom14` [r, 14, 3] Å
///
/// C and N of a peptide bond are exempt; so are all pairs of the slot that holds cysteine's Sγ, whatever the
/// residue types, as in AlphaFold. Residues of equal number do not clash.
/// # Errors  [`crate::Error::Shape`] unless `atom14` has that shape.
pub fn clashes(atom14: &Tensor, labels: &Labels, tolerance: f64) -> Result<PairLoss> {
    let r = labels.len();
    let atom14 = input("final_atom14_positions", atom14, &[r, 14, 3])?;
    let at = positions(&atom14)?;
    let sulfur = aatype_of_letter(b'C').and_then(|cys| atom14_order(cys, "SG"));
    let radius = |i: usize, a: usize| {
        ATOM37_RADIUS[ATOM14_TO_ATOM37[usize::from(labels.aatype[i])][a]] * labels.atom14_exists[i][a]
    };
    let present: Vec<Vec<usize>> =
        labels.atom14_exists.iter().map(|m| (0..14).filter(|a| m[*a] != 0.0).collect()).collect();
    let number = &labels.residue_index;
    let mut found = Vec::new();
    for i in 0..r {
        for j in (0..r).filter(|j| number[i] < number[*j]) {
            let bonded = number[j].checked_sub(number[i]) == Some(1);
            for &a in &present[i] {
                for &b in &present[j] {
                    if (bonded && a == C && b == N) || (Some(a) == sulfur && Some(b) == sulfur) {
                        continue;
                    }
                    let bound = radius(i, a) + radius(j, b) - tolerance as f32;
                    if distance(at[i][a], at[j][b]) < bound {
                        found.push(Violation { atoms: [i * 14 + a, j * 14 + b], bound, sign: -1.0 });
                    }
                }
            }
        }
    }
    // Listed once (lower residue number first), given to both atoms.
    penalty(&atom14, &found, 2.0, r)
}

/// Distances within residues outside their bounds: bonds and bond angles may stray by `bond_tolerance` standard
/// deviations, other atoms may overlap by `overlap_tolerance`, Å.
/// - `atom14` [r, 14, 3] Å
/// # Errors  [`crate::Error::Shape`] unless `atom14` has that shape.
pub fn within_residues(
    atom14: &Tensor,
    labels: &Labels,
    overlap_tolerance: f64,
    bond_tolerance: f64,
) -> Result<PairLoss> {
    let r = labels.len();
    let atom14 = input("final_atom14_positions", atom14, &[r, 14, 3])?;
    let at = positions(&atom14)?;
    let bounds = atom14_distance_bounds(overlap_tolerance, bond_tolerance);
    let mut found = Vec::new();
    for i in 0..r {
        let aatype = usize::from(labels.aatype[i]);
        let exists = |a: usize| labels.atom14_exists[i][a] != 0.0;
        for a in (0..14).filter(|a| exists(*a)) {
            for b in (a + 1..14).filter(|b| exists(*b)) {
                let d = distance(at[i][a], at[i][b]);
                let (low, high) = (bounds.lower[aatype][a][b], bounds.upper[aatype][a][b]);
                let atoms = [i * 14 + a, i * 14 + b];
                if d < low {
                    found.push(Violation { atoms, bound: low, sign: -1.0 });
                }
                if d > high {
                    found.push(Violation { atoms, bound: high, sign: 1.0 });
                }
            }
        }
    }
    // Listed in both orders, given to both atoms each time.
    penalty(&atom14, &found, 4.0, r)
}

/// times · Σ sign · (distance − bound).
fn penalty(atom14: &Tensor, found: &[Violation], times: f64, r: usize) -> Result<PairLoss> {
    let mut residues = vec![false; r];
    for atom in found.iter().flat_map(|v| v.atoms) {
        residues[atom / 14] = true;
    }
    let device = atom14.device();
    if found.is_empty() {
        return Ok(PairLoss { sum: zero(device)?, residues });
    }
    let flat = atom14.reshape((r * 14, 3))?;
    let side = |k: usize| -> Result<Tensor> {
        let atoms: Vec<u32> = found.iter().map(|v| v.atoms[k] as u32).collect();
        Ok(flat.index_select(&Tensor::new(atoms, device)?, 0)?)
    };
    let n = found.len();
    let distance = ((side(0)? - side(1)?)?.sqr()?.sum(1)? + 1e-10)?.sqrt()?; // [n]
    let bounds: Vec<f32> = found.iter().map(|v| v.bound).collect();
    let signs: Vec<f32> = found.iter().map(|v| v.sign).collect();
    let excess = ((distance - constant(&bounds, &[n], device)?)? * constant(&signs, &[n], device)?)?;
    Ok(PairLoss { sum: (excess.sum_all()? * times)?, residues })
}

pub(super) fn positions(atom14: &Tensor) -> Result<Vec<[[f32; 3]; 14]>> {
    Ok(values(atom14)?.chunks_exact(14 * 3).map(array2).collect())
}

/// In f32, with AlphaFold's 1e-10 inside the root.
fn distance(p: [f32; 3], q: [f32; 3]) -> f32 {
    let square = |k: usize| (p[k] - q[k]) * (p[k] - q[k]);
    (1e-10 + (square(0) + square(1) + square(2))).sqrt()
}
