//! What the pipeline starts from: the query, the alignments' rows, the templates.
//! AlphaFold `data/pipeline.py`, `make_sequence_features` and `make_msa_features`.

use crate::{Error, RawTemplates};
use chem::residue::{HHBLITS_TO_AATYPE, UNKNOWN, aatype_of_letter, hhblits_id};
use msa::{Deletion, Msa};
use std::collections::HashSet;

/// What to do with alignment rows that spell the same aligned sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// Keep the first of them, over all alignments: DeepMind's AlphaFold.
    #[default]
    Drop,
    /// Keep all: ColabFold.
    Keep,
}

/// Longest query accepted, residues.
const MAX_RESIDUES: usize = 100_000;
/// Most alignment cells (rows · columns) accepted: one byte each.
const MAX_CELLS: usize = 1 << 34;

/// Features before sampling: AlphaFold's feature dictionary, with residue types already in its own order
/// (what `correct_msa_restypes` and `fix_templates_aatype` do) and deletions kept sparse.
#[derive(Debug, Clone, PartialEq)]
pub struct RawFeatures {
    /// Types of the query's residues [r], 0–20.
    pub(crate) aatype: Vec<u8>,
    /// Residue numbers [r].
    pub(crate) residue_index: Vec<i32>,
    /// Types in row after row, 0–21, [rows · r].
    pub(crate) msa: Vec<u8>,
    deletions: Vec<Deletion>,
    deletion_ends: Vec<usize>,
    /// Templates aligned to the query.
    pub(crate) templates: Option<RawTemplates>,
}

impl RawFeatures {
    /// Features of `sequence` with its alignments; residues are numbered from 0.
    ///
    /// Query letters outside the twenty become unknown. In rows B counts as D, Z as E, U as C, J and O as
    /// X. Rows of all alignments follow one another in the order given.
    ///
    /// # Errors
    /// `Error::Sequence` for an empty or too long query, `Error::Alignment` for an alignment without rows,
    /// of another width, with a letter that is no residue, or too many cells in all.
    pub fn new(sequence: &str, alignments: &[&Msa], duplicates: Duplicates) -> Result<Self, Error> {
        let letters = sequence.as_bytes();
        if letters.is_empty() {
            return Err(Error::Sequence("expected at least one residue, got none".into()));
        }
        if letters.len() > MAX_RESIDUES {
            return Err(Error::Sequence(format!(
                "expected at most {MAX_RESIDUES} residues, got {}",
                letters.len()
            )));
        }
        if let Some(i) = letters.iter().position(|l| !l.is_ascii_uppercase()) {
            return Err(Error::Sequence(format!(
                "residue {}: expected a letter A–Z, got {:?}",
                i + 1,
                letters[i] as char
            )));
        }
        let mut raw = RawFeatures {
            aatype: letters.iter().map(|&l| aatype_of_letter(l).unwrap_or(UNKNOWN)).collect(),
            residue_index: (0..letters.len() as i32).collect(),
            msa: Vec::new(),
            deletions: Vec::new(),
            deletion_ends: Vec::new(),
            templates: None,
        };
        let mut seen = HashSet::new();
        if alignments.is_empty() {
            return Err(Error::Alignment {
                alignment: 1,
                row: 1,
                what: "expected at least one alignment".into(),
            });
        }
        for (index, alignment) in alignments.iter().enumerate() {
            let wrong =
                |row: usize, what: String| Error::Alignment { alignment: index + 1, row: row + 1, what };
            if alignment.rows() == 0 {
                return Err(wrong(0, "expected at least one row, got none".into()));
            }
            if alignment.columns() != letters.len() {
                return Err(wrong(
                    0,
                    format!(
                        "expected {} columns as in the query, got {}",
                        letters.len(),
                        alignment.columns()
                    ),
                ));
            }
            for row in 0..alignment.rows() {
                let cells = alignment.row(row);
                if duplicates == Duplicates::Drop && !seen.insert(cells) {
                    continue;
                }
                if raw.msa.len() + cells.len() > MAX_CELLS {
                    return Err(wrong(row, format!("expected at most {MAX_CELLS} cells in all alignments")));
                }
                for (column, &letter) in cells.iter().enumerate() {
                    let id = hhblits_id(letter).ok_or_else(|| {
                        let letter = letter as char;
                        wrong(row, format!("column {}: expected A–Z or -, got {letter:?}", column + 1))
                    })?;
                    raw.msa.push(HHBLITS_TO_AATYPE[id as usize]);
                }
                raw.deletions.extend_from_slice(alignment.deletions(row));
                raw.deletion_ends.push(raw.deletions.len());
            }
        }
        Ok(raw)
    }

    /// Adds templates; with none of them given the network sees masked padding only.
    ///
    /// # Errors
    /// `Error::Template` if they are aligned to another number of residues.
    pub fn with_templates(mut self, templates: RawTemplates) -> Result<Self, Error> {
        if templates.num_res() != self.num_res() {
            let what =
                format!("expected {} residues as in the query, got {}", self.num_res(), templates.num_res());
            return Err(Error::Template { template: 1, what });
        }
        self.templates = Some(templates);
        Ok(self)
    }

    /// Replaces the residue numbers 0, 1, 2, …; a jump tells the network that the chain is broken there.
    ///
    /// # Errors
    /// `Error::Sequence` if there are not as many numbers as residues.
    pub fn with_residue_index(mut self, residue_index: Vec<i32>) -> Result<Self, Error> {
        if residue_index.len() != self.num_res() {
            let what = format!("expected {} residue numbers, got {}", self.num_res(), residue_index.len());
            return Err(Error::Sequence(what));
        }
        self.residue_index = residue_index;
        Ok(self)
    }

    /// Residues of the query.
    pub fn num_res(&self) -> usize {
        self.aatype.len()
    }

    /// Alignment rows that were kept, over all alignments.
    pub fn num_alignments(&self) -> usize {
        self.deletion_ends.len()
    }

    /// Types of row `row`, 0–21, [r].
    pub(crate) fn row(&self, row: u32) -> &[u8] {
        let r = self.num_res();
        &self.msa[row as usize * r..(row as usize + 1) * r]
    }

    /// Insertions of row `row` before each column that has some.
    pub(crate) fn deletions(&self, row: u32) -> &[Deletion] {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.deletion_ends[row - 1] };
        &self.deletions[start..self.deletion_ends[row]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn msa(text: &str) -> Msa {
        msa::a3m::parse("test.a3m", text.as_bytes(), &msa::Limits::default()).unwrap().0
    }

    #[test]
    fn duplicates_are_dropped_over_all_alignments() {
        let one = msa(">q\nMKVA\n>a\nMKaV-\n>b\nMK-B\n");
        let two = msa(">q\nMKVA\n>c\nMKV-\n>d\nMK-D\n");
        let dropped = RawFeatures::new("MKVA", &[&one, &two], Duplicates::Drop).unwrap();
        // B and D are different letters though the same type; MKV- is there already.
        assert_eq!(dropped.num_alignments(), 4);
        assert_eq!(dropped.row(2), dropped.row(3));
        assert_eq!(dropped.deletions(1), [Deletion { column: 2, count: 1 }]);
        let kept = RawFeatures::new("MKVA", &[&one, &two], Duplicates::Keep).unwrap();
        assert_eq!(kept.num_alignments(), 6);
    }

    #[test]
    fn refusals_name_the_place() {
        let one = msa(">q\nMKVA\n");
        let say = |sequence: &str, alignments: &[&Msa]| {
            RawFeatures::new(sequence, alignments, Duplicates::Drop).unwrap_err().to_string()
        };
        assert!(say("MKV", &[&one, &one]).contains("alignment 1, row 1: expected 3 columns"));
        assert!(say("MK1A", &[&one]).contains("residue 3"));
        assert!(say("", &[&one]).contains("at least one residue"));
        assert!(say("MKVA", &[]).contains("at least one alignment"));
        let odd = Msa::single("MK*A", "q");
        assert!(say("MKVA", &[&one, &odd]).contains("alignment 2, row 1: column 3"));
    }
}
