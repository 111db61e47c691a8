//! One chain as training wants it: sequence, numbers, coordinates, alignment.

use crate::record::slots;
use crate::{Error, Kind};
use chem::atoms::CB;
use chem::residue::letter;
use msa::Msa;

/// Longest chain a dataset holds, residues.
pub(crate) const MAX_RESIDUES: usize = 100_000;
/// Largest alignment a dataset holds, rows times columns.
pub(crate) const MAX_CELLS: usize = 1 << 28;
/// Bound of a coordinate, Å: what all file formats can hold.
const MAX_COORDINATE: f32 = 1e6;

/// One chain of r residues, unresolved ones included.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Letters of the 20 amino acids and `X`, r of them. Modified residues are their parents.
    pub sequence: String,
    /// Residue numbers [r], rising; a jump is a gap of the chain.
    pub residue_index: Vec<i32>,
    /// Residue types [r], 0–20 in chem's order.
    pub aatype: Vec<u8>,
    /// Coordinates [r][37], Å, to 0.005; zero where `mask` is false.
    pub positions: Vec<[[f32; 3]; 37]>,
    /// Which atoms are there [r][37].
    pub mask: Vec<[bool; 37]>,
    /// The alignment, its first row the sequence; `None` if there is no other row. Headers are not kept.
    pub msa: Option<Msa>,
}

impl Chain {
    /// Residues.
    pub fn len(&self) -> usize {
        self.aatype.len()
    }

    /// Never true for a chain of a dataset.
    pub fn is_empty(&self) -> bool {
        self.aatype.is_empty()
    }

    /// The alignment, or the sequence alone where there is none.
    pub fn alignment(&self) -> Msa {
        self.msa.clone().unwrap_or_else(|| Msa::single(&self.sequence, "query"))
    }

    /// Rows of the alignment, the query included.
    pub fn depth(&self) -> usize {
        self.msa.as_ref().map_or(1, Msa::rows)
    }

    /// All-atom as soon as one residue has an atom beyond N, CA, C and O.
    pub fn kind(&self) -> Kind {
        let beyond = |m: &[bool; 37]| m[CB] || m[5..].contains(&true);
        if self.mask.iter().any(beyond) { Kind::AllAtom } else { Kind::Backbone }
    }

    /// Checks that the fields fit together and can be written.
    pub(crate) fn check(&self, id: &str) -> Result<(), Error> {
        self.faults().map_or(Ok(()), |what| Err(Error::Chain { id: id.to_string(), what }))
    }

    fn faults(&self) -> Option<String> {
        let r = self.aatype.len();
        if !(1..=MAX_RESIDUES).contains(&r) {
            return Some(format!("expected 1 to {MAX_RESIDUES} residues, found {r}"));
        }
        for (what, found) in [
            ("letters", self.sequence.len()),
            ("residue numbers", self.residue_index.len()),
            ("positions", self.positions.len()),
            ("masks", self.mask.len()),
        ] {
            if found != r {
                return Some(format!("expected {r} {what}, found {found}"));
            }
        }
        for (i, (&aatype, found)) in self.aatype.iter().zip(self.sequence.bytes()).enumerate() {
            let expected = letter(aatype);
            if aatype > 20 || expected != found {
                let (e, f) = (expected as char, found as char);
                return Some(format!("residue {}: expected letter {e} of type {aatype}, found {f}", i + 1));
            }
        }
        if let Some(pair) = self.residue_index.windows(2).find(|w| w[0] >= w[1]) {
            return Some(format!("expected rising residue numbers, found {} after {}", pair[1], pair[0]));
        }
        for (i, (xyz, mask)) in self.positions.iter().zip(&self.mask).enumerate() {
            let known = slots::mask37(self.aatype[i]);
            for a in 0..37 {
                if mask[a] && !known[a] {
                    let (atom, name) = (chem::atoms::ATOM_TYPES[a], chem::residue::name(self.aatype[i]));
                    return Some(format!("residue {}: {name} has no atom {atom}", i + 1));
                }
                if mask[a] && !xyz[a].iter().all(|c| c.abs() < MAX_COORDINATE) {
                    return Some(format!("residue {}: expected coordinates within 10⁶ Å", i + 1));
                }
            }
        }
        let Some(msa) = &self.msa else { return None };
        if msa.rows() < 2 || msa.query() != self.sequence.as_bytes() {
            return Some("expected an alignment of two rows or more that begins with the sequence".into());
        }
        let cells = msa.rows().saturating_mul(msa.columns());
        (cells > MAX_CELLS).then(|| format!("expected at most {MAX_CELLS} alignment cells, found {cells}"))
    }
}
