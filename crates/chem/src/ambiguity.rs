//! Atoms whose names chemistry does not decide: the two ends of a symmetric group.
//! Source: AlphaFold `residue_constants.py` (`residue_atom_renaming_swaps`): Asp, Glu, Phe and Tyr only, because
//! the names in Leu, Val and Arg follow from the positions of neighbouring atoms.

use crate::atoms::{atom_order, atom14_order};
use crate::chi::CHI_ATOMS;

/// (`aatype`, pairs of atoms that may trade names).
pub const SWAPS: [(u8, &[(&str, &str)]); 4] = [
    (3, &[("OD1", "OD2")]),
    (6, &[("OE1", "OE2")]),
    (13, &[("CD1", "CD2"), ("CE1", "CE2")]),
    (18, &[("CD1", "CD2"), ("CE1", "CE2")]),
];

/// atom14 slot that trades names with each slot; the slot itself where nothing is ambiguous.
/// `alternative[i] = original[ATOM14_SWAP[aatype][i]]`.
pub const ATOM14_SWAP: [[usize; 14]; 21] = {
    let mut table = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]; 21];
    let mut s = 0;
    while s < SWAPS.len() {
        let (aatype, pairs) = SWAPS[s];
        let mut p = 0;
        while p < pairs.len() {
            let (Some(i), Some(j)) = (atom14_order(aatype, pairs[p].0), atom14_order(aatype, pairs[p].1))
            else {
                panic!("every ambiguous atom has an atom14 slot")
            };
            table[aatype as usize][i] = j;
            table[aatype as usize][j] = i;
            p += 1;
        }
        s += 1;
    }
    table
};

/// 1 where an atom14 slot's name is ambiguous.
pub const ATOM14_IS_AMBIGUOUS: [[f32; 14]; 21] = {
    let mut table = [[0.0; 14]; 21];
    let mut a = 0;
    while a < 21 {
        let mut i = 0;
        while i < 14 {
            if ATOM14_SWAP[a][i] != i {
                table[a][i] = 1.0;
            }
            i += 1;
        }
        a += 1;
    }
    table
};

/// As [`ATOM14_SWAP`], for atom37.
pub const ATOM37_SWAP: [[usize; 37]; 21] = {
    let mut table = [[0; 37]; 21];
    let mut a = 0;
    while a < 21 {
        let mut i = 0;
        while i < 37 {
            table[a][i] = i;
            i += 1;
        }
        a += 1;
    }
    let mut s = 0;
    while s < SWAPS.len() {
        let (aatype, pairs) = SWAPS[s];
        let mut p = 0;
        while p < pairs.len() {
            let (Some(i), Some(j)) = (atom_order(pairs[p].0), atom_order(pairs[p].1)) else {
                panic!("every ambiguous atom is one of the 37")
            };
            table[aatype as usize][i] = j;
            table[aatype as usize][j] = i;
            p += 1;
        }
        s += 1;
    }
    table
};

/// 1 for the rigid group (0..=7) that turning by π maps onto its renamed self: the last χ group of the four.
pub const RIGID_GROUP_IS_AMBIGUOUS: [[f32; 8]; 21] = {
    let mut table = [[0.0; 8]; 21];
    let mut s = 0;
    while s < SWAPS.len() {
        let a = SWAPS[s].0 as usize;
        table[a][3 + CHI_ATOMS[a].len()] = 1.0;
        s += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atoms::{ATOM_TYPES, ATOM14_NAMES};
    use crate::chi::CHI_PI_PERIODIC;

    #[test]
    fn swaps_undo_themselves() {
        for a in 0..21 {
            for i in 0..14 {
                assert_eq!(ATOM14_SWAP[a][ATOM14_SWAP[a][i]], i);
            }
            for i in 0..37 {
                assert_eq!(ATOM37_SWAP[a][ATOM37_SWAP[a][i]], i);
            }
        }
        assert_eq!(ATOM14_IS_AMBIGUOUS.iter().flatten().sum::<f32>(), 12.0);
        assert_eq!(ATOM14_NAMES[18][ATOM14_SWAP[18][8]], "CE2");
        assert_eq!(ATOM_TYPES[ATOM37_SWAP[3][16]], "OD2");
    }

    #[test]
    fn ambiguous_groups_are_the_pi_periodic_angles() {
        for a in 0..21 {
            assert_eq!(RIGID_GROUP_IS_AMBIGUOUS[a][4..], CHI_PI_PERIODIC[a]);
            assert_eq!(RIGID_GROUP_IS_AMBIGUOUS[a][..4], [0.0; 4]);
        }
    }
}
