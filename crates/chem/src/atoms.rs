//! Atom names: the fixed table of 37, and the 14 slots of each residue type.
//! Source: AlphaFold `residue_constants.py` (`atom_types`, `restype_name_to_atom14_names`); names as in the PDB.

use crate::residue::aatype_of_letter;

/// Names of all heavy atoms of the 20 amino acids, in the order of the atom37 layout.
pub const ATOM_TYPES: [&str; 37] = [
    "N", "CA", "C", "CB", "O", "CG", "CG1", "CG2", "OG", "OG1", "SG", "CD", "CD1", "CD2", "ND1", "ND2",
    "OD1", "OD2", "SD", "CE", "CE1", "CE2", "CE3", "NE", "NE1", "NE2", "OE1", "OE2", "CH2", "NH1", "NH2",
    "OH", "CZ", "CZ2", "CZ3", "NZ", "OXT",
];

/// Places of the backbone atoms and Cβ in atom37.
pub const N: usize = 0;
/// Cα in atom37 (and atom14).
pub const CA: usize = 1;
/// C in atom37 (and atom14).
pub const C: usize = 2;
/// Cβ in atom37; in atom14 it is 4.
pub const CB: usize = 3;
/// O in atom37; in atom14 it is 3.
pub const O: usize = 4;
/// OXT in atom37; in no residue's atom14.
pub const OXT: usize = 36;

/// Atom names of the 14 slots by `aatype`; empty where the residue has fewer. Row 20 (unknown) is empty.
pub const ATOM14_NAMES: [[&str; 14]; 21] = [
    ["N", "CA", "C", "O", "CB", "", "", "", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD", "NE", "CZ", "NH1", "NH2", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "OD1", "ND2", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "OD1", "OD2", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "SG", "", "", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD", "OE1", "NE2", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD", "OE1", "OE2", "", "", "", "", ""],
    ["N", "CA", "C", "O", "", "", "", "", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "ND1", "CD2", "CE1", "NE2", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG1", "CG2", "CD1", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD1", "CD2", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD", "CE", "NZ", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "SD", "CE", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD1", "CD2", "CE1", "CE2", "CZ", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD", "", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "OG", "", "", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "OG1", "CG2", "", "", "", "", "", "", ""],
    ["N", "CA", "C", "O", "CB", "CG", "CD1", "CD2", "NE1", "CE2", "CE3", "CZ2", "CZ3", "CH2"],
    ["N", "CA", "C", "O", "CB", "CG", "CD1", "CD2", "CE1", "CE2", "CZ", "OH", "", ""],
    ["N", "CA", "C", "O", "CB", "CG1", "CG2", "", "", "", "", "", "", ""],
    ["", "", "", "", "", "", "", "", "", "", "", "", "", ""],
];

/// Place of an atom name in atom37, or `None`.
pub const fn atom_order(name: &str) -> Option<usize> {
    let mut i = 0;
    while i < 37 {
        if same(ATOM_TYPES[i], name) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// Place of an atom name among the 14 slots of a residue type, or `None` (also for `aatype` > 20).
pub const fn atom14_order(aatype: u8, name: &str) -> Option<usize> {
    if aatype > 20 || name.is_empty() {
        return None;
    }
    let mut i = 0;
    while i < 14 {
        if same(ATOM14_NAMES[aatype as usize][i], name) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// `str` equality that a `const fn` may use.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// 1 where an atom14 slot of a residue type is an atom.
pub const ATOM14_MASK: [[f32; 14]; 21] = {
    let mut mask = [[0.0; 14]; 21];
    let mut a = 0;
    while a < 21 {
        let mut i = 0;
        while i < 14 {
            if !ATOM14_NAMES[a][i].is_empty() {
                mask[a][i] = 1.0;
            }
            i += 1;
        }
        a += 1;
    }
    mask
};

/// atom37 place of each atom14 slot; 0 where the slot is empty ([`ATOM14_MASK`] tells them apart).
pub const ATOM14_TO_ATOM37: [[usize; 14]; 21] = {
    let mut map = [[0; 14]; 21];
    let mut a = 0;
    while a < 21 {
        let mut i = 0;
        while i < 14 {
            if let Some(at) = atom_order(ATOM14_NAMES[a][i]) {
                map[a][i] = at;
            }
            i += 1;
        }
        a += 1;
    }
    map
};

/// atom14 slot of each atom37 place; 0 where the residue lacks the atom ([`STANDARD_ATOM_MASK`]).
pub const ATOM37_TO_ATOM14: [[usize; 37]; 21] = {
    let mut map = [[0; 37]; 21];
    let mut a = 0;
    while a < 21 {
        let mut i = 0;
        while i < 14 {
            if let Some(at) = atom_order(ATOM14_NAMES[a][i]) {
                map[a][at] = i;
            }
            i += 1;
        }
        a += 1;
    }
    map
};

/// 1 where a residue type has the atom37 atom. OXT is in none; the unknown residue has no atoms.
pub const STANDARD_ATOM_MASK: [[f32; 37]; 21] = {
    let mut mask = [[0.0; 37]; 21];
    let mut a = 0;
    while a < 21 {
        let mut i = 0;
        while i < 14 {
            if let Some(at) = atom_order(ATOM14_NAMES[a][i]) {
                mask[a][at] = 1.0;
            }
            i += 1;
        }
        a += 1;
    }
    mask
};

/// atom37 place of the atom that stands for a residue's side chain: Cβ, or Cα for glycine.
pub const fn pseudo_beta(aatype: u8) -> usize {
    match aatype_of_letter(b'G') {
        Some(gly) if gly == aatype => CA,
        _ => CB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_inverse() {
        let mut atoms = 0;
        for a in 0..21 {
            for i in 0..14 {
                if ATOM14_MASK[a][i] == 1.0 {
                    let at = ATOM14_TO_ATOM37[a][i];
                    assert_eq!(ATOM_TYPES[at], ATOM14_NAMES[a][i]);
                    assert_eq!(ATOM37_TO_ATOM14[a][at], i);
                    assert_eq!(STANDARD_ATOM_MASK[a][at], 1.0);
                    atoms += 1;
                }
            }
            let in37: f32 = STANDARD_ATOM_MASK[a].iter().sum();
            let in14: f32 = ATOM14_MASK[a].iter().sum();
            assert_eq!(in37, in14);
            assert_eq!(STANDARD_ATOM_MASK[a][OXT], 0.0);
        }
        assert_eq!(atoms, 167); // heavy atoms of the 20 amino acids without OXT
    }

    #[test]
    fn orders() {
        assert_eq!(atom_order("NZ"), Some(35));
        assert_eq!(atom_order(""), None);
        assert_eq!(atom14_order(17, "CH2"), Some(13));
        assert_eq!(atom14_order(0, ""), None);
        assert_eq!(atom14_order(200, "CA"), None);
        for (place, name) in [(N, "N"), (CA, "CA"), (C, "C"), (CB, "CB"), (O, "O"), (OXT, "OXT")] {
            assert_eq!(ATOM_TYPES[place], name);
        }
        assert_eq!((pseudo_beta(7), pseudo_beta(8), pseudo_beta(20)), (CA, CB, CB));
    }
}
