//! What a pass gives, what the next one takes of it, and what a user gets.

use crate::Result;
use crate::heads::Logits;
use crate::structure_module::StructureOutput;
use candle_core::{Device, Tensor};

/// What one pass hands to the next; without gradient.
#[derive(Clone)]
pub struct Previous {
    /// `[r, c_m]`.
    pub msa_first_row: Tensor,
    /// `[r, r, c_z]`.
    pub pair: Tensor,
    /// `[r, 37, 3]`, Å.
    pub positions: Tensor,
}

/// Everything one pass gives.
pub struct Outputs {
    /// `[s, r, c_m]`, without template rows.
    pub msa: Tensor,
    /// `[r, c_m]`.
    pub msa_first_row: Tensor,
    /// `[r, r, c_z]`.
    pub pair: Tensor,
    /// `[r, c_s]`.
    pub single: Tensor,
    /// Frames, torsions, atoms.
    pub structure: StructureOutput,
    /// Heads.
    pub logits: Logits,
}

/// A predicted structure with confidences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Å; zero for atoms a residue does not have.
    pub positions: Vec<[[f32; 3]; 37]>,
    /// Which atoms exist.
    pub mask: Vec<[bool; 37]>,
    /// 0–100.
    pub plddt: Vec<f32>,
    /// Expected aligned error `[r][r]`, Å, row-major.
    pub pae: Option<Vec<f32>>,
    /// The largest value `pae` can take, Å.
    pub max_pae: Option<f32>,
    /// Predicted TM-score.
    pub ptm: Option<f32>,
    /// Passes done.
    pub passes: usize,
}

impl Prediction {
    /// Mean confidence over residues, 0–100.
    pub fn mean_plddt(&self) -> f32 {
        let sum: f64 = self.plddt.iter().map(|&p| f64::from(p)).sum();
        (sum / self.plddt.len().max(1) as f64) as f32
    }
}

impl Outputs {
    /// The same on `device`; gradients pass through.
    ///
    /// # Errors  If a copy fails.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let to = |t: &Tensor| t.to_device(device);
        let head = |t: &Option<Tensor>| t.as_ref().map(to).transpose();
        let (s, l) = (&self.structure, &self.logits);
        Ok(Self {
            msa: to(&self.msa)?,
            msa_first_row: to(&self.msa_first_row)?,
            pair: to(&self.pair)?,
            single: to(&self.single)?,
            structure: StructureOutput {
                single: to(&s.single)?,
                traj: to(&s.traj)?,
                angles: to(&s.angles)?,
                unnormalized_angles: to(&s.unnormalized_angles)?,
                frames_rotation: to(&s.frames_rotation)?,
                frames_translation: to(&s.frames_translation)?,
                atom14: to(&s.atom14)?,
                atom37: to(&s.atom37)?,
                atom37_mask: to(&s.atom37_mask)?,
            },
            logits: Logits {
                distogram: head(&l.distogram)?,
                masked_msa: head(&l.masked_msa)?,
                experimentally_resolved: head(&l.experimentally_resolved)?,
                predicted_lddt: head(&l.predicted_lddt)?,
                predicted_aligned_error: head(&l.predicted_aligned_error)?,
            },
        })
    }

    /// What the next pass recycles.
    pub fn previous(&self) -> Previous {
        Previous {
            msa_first_row: self.msa_first_row.detach(),
            pair: self.pair.detach(),
            positions: self.structure.atom37.detach(),
        }
    }
}
