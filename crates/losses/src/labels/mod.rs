//! Ground truth of the losses, derived from atom37 coordinates.
//!
//! AlphaFold's training pipeline makes these features before the network sees a batch (atom14 truth and its
//! renamed twin, rigid groups, χ angles, pseudo-β). Here they follow from coordinates, mask and residue types,
//! by the definitions of `all_atom.py` (`atom37_to_frames`, `atom37_to_torsion_angles`, `get_alt_atom14`) and
//! `modules.pseudo_beta_fn`. Computed in f64, kept in f32.

mod atom14;
mod backbone_only;
mod frames;
mod torsions;

pub use atom14::Atom14Truth;
pub use frames::{FrameTruth, Rigid};
pub use torsions::ChiTruth;

use crate::error::{expect_len, expect_mask};
use crate::{Error, Result};
use chem::atoms::{CA, pseudo_beta};

/// What AlphaFold's batch says about one structure; r residues, flat arrays in row-major order.
#[derive(Debug, Clone, Copy)]
pub struct LabelInputs<'a> {
    /// [r] residue types, 0–20.
    pub aatype: &'a [u8],
    /// [r] residue numbers, ascending; a step of 1 is a peptide bond.
    pub residue_index: &'a [i32],
    /// [r] 1 = residue, 0 = padding.
    pub seq_mask: &'a [f32],
    /// [r, 37, 3] Å.
    pub all_atom_positions: &'a [f32],
    /// [r, 37] 1 = resolved.
    pub all_atom_mask: &'a [f32],
    /// [r, 14] which atoms the prediction has, as in the batch; `None`: by residue type, none in padding.
    pub atom14_atom_exists: Option<&'a [f32]>,
    /// [r, 37] which atoms the prediction has, as in the batch; `None`: by residue type, none in padding.
    pub atom37_atom_exists: Option<&'a [f32]>,
    /// Å; 0 for NMR and distillation targets.
    pub resolution: f32,
    /// 1 clamps the backbone's FAPE, 0 does not, between mixes. AlphaFold without this feature clamps: 1.
    pub use_clamped_fape: f32,
}

/// Ground truth of one structure of r residues.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// [r] residue types, 0–20.
    pub aatype: Vec<u8>,
    /// [r] residue numbers.
    pub residue_index: Vec<i32>,
    /// [r] 1 = residue, 0 = padding.
    pub seq_mask: Vec<f32>,
    /// Å; 0 for NMR and distillation targets.
    pub resolution: f32,
    /// Share of the clamped backbone FAPE.
    pub use_clamped_fape: f32,
    /// [r] true atom37 coordinates, Å.
    pub all_atom_positions: Vec<[[f32; 3]; 37]>,
    /// [r] 1 = resolved.
    pub all_atom_mask: Vec<[f32; 37]>,
    /// [r] atoms of the prediction, atom14.
    pub atom14_exists: Vec<[f32; 14]>,
    /// [r] atoms of the prediction, atom37.
    pub atom37_exists: Vec<[f32; 37]>,
    /// True atom14 coordinates and their renamed twin.
    pub atom14: Atom14Truth,
    /// True frames of the rigid groups; group 0 is the backbone.
    pub frames: FrameTruth,
    /// True χ angles.
    pub chi: ChiTruth,
    /// [r] Cβ, or Cα of glycine, Å.
    pub pseudo_beta: Vec<[f32; 3]>,
    /// [r] 1 = resolved.
    pub pseudo_beta_mask: Vec<f32>,
}

impl Labels {
    /// Derives everything from the batch.
    /// # Errors  [`Error::Shape`] where lengths disagree; [`Error::Value`] for a residue type above 20, a mask
    /// that is not 0 or 1, a coordinate of a resolved atom that is not finite, a clamped share outside 0–1.
    pub fn derive(input: LabelInputs<'_>) -> Result<Self> {
        let aatype = input.aatype;
        let r = aatype.len();
        expect_len("residue_index", input.residue_index, &[r])?;
        expect_len("seq_mask", input.seq_mask, &[r])?;
        expect_len("all_atom_positions", input.all_atom_positions, &[r, 37, 3])?;
        expect_len("all_atom_mask", input.all_atom_mask, &[r, 37])?;
        expect_mask("seq_mask", input.seq_mask)?;
        expect_mask("all_atom_mask", input.all_atom_mask)?;
        if let Some(at) = aatype.iter().position(|a| *a > 20) {
            let got = aatype[at].to_string();
            return Err(Error::Value { name: "aatype", at, expected: "a residue type, 0 to 20", got });
        }
        if !(0.0..=1.0).contains(&input.use_clamped_fape) {
            let got = input.use_clamped_fape.to_string();
            return Err(Error::Value { name: "use_clamped_fape", at: 0, expected: "a share, 0 to 1", got });
        }
        let mask: Vec<[f32; 37]> = rows(input.all_atom_mask);
        let mut positions: Vec<[[f32; 3]; 37]> =
            input.all_atom_positions.chunks_exact(37 * 3).map(array2).collect();
        check_coordinates(&mut positions, &mask)?;

        let atom14_exists = exists(
            "atom14_atom_exists",
            input.atom14_atom_exists,
            &chem::atoms::ATOM14_MASK,
            aatype,
            input.seq_mask,
        )?;
        let atom37_exists = exists(
            "atom37_atom_exists",
            input.atom37_atom_exists,
            &chem::atoms::STANDARD_ATOM_MASK,
            aatype,
            input.seq_mask,
        )?;
        let beta = |i: usize| pseudo_beta(aatype[i]);
        Ok(Self {
            atom14: Atom14Truth::derive(aatype, &positions, &mask, &atom14_exists),
            frames: FrameTruth::derive(aatype, &positions, &mask),
            chi: ChiTruth::derive(aatype, &positions, &mask),
            pseudo_beta: (0..r).map(|i| positions[i][beta(i)]).collect(),
            pseudo_beta_mask: (0..r).map(|i| mask[i][beta(i)]).collect(),
            aatype: aatype.to_vec(),
            residue_index: input.residue_index.to_vec(),
            seq_mask: input.seq_mask.to_vec(),
            resolution: input.resolution,
            use_clamped_fape: input.use_clamped_fape,
            all_atom_positions: positions,
            all_atom_mask: mask,
            atom14_exists,
            atom37_exists,
        })
    }

    /// Number of residues, padding included.
    pub fn len(&self) -> usize {
        self.aatype.len()
    }

    /// Whether there is no residue.
    pub fn is_empty(&self) -> bool {
        self.aatype.is_empty()
    }

    /// [r] true Cα coordinates, Å.
    pub(crate) fn ca(&self) -> Vec<[f32; 3]> {
        self.all_atom_positions.iter().map(|atoms| atoms[CA]).collect()
    }

    /// [r] 1 = Cα resolved.
    pub(crate) fn ca_mask(&self) -> Vec<f32> {
        self.all_atom_mask.iter().map(|mask| mask[CA]).collect()
    }
}

/// What the masked-MSA head should have seen; s sequences of r residues, flat.
#[derive(Debug, Clone, Copy)]
pub struct MsaTruth<'a> {
    /// [s, r] classes before masking, 0–22.
    pub true_msa: &'a [u8],
    /// [s, r] 1 = masked (or kept or replaced as part of masking), and so asked for.
    pub bert_mask: &'a [f32],
}

/// Resolved atoms need numbers; what stands at the others is set to 0.
fn check_coordinates(positions: &mut [[[f32; 3]; 37]], mask: &[[f32; 37]]) -> Result<()> {
    for (i, (atoms, mask)) in positions.iter_mut().zip(mask).enumerate() {
        for (j, atom) in atoms.iter_mut().enumerate() {
            if atom.iter().all(|x| x.is_finite()) {
                continue;
            }
            if mask[j] != 0.0 {
                return Err(Error::Value {
                    name: "all_atom_positions",
                    at: (i * 37 + j) * 3,
                    expected: "finite coordinates of a resolved atom",
                    got: format!("{atom:?}"),
                });
            }
            *atom = [0.0; 3];
        }
    }
    Ok(())
}

/// The batch's own existence mask, or the residue types' outside padding.
fn exists<const N: usize>(
    name: &'static str,
    given: Option<&[f32]>,
    table: &[[f32; N]; 21],
    aatype: &[u8],
    seq_mask: &[f32],
) -> Result<Vec<[f32; N]>> {
    if let Some(given) = given {
        expect_len(name, given, &[aatype.len(), N])?;
        expect_mask(name, given)?;
        return Ok(rows(given));
    }
    let row = |(a, m): (&u8, &f32)| table[usize::from(*a)].map(|e| e * m);
    Ok(aatype.iter().zip(seq_mask).map(row).collect())
}

fn rows<const N: usize>(flat: &[f32]) -> Vec<[f32; N]> {
    flat.chunks_exact(N).map(|row| std::array::from_fn(|i| row[i])).collect()
}

/// # Panics  if `row` is shorter than 3 · N.
pub(crate) fn array2<const N: usize>(row: &[f32]) -> [[f32; 3]; N] {
    std::array::from_fn(|i| [row[3 * i], row[3 * i + 1], row[3 * i + 2]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input<'a>(positions: &'a [f32], mask: &'a [f32]) -> LabelInputs<'a> {
        LabelInputs {
            aatype: &[7, 20],
            residue_index: &[1, 2],
            seq_mask: &[1.0, 0.0],
            all_atom_positions: positions,
            all_atom_mask: mask,
            atom14_atom_exists: None,
            atom37_atom_exists: None,
            resolution: 2.0,
            use_clamped_fape: 1.0,
        }
    }

    #[test]
    fn padding_has_no_atoms_unless_the_batch_says_so() {
        let (positions, mask) = (vec![0.0; 2 * 37 * 3], vec![0.0; 2 * 37]);
        let labels = Labels::derive(input(&positions, &mask)).unwrap();
        assert_eq!(labels.atom14_exists[0].iter().sum::<f32>(), 4.0);
        assert_eq!(labels.atom14_exists[1], [0.0; 14]);
        let given = vec![1.0; 2 * 14];
        let from_batch =
            Labels::derive(LabelInputs { atom14_atom_exists: Some(&given), ..input(&positions, &mask) });
        assert_eq!(from_batch.unwrap().atom14_exists[1], [1.0; 14]);
    }

    #[test]
    fn bad_inputs_are_named() {
        let (mut positions, mut mask) = (vec![0.0; 2 * 37 * 3], vec![0.0; 2 * 37]);
        positions[4] = f32::NAN;
        assert!(Labels::derive(input(&positions, &mask)).is_ok(), "an unresolved atom may be anything");
        mask[1] = 1.0;
        let message = Labels::derive(input(&positions, &mask)).unwrap_err().to_string();
        assert!(message.starts_with("all_atom_positions[3]: expected finite coordinates"), "{message}");
        mask[1] = 0.5;
        let message = Labels::derive(input(&positions, &mask)).unwrap_err().to_string();
        assert_eq!(message, "all_atom_mask[1]: expected 0 or 1, got 0.5");
        let message = Labels::derive(input(&positions[3..], &mask)).unwrap_err().to_string();
        assert_eq!(message, "all_atom_positions: expected [2, 37, 3], got [219]");
        let wrong = LabelInputs { aatype: &[7, 21], ..input(&positions, &mask) };
        assert!(Labels::derive(wrong).is_err());
    }
}
