//! A chain whose structure is known, with its alignment: what training and evaluation start from.

use crate::{Error, Result};
use chem::atoms::CA;
use msa::Msa;

/// A chain of known structure. r residues; unresolved residues are in the sequence, without atoms.
#[derive(Debug, Clone)]
pub struct Known {
    /// Name for records and errors.
    pub id: String,
    /// `[r]` letters `A`–`Z`.
    pub sequence: String,
    /// `[r]` residue numbers from the first residue's, ascending; a step of 1 is a peptide bond.
    pub residue_index: Vec<i32>,
    /// `[r]` residue types, 0–20.
    pub aatype: Vec<u8>,
    /// `[r]` atom37, Å.
    pub positions: Vec<[[f32; 3]; 37]>,
    /// `[r]` which atoms are resolved.
    pub mask: Vec<[bool; 37]>,
    /// Whether side chains are missing because the source has none, not because they are disordered.
    pub backbone_only: bool,
    /// Å; `None` where it is not known.
    pub resolution: Option<f32>,
    /// Alignment, the query first; `None` where there is only the sequence.
    pub msa: Option<Msa>,
}

impl Known {
    /// Residues.
    pub fn len(&self) -> usize {
        self.aatype.len()
    }

    /// Whether there is no residue.
    pub fn is_empty(&self) -> bool {
        self.aatype.is_empty()
    }

    /// Rows of the alignment, the query included.
    pub fn depth(&self) -> usize {
        self.msa.as_ref().map_or(1, Msa::rows)
    }

    /// `[r]` Cα coordinates, `None` where unresolved.
    pub fn alpha(&self) -> Vec<Option<[f32; 3]>> {
        self.positions.iter().zip(&self.mask).map(|(p, m)| m[CA].then_some(p[CA])).collect()
    }

    /// Checks that all parts are of one length, and that there is something to learn.
    ///
    /// # Errors  [`Error::Chain`] with what does not fit.
    pub fn check(&self) -> Result<()> {
        let r = self.len();
        let fail = |what: String| Err(Error::Chain { id: self.id.clone(), what });
        for (name, n) in [
            ("letters", self.sequence.len()),
            ("residue numbers", self.residue_index.len()),
            ("coordinates", self.positions.len()),
            ("masks", self.mask.len()),
        ] {
            if n != r {
                return fail(format!("expected {r} {name}, got {n}"));
            }
        }
        if let Some(msa) = &self.msa
            && msa.columns() != r
        {
            return fail(format!("expected an alignment of {r} columns, got {}", msa.columns()));
        }
        let resolved = self.mask.iter().filter(|m| m[CA]).count();
        if resolved < 2 {
            return fail(format!("expected at least 2 residues with Cα, got {resolved}"));
        }
        Ok(())
    }
}
