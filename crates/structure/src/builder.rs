//! From atom records to chains: which atoms and residues count, and where they go.
//!
//! Conventions are AlphaFold's (`data/templates.py`, which sits on Biopython): of alternate locations the
//! one with the highest occupancy, the first on a tie; selenium of MSE is the sulphur of MET.

use std::collections::HashMap;

use chem::atoms::ATOM_TYPES;
use chem::residue::UNKNOWN;

use crate::{Chain, Error, Limits, Place, Residue};

/// One atom as both formats give it.
pub(crate) struct Atom<'a> {
    pub(crate) at: Place,
    pub(crate) residue: &'a [u8],
    pub(crate) number: i32,
    pub(crate) insertion: Option<char>,
    pub(crate) label_seq: Option<u32>,
    pub(crate) hetero: bool,
    pub(crate) name: &'a [u8],
    pub(crate) xyz: [f32; 3],
    pub(crate) b_factor: f32,
    pub(crate) occupancy: f32,
}

/// Standard parents of components the file itself explains (MODRES, `mon_nstd_parent_comp_id`).
pub(crate) type Parents = HashMap<String, u8>;

/// Type of a component: itself, its parent by our table, its parent by the file's; `None` if not an amino acid.
pub(crate) fn aatype_of(name: &str, parents: &Parents) -> Option<u8> {
    if name == "UNK" {
        return Some(UNKNOWN);
    }
    let known = chem::modified::parent_letter(name).and_then(chem::residue::aatype_of_letter);
    known.or_else(|| parents.get(name).copied())
}

/// Waters, by the names of the archive and of simulation programs.
pub(crate) fn is_water(name: &[u8]) -> bool {
    matches!(name, b"HOH" | b"DOD" | b"WAT" | b"H2O" | b"SOL" | b"TIP" | b"TIP3" | b"TP3" | b"SPC")
}

/// Chain under construction. Residues after the chain's TER are marked: they are ligands.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) residues: Vec<DraftResidue>,
    by_key: HashMap<(i32, Option<char>, Option<u32>, String), usize>,
    current: Option<usize>,
    pub(crate) closed: bool,
}

pub(crate) struct DraftResidue {
    pub(crate) residue: Residue,
    after_ter: bool,
}

/// Number of residues and atoms so far against their limits.
pub(crate) struct Counts {
    pub(crate) limits: Limits,
    pub(crate) atoms: usize,
    pub(crate) residues: usize,
}

impl Counts {
    pub(crate) fn new(limits: &Limits) -> Self {
        Counts { limits: *limits, atoms: 0, residues: 0 }
    }

    pub(crate) fn atom(&mut self, at: Place) -> Result<(), Error> {
        self.atoms += 1;
        let limit = self.limits.atoms;
        if self.atoms > limit { Err(Error::TooLarge { at, limit, unit: "atoms" }) } else { Ok(()) }
    }

    pub(crate) fn residue(&mut self, at: Place) -> Result<(), Error> {
        self.residues += 1;
        let limit = self.limits.residues;
        if self.residues > limit { Err(Error::TooLarge { at, limit, unit: "residues" }) } else { Ok(()) }
    }
}

impl Draft {
    pub(crate) fn new(id: &str, label: &str) -> Self {
        Draft { id: id.into(), label: label.into(), ..Draft::default() }
    }

    pub(crate) fn last_number(&self) -> Option<i32> {
        self.residues.last().map(|r| r.residue.number)
    }

    /// Puts an atom into its residue, opening that if it is new.
    pub(crate) fn push(&mut self, atom: &Atom<'_>, counts: &mut Counts) -> Result<(), Error> {
        let same = |r: &Residue| {
            r.number == atom.number
                && r.insertion == atom.insertion
                && r.label_seq == atom.label_seq
                && r.name.as_bytes() == atom.residue
        };
        let current = self.current.filter(|&i| self.residues.get(i).is_some_and(|r| same(&r.residue)));
        let index = match current {
            Some(index) => index,
            None => self.find_or_open(atom, counts)?,
        };
        self.current = Some(index);
        let Some(DraftResidue { residue, .. }) = self.residues.get_mut(index) else { return Ok(()) };
        let Some(slot) = atom37_slot(atom.name, atom.residue) else { return Ok(()) };
        if !residue.mask[slot] || atom.occupancy > residue.occupancy[slot] {
            residue.mask[slot] = true;
            residue.positions[slot] = atom.xyz;
            residue.b_factor[slot] = atom.b_factor;
            residue.occupancy[slot] = atom.occupancy;
        }
        Ok(())
    }

    fn find_or_open(&mut self, atom: &Atom<'_>, counts: &mut Counts) -> Result<usize, Error> {
        let name = crate::fields::text(atom.residue);
        let key = (atom.number, atom.insertion, atom.label_seq, name.clone());
        if let Some(&index) = self.by_key.get(&key) {
            return Ok(index);
        }
        counts.residue(atom.at)?;
        let residue = Residue {
            name,
            aatype: UNKNOWN,
            number: atom.number,
            insertion: atom.insertion,
            label_seq: atom.label_seq,
            hetero: atom.hetero,
            positions: [[0.0; 3]; 37],
            mask: [false; 37],
            b_factor: [0.0; 37],
            occupancy: [0.0; 37],
        };
        self.residues.push(DraftResidue { residue, after_ter: self.closed });
        self.by_key.insert(key, self.residues.len() - 1);
        Ok(self.residues.len() - 1)
    }

    /// The finished chain, or `None` if nothing in it is part of a polypeptide.
    /// `polymer` says whether residues with a sequence position belong to a polypeptide, if the file says so.
    pub(crate) fn finish(self, parents: &Parents, polymer: Polymer) -> Option<Chain> {
        let mut residues: Vec<Residue> = Vec::with_capacity(self.residues.len());
        for DraftResidue { mut residue, after_ter } in self.residues {
            let known = aatype_of(&residue.name, parents);
            residue.aatype = known.unwrap_or(UNKNOWN);
            let backbone = residue.mask[..3].iter().all(|&m| m); // N, CA, C
            let belongs = match polymer {
                Polymer::Peptide => residue.label_seq.is_some(),
                Polymer::Other => false,
                Polymer::Unsaid if after_ter => known.is_some() && !residue.hetero,
                Polymer::Unsaid => known.is_some() || backbone,
            };
            if !belongs || !residue.mask.contains(&true) {
                continue;
            }
            match residues.last_mut() {
                // Two residue types at one place: the better occupied, the first on a tie.
                Some(last) if place(last) == place(&residue) => {
                    if weight(&residue) > weight(last) {
                        *last = residue;
                    }
                }
                _ => residues.push(residue),
            }
        }
        if residues.is_empty() {
            return None;
        }
        Some(Chain { id: self.id, label: self.label, sequence: None, residues })
    }
}

/// What a file says about a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polymer {
    /// A polypeptide: exactly its residues with a sequence position count.
    Peptide,
    /// Something else: water, ligand, nucleic acid.
    Other,
    /// Nothing: judged residue by residue.
    Unsaid,
}

fn place(r: &Residue) -> (i32, Option<char>, Option<u32>) {
    (r.number, r.insertion, r.label_seq)
}

fn weight(r: &Residue) -> f32 {
    r.occupancy.iter().fold(0.0, |a, &b| a.max(b))
}

/// Index among the 37 atom types.
fn atom37_slot(name: &[u8], residue: &[u8]) -> Option<usize> {
    let name = if residue == b"MSE" && name.eq_ignore_ascii_case(b"SE") { b"SD" } else { name };
    let key = packed(name)?;
    KEYS.iter().position(|&k| k == key)
}

/// The atom types' names as numbers: a scan over 37 of them is faster than over strings.
const KEYS: [u32; 37] = {
    let mut keys = [0; 37];
    let mut i = 0;
    while i < 37 {
        match packed(ATOM_TYPES[i].as_bytes()) {
            Some(key) => keys[i] = key,
            None => panic!("atom types have one to four letters"),
        }
        i += 1;
    }
    keys
};

const fn packed(name: &[u8]) -> Option<u32> {
    match name {
        [a] => Some(*a as u32),
        [a, b] => Some(*a as u32 | (*b as u32) << 8),
        [a, b, c] => Some(*a as u32 | (*b as u32) << 8 | (*c as u32) << 16),
        [a, b, c, d] => Some(*a as u32 | (*b as u32) << 8 | (*c as u32) << 16 | (*d as u32) << 24),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom<'a>(residue: &'a [u8], number: i32, name: &'a [u8], occupancy: f32) -> Atom<'a> {
        Atom {
            at: Place { line: 1, column: 1 },
            residue,
            number,
            insertion: None,
            label_seq: None,
            hetero: false,
            name,
            xyz: [occupancy, 2.0, 3.0],
            b_factor: 5.0,
            occupancy,
        }
    }

    fn built(atoms: &[Atom<'_>]) -> Option<Chain> {
        let mut draft = Draft::new("A", "A");
        let mut counts = Counts::new(&Limits::default());
        for a in atoms {
            draft.push(a, &mut counts).unwrap();
        }
        draft.finish(&Parents::new(), Polymer::Unsaid)
    }

    #[test]
    fn slots_are_those_of_chem() {
        for (i, name) in ATOM_TYPES.iter().enumerate() {
            assert_eq!(atom37_slot(name.as_bytes(), b"ALA"), Some(i));
        }
        assert_eq!(atom37_slot(b"SE", b"MSE"), atom37_slot(b"SD", b"MET"));
        assert_eq!(atom37_slot(b"SE", b"SEC"), None);
        assert_eq!(atom37_slot(b"HA", b"ALA"), None);
        assert_eq!(atom37_slot(b"", b"ALA"), None);
    }

    #[test]
    fn highest_occupancy_wins_and_the_first_on_a_tie() {
        let chain =
            built(&[atom(b"SER", 7, b"CA", 0.3), atom(b"SER", 7, b"CA", 0.7), atom(b"SER", 7, b"CA", 0.5)]);
        assert_eq!(chain.unwrap().residues[0].positions[1][0], 0.7);
        let mut second = atom(b"SER", 7, b"CB", 0.5);
        second.xyz[1] = 9.0;
        let chain = built(&[atom(b"SER", 7, b"CB", 0.5), second]).unwrap();
        assert_eq!(chain.residues[0].positions[3], [0.5, 2.0, 3.0]);
    }

    #[test]
    fn two_types_at_one_place_even_if_interleaved() {
        let chain = built(&[
            atom(b"SER", 45, b"N", 0.4),
            atom(b"THR", 45, b"N", 0.6),
            atom(b"SER", 45, b"CA", 0.4),
            atom(b"THR", 45, b"CA", 0.6),
            atom(b"GLY", 46, b"CA", 1.0),
        ])
        .unwrap();
        let names: Vec<&str> = chain.residues.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["THR", "GLY"]);
        assert_eq!(chain.residues[0].mask.iter().filter(|&&m| m).count(), 2);
    }

    #[test]
    fn ions_and_ligands_are_not_residues() {
        assert!(built(&[atom(b"CA", 201, b"CA", 1.0)]).is_none(), "calcium");
        assert!(built(&[atom(b"DG", 3, b"O5'", 1.0)]).is_none(), "nucleotide");
        let odd = [atom(b"XYZ", 4, b"N", 1.0), atom(b"XYZ", 4, b"CA", 1.0), atom(b"XYZ", 4, b"C", 1.0)];
        assert_eq!(built(&odd).unwrap().residues[0].aatype, UNKNOWN, "unknown amino acid");
    }
}
